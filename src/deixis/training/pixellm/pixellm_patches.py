"""Stage 0 of PixelLM's CLIP: dense labels of our scenes stand in for its pre-training.

Shapes: L levels, I images, H canvas side, g patches along a side, s labels along a patch,
P patches, E CLIP's width, T directions.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deixis.models.configs.deixis_config import scene_words
from deixis.models.parts.pixellm_vision import clip_levels, patch_mask
from deixis.processing.batch import moved
from deixis.processing.pixellm import PixelLMProcessor, place_image
from deixis.scenes.questions import Scene
from deixis.structures.placement import Placement
from deixis.training.objective import pixel_labels
from deixis.training.pixellm.pixellm_knowing import BINS, bin_loss, boxes_of

FINE = 4  # labels along a side of a patch


@dataclass(frozen=True, kw_only=True, slots=True)
class PatchBatch:
    """Images and what every patch of them shows.

    Attributes:
        pixels: (I, 3, H, H) normalised.
        resized: (I, 2) height and width of each image on its canvas.
        words: kind -> (I, g * s, g * s) 1 + index of the word, 0 for none.
        boxes: (I, P, 4) centre, width and height of the thing that most of a patch shows, in
            [0, 1] of the canvas.
        shown: (I, P) how much of the patch it takes up.
    """

    pixels: Tensor
    resized: Tensor
    words: Mapping[str, Tensor]
    boxes: Tensor
    shown: Tensor

    def to(self, device: torch.device | str) -> "PatchBatch":
        """Return the batch with its tensors on a device."""
        words = {kind: ids.to(device) for kind, ids in self.words.items()}
        return replace(moved(replace(self, words={}), device), words=words)


@dataclass(frozen=True, kw_only=True, slots=True)
class SceneLook:
    """A picture on its canvas, and what its pixels show.

    Attributes:
        pixels: (3, H, H) normalised.
        placement: how the picture lies there.
        labels: kind -> (h, w) of the picture's own pixels.
        things: (h, w) ids, 0 for background.
    """

    pixels: Tensor
    placement: Placement
    labels: Mapping[str, np.ndarray]
    things: np.ndarray


class PatchObjective:
    """Teaches CLIP's kept layers what a patch shows, which of its pixels are of things, and where
    its thing begins and ends.

    Stands in for pre-trained CLIP. A word is a fixed random direction in the states, so that the
    model has no weight that only this stage needs.
    """

    weights: Mapping[str, float] = {
        "category": 1.0,
        "colour": 0.5,
        "pattern": 0.5,
        "size": 0.5,
        "part": 1.0,
        "inside": 1.0,
        "box": 0.5,
    }

    def __init__(self, processor: PixelLMProcessor) -> None:
        config = processor.config
        self.canvas, self.grid = config.canvas, config.grid
        self.layers = tuple(config.feature_layers)
        self.sizes = {kind: 1 + len(names) for kind, names in scene_words().items()}
        total = sum(self.sizes.values()) + FINE**2 + 4 * BINS
        dice = torch.Generator().manual_seed(0)
        empty = torch.empty(total, config.vision_config.hidden_size)
        self.directions = nn.init.orthogonal_(empty, generator=dice)  # (T, E)

    def collate(self, scenes: Sequence[Scene]) -> Any:
        """Place the pictures on their canvas, and their labels with them."""
        return self.patches([self.look_at(scene) for scene in scenes])

    def look_at(self, scene: Scene) -> SceneLook:
        """Place the picture of a scene, and look up what its pixels show."""
        pixels, placement = place_image(scene.samples[0].images[0], self.canvas)
        labels = pixel_labels(scene.world.views[0], scene.renderings[0])
        things = scene.renderings[0].things
        return SceneLook(pixels=pixels, placement=placement, labels=labels, things=things)

    def patches(self, looks: Sequence[SceneLook]) -> PatchBatch:
        """Return what the patches of some pictures show."""
        side, canvas = self.grid * FINE, self.canvas
        words = {
            kind: np.stack(
                [on_canvas(one.labels[kind], one.placement, side, canvas) for one in looks]
            )
            for kind in self.sizes
        }
        things = [things_of(one.things, one.placement, self.grid, canvas) for one in looks]
        return PatchBatch(
            pixels=torch.stack([one.pixels for one in looks]),
            resized=torch.tensor([one.placement.resized for one in looks]),
            words={kind: torch.from_numpy(found) for kind, found in words.items()},
            boxes=torch.from_numpy(np.stack([boxes for boxes, _ in things])),
            shown=torch.from_numpy(np.stack([shown for _, shown in things])),
        )

    def __call__(self, model: Any, batch: Any) -> dict[str, Tensor]:
        held = patch_mask(batch.resized, self.canvas, self.grid)
        return self.seen(clip_levels(model.vision, batch.pixels, held, self.layers), batch)

    def seen(self, states: Tensor, batch: PatchBatch) -> dict[str, Tensor]:
        """Return what the kept layers (L, I, P, E) do not yet know of their patches."""
        held = patch_mask(batch.resized, self.canvas, self.grid)
        logits = (states @ self.directions.to(states).T).float()  # (L, I, P, T)
        *scores, inside, box = logits.split([*self.sizes.values(), FINE**2, 4 * BINS], dim=-1)
        things = _cells(batch.words["category"] > 0, self.grid).float()  # (I, P, s * s)
        weight = (0.3 + things.mean(-1)) * held.flatten(1)
        weight = weight / weight.sum() / len(logits)
        sole = batch.shown / batch.shown.sum().clamp(min=1) / len(logits)
        parts = {}
        for kind, score in zip(self.sizes, scores, strict=True):
            wanted = _cells(batch.words[kind], self.grid)  # (I, P, s * s)
            index = wanted.expand(len(logits), *wanted.shape)
            loss = -score.log_softmax(-1).gather(-1, index).mean(-1)  # (L, I, P)
            parts[kind] = (loss * weight).sum()
        border = F.binary_cross_entropy_with_logits(
            inside, things.expand_as(inside), reduction="none"
        )
        parts["inside"] = (border.mean(-1) * weight).sum()
        parts["box"] = (bin_loss(box, batch.boxes.expand(*box.shape[:2], -1, -1)) * sole).sum()
        return {name: part * self.weights[name] for name, part in parts.items()}


def on_canvas(labels: np.ndarray, placement: Placement, side: int, canvas: int) -> np.ndarray:
    """Sample labels (H, W) of an image at cells (side, side) of its canvas; 0 outside it."""
    centres = (np.arange(side) + 0.5) * canvas / side
    ways = []
    for axis in (0, 1):
        scaled = centres * placement.original[axis] / placement.resized[axis]
        ways.append(scaled.astype(int)[centres < placement.resized[axis]])
    whole = np.zeros((side, side), dtype=np.int64)
    whole[: len(ways[0]), : len(ways[1])] = labels[np.ix_(*ways)]
    return whole


def things_of(
    things: np.ndarray, placement: Placement, side: int, canvas: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the boxes (side * side, 4) of the things that most of each cell of the canvas shows,
    and how much of the cell each takes up (side * side,)."""
    fine = on_canvas(things, placement, side * FINE, canvas)
    cells = fine.reshape(side, FINE, side, FINE).swapaxes(1, 2).reshape(side * side, -1)
    counts = (cells[..., None] == np.arange(1, int(things.max()) + 2)).sum(1)  # (cells, ids)
    best = counts.argmax(1)
    boxes = boxes_of(things, placement, canvas)
    share = counts.max(1) / cells.shape[1]
    chosen = np.where(share > 0, best + 1, 0)
    return boxes[chosen], share.astype(np.float32)


def _cells(fine: Tensor, grid: int) -> Tensor:
    """Return (I, P, s * s) of labels (I, g * s, g * s)."""
    cells = fine.unflatten(2, (grid, -1)).unflatten(1, (grid, -1))  # (I, g, s, g, s)
    return cells.permute(0, 1, 3, 2, 4).flatten(3).flatten(1, 2)
