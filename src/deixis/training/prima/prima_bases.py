"""The bases that a PRIMA of our scenes begins with, in place of EVA-CLIP, InstructBLIP and SAM.

EVA and SAM's encoder learn what every cell shows, the Q-Former's rows to resemble the words of what
each part of their image shows, in the language decoder's own table, and SAM to draw what words ask
for (``prima_bases``). Then everything learns to read and answer, and every [SEG] to ask what SAM
understands (``prima_speaking``).

Shapes: F frames, H W pixels, C width, h w cells, X images of all questions, D language width,
M targets, K targets that are drawn for SAM's sake.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isqrt
from random import Random
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from deixis.models.prima import Look, PrimaConfig, Seen, asked_frames
from deixis.nn.cells import cell_cross_entropy, read_cells
from deixis.nn.losses import bce_per_mask, dice_per_mask
from deixis.processing.batch import moved
from deixis.processing.batches.prima_batch import PrimaBatch
from deixis.processing.frames.prima_pixels import sam_masks
from deixis.processing.prima import PrimaProcessor
from deixis.processing.words.prima_words import slots_written
from deixis.scenes.questions import Scene
from deixis.training.directions import (
    KINDS,
    LABELS,
    NOTHING,
    Directions,
    Said,
    WordRows,
    likeness,
    said_of,
    short_words,
    words_of,
)
from deixis.training.objective import DenseObjective, pixel_labels
from deixis.training.prima.prima_objective import (
    PrimaObjective,
    mask_losses,
    readable,
    text_loss,
)

THINGS = 3  # of a frame that SAM is asked for
LEAST = 30  # pixels of a thing that is asked for
GIVEN = 0.5  # share of the targets that are drawn from what ought to be asked, not from what is


class Teaching(nn.Module):
    """Says of every patch of EVA and every cell of SAM which word of each kind it shows."""

    def __init__(self, config: PrimaConfig) -> None:
        super().__init__()
        self.sizes = list(LABELS.values())
        self.patches = nn.Linear(config.vision_config.hidden_size, sum(self.sizes))
        self.cells = nn.Conv2d(config.prompt_width, sum(self.sizes), 1)

    def of_patches(self, features: Tensor) -> dict[str, Tensor]:
        """Return logits (F, n, h, w) by kind of EVA's features (F, 1 + h * w, C)."""
        side = isqrt(features.shape[1] - 1)
        grid = self.patches(features[:, 1:]).unflatten(1, (side, side)).permute(0, 3, 1, 2)
        return dict(zip(LABELS, grid.split(self.sizes, 1), strict=True))

    def of_cells(self, features: Tensor) -> dict[str, Tensor]:
        """Return logits (F, n, h, w) by kind of SAM's features (F, C, h, w)."""
        return dict(zip(LABELS, self.cells(features).split(self.sizes, 1), strict=True))


@dataclass(frozen=True, kw_only=True, slots=True)
class Shown:
    """Questions about sets of images, and what there is to learn of the images themselves.

    Attributes:
        asked: the questions with their true answers.
        words: kind -> (F, H, W) 1 + index of the word, 0 for none.
        said: (K, 3) words of things by kind; frame: (K,) where they are drawn.
        masks: (K, H, W) float.
        phrases: (M, 3) words of the phrase of each [SEG], 0 where none is known.
    """

    asked: PrimaBatch
    words: Mapping[str, Tensor]
    said: Tensor
    frame: Tensor
    masks: Tensor
    phrases: Tensor

    def to(self, device: torch.device | str) -> "Shown":
        """Return all of it on a device."""
        return moved(self, device)


