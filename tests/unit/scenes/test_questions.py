"""What questions.py promises of every sample: kinds, shares, spans, order, words."""

import re
from collections import Counter
from dataclasses import dataclass

import pytest

from deixis.errors import DataError
from deixis.scenes.asking.wording import vocabulary
from deixis.scenes.catalogue import HELD_OUT_COLOURS, HELD_OUT_PARTS
from deixis.scenes.questions import KINDS, TASKS, make_sample, make_scene
from deixis.scenes.world import WorldKey
from deixis.structures.images import ImageSet
from deixis.structures.samples import Sample

COUNT = 300
CLIPS = 150  # of the two tasks with clips, which take longer


@dataclass(frozen=True)
class Light:
    """What is kept of a sample, so that 300 of each task fit into memory."""

    type: str
    question: str
    text: str
    conclusion: str | None
    spans: tuple[tuple[int, int], ...]
    phrases: tuple[str, ...]
    absent: tuple[str, ...]
    images: int

    @classmethod
    def of(cls, sample: Sample) -> "Light":
        answer = sample.answer
        assert answer is not None
        return cls(
            type=sample.type,
            question=sample.question.text,
            text=answer.text,
            conclusion=answer.conclusion,
            spans=answer.spans,
            phrases=tuple(target.phrase for target in answer.targets),
            absent=tuple(target.phrase for target in answer.absent),
            images=len(sample.images.lengths),
        )


@pytest.fixture(scope="module")
def many() -> dict[str, list[Light]]:
    return {
        task: [Light.of(make_sample("test", task, 11, index)) for index in range(number)]
        for task in TASKS
        for number in [CLIPS if task in ("clip", "pixelqa") else COUNT]
    }


@pytest.mark.parametrize("task", TASKS)
def test_every_kind_of_a_task_is_asked(many, task):
    assert set(KINDS[task]) == {sample.type for sample in many[task]}


@pytest.mark.parametrize("task", TASKS)
def test_no_kind_swallows_a_task(many, task):
    share = Counter(sample.type for sample in many[task])
    assert min(share.values()) >= 0.04 * len(many[task])
    assert max(share.values()) <= 0.7 * len(many[task])


def test_a_quarter_of_refer_are_parts(many):
    parts = sum(sample.type == "part" for sample in many["refer"])
    assert 0.18 * COUNT <= parts <= 0.33 * COUNT


def test_half_of_absent_asks_for_what_is_not_there(many):
    absent = [sample for sample in many["absent"] if sample.type.startswith("absent")]
    assert 0.42 * COUNT <= len(absent) <= 0.58 * COUNT
    assert all(s.absent and not s.phrases and s.absent[0] in s.text for s in absent)
    assert all(s.phrases and not s.absent for s in many["absent"] if s not in absent)


@pytest.mark.parametrize("task", TASKS)
def test_spans_name_the_targets_in_order_and_the_conclusion_comes_last(many, task):
    for sample in many[task]:
        assert [sample.text[a:b] for a, b in sample.spans] == list(sample.phrases)
        assert list(sample.spans) == sorted(sample.spans)
        if sample.conclusion is not None:
            last = sample.text.rindex(sample.conclusion)
            assert last >= max((stop for _, stop in sample.spans), default=0)


@pytest.mark.parametrize("task", TASKS)
def test_sentences_are_short_and_well_formed(many, task):
    for sample in many[task]:
        assert 1 <= len(sample.question.split()) <= 20, sample.question
        for text in (sample.question, sample.text):
            assert not re.search(r"[{}]|  | [,.?:]|^\s|\s$", text), text
            assert not re.search(r"\b[aA] [aeiou]|\b[aA]n [^aeiou]", text), text
        assert re.fullmatch(r"([A-Z\[][^.]*\.)( [A-Z\[][^.]*\.)*", sample.text), sample.text


def test_images_are_named_in_sets_only(many):
    for task in TASKS:
        for sample in many[task]:
            named = [phrase for phrase in sample.phrases if re.search(r"image \d", phrase)]
            assert len(named) == (len(sample.phrases) if sample.images > 1 else 0)


def test_plain_gives_a_word_and_no_target(many):
    for sample in many["plain"]:
        assert sample.conclusion
        assert not sample.phrases
        assert not sample.absent
    answers = Counter(s.conclusion for s in many["plain"] if s.type == "yesno")
    assert min(answers["yes"], answers["no"]) >= 0.35 * sum(answers.values())
    assert {s.conclusion for s in many["plain"] if s.type == "count"} >= set("01234")


