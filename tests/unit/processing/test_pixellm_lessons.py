"""Samples become rows to learn: names with their masks, and no group cut in two."""

from random import Random

import pytest
import torch

from deixis.errors import DataError
from deixis.processing.lessons.pixellm_lessons import cut, named_lessons, own_lesson, teach
from deixis.scenes.questions import make_scene
from deixis.scenes.world import WorldKey


@pytest.fixture(scope="module")
def parts(make_pixellm):
    """A processor, and samples about one image with several targets."""
    key = WorldKey(split="train", task="many", seed=5, index=2)
    samples = make_scene(key, questions=3).samples
    assert sum(len(sample.answer.targets) for sample in samples) > 3
    return make_pixellm()[1], samples


def test_a_row_is_cut_before_a_group_and_never_inside_one(parts):
    processor, samples = parts
    row = own_lesson(processor, samples[0], None).row
    groups = processor.vocabulary.groups(row.ids)[0]
    first = next(i for i, label in enumerate(row.labels) if label >= 0)
    for most in range(first + 1, len(row.ids) + 2):
        short = cut(processor, row, most)
        kept, torn = processor.vocabulary.groups(short.ids)
        assert torn == 0
        assert kept == [columns for columns in groups if columns[-1] < most]
        assert (short.ids, short.labels) == (
            row.ids[: len(short.ids)], row.labels[: len(short.ids)],
        )  # fmt: skip
        inside = any(columns[0] < most <= columns[-1] for columns in groups)
        assert inside or len(short.ids) == min(most, len(row.ids))


def test_masks_of_groups_that_are_cut_off_are_left_out_and_counted(parts):
    processor, samples = parts
    lessons = [own_lesson(processor, sample, None) for sample in samples]
    whole = teach(processor, lessons, most=10**6)
    groups = processor.vocabulary.groups(lessons[0].row.ids)[0]
    most = groups[1][0] + 1  # inside the second group of the first row
    batch = teach(processor, lessons, most=most)
    assert whole.truth.dropped == 0
    assert len(whole.truth.masks) == sum(len(lesson.masks) for lesson in lessons)
    assert len(batch.truth.masks) == len(batch.slots.row)
    assert batch.truth.dropped + len(batch.truth.masks) == len(whole.truth.masks)
    assert torch.equal(batch.truth.masks[0], lessons[0].masks[0])
    assert int((batch.slots.row == 0).sum()) == 1


def test_a_question_that_fills_the_row_is_refused(parts):
    processor, samples = parts
    row = own_lesson(processor, samples[0], None).row
    with pytest.raises(DataError, match=r"expected a question of less than 9 tokens, got \d\d"):
        cut(processor, row, 9)


def test_lessons_about_one_image_hold_it_once(parts):
    processor, samples = parts
    batch = teach(processor, [own_lesson(processor, s, None) for s in samples], most=999)
    assert len(batch.pixels) == 1
    assert batch.image.tolist() == [0] * len(samples)


def test_each_name_of_a_dealt_question_has_its_own_mask(parts):
    processor, samples = parts
    true = {t.phrase: t.masks[0].pixels for s in samples for t in s.answer.targets}
    lessons = named_lessons(processor, samples, Random(3), questions=3, targets=3)
    assert [len(lesson.masks) for lesson in lessons]
    for lesson in lessons:
        asked = processor.text(lesson.row.ids, groups=False)
        assert len(processor.vocabulary.groups(lesson.row.ids)[0]) == len(lesson.masks)
        named = sorted((p for p in true if p in asked), key=asked.index)
        found = [{p for p in named if (true[p] == mask.numpy()).all()} for mask in lesson.masks]
        assert all(found)


def test_a_wish_for_masks_is_added_to_the_question_alone(parts):
    processor, samples = parts
    plain = own_lesson(processor, samples[0], None)
    wished = own_lesson(processor, samples[0], Random(1))
    learned = [[i for i in one.row.labels if i >= 0] for one in (plain, wished)]
    assert learned[0] == learned[1]
    assert len(wished.row.ids) > len(plain.row.ids)