class PrimaBases(PrimaObjective):
    """Teaches EVA, SAM and the Q-Former what images show, and SAM to draw what words ask for."""

    def __init__(self, processor: PrimaProcessor) -> None:
        super().__init__(processor)
        self.directions = Directions(processor.config.prompt_width)
        self.rows = WordRows(processor.words.vocabulary.encode)
        shares = DenseObjective.weights
        self.weights: Mapping[str, float] = {
            **{f"{eye}_{kind}": shares[kind] for eye in ("eva", "sam") for kind in LABELS},
            **{f"row_{kind}": shares[kind] for kind in KINDS},
            "bce": 2.0,
            "dice": 1.0,
        }

    # -- what is shown ---------------------------------------------------------------------------

    def collate(self, scenes: Sequence[Scene]) -> Any:
        """Encode the questions, and look up what every pixel shows; all frames have one size.

        Raises:
            DataError: as ``PrimaObjective.collate``.
        """
        asked = super().collate(scenes)
        read = [scene for scene in scenes if readable(scene)]
        views = [
            view
            for scene in read
            for view in zip(scene.world.views, scene.renderings, strict=True)
        ]
        labels = [pixel_labels(view, rendering) for view, rendering in views]
        random = Random(f"{read[0].samples[0].id}/bases")
        things = [
            (words, frame, mask)
            for frame, (view, rendering) in enumerate(views)
            for words, mask in _called(view, rendering, random)
        ]
        size = labels[0]["category"].shape
        masks = [torch.from_numpy(mask) for _, _, mask in things]
        samples = [sample for scene in read for sample in readable(scene)]
        return Shown(
            asked=asked,
            words={k: torch.from_numpy(np.stack([row[k] for row in labels])) for k in LABELS},
            said=torch.tensor([words for words, _, _ in things]).reshape(-1, len(KINDS)),
            frame=torch.tensor([frame for _, frame, _ in things], dtype=torch.long),
            masks=torch.stack(masks).float() if masks else torch.zeros(0, *size),
            phrases=_phrases(samples, asked),
        )

    # -- what is learned -------------------------------------------------------------------------

    def __call__(self, model: Any, batch: Shown) -> dict[str, Tensor]:
        asked = batch.asked
        look = model.look(asked.pixels, asked.canvas)
        parts = self._seen(model, look, batch)
        parts |= self._rows(model, model.see(asked, look), batch)
        parts |= self._drawn(model, look, batch)
        return {name: part * self.weights[name] for name, part in parts.items()}

    def _seen(self, model: Any, look: Look, batch: Shown) -> dict[str, Tensor]:
        """Return what patches and cells do not know yet of what they show."""
        placed = batch.asked.placements[0]
        height, width = (a / b for a, b in zip(placed.resized, placed.canvas, strict=True))
        maps = {
            "eva": (model.teaching.of_patches(look.vision), (1.0, 1.0)),
            "sam": (model.teaching.of_cells(look.masks), (height, width)),
        }
        return {
            f"{eye}_{kind}": cell_cross_entropy(
                logits[kind], read_cells(ids, _grid(logits[kind]), extent)
            )
            for eye, (logits, extent) in maps.items()
            for kind, ids in batch.words.items()
        }

    def _rows(self, model: Any, seen: Seen, batch: Shown) -> dict[str, Tensor]:
        """Return how far the rows that are read of an image are from the words of their part of
        it; the parts are the cells of a grid, row by row."""
        side = isqrt(self.processor.config.rows_per_image)
        frame = asked_frames(batch.asked)[1]  # (X,)
        counts = seen.lengths[batch.asked.images]  # (X,) rows of each image, maybe with its text's
        first = (counts.cumsum(0) - counts)[:, None] + torch.arange(side**2, device=frame.device)
        rows = seen.rows[first]  # (X, h * w, D)
        table = model.language.get_input_embeddings().weight
        parts = {}
        for kind, words in self.rows(table).items():
            logits = likeness(rows, words)  # (X, h * w, 1 + n)
            grid = logits.transpose(1, 2).unflatten(2, (side, side))
            labels = read_cells(batch.words[kind], (side, side))[frame]
            parts[f"row_{kind}"] = cell_cross_entropy(grid, labels)
        return parts

    def _drawn(self, model: Any, look: Look, batch: Shown) -> dict[str, Tensor]:
        """Return how far SAM's masks are from the things that words ask for."""
        if not len(batch.said):
            return {name: look.masks.sum() * 0 for name in ("bce", "dice")}
        prompts = self.directions(batch.said).to(look.masks)
        logits, _ = model.decoding.draw(prompts, batch.frame, look.masks)
        whole = sam_masks(logits, batch.asked.placements[0])  # (K, H, W)
        return {
            "bce": bce_per_mask(whole, batch.masks).mean(),
            "dice": dice_per_mask(whole, batch.masks).mean(),
        }


class PrimaSpeaking(PrimaBases):
    """Teaches reading and writing around bases that see and draw already.

    Beside words and masks the state of every [SEG] learns what SAM was taught to understand:
    "asks". Half of the targets are drawn from that itself, so that SAM does not forget it over what
    is asked at first.
    """

    def __init__(self, processor: PrimaProcessor) -> None:
        super().__init__(processor)
        own = PrimaObjective(processor).weights
        rows = {name: share for name, share in self.weights.items() if name.startswith("row_")}
        self.weights = {**own, **rows, "asks": 5.0}

    def __call__(self, model: Any, batch: Shown) -> dict[str, Tensor]:
        asked = batch.asked
        assert asked.truth is not None
        seen = model.see(asked)
        hidden = model.read(seen)
        slots = model.slots(hidden, seen, asked.slots)
        prompts = model.prompts(slots)  # (M, C)
        wanted = self.directions(batch.phrases).to(prompts)
        known = batch.phrases.any(1)
        given = known & (torch.rand(len(known), device=known.device) < GIVEN)
        chosen = torch.where(given[:, None], wanted, prompts)
        output = model.point(slots, seen, chosen)
        bce, dice = mask_losses(output, asked)
        off = (prompts.float() - wanted.float()).square().mean(1)
        parts = {
            "text": text_loss(model.speak(hidden, seen), asked.truth.labels),
            "bce": bce,
            "dice": dice,
            "asks": (off * known).sum() / known.sum().clamp(min=1),
            **self._rows(model, seen, batch),
        }
        return {name: part * self.weights[name] for name, part in parts.items()}


def _grid(logits: Tensor) -> tuple[int, int]:
    return logits.shape[2], logits.shape[3]


def _called(view: Any, rendering: Any, random: Random) -> list[tuple[Said, np.ndarray]]:
    """Return some things of a picture that words mean alone, each with its mask (H, W)."""
    words = {placed.thing.id: words_of(placed.thing) for placed in view.placed}
    ids, counts = np.unique(rendering.things, return_counts=True)
    clear = [int(i) for i, n in zip(ids, counts, strict=True) if i and n >= LEAST]
    called = list[tuple[Said, np.ndarray]]()
    for one in random.sample(clear, len(clear)):
        others = [own for other, own in words.items() if other != one]
        said = short_words(words[one], others, random)
        if said != NOTHING:
            called.append((said, rendering.things == one))
        if len(called) == THINGS:
            break
    return called


def _phrases(samples: Sequence[Any], asked: PrimaBatch) -> Tensor:
    """Return (M, 3) the words of the phrase of each [SEG] that a row holds."""
    held = torch.bincount(asked.slots.row, minlength=len(samples)).tolist()
    said = [
        said_of(target.phrase)
        for sample, count in zip(samples, held, strict=True)
        for target, _ in (slots_written(sample.answer) if sample.answer else [])[:count]
    ]
    return torch.tensor(said, dtype=torch.long).reshape(-1, len(KINDS))
