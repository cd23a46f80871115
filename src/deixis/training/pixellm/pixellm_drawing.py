"""Stage 0 of PixelLM's pixel decoder: things and parts of scenes, drawn from made states.

Shapes: I images, L levels, M targets, G tokens of a group, D language width, C decoder width,
g patches along a side, h = w cells of masks.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from random import Random
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from deixis.decoding.light import CHUNK
from deixis.nn.losses import bce_per_mask, dice_per_mask
from deixis.processing.batch import moved
from deixis.processing.pixellm import PixelLMProcessor
from deixis.scenes.drawing.render import Rendering
from deixis.scenes.questions import Scene
from deixis.training.attending import Attending
from deixis.training.pixellm.pixellm_canvas import on_canvas
from deixis.training.pixellm.pixellm_knowing import Known
from deixis.training.pixellm.pixellm_patches import PatchBatch, PatchObjective
from deixis.training.pixellm.pixellm_recipe import PIXELLM

THINGS, PARTS = 2, 2  # of an image, drawn in a step
SMALLEST = 24  # pixels of a target
RARE = -2.0  # where the likeness of cells begins: few are of a target


@dataclass(frozen=True, kw_only=True, slots=True)
class DrawingBatch:
    """Images, what their patches show, and some of their things and parts.

    Attributes:
        patches: images and labels.
        known: what there is to know of the targets.
        image: (M,) of each target.
        masks: (M, h, w) bool, on the canvas.
    """

    patches: PatchBatch
    known: Known
    image: Tensor
    masks: Tensor

    def to(self, device: torch.device | str) -> "DrawingBatch":
        """Return the batch with its tensors on a device."""
        return moved(self, device)


class DrawingObjective(PatchObjective):
    """Teaches the pixel decoder to draw what a state knows, while CLIP goes on learning.

    The language decoder has no part in it: its states are made of what it would know. ``near``:
    a query lies nearer to the cells of its target than to others, before any attention; without
    that, all things are drawn alike for long. ``sought``: tokens look at these cells.
    """

    weights: Mapping[str, float] = {
        **PatchObjective.weights,
        "bce": PIXELLM.losses["bce"],
        "dice": PIXELLM.losses["dice"],
        "near": 3.0,
        "sought": 1.0,
    }

    def __init__(self, processor: PixelLMProcessor) -> None:
        super().__init__(processor)
        config = self.config = processor.config
        self.side = config.grid * 2**config.levels

    def collate(self, scenes: Sequence[Scene]) -> Any:
        """Place the pictures, and choose things and parts of each."""
        looks = [self.look_at(scene) for scene in scenes]
        masks, drawn, image = [], [], []
        for number, (scene, look) in enumerate(zip(scenes, looks, strict=True)):
            for mask in _chosen(scene.renderings[0], Random(scene.samples[0].id)):
                masks.append(torch.from_numpy(mask))
                drawn.append(on_canvas(mask, look.placement, self.side, self.canvas) > 0)
                image.append(number)
        shown = [looks[number] for number in image]
        shape = (len(drawn), self.side, self.side)
        return DrawingBatch(
            patches=self.patches(looks),
            known=self.knowledge.look_up(
                masks,
                [one.labels for one in shown],
                [one.placement for one in shown],
                self.canvas,
            ),
            image=torch.tensor(image, dtype=torch.long),
            masks=torch.stack([torch.from_numpy(one) for one in drawn]).reshape(shape),
        )

    def __call__(self, model: Any, batch: Any) -> dict[str, Tensor]:
        look = model.see(batch.patches.pixels, batch.patches.resized)
        parts = self.seen(look, batch.patches)
        states = self.knowledge.imagine(batch.known, self.config.group_size)  # (M, G, D)
        queries = model.queries(states)  # (M, L, C)
        with ExitStack() as noting:
            levels = [noting.enter_context(Attending(one)) for one in model.pyramid.transformer]
            logits = model.point(queries, look, batch.image)  # (M, h, w)
        bce, dice = bce_per_mask(logits, batch.masks), dice_per_mask(logits, batch.masks)
        return parts | {
            "bce": self.weights["bce"] * bce.mean(),
            "dice": self.weights["dice"] * dice.mean(),
            "near": self.weights["near"] * self._near(model, queries, look, batch),
            "sought": self.weights["sought"] * self._missed(levels, batch.masks),
        }

    def _missed(self, levels: Sequence[Attending], masks: Tensor) -> Tensor:
        """Return how far the tokens of the levels look from their targets (M, h, w)."""
        drawn, grids = masks.split(CHUNK), (self.grid << number for number in range(len(levels)))
        missed = [one.missed(drawn, (g, g)) for one, g in zip(levels, grids, strict=True)]
        return torch.stack(missed).mean()

    def _near(self, model: Any, queries: Tensor, look: Any, batch: DrawingBatch) -> Tensor:
        """Cross-entropy of the likeness of queries (M, L, C) and cells with the targets' masks."""
        features = model.pixel_features(look).float()  # (L, I, C, g, g)
        size = (self.grid, self.grid)
        places = model.pyramid.code(0, model.prompts).grid(size)
        cells = features + model.prompts.no_mask() + places
        likeness = torch.einsum("mlc,lmchw->lmhw", queries.float(), cells[:, batch.image])
        wanted = F.adaptive_avg_pool2d(batch.masks.float()[:, None], size)[:, 0]
        return F.binary_cross_entropy_with_logits(
            likeness / features.shape[2] ** 0.5 + RARE, wanted.expand_as(likeness)
        )


def _chosen(rendering: Rendering, random: Random) -> Iterator[Any]:
    """Yield masks (H, W) bool of some things of a picture, and of some of their parts."""
    sizes = [(i, rendering.things == i) for i in range(1, int(rendering.things.max()) + 1)]
    things = [(i, mask) for i, mask in sizes if mask.sum() >= SMALLEST]
    some = random.sample(things, min(THINGS, len(things)))
    yield from (mask for _, mask in some)
    parts = [
        part
        for _, mask in some
        for name in sorted({*rendering.parts[mask].tolist()})
        if (part := mask & (rendering.parts == name)).sum() >= SMALLEST
    ]
    yield from random.sample(parts, min(PARTS, len(parts)))
