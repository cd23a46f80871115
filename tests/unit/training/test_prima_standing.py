"""What things of a set are told of themselves is what questions about sets ask for, and true."""

import numpy as np
import pytest

from deixis.scenes.knowing.facts import Facts
from deixis.scenes.knowing.truth import truth_of
from deixis.scenes.questions import make_scene
from deixis.scenes.world import WorldKey
from deixis.training.prima.prima_standing import ALL, COUNT, asked_of, true_of
from deixis.training.standing import descriptions

NAMES = [kind for kind, said in ALL.items() for _ in said]
KINDS = {"spatial": "beside category", "open": "size in the set", "identity": "again"}


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_question_about_a_set_asks_for_is_true_of_its_targets(kind):
    starts = np.cumsum([0, *map(len, ALL.values())]).tolist()
    used, first = 0, 0
    for index in range(30):
        key = WorldKey(split="train", task="multi", seed=5, index=index)
        scene = make_scene(key, questions=3, kinds={kind: 1000.0})
        facts = Facts(scene.world, scene.renderings)
        tables = [true_of(facts, frame) for frame in facts.frames]
        assert all(table.shape[1] == COUNT == len(NAMES) for table in tables)
        for question in scene.asked:
            if question.pointed:
                continue
            said = descriptions(facts, question)
            for hit in truth_of(facts, question).hits:
                asked = asked_of(question, next(said))
                columns = [a + one - 1 for a, one in zip(starts, asked, strict=False) if one]
                used += KINDS[kind] in {NAMES[column] for column in columns}
                first += 0 in hit.frames
                for frame in hit.frames:
                    assert tables[frame][hit.thing, columns].all(), question
    assert used >= 8
    assert first  # and not of the first image alone


def test_only_one_thing_of_all_images_is_the_largest_and_only_what_repeats_is_again():
    seen = 0
    for index in range(12):
        key = WorldKey(split="train", task="multi", seed=6, index=index)
        scene = make_scene(key, questions=1)
        facts = Facts(scene.world, scene.renderings)
        tables = [true_of(facts, frame) for frame in facts.frames]
        columns = [i for i, name in enumerate(NAMES) if name == "size in the set"][:2]  # of all
        assert sum(table[:, columns] for table in tables).sum(0).max() <= 1
        again = NAMES.index("again")
        for thing, frames in facts.shown(facts.frames).items():
            told = [frame for frame in facts.frames if tables[frame][thing, again]]
            assert told == (frames if len(frames) > 1 else [])
            seen += len(told)
    assert seen
