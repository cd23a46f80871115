"""What UniPixel's stages on our scenes minimise: bases that others bring along, then lessons.

The published system begins with a trained Qwen2.5-VL and a trained SAM 2.1. ``BasesObjective``
stands in for both: it teaches what every patch and cell shows, and SAM to draw what a point or a
box asks for and to follow it.

Shapes: F frames, H W pixels, P merged cells of all frames, E their width, h w cells, S side of
SAM's canvas, O objects, T frames of a clip.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from deixis.decoding.promptable import FrameFeatures
from deixis.errors import DataError
from deixis.models.configs.deixis_config import scene_words
from deixis.models.configs.unipixel_config import UniPixelConfig
from deixis.nn.candidates import candidate_losses
from deixis.nn.cells import cell_cross_entropy, read_cells
from deixis.processing.batch import moved
from deixis.processing.batches.unipixel_batch import UniPixelBatch
from deixis.processing.frames.unipixel_frames import sam_frames, sam_masks, sample_in_buckets
from deixis.processing.unipixel import UniPixelProcessor, canvas_corners
from deixis.scenes.questions import Scene
from deixis.structures.images import ImageSet
from deixis.structures.masks import Mask
from deixis.structures.prompts import Box
from deixis.training.objective import DenseObjective, pixel_labels
from deixis.training.unipixel.unipixel_lessons import Teacher, point_at
from deixis.training.unipixel.unipixel_objective import unipixel_losses
from deixis.training.unipixel.unipixel_recipe import (
    EVERYTHING,
    STAGES,
    Lessons,
    check_published_parts,
)
from deixis.training.unipixel.unipixel_rows import collate

WORDS: Mapping[str, int] = {kind: len(names) for kind, names in scene_words().items()}
FRAMES, OBJECTS = 4, 3  # of a clip that SAM learns to follow, and of its things
LEAST = 30  # pixels of a thing that is pointed at


# -- lessons -------------------------------------------------------------------------------------


class UniPixelObjective:
    """Words and masks, weighed as published; every part of the model may learn."""

    lessons: Lessons = EVERYTHING

    def __init__(self, processor: UniPixelProcessor) -> None:
        self.processor = processor
        self.teacher = Teacher(processor, self.lessons)
        self.weights: Mapping[str, float] = {"text": 1.0, "masks": 1.0}

    def collate(self, scenes: Sequence[Any]) -> UniPixelBatch:
        """Write a lesson about each scene that these lessons can be about.

        Raises:
            DataError: a scene of several images, or none that can be asked about.
        """
        lessons = []
        for scene in scenes:
            first = scene.samples[0]
            random = Random(f"{first.id}/{first.question.text}")
            lesson = self.teacher.lesson(scene.samples, random)
            lessons += [lesson] if lesson is not None else []
        if not lessons:
            raise DataError(
                f"UniPixel: expected a true answer that can be asked for by "
                f"{', '.join(self.lessons.ways)} in every batch, got none. "
                f"Name other tasks, or raise batch."
            )
        return collate(lessons, self.processor)

    def __call__(self, model: Any, batch: UniPixelBatch) -> dict[str, Tensor]:
        losses = unipixel_losses(model(batch), batch)
        parts = {"text": losses.text, "masks": losses.total - losses.text}
        return {name: part * self.weights[name] for name, part in parts.items()}


class PublishedObjective(UniPixelObjective):
    """A published stage: its lessons, and exactly its parts may learn."""

    stage: str

    def __init__(self, processor: UniPixelProcessor) -> None:
        super().__init__(processor)
        self.checked = False

    def __call__(self, model: Any, batch: UniPixelBatch) -> dict[str, Tensor]:
        """Return the parts of the loss.

        Raises:
            ConfigError: other parameters learn than those of the published stage.
        """
        if not self.checked:
            check_published_parts(model, self.stage)
            self.checked = True
        return super().__call__(model, batch)


class Pointing(PublishedObjective):
    """Stage 1: what points and boxes show, in words."""

    stage, lessons = "pointing", STAGES["pointing"].lessons


class Drawing(PublishedObjective):
    """Stage 2: masks of what words name."""

    stage, lessons = "drawing", STAGES["drawing"].lessons


class Whole(PublishedObjective):
    """Stage 3: everything that the system does."""

    stage, lessons = "whole", STAGES["whole"].lessons


# -- bases ---------------------------------------------------------------------------------------


class Teaching(nn.Module):
    """Says of every patch of Qwen's encoder and every cell of SAM's which words they show."""

    def __init__(self, config: UniPixelConfig) -> None:
        super().__init__()
        vision: Any = config.vision_config
        self.sizes = [1 + count for count in WORDS.values()]
        self.side = int(vision.spatial_merge_size)
        self.patches = nn.Linear(vision.hidden_size, sum(self.sizes))
        self.coarse = nn.Conv2d(config.sam_width, sum(self.sizes), 1)
        self.fine = nn.Conv2d(config.sam_width // 8, sum(self.sizes), 1)

    def of_patches(self, features: Tensor, grid: tuple[int, int]) -> dict[str, Tensor]:
        """Return logits (F, C, h, w) by kind of merged cells (P, E); grid: (h, w) of patches."""
        cells = (-1, grid[0] // self.side, grid[1] // self.side)
        each = self.patches(features.unflatten(1, (self.side**2, -1)))  # (P, s * s, C)
        each = each.unflatten(1, (self.side, self.side)).unflatten(0, cells)
        maps = each.permute(0, 5, 1, 3, 2, 4).flatten(4, 5).flatten(2, 3)  # (F, C, h, w)
        return dict(zip(WORDS, maps.split(self.sizes, 1), strict=True))

    def of_cells(self, seen: FrameFeatures) -> list[dict[str, Tensor]]:
        """Return logits (F, C, h, w) by kind of SAM's coarse and of its fine features."""
        maps = self.coarse(seen.coarse), self.fine(seen.fine)
        return [dict(zip(WORDS, each.split(self.sizes, 1), strict=True)) for each in maps]


