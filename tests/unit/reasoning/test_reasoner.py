"""The reasoner: alone, in batches, as a stream, over long clips, and asked again."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from deixis.errors import DataError
from deixis.reasoning import answering, looking
from deixis.reasoning.reasoner import Reasoner
from deixis.reasoning.reasoner import together as reasoner_runs
from deixis.structures.answers import GroundedAnswer, Target
from deixis.structures.images import Frame, ImageSet
from deixis.structures.masks import Mask
from deixis.structures.prompts import Box, Point, Region
from deixis.structures.samples import LONGEST, Question, Sample


def picture(seed: int, height: int = 64, width: int = 64) -> Frame:
    """Large soft blots, so that an untrained model sees something to propose."""
    random = np.random.default_rng(seed)
    blots = random.integers(0, 256, (1 + height // 16, 1 + width // 16, 3), dtype=np.uint8)
    pixels = blots.repeat(16, 0).repeat(16, 1)[:height, :width]
    return Frame.from_array(np.ascontiguousarray(pixels))


def clip(count: int) -> ImageSet:
    frames = [picture(i) for i in range(count)]
    return ImageSet.clip(frames, tuple(float(i) for i in range(count)))


def ask(images: ImageSet, text: str, *prompts) -> Sample:
    return Sample(images=images, question=Question(text=text, prompts=prompts))


def expect_alike(one: GroundedAnswer, other: GroundedAnswer) -> None:
    """The same words, and masks equal up to a thousandth of the pixels."""
    assert one.text == other.text
    assert (one.spans, one.conclusion, one.caution) == (
        other.spans,
        other.conclusion,
        other.caution,
    )
    assert len(one.absent) == len(other.absent)
    for mine, theirs in zip(one.targets, other.targets, strict=True):
        assert mine.presence == pytest.approx(theirs.presence, abs=1e-3)
        assert mine.score == pytest.approx(theirs.score, abs=1e-3)
        assert mine.masks.keys() == theirs.masks.keys()
        for frame, mask in mine.masks.items():
            different = mask.pixels != theirs.masks[frame].pixels
            assert different.mean() <= 1e-3


ROWS = (0, 2, 3, 4, 7, 11, 12, 14)  # pictures, sets, clips, prompts, what is absent


@pytest.fixture(scope="module")
def samples(scene_samples) -> list[Sample]:
    return [scene_samples[row] for row in ROWS]


@pytest.fixture(scope="module")
def together(tiny, samples) -> list[GroundedAnswer]:
    """Answers to questions of different tasks, asked at once."""
    return Reasoner(*tiny, name="tiny").answer_batch(samples)


def test_random_weights_point_and_do_not_point_so_that_these_tests_say_something(together):
    assert sum(len(a.targets) for a in together) >= 4
    assert any(a.absent for a in together)
    assert any(not a.targets and not a.absent for a in together)
    assert any(len(t.masks) > 1 for a in together for t in a.targets)
    assert len({a.text for a in together}) == len(ROWS)


def test_batched_answers_equal_single_ones(reasoner, samples, together):
    for sample, expected in zip(samples, together, strict=True):
        expect_alike(reasoner.answer_batch([sample])[0], expected)


def test_permuting_rows_permutes_answers(reasoner, samples, together):
    order = [5, 0, 3, 1]
    answers = reasoner.answer_batch([samples[i] for i in order])
    for answer, i in zip(answers, order, strict=True):
        expect_alike(answer, together[i])


def test_the_true_answer_is_not_looked_at(reasoner, samples, together):
    unanswered = [replace(s, answer=None) for s in samples[:3]]
    for answer, expected in zip(reasoner.answer_batch(unanswered), together[:3], strict=True):
        expect_alike(answer, expected)


def test_masks_have_the_size_of_their_own_frame(together, samples):
    for answer, sample in zip(together, samples, strict=True):
        for target in answer.targets:
            for frame, mask in target.masks.items():
                assert mask.size == sample.images[frame].size
                assert mask.area


def test_nothing_asked_is_nothing_answered(reasoner):
    assert reasoner.answer_batch([]) == []


def test_only_frames_that_show_something_are_given_to_the_pixel_decoder(tiny, samples):
    given: list[int] = []
    hook = tiny[0].pyramid.embed[0].register_forward_hook(
        lambda module, features, result: given.append(len(features[0]))
    )
    answers = Reasoner(*tiny, name="tiny").answer_batch(samples)
    hook.remove()
    frames = {(id(s.images), f) for s, a in zip(samples, answers, strict=True)
              for t in (*a.targets, *a.absent) for f in t.masks}  # fmt: skip
    every = {id(s.images): len(s.images) for s in samples}
    assert len(frames) <= sum(given) < sum(every.values())


def test_questions_whose_frames_are_too_many_to_keep_are_answered_in_several_runs(
    reasoner, samples, together, encoded, monkeypatch
):
    monkeypatch.setattr(looking, "WHOLE", 12)
    answers = reasoner.answer_batch(samples)
    for answer, expected in zip(answers, together, strict=True):
        expect_alike(answer, expected)
    short = sum(len(s.images) for s in samples if len(s.images) <= 12)
    assert short < sum(encoded)
    runs = [len(run) for run in reasoner_runs(samples)]
    assert sum(runs) == len(samples)
    assert len(runs) > 1
    assert max(runs) > 1


# -- alone and as a stream --------------------------------------------------------------------


def test_answer_takes_images_of_any_kind_and_says_the_same(reasoner, samples, together):
    sample = samples[1]
    arrays = [frame.pixels for frame in sample.images]
    expect_alike(reasoner.answer(arrays, sample.question.text), together[1])


def test_a_stream_brings_targets_then_words_then_the_answer(reasoner, samples, together):
    row = next(i for i, a in enumerate(together) if a.targets and not samples[i].question.prompts)
    sample, expected = samples[row], together[row]
    parts = list(reasoner.stream(sample.images, sample.question.text))
    kinds = [type(part) for part in parts]
    targets = kinds.count(Target)
    assert kinds == [Target] * targets + [str] * (len(kinds) - targets - 1) + [GroundedAnswer]
    assert [t.masks for t in parts[:targets]] == [t.masks for t in expected.targets]
    words = "".join(part for part in parts if isinstance(part, str))
    assert expected.text.startswith(words.strip().rstrip("\N{REPLACEMENT CHARACTER}"))
    expect_alike(parts[-1], expected)


def test_answers_are_remembered_and_can_be_asked_about(reasoner):
    images = ImageSet.pictures([picture(0), picture(1)])
    first = reasoner.answer(images, "what is [cup]?", [Point(image=1, x=9, y=9, name="cup")])
    ids = [t.object_id for t in first.targets]
    assert len(set(ids)) == len(ids)
    assert None not in ids
    assert len(reasoner.memory) >= len(ids)
    for one in list(reasoner.memory):
        assert isinstance(reasoner.answer(images, f"what is [{one.id}]?"), GroundedAnswer)
    with pytest.raises(DataError, match=r"\[999\]"):
        reasoner.answer(images, "what is [999]?")


# -- what is kept -----------------------------------------------------------------------------


def test_asking_again_about_the_same_images_does_not_encode_them_again(reasoner, encoded):
    images = ImageSet.pictures([picture(0), picture(1)])
    first = reasoner.answer(images, "what is this?")
    assert encoded == [2]
    copies = ImageSet.pictures([picture(0), picture(1)])  # other objects, the same pixels
    second = reasoner.answer(copies, "what is this?")
    reasoner.answer_batch([ask(images, "where is it?"), ask(images, "and that?")])
    assert encoded == [2]
    expect_alike(replace(second, targets=first.targets), first)


def test_images_that_several_questions_share_are_encoded_once(reasoner, encoded):
    images = ImageSet.pictures([picture(0), picture(1)])
    reasoner.answer_batch([ask(images, "where?"), ask(images, "what?"), ask(clip(3), "who?")])
    assert encoded == [5]


def test_looks_are_kept_within_a_bound_and_the_oldest_go_first(reasoner, encoded, monkeypatch):
    monkeypatch.setattr(looking, "WHOLE", 5)
    sets = [ImageSet.pictures([picture(2 * i), picture(2 * i + 1)]) for i in range(3)]
    for images in (*sets[:2], sets[0], sets[2], sets[0], sets[1]):
        reasoner.answer(images, "what is this?")
    assert encoded == [2] * 4  # first, second, third; the second had to go for the third


# -- long clips -------------------------------------------------------------------------------


def lengthen(monkeypatch, chunk: int) -> None:
    """Let clips be long from five frames on, and look at a few frames at a time."""
    monkeypatch.setattr(looking, "WHOLE", 4)
    monkeypatch.setattr(looking, "CHUNK", chunk)
    monkeypatch.setattr(answering, "CHUNK", chunk)


@pytest.fixture
def long_samples() -> list[Sample]:
    """Clips with and without prompts, and one beside a picture."""
    images = clip(8)
    pixels = np.zeros((64, 64), dtype=bool)
    pixels[10:40, 20:50] = True
    prompts = [
        Point(image=6, x=9, y=9, object_id=1),
        Box(image=2, x0=5, y0=5, x1=30, y1=40, object_id=2),
        Region(image=2, mask=Mask(pixels), object_id=3),
    ]
    mixed = ImageSet.join([ImageSet.pictures([picture(30, 50, 90)]), images])
    questions = ["what is this?", "outline the red mug", "which one moves left?", "the kite"]
    return [
        *(ask(images, question) for question in questions),
        ask(images, "outline [1], [2] and [3]", *prompts),
        ask(mixed, "what is [1]?", Point(image=7, x=9, y=9, object_id=1)),
    ]


def test_a_long_clip_is_answered_as_if_it_were_short(tiny, long_samples, monkeypatch):
    short = [Reasoner(*tiny, name="tiny").answer_batch([s])[0] for s in long_samples]
    assert any(len(t.masks) > 4 for a in short for t in a.targets)
    lengthen(monkeypatch, 3)
    reasoner = Reasoner(*tiny, name="tiny")
    for sample, expected in zip(long_samples, short, strict=True):
        expect_alike(reasoner.answer_batch([sample])[0], expected)


def test_a_long_clip_is_encoded_once_and_again_only_where_something_is_drawn(
    reasoner, long_samples, monkeypatch, encoded
):
    lengthen(monkeypatch, 3)
    answers = [reasoner.answer_batch([sample])[0] for sample in long_samples[:5]]
    drawn = {frame for a in answers for t in a.targets for frame in t.masks}
    assert drawn
    assert 8 + len(drawn) - 2 <= sum(encoded) <= 8 + 8  # two have prompts and keep their maps
    assert max(encoded) <= 3


def test_asking_again_about_a_long_clip_encodes_nothing(
    reasoner, long_samples, monkeypatch, encoded
):
    lengthen(monkeypatch, 3)
    first = [reasoner.answer_batch([sample])[0] for sample in long_samples[1:5]]
    assert any(len(t.masks) > 1 for a in first for t in a.targets)
    encoded.clear()
    again = [reasoner.answer_batch([sample])[0] for sample in long_samples[1:5]]
    assert encoded == []
    for one, other in zip(again, first, strict=True):
        expect_alike(one, other)


# -- sizes ------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(1, 1), (1, 20_000), (20_000, 1), (3, 5), (200, 131)])
def test_images_of_any_size_are_answered(reasoner, size):
    images = ImageSet.pictures([picture(0, *size), picture(1)])
    point = Point(image=0, x=size[1] - 0.1, y=size[0] - 0.1)
    for question in ("what is this?", "outline the red mug"):
        answer = reasoner.answer(images, question, [point])
        assert all(m.size == images[f].size for t in answer.targets for f, m in t.masks.items())


def test_a_question_of_ten_thousand_characters_is_answered(reasoner):
    images = ImageSet.pictures([picture(0)])
    for text in ("x" * 10_000, "where is the mug? " * 600, "\N{SNOWMAN} " * 5_000, ""):
        assert isinstance(reasoner.answer(images, text), GroundedAnswer)


def test_of_a_question_that_is_too_long_the_answer_says_so(reasoner):
    images = ImageSet.pictures([picture(0)])
    most = reasoner.model.config.most_question
    short, long = (reasoner.answer(images, "the mug. " * n).caution or "" for n in (9, most))
    assert "the beginning" not in short
    assert "only the beginning was read" in long


def test_a_question_beyond_all_bounds_is_refused_and_nothing_is_noted(reasoner):
    images = ImageSet.pictures([picture(0)])
    with pytest.raises(DataError, match=f"question: expected at most {LONGEST} characters, got 2"):
        reasoner.answer(images, "x" * (LONGEST + 1), [Point(image=0, x=1, y=1, name="cup")])
    with pytest.raises(DataError, match=r"question: expected text in UTF-8"):
        next(reasoner.stream(images, "caf\udce9"))
    (known,) = reasoner.memory.register([Point(image=0, x=1, y=1)], images)
    assert known.object_id == 1


def test_tokens_of_questions_and_of_padding_are_never_written(make_tiny):
    model, processor = make_tiny()
    words = processor.vocabulary
    unsaid = [words.pad, words.bos, words.ref, words.mem, words.answer]
    surplus = list(range(len(words), model.config.text_config.vocab_size))
    with torch.no_grad():
        model.speech.embeddings.weight[unsaid + surplus] *= 30  # louder than all others
    images = ImageSet.pictures([picture(0), picture(1)])
    run = Reasoner(model, processor, name="loud")._run([ask(images, "what is this?")])
    for _ in run.steps():
        pass
    assert len(run.written[0]) > 0
    assert not set(run.written[0]) & {*unsaid, *surplus}


def test_answers_are_no_longer_than_the_config_says(reasoner, together):
    most = reasoner.model.config.most_answer
    words = reasoner.processor.vocabulary
    named = sum(len(f"target {i} ") for i in range(20))
    longest = max(len(words.tokenizer.decode([i])) for i in range(len(words)))
    assert all(len(a.text) <= most * longest + named for a in together)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_short_types_answer_too(make_tiny, scene_samples, dtype):
    reasoner = Reasoner(*make_tiny(), name="tiny").to(dtype=dtype)
    answers = reasoner.answer_batch([scene_samples[0], scene_samples[4]])
    assert len(answers) == 2


@pytest.mark.parametrize(
    "changes",
    [{"object_tokens": False, "levels": 1, "tokens_per_level": 1}, {"decoding": "proposal"}],
    ids=str,
)
def test_other_stations_too_answer_the_same_alone_and_together(make_tiny, samples, changes):
    model, processor = make_tiny(**changes)
    asked = samples[1:4]
    together = Reasoner(model, processor, name="x").answer_batch(asked)
    for sample, expected in zip(asked, together, strict=True):
        alone = Reasoner(model, processor, name="x").answer_batch([sample])[0]
        expect_alike(alone, expected)
