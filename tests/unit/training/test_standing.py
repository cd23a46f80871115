"""What things are told of themselves among others is what questions ask for, and true."""

import numpy as np
import pytest

from deixis.scenes.knowing.facts import Facts
from deixis.scenes.knowing.meaning import Described, Which, find
from deixis.scenes.questions import make_scene
from deixis.scenes.world import WorldKey
from deixis.training.standing import COLUMNS, SAYINGS, asked_sayings, sayings_of

KINDS = {"superlative": "rank", "ordinal": "rank", "relation": "beside category", "use": "use"}


def _scenes(kind, count):
    for index in range(count):
        key = WorldKey(split="train", task="refer", seed=21, index=index)
        yield make_scene(key, questions=2, kinds={kind: 1000.0})


def _columns(asked):
    """The columns of the sayings that a description uses."""
    starts = np.cumsum([0, *map(len, SAYINGS.values())]).tolist()
    return [start + one - 1 for start, one in zip(starts, asked, strict=False) if one]


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_question_asks_for_is_true_of_its_target(kind):
    used = 0
    for scene in _scenes(kind, 24):
        facts = Facts(scene.world, scene.renderings)
        table = sayings_of(facts)
        for asked in scene.asked:
            (which,) = asked.which
            columns = _columns(asked_sayings(which))
            used += any(list(COLUMNS)[column][0] == KINDS[kind] for column in columns)
            for thing, _ in find(facts, which, (0,)):
                assert table[thing, columns].all(), (which, thing)
    assert used >= 20


def test_a_place_among_the_like_is_true_of_one_thing_only():
    checked = 0
    for scene in (*_scenes("superlative", 24), *_scenes("ordinal", 24)):
        facts = Facts(scene.world, scene.renderings)
        table = sayings_of(facts)
        for asked in scene.asked:
            (which,) = asked.which
            column = _columns(asked_sayings(which)[:1])
            fits = [one for one in facts.shown((0,)) if which.described.fits(facts.things[one])]
            if column:
                assert table[fits][:, column].sum() == 1
                checked += 1
    assert checked >= 60


def test_a_description_asks_for_nothing_else():
    assert asked_sayings(Which(described=Described(category="mug", colour="red"))) == [0] * 4
    third = Which(described=Described(colour="red"), ordinal=(3, "left"))
    assert SAYINGS["rank"][asked_sayings(third)[0] - 1] == (("colour",), ("left", 2))
    striped = Which(described=Described(pattern="striped"), extreme="largest")
    assert asked_sayings(striped) == [0] * 4  # nobody is told that
