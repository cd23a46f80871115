"""The bases that a PRIMA of our scenes begins with, in place of EVA-CLIP and SAM.

EVA learns what its patches show (``prima_looking``), and SAM to draw what words ask for
(``prima_sketching``): apart, since each alone takes many more steps in a minute.

Shapes: F frames, H W pixels, C width, h w cells, K targets that are drawn for SAM's sake, P
patches, S sayings, D width of the language decoder.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from deixis.models.prima import PrimaConfig
from deixis.nn.cells import cell_cross_entropy, read_cells
from deixis.nn.losses import bce_per_mask, dice_per_mask
from deixis.processing.batch import moved
from deixis.processing.frames.prima_pixels import eva_pixels, on_canvas, sam_masks, sam_pixels
from deixis.processing.prima import PrimaProcessor
from deixis.scenes.knowing.facts import Facts
from deixis.scenes.questions import Scene
from deixis.structures.images import Frame
from deixis.structures.placement import Placement
from deixis.training.attending import Attending
from deixis.training.directions import (
    LABELS,
    NOTHING,
    LabelRows,
    short_words,
    unfound,
    words_of,
)
from deixis.training.objective import DenseObjective, pixel_labels
from deixis.training.prima.prima_asking import ASKED, NOWHERE, Asking, middles_on_canvas
from deixis.training.standing import directions_of_sayings, in_cells, sayings_of

THINGS = 3  # of a frame that SAM is asked for
LEAST = 30  # pixels of what is asked for
PLACED = 0.7  # share of the things whose place is told though words alone would do
APART = 0.5  # share of the things of which a part is asked for too
SHARES = {kind: DenseObjective.weights[kind] for kind in LABELS}


class Teaching(nn.Module):
    """Says of every cell of SAM which word of each kind it shows, and of every patch of EVA what is
    true of its thing among others."""

    def __init__(self, config: PrimaConfig) -> None:
        super().__init__()
        self.cells = nn.Conv2d(config.prompt_width, sum(LABELS.values()), 1)
        self.sayings = nn.Linear(config.vision_config.hidden_size, config.text_config.hidden_size)

    def forward(self, features: Tensor) -> dict[str, Tensor]:
        """Return logits (F, n, h, w) by kind of SAM's features (F, C, h, w)."""
        logits = self.cells(features).split(list(LABELS.values()), 1)
        return dict(zip(LABELS, logits, strict=True))


# -- looking and drawing -------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class Pictures:
    """Frames as EVA reads them, and what their pixels show.

    Attributes:
        pixels: (F, 3, h, w).
        words: kind -> (F, H, W) 1 + index of the word, 0 for none.
        true: (F, P, S) how much of each patch is of things of which each saying is true.
    """

    pixels: Tensor
    words: Mapping[str, Tensor]
    true: Tensor

    def to(self, device: torch.device | str) -> "Pictures":
        """Return all of it on a device."""
        return moved(self, device)


class PrimaLooking:
    """Teaches EVA what every patch shows: its layer half-way and its last say it; and what is true
    of its thing among others, which the last alone says: what a row cannot see, it cannot tell."""

    weights: Mapping[str, float] = {**SHARES, "found_sayings": 1.0}

    def __init__(self, processor: PrimaProcessor) -> None:
        config: Any = processor.config.vision_config
        self.side, self.midway = config.image_size, config.num_hidden_layers // 2
        self.grid = self.side // config.patch_size
        self.labels = LabelRows(config.hidden_size)
        self.standing = directions_of_sayings(processor.config.text_config.hidden_size)

    def collate(self, scenes: Sequence[Scene]) -> Pictures:
        """Turn renderings into pixels and labels; all frames have one size."""
        pixels = [eva_pixels(frame, self.side) for frame in frames_of(scenes)]
        facts = [Facts(scene.world, scene.renderings) for scene in scenes]
        true = [
            in_cells(own.renderings[frame].things, sayings_of(own, frame), self.grid)
            for own in facts
            for frame in own.frames
        ]
        return Pictures(pixels=torch.stack(pixels), words=shown(scenes), true=torch.stack(true))

    def __call__(self, model: Any, batch: Pictures) -> dict[str, Tensor]:
        """Return the parts of the loss, weighted."""
        seen = model.vision.eva(batch.pixels, output_hidden_states=True)
        levels = [
            unknown(self.labels(states[:, 1:]), batch.words)
            for states in (seen.hidden_states[self.midway], seen.last_hidden_state)
        ]
        parts = {name: torch.stack([level[name] for level in levels]).mean() for name in SHARES}
        last = model.teaching.sayings(seen.last_hidden_state[:, 1:])  # (F, P, D)
        parts["found_sayings"] = unfound(last, self.standing.to(last.device), batch.true)
        return {name: part * self.weights[name] for name, part in parts.items()}


