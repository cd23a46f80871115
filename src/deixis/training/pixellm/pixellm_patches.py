"""Stage 0 of PixelLM's CLIP: dense labels of our scenes stand in for its pre-training.

Shapes: L levels, I images, H canvas side, g patches along a side, s labels along a patch,
P patches, E CLIP's width, T directions.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deixis.models.configs.deixis_config import scene_words
from deixis.models.parts.pixellm_vision import patch_mask
from deixis.models.pixellm import Look
from deixis.processing.batch import moved
from deixis.processing.pixellm import PixelLMProcessor, place_image
from deixis.scenes.knowing.facts import Facts
from deixis.scenes.questions import Scene
from deixis.structures.placement import Placement
from deixis.training.objective import pixel_labels
from deixis.training.pixellm.pixellm_canvas import FINE, on_canvas, things_of
from deixis.training.pixellm.pixellm_knowing import BINS, Knowledge, bin_loss
from deixis.training.pixellm.pixellm_telling import Tellable, Telling


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
        tellable: what there is to say of the image tokens.
    """

    pixels: Tensor
    resized: Tensor
    words: Mapping[str, Tensor]
    boxes: Tensor
    shown: Tensor
    tellable: Tellable

    def to(self, device: torch.device | str) -> "PatchBatch":
        """Return the batch with its tensors on a device."""
        return moved(self, device)


@dataclass(frozen=True, kw_only=True, slots=True)
class SceneLook:
    """A picture on its canvas, and what its pixels show.

    Attributes:
        pixels: (3, H, H) normalised.
        placement: how the picture lies there.
        labels: kind -> (h, w) of the picture's own pixels.
        facts: of the scene.
    """

    pixels: Tensor
    placement: Placement
    labels: Mapping[str, np.ndarray]
    facts: Facts


class PatchObjective:
    """Teaches CLIP's kept layers what a patch shows, which of its pixels are of things, and where
    its thing begins and ends; and the projector what image tokens show (``Telling``).

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
        "told": 1.0,
        "found": 1.0,
        "compared": 1.0,
        "placed": 1.0,
    }

    def __init__(self, processor: PixelLMProcessor) -> None:
        config = processor.config
        self.canvas, self.grid = config.canvas, config.grid
        self.knowledge = Knowledge(config.text_config.hidden_size)
        self.telling = Telling(processor, self.knowledge)
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
        facts = Facts(scene.world, scene.renderings)
        return SceneLook(pixels=pixels, placement=placement, labels=labels, facts=facts)

    def patches(self, looks: Sequence[SceneLook]) -> PatchBatch:
        """Return what the patches of some pictures show."""
        side, canvas = self.grid * FINE, self.canvas
        words = {
            kind: np.stack(
                [on_canvas(one.labels[kind], one.placement, side, canvas) for one in looks]
            )
            for kind in self.sizes
        }
        things = [
            things_of(one.facts.renderings[0].things, one.placement, self.grid, canvas)
            for one in looks
        ]
        return PatchBatch(
            pixels=torch.stack([one.pixels for one in looks]),
            resized=torch.tensor([one.placement.resized for one in looks]),
            words={kind: torch.from_numpy(found) for kind, found in words.items()},
            boxes=torch.from_numpy(np.stack([boxes for boxes, _ in things])),
            shown=torch.from_numpy(np.stack([shown for _, shown in things])),
            tellable=self.telling.look_up(
                [one.labels for one in looks],
                [one.facts for one in looks],
                [one.placement for one in looks],
            ),
        )

    def __call__(self, model: Any, batch: Any) -> dict[str, Tensor]:
        return self.seen(model.see(batch.pixels, batch.resized), batch)

    def seen(self, look: Look, batch: PatchBatch) -> dict[str, Tensor]:
        """Return what the kept layers do not yet know of their patches, and what the image tokens
        do not say yet."""
        states = look.features  # (L, I, P, E)
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
        parts |= self.telling.losses(look, batch.tellable)
        return {name: part * self.weights[name] for name, part in parts.items()}


def _cells(fine: Tensor, grid: int) -> Tensor:
    """Return (I, P, s * s) of labels (I, g * s, g * s)."""
    cells = fine.unflatten(2, (grid, -1)).unflatten(1, (grid, -1))  # (I, g, s, g, s)
    return cells.permute(0, 1, 3, 2, 4).flatten(3).flatten(1, 2)
