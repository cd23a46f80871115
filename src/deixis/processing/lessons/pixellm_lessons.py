"""Samples as PixelLM learns from them: written rows with their masks, cut to what may be read."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random

import torch
from torch import Tensor

from deixis.errors import DataError
from deixis.processing.batches.pixellm_batch import PixelLMBatch
from deixis.processing.lessons.pixellm_templates import asked_for_masks, deal, named_turn
from deixis.processing.pixellm import PixelLMProcessor, Row
from deixis.structures.images import ImageSet
from deixis.structures.samples import Sample


@dataclass(frozen=True, kw_only=True, slots=True)
class Lesson:
    """One conversation to learn.

    Attributes:
        images: holds the one image; lessons with the same object share it.
        row: tokens and labels.
        masks: (H, W) bool, one for each group of the row, in order.
    """

    images: ImageSet
    row: Row
    masks: tuple[Tensor, ...]


def own_lesson(processor: PixelLMProcessor, sample: Sample, random: Random | None) -> Lesson:
    """Return a sample with its own question and answer; ``random`` adds the wish for masks.

    Raises:
        DataError: several images, prompts, or no answer.
    """
    if sample.answer is None:
        raise DataError(f"sample {sample.id}: expected an answer to learn, got none. Leave it out.")
    if random is not None:
        wished = asked_for_masks(sample.question.text, random)
        sample = replace(sample, question=replace(sample.question, text=wished))
    row, masks = processor.taught(sample)
    return Lesson(images=sample.images, row=row, masks=tuple(masks))


def named_lessons(
    processor: PixelLMProcessor,
    samples: Sequence[Sample],
    random: Random,
    *,
    questions: int,
    targets: int,
) -> list[Lesson]:
    """Ask for the targets of samples about one image by their phrases, dealt to new questions."""
    found = {
        target.phrase: target.masks[0].pixels
        for sample in samples
        if sample.answer is not None
        for target in sample.answer.targets
        if 0 in target.masks
    }
    names, masks = list(found), list(found.values())
    lessons = []
    for hand in deal(range(len(names)), random, questions=questions, targets=targets):
        turn = named_turn([names[index] for index in hand], processor.group_text, random)
        lessons.append(
            Lesson(
                images=samples[0].images,
                row=processor.conversation([turn]),
                masks=tuple(torch.from_numpy(masks[index]) for index in hand),
            )
        )
    return lessons


def teach(
    processor: PixelLMProcessor, lessons: Sequence[Lesson], *, most: int
) -> PixelLMBatch:
    """Return the batch of some lessons, every image in it once.

    A row of more than ``most`` tokens (its image is one) is cut, before a group where the cut
    would tear it; the masks of groups that are cut off are left out and counted.
    """
    sets = {id(lesson.images): lesson.images for lesson in lessons}
    number = {key: index for index, key in enumerate(sets)}
    rows = [cut(processor, lesson.row, most) for lesson in lessons]
    kept = [len(processor.vocabulary.groups(row.ids)[0]) for row in rows]
    pairs = list(zip(lessons, kept, strict=True))
    batch = processor.collate(
        rows,
        [images[0] for images in sets.values()],
        [number[id(lesson.images)] for lesson in lessons],
        masks=[mask for lesson, count in pairs for mask in lesson.masks[:count]],
    )
    dropped = sum(len(lesson.masks) - count for lesson, count in pairs)
    assert batch.truth is not None
    return replace(batch, truth=replace(batch.truth, dropped=dropped))


def cut(processor: PixelLMProcessor, row: Row, most: int) -> Row:
    """Return a row of at most ``most`` tokens that ends in no half group.

    Raises:
        DataError: no room for the image and the words before it.
    """
    if len(row.ids) <= most:
        return row
    groups = processor.vocabulary.groups(row.ids)[0]
    stop = next((columns[0] for columns in groups if columns[0] < most <= columns[-1]), most)
    first = next((place for place, label in enumerate(row.labels) if label >= 0), len(row.ids))
    if stop < first:
        raise DataError(
            f"sample: expected a question of less than {most} tokens, got {first}. "
            f"Leave it out, or raise the positions that a row may take."
        )
    return Row(ids=row.ids[:stop], labels=row.labels[:stop])