@dataclass(frozen=True, kw_only=True, slots=True)
class Sketches:
    """Frames as SAM reads them, what their pixels show, and what is asked for in them.

    Attributes:
        canvas: (F, 3, S, S); placement: how every frame lies there.
        words: kind -> (F, H, W) 1 + index of the word, 0 for none.
        said: (K, 4) words of things and of parts, by kind; middle: (K, 2) where they lie; see
            ``Asking``.
        frame: (K,) where they are drawn.
        masks: (K, H, W) float.
    """

    canvas: Tensor
    placement: Placement
    words: Mapping[str, Tensor]
    said: Tensor
    middle: Tensor
    frame: Tensor
    masks: Tensor

    def to(self, device: torch.device | str) -> "Sketches":
        """Return all of it on a device."""
        return moved(self, device)


class PrimaSketching:
    """Teaches SAM what every cell shows, and to draw what words ask for."""

    draws = True  # whether it is asked for anything

    def __init__(self, processor: PrimaProcessor) -> None:
        self.side = processor.config.sam_config.vision_config.image_size
        self.asking = Asking(processor.config.prompt_width)
        drawing = {"bce": 2.0, "dice": 1.0, "sought": 0.5} if self.draws else {}
        self.weights: Mapping[str, float] = {**SHARES, **drawing}

    def collate(self, scenes: Sequence[Scene]) -> Sketches:
        """Turn renderings into pixels and labels, and ask for some things; all frames have one
        size."""
        placed = [sam_pixels(frame, self.side) for frame in frames_of(scenes)]
        words = shown(scenes)
        random = Random(f"{scenes[0].samples[0].id}/bases")
        called = [
            (frame, *one)
            for frame, (view, rendering) in enumerate(views_of(scenes))
            for one in (_called(view, rendering, random) if self.draws else ())
        ]
        size = words["category"].shape[1:]
        masks = torch.zeros(len(called), *size)
        for own, (*_, mask) in zip(masks, called, strict=True):
            own[:] = torch.from_numpy(mask)
        placement = placed[0][1]
        told = torch.tensor([placed for *_, placed, _ in called], dtype=torch.bool)
        middle = middles_on_canvas(masks, [placement] * len(masks))
        return Sketches(
            canvas=torch.stack([pixels for pixels, _ in placed]),
            placement=placement,
            words=words,
            said=torch.tensor([said for _, said, *_ in called]).reshape(-1, len(ASKED)),
            middle=torch.where(told[:, None], middle, NOWHERE),
            frame=torch.tensor([frame for frame, *_ in called], dtype=torch.long),
            masks=masks,
        )

    def __call__(self, model: Any, batch: Sketches) -> dict[str, Tensor]:
        """Return the parts of the loss, weighted."""
        features = model.decoding.look(batch.canvas)
        height, width = (
            a / b for a, b in zip(batch.placement.resized, batch.placement.canvas, strict=True)
        )
        parts = unknown(model.teaching(features), batch.words, (height, width))
        if self.draws:
            parts |= self._drawn(model, features, batch)
        return {name: part * self.weights[name] for name, part in parts.items()}

    def _drawn(self, model: Any, features: Tensor, batch: Sketches) -> dict[str, Tensor]:
        """Return how far SAM's masks are from the things that words ask for, and how far its tokens
        look from them."""
        if not len(batch.said):
            return {name: features.sum() * 0 for name in ("bce", "dice", "sought")}
        prompts = self.asking(model, batch.said, batch.middle).to(features)
        with Attending(model.decoding.sam.mask_decoder.transformer) as looks:
            logits, _ = model.decoding.draw(prompts, batch.frame, features)
        whole = sam_masks(logits, batch.placement)  # (K, H, W)
        cells = (features.shape[2], features.shape[3])
        true = on_canvas(batch.masks, batch.placement)
        order = model.decoding.together(batch.frame, cells[0] * cells[1])
        return {
            "bce": bce_per_mask(whole, batch.masks).mean(),
            "dice": dice_per_mask(whole, batch.masks).mean(),
            "sought": looks.missed([true[mine.flatten()] for mine in order], cells),
        }