def test_many_has_two_to_six_targets(many):
    counts = Counter(len(sample.phrases) for sample in many["many"])
    assert set(counts) <= {2, 3, 4, 5, 6}
    assert counts[2] < 0.6 * COUNT


@pytest.mark.parametrize("task", TASKS)
def test_all_words_belong_to_the_vocabulary(many, task):
    known = set(vocabulary())
    for sample in many[task]:
        assert set(re.findall(r"\w+", f"{sample.question} {sample.text}".lower())) <= known


@pytest.mark.parametrize("task", TASKS[:-1])
def test_training_tasks_never_draw_or_ask_what_compose_keeps(task):
    for index in range(60):
        scene = make_scene(WorldKey(split="train", task=task, seed=5, index=index), questions=3)
        for view in scene.world.views:
            for placed in view.placed:
                assert (placed.thing.category, placed.thing.colour) not in HELD_OUT_COLOURS
        for asked in scene.asked:
            for which in asked.which:
                told = [which.described, *([which.relation[1]] if which.relation else [])]
                assert not HELD_OUT_COLOURS & {(d.category, d.colour) for d in told}
                assert (which.part, which.described.category) not in HELD_OUT_PARTS


def test_compose_is_about_what_training_keeps_back():
    for index in range(80):
        scene = make_scene(WorldKey(split="test", task="compose", seed=5, index=index))
        (asked,) = scene.asked
        which = asked.which[0]
        told = [which.described, *([which.relation[1]] if which.relation else [])]
        pairs = HELD_OUT_COLOURS & {(d.category, d.colour) for d in told}
        part = (which.part, which.described.category) in HELD_OUT_PARTS
        assert bool(pairs) == (asked.kind == "colour") or part
        assert part == (asked.kind == "part")


def test_compose_is_kept_from_training():
    with pytest.raises(DataError, match="compose"):
        make_sample("train", "compose", 0, 0)


@pytest.mark.parametrize("seed", [0, 2**63 - 1])
@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_extreme_seeds_give_samples(split, seed):
    for task in TASKS:
        if (split, task) != ("train", "compose"):
            assert make_sample(split, task, seed, 2**63 - 1).question.text


def test_the_same_key_gives_the_same_scene():
    key = WorldKey(split="val", task="multi", seed=9, index=4)
    first, second = make_scene(key, questions=4), make_scene(key, questions=4)
    assert first.asked == second.asked
    for a, b in zip(first.samples, second.samples, strict=True):
        assert (a.question, a.answer, a.id) == (b.question, b.answer, b.id)
    assert make_sample("val", "multi", 9, 4).question == first.samples[0].question


@pytest.mark.parametrize("task", TASKS)
def test_a_scene_gives_different_questions_about_the_same_pictures(task):
    scene = make_scene(WorldKey(split="test", task=task, seed=2, index=1), questions=6)
    assert len(scene.samples) >= 4
    assert len({repr(asked) for asked in scene.asked}) == len(scene.samples)
    assert len({sample.id for sample in scene.samples}) == len(scene.samples)
    assert all(
        isinstance(s.images, ImageSet) and s.images is scene.samples[0].images
        for s in scene.samples
    )


def test_a_kind_can_be_asked_more_often_and_the_rest_stays_as_it_was():
    keys = [WorldKey(split="train", task="refer", seed=3, index=i) for i in range(60)]
    usual = [make_scene(key).samples[0].type for key in keys]
    often = [make_scene(key, kinds={"ordinal": 40.0}).samples[0].type for key in keys]
    assert often.count("ordinal") > 3 * usual.count("ordinal") > 0
    same = make_scene(keys[0], questions=3, kinds={"ordinal": 1.0}).samples
    assert [s.question.text for s in same] == [
        s.question.text for s in make_scene(keys[0], questions=3).samples
    ]


@pytest.mark.parametrize("kinds", [{"ordinals": 2.0}, {"ordinal": 0.0}, {"ordinal": -1.0}])
def test_kinds_that_cannot_be_weighed_are_refused(kinds):
    key = WorldKey(split="train", task="refer", seed=3, index=0)
    with pytest.raises(DataError, match="kinds of refer: expected numbers above 0 for attribute"):
        make_scene(key, kinds=kinds)
