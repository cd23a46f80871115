"""Samples with true answers as UniPixel learns them, and the objective of its stages.

A target's <seg> stands behind its phrase. Points and boxes become <ref>, masks <mem>; what is read
is drawn (arXiv:2509.18094; specification sections 4.3, 6 and 9).

Shapes: B rows, N tokens, T frames, O objects, S side of SAM's canvas.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from deixis.errors import DataError
from deixis.processing.unipixel import SECONDS, UniPixelProcessor, pointing
from deixis.processing.unipixel_batch import RefPrompts, UniPixelBatch, UniPixelTruth
from deixis.processing.unipixel_frames import mrope_positions, sam_frames, sam_masks
from deixis.processing.unipixel_text import END, IGNORED, SEG, refer, region_prefix
from deixis.structures.answers import GroundedAnswer, Target
from deixis.structures.samples import Sample
from deixis.training.unipixel import unipixel_losses


@dataclass(frozen=True, kw_only=True, slots=True)
class Lesson:
    """One sample as it is read: see ``UniPixelBatch``, of which it is a row."""

    ids: list[int]
    labels: list[int]
    patches: Tensor
    grid: tuple[int, int, int]
    clip: Tensor
    size: tuple[int, int]
    prompts: RefPrompts
    touched: Tensor | None
    masks: Tensor


def answered(answer: GroundedAnswer, protect: Any) -> tuple[str, list[Target]]:
    """Return an answer's text with a <seg> behind each phrase, and the targets in that order."""
    order = sorted(range(len(answer.spans)), key=lambda i: answer.spans[i][1])
    text, done = "", 0
    for index in order:
        stop = answer.spans[index][1]
        text += f"{protect(answer.text[done:stop])} {SEG}"
        done = stop
    return text + protect(answer.text[done:]), [answer.targets[index] for index in order]


def lesson(sample: Sample, processor: UniPixelProcessor) -> Lesson:
    """Return what is read of a sample with a true answer, and what is to be learned from it.

    Raises:
        DataError: no answer, or several images.
    """
    if sample.answer is None:
        raise DataError(f"{sample.id or 'sample'}: expected a true answer to learn, got none.")
    sparse, objects = pointing(sample)
    keep = sorted({p.image for p in sparse} | {f for shown in objects.values() for f in shown})
    view = processor.view(sample.images, keep)
    text, touched = processor.typed(sample.question.text), None
    placed = sparse
    if sparse:
        numbers = [int(p.object_id or 0) for p in sparse]
        text, order = refer(text, {one: numbers.count(one) for one in numbers})
        placed = [p for one in order for p in sparse if p.object_id == one]
    if objects:
        touched = processor.regions(objects, sample.images, view)
        shown = touched.flatten(2).any(2).T.tolist()
        text = region_prefix(dict(zip(objects, shown, strict=True)), len(view.read)) + text
    said, targets = answered(sample.answer, processor.typed)
    before = [*view.head.tolist(), *processor.question(text)]
    learned = processor.vocabulary.encode(said + END)
    side = processor.config.sam_config.image_size
    frames = [sample.images[index] for index in view.read]
    return Lesson(
        ids=before + learned,
        labels=[IGNORED] * len(before) + learned,
        patches=view.patches,
        grid=view.grid,
        clip=torch.cat([sam_frames(frame.pixels[None], side) for frame in frames]),
        size=frames[0].size,
        prompts=processor.prompts(placed, sample.images, view),
        touched=touched,
        masks=true_masks(targets, view.read, frames[0].size, side),
    )


def true_masks(
    targets: Sequence[Target], read: Sequence[int], size: tuple[int, int], side: int
) -> Tensor:
    """Return (T, O, S, S) bool: where each target is in the frames that are read."""
    if not targets:
        return torch.zeros(len(read), 0, side, side, dtype=torch.bool)
    whole = torch.zeros(len(read), len(targets), *size, dtype=torch.bool)
    for place, frame in enumerate(read):
        for row, target in enumerate(targets):
            if frame in target.masks:
                whole[place, row] = torch.from_numpy(target.masks[frame].pixels)
    return sam_masks(whole, side)


def collate(lessons: Sequence[Lesson], processor: UniPixelProcessor) -> UniPixelBatch:
    """Return lessons as one batch, padded on the right."""
    width = max(len(one.ids) for one in lessons)
    pad = processor.vocabulary.pad
    tokens = torch.tensor([[*one.ids, *[pad] * (width - len(one.ids))] for one in lessons])
    held = torch.arange(width) < torch.tensor([[len(one.ids)] for one in lessons])
    labels = [[*one.labels, *[IGNORED] * (width - len(one.labels))] for one in lessons]
    grids = torch.tensor([one.grid for one in lessons])
    step = processor.config.vision_config.tokens_per_second * SECONDS
    positions, _ = mrope_positions(
        tokens, held, grids, video_token=processor.config.video_token_id, step=step
    )
    return UniPixelBatch(
        tokens=tokens,
        held=held,
        positions=positions,
        patches=torch.cat([one.patches for one in lessons]),
        grids=grids,
        clips=tuple(one.clip for one in lessons),
        sizes=tuple(one.size for one in lessons),
        prompts=RefPrompts(
            coords=torch.cat([one.prompts.coords for one in lessons]),
            is_box=torch.cat([one.prompts.is_box for one in lessons]),
            time=torch.cat([one.prompts.time for one in lessons]),
        ),
        regions=tuple(one.touched for one in lessons),
        truth=UniPixelTruth(
            labels=torch.tensor(labels), masks=tuple(one.masks for one in lessons)
        ),
    )


class UniPixelObjective:
    """Words and masks, weighed as published."""

    def __init__(self, processor: UniPixelProcessor) -> None:
        self.processor = processor
        self.weights: Mapping[str, float] = {"text": 1.0, "masks": 1.0}

    def collate(self, scenes: Sequence[Any]) -> UniPixelBatch:
        """Encode all questions about one picture or clip; UniPixel relates no images.

        Raises:
            DataError: every question is about several images.
        """
        samples = [s for scene in scenes for s in scene.samples if len(s.images.lengths) == 1]
        if not samples:
            raise DataError(
                "UniPixel: expected questions about one picture or clip, got none. "
                "Leave tasks about several images out."
            )
        return collate([lesson(sample, self.processor) for sample in samples], self.processor)

    def __call__(self, model: Any, batch: UniPixelBatch) -> dict[str, Tensor]:
        losses = unipixel_losses(model(batch), batch)
        parts = {"text": losses.text, "masks": losses.total - losses.text}
        return {name: part * self.weights[name] for name, part in parts.items()}