class PrimaScanning(PrimaSketching):
    """Teaches SAM's encoder alone what every cell shows: many pictures in short time."""

    draws = False


# -- what scenes show ----------------------------------------------------------------------------


def frames_of(scenes: Sequence[Scene]) -> Iterator[Frame]:
    """Return every frame of every scene."""
    return (frame for scene in scenes for frame in scene.samples[0].images)


def views_of(scenes: Sequence[Scene]) -> Iterator[tuple[Any, Any]]:
    """Yield each view of each world, and its rendering."""
    for scene in scenes:
        yield from zip(scene.world.views, scene.renderings, strict=True)


def shown(scenes: Sequence[Scene]) -> dict[str, Tensor]:
    """Return, by kind, what every pixel shows: (F, H, W) 1 + index of the word, 0 for none."""
    labels = [pixel_labels(view, rendering) for view, rendering in views_of(scenes)]
    return {kind: torch.from_numpy(np.stack([one[kind] for one in labels])) for kind in LABELS}


def unknown(
    logits: Mapping[str, Tensor],
    words: Mapping[str, Tensor],
    extent: tuple[float, float] = (1.0, 1.0),
) -> dict[str, Tensor]:
    """Return, by kind, what cells do not know yet of what they show; see ``read_cells``."""
    return {
        kind: cell_cross_entropy(
            logits[kind], read_cells(ids, (logits[kind].shape[2], logits[kind].shape[3]), extent)
        )
        for kind, ids in words.items()
    }


def _called(
    view: Any, rendering: Any, random: Random
) -> Iterator[tuple[tuple[int, ...], bool, np.ndarray]]:
    """Yield some things of a picture, and of some of them a part: the words that ask for each,
    whether its place is told too, and its mask (H, W). Without a place, words mean it alone."""
    words = {placed.thing.id: words_of(placed.thing) for placed in view.placed}
    ids, counts = np.unique(rendering.things, return_counts=True)
    clear = [int(i) for i, n in zip(ids, counts, strict=True) if i and n >= LEAST]
    for one in random.sample(clear, min(THINGS, len(clear))):
        others = [own for other, own in words.items() if other != one]
        alone = short_words(words[one], others, random)
        mine = rendering.things == one
        placed = alone == NOTHING or random.random() < PLACED
        yield (*(alone if alone != NOTHING else words[one]), 0), placed, mine
        names, counts = np.unique(rendering.parts[mine], return_counts=True)
        parts = [int(i) for i, n in zip(names, counts, strict=True) if n >= LEAST]
        if parts and len(parts) > 1 and random.random() < APART:
            part = random.choice(parts)
            yield (*words[one], part), True, mine & (rendering.parts == part)