@dataclass(frozen=True, kw_only=True, slots=True)
class Bases:
    """Frames of several clips, what their pixels show, and what is pointed at in each.

    Attributes:
        patches: of all frames; grids: (F, 3) their patches (1, h, w).
        canvas: (F, 3, S, S) as SAM reads them; lengths: frames of each clip.
        words: kind -> (F, H, W) 1 + index of the word, 0 for none.
        coords: (O, 2, 2) on SAM's canvas, on the first frame of a clip; is_box: (O,).
        objects: how many of them each clip has.
        masks: for each clip (T, O, S, S) bool.
    """

    patches: Tensor
    grids: Tensor
    canvas: Tensor
    lengths: tuple[int, ...]
    words: Mapping[str, Tensor]
    coords: Tensor
    is_box: Tensor
    objects: tuple[int, ...]
    masks: tuple[Tensor, ...]

    def to(self, device: torch.device | str) -> "Bases":
        """Return all of it on a device."""
        words = {kind: ids.to(device) for kind, ids in self.words.items()}
        masks = tuple(one.to(device) for one in self.masks)
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return moved(Bases(**values | {"words": words, "masks": masks}), device)


class BasesObjective:
    """Teaches both encoders the words of every cell, and SAM to draw and to follow."""

    def __init__(self, processor: UniPixelProcessor) -> None:
        self.processor = processor
        self.side = int(processor.config.sam_config.image_size)
        shares = {kind: DenseObjective.weights[kind] for kind in WORDS}
        self.weights: Mapping[str, float] = {
            **{f"qwen_{kind}": share for kind, share in shares.items()},
            **{f"sam_{kind}": share for kind, share in shares.items()},
            "masks": 0.2,
        }

    def collate(self, scenes: Sequence[Scene]) -> Bases:
        """Turn renderings into pixels and labels; all frames have one size."""
        clips = [self._clip(scene) for scene in scenes]
        rows = [row for clip in clips for row in clip["labels"]]
        pixels = [row["pixels"] for row in rows]
        views = [
            self.processor.view_of(ImageSet.pictures([frame]), [0])
            for clip in clips
            for frame in clip["frames"]
        ]
        return Bases(
            patches=torch.cat([view.patches for view in views]),
            grids=torch.tensor([view.grid for view in views]),
            canvas=torch.cat([sam_frames(one[None], self.side) for one in pixels]),
            lengths=tuple(len(clip["frames"]) for clip in clips),
            words={k: torch.from_numpy(np.stack([row[k] for row in rows])) for k in WORDS},
            coords=torch.cat([clip["coords"] for clip in clips]),
            is_box=torch.cat([clip["is_box"] for clip in clips]),
            objects=tuple(len(clip["coords"]) for clip in clips),
            masks=tuple(clip["masks"] for clip in clips),
        )

    def _clip(self, scene: Scene) -> dict[str, Any]:
        """Return some frames of a scene, and what is pointed at on the first of them."""
        images = scene.samples[0].images
        random = Random(f"{scene.samples[0].id}/bases")
        moments = list(range(len(images)))
        if images.is_clip(0):
            moments = sample_in_buckets(len(images), FRAMES, random)
        else:
            moments = [random.choice(moments)]
        things = [scene.renderings[one].things for one in moments]
        ids, counts = np.unique(things[0], return_counts=True)
        clear = [int(i) for i, n in zip(ids, counts, strict=True) if i and n >= LEAST]
        chosen = random.sample(clear, min(OBJECTS, len(clear)))
        prompts = [
            point_at(Mask(things[0] == one), 0, one, EVERYTHING, random) for one in chosen
        ]
        shown = np.stack([[map_ == one for one in chosen] for map_ in things]) if chosen else None
        size = images[moments[0]].size
        corners = [canvas_corners(prompt, size, self.side) for prompt in prompts]
        return {
            "frames": [images[one] for one in moments],
            "labels": [
                pixel_labels(scene.world.views[one], scene.renderings[one]) for one in moments
            ],
            "coords": torch.tensor(corners).reshape(-1, 2, 2),
            "is_box": torch.tensor([isinstance(p, Box) for p in prompts], dtype=torch.bool),
            "masks": torch.zeros(len(moments), 0, self.side, self.side, dtype=torch.bool)
            if shown is None
            else sam_masks(torch.from_numpy(shown), self.side),
        }

    def __call__(self, model: Any, batch: Bases) -> dict[str, Tensor]:
        features = model.vision(batch.patches, grid_thw=batch.grids).pooler_output
        seen = model.tracker.sam.look(batch.canvas)
        height, width = batch.grids[0, 1:].tolist()
        qwen = [model.teaching.of_patches(features, (height, width))]
        parts = {}
        for eye, maps in (("qwen", qwen), ("sam", model.teaching.of_cells(seen))):
            for kind, ids in batch.words.items():
                losses = [
                    cell_cross_entropy(one[kind], read_cells(ids, tuple(one[kind].shape[2:])))
                    for one in maps
                ]
                parts[f"{eye}_{kind}"] = torch.stack(losses).mean()
        parts["masks"] = self._masks(model, batch, seen)
        return {name: part * self.weights[name] for name, part in parts.items()}

    def _masks(self, model: Any, batch: Bases, seen: FrameFeatures) -> Tensor:
        """Return the mean loss of a frame, of what points and boxes ask for and follow."""
        codes = model.tracker.sam.prompts.points(
            batch.coords, model.prompting.labels(batch.is_box)
        )
        asked = codes[:, : model.config.hidden_tokens].split(batch.objects)
        losses, first = [seen.coarse.sum() * 0], 0
        for hidden, length, truth in zip(asked, batch.lengths, batch.masks, strict=True):
            frames = [seen[index : index + 1] for index in range(first, first + length)]
            first += length
            losses += [
                candidate_losses(d.candidates, d.candidate_scores, d.presence_logits, true).total
                for d, true in zip(model.follow(hidden, frames, length), truth, strict=False)
            ]
        return torch.stack(losses).sum() / max(1, len(losses) - 1)


OBJECTIVES: dict[str, Any] = {
    "bases": BasesObjective,
    "unipixel": UniPixelObjective,
    "pointing": Pointing,
    "drawing": Drawing,
    "whole": Whole,
}
