"""The bases that a UniPixel of our scenes begins with, in place of Qwen2.5-VL and SAM 2.1.

Both encoders learn what every patch and cell shows. The language decoder's picture tokens and its
<mem> tokens learn to resemble the words of what they show, in its own table of words. SAM learns to
draw what points, boxes and words ask for, and to follow it.

Shapes: F frames, V views (pairs of frames, or a frame alone), H W pixels, P merged cells of all
views, E their width, D language width, h w cells, S side of SAM's canvas, O objects, T frames of a
clip, R <mem> tokens, K hidden tokens, C width of SAM.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deixis.decoding.promptable import FrameFeatures
from deixis.models.configs.unipixel_config import UniPixelConfig
from deixis.nn.candidates import candidate_losses
from deixis.nn.cells import cell_cross_entropy, read_cells
from deixis.nn.precision import exactly
from deixis.processing.batch import moved
from deixis.processing.frames.unipixel_frames import sam_frames, sam_masks
from deixis.processing.unipixel import UniPixelProcessor
from deixis.prompting.regions import pool_touched
from deixis.scenes.questions import Scene
from deixis.structures.masks import Mask
from deixis.structures.prompts import Box, Point
from deixis.training.attending import Attending
from deixis.training.directions import (
    KINDS,
    LABELS,
    Said,
    WordRows,
    likeness,
    shares_of,
    unfound,
    words_of,
)
from deixis.training.objective import DenseObjective, pixel_labels
from deixis.training.unipixel.unipixel_meanings import Asks, Meanings, ask_for, words_of_none

OBJECTS = 4  # of a clip that SAM is asked for
STRIDES = (1, 1, 2)  # from one frame to the next, where they follow each other
LEAST = 30  # pixels of a thing that is asked for
ABSENT = 0.5  # share of the scenes in which it is asked for one that is not there
FINE = 2  # pixels of SAM's canvas along a side of those in which masks are compared
NONE = 4.0  # logit of no word; what shows one must be alike to it by a quarter
MASKS = 0.2  # weight of a frame's masks, whose published weights sum up to more than 100
DICE = 3.0  # of their dice once more: with its published share alone, masks stay small and vague
SOUGHT = 0.5  # of how far SAM's tokens look from what they should draw
RECALLED = 4.0  # of whether cells that look back know what they show; most show nothing of it
RARE = -2.0  # where that begins


class Teaching(nn.Module):
    """Says of every patch of Qwen's encoder and every cell of SAM's which words they show."""

    def __init__(self, config: UniPixelConfig) -> None:
        super().__init__()
        vision: Any = config.vision_config
        self.sizes = list(LABELS.values())
        self.side = int(vision.spatial_merge_size)
        self.patches = nn.Linear(vision.hidden_size, sum(self.sizes))
        self.coarse = nn.Conv2d(config.sam_width, sum(self.sizes), 1)
        self.fine = nn.Conv2d(config.sam_width // 8, sum(self.sizes), 1)

    def of_patches(self, features: Tensor, grid: tuple[int, int]) -> dict[str, Tensor]:
        """Return logits (V, n, h, w) by kind of merged cells (P, E); grid: (h, w) of patches."""
        cells = (-1, grid[0] // self.side, grid[1] // self.side)
        each = self.patches(features.unflatten(1, (self.side**2, -1)))  # (P, s * s, n)
        each = each.unflatten(1, (self.side, self.side)).unflatten(0, cells)
        maps = each.permute(0, 5, 1, 3, 2, 4).flatten(4, 5).flatten(2, 3)  # (V, n, h, w)
        return dict(zip(LABELS, maps.split(self.sizes, 1), strict=True))

    def of_cells(self, seen: FrameFeatures) -> list[dict[str, Tensor]]:
        """Return logits (F, n, h, w) by kind of SAM's coarse and of its fine features."""
        maps = self.coarse(seen.coarse), self.fine(seen.fine)
        return [dict(zip(LABELS, each.split(self.sizes, 1), strict=True)) for each in maps]


@dataclass(frozen=True, kw_only=True, slots=True)
class Bases:
    """Frames of several clips, what their pixels show, and what SAM is asked for in them.

    Attributes:
        patches: of all views; grids: for each clip its patches (t, h, w).
        lengths: frames of each clip.
        words: kind -> (F, H, W) 1 + index of the word, 0 for none.
        touched: for each clip (t, O, h, w) bool, the cells of things that its first frame shows.
        named: for each clip (O, 3) their words by kind.
        canvas: (F, 3, S, S) as SAM reads them.
        asks: of the objects; objects: how many each clip has.
        masks: for each of them (T, O, S / 2, S / 2) bool.
    """

    patches: Tensor
    grids: Tensor
    canvas: Tensor
    lengths: tuple[int, ...]
    words: Mapping[str, Tensor]
    asks: Asks
    objects: tuple[int, ...]
    masks: tuple[Tensor, ...]
    touched: tuple[Tensor, ...]
    named: tuple[Tensor, ...]

    def to(self, device: torch.device | str) -> "Bases":
        """Return all of it on a device."""
        return moved(self, device)


class BasesObjective:
    """Teaches both encoders the words of every cell, and SAM to draw and to follow."""

    reads = True  # whether Qwen's encoder looks
    scans = True  # whether SAM looks
    draws = True  # whether SAM is asked for anything
    frames = 3  # of a clip, one after another

    def __init__(self, processor: UniPixelProcessor) -> None:
        self.processor = processor
        self.side = int(processor.config.sam_config.image_size)
        width = int(processor.config.sam_width)
        self.meanings = Meanings(width)
        dice = torch.Generator().manual_seed(1)
        self.recalled = F.normalize(torch.randn(width, generator=dice), dim=0)
        self.rows = WordRows(processor.vocabulary.encode)
        shares = {kind: DenseObjective.weights[kind] for kind in LABELS}
        self.weights: Mapping[str, float] = {
            **{f"qwen_{kind}": share for kind, share in shares.items()},
            **{f"sam_{kind}": share for kind, share in shares.items()},
            **{f"read_{kind}": shares[kind] for kind in KINDS},
            **{f"found_{kind}": shares[kind] for kind in KINDS},
            **{f"mem_{kind}": shares[kind] for kind in KINDS},
            "level": 1.0,
            "mem_level": 1.0,
            "masks": MASKS,
            "dice": DICE,
            "sought": SOUGHT,
            "recalled": RECALLED,
        }

    # -- what is shown ---------------------------------------------------------------------------

    def collate(self, scenes: Sequence[Scene]) -> Bases:
        """Turn renderings into pixels and labels; all frames have one size."""
        clips = [self._clip(scene) for scene in scenes]
        drawn = clips if self.scans else []
        read = [clip["view"] for clip in clips if self.reads]
        rows = [row for clip in clips for row in clip["labels"]]
        seen = [sam_frames(row["pixels"][None], self.side) for c in drawn for row in c["labels"]]
        return Bases(
            patches=torch.cat([view.patches for view in read]) if read else torch.zeros(0),
            grids=torch.tensor([view.grid for view in read]),
            canvas=torch.cat(seen) if seen else torch.zeros(0, 3, self.side, self.side),
            lengths=tuple(len(clip["labels"]) for clip in clips),
            words={k: torch.from_numpy(np.stack([row[k] for row in rows])) for k in LABELS},
            asks=Asks.of(
                [one for clip in drawn for one in clip["asked"]],
                [clip["size"] for clip in drawn for _ in clip["asked"]],
                self.side,
            ),
            objects=tuple(len(clip["asked"]) for clip in drawn),
            masks=tuple(clip["masks"] for clip in drawn),
            touched=tuple(clip["touched"] for clip in clips if self.reads),
            named=tuple(
                torch.tensor(clip["named"], dtype=torch.long).reshape(-1, len(KINDS))
                for clip in clips
                if self.reads
            ),
        )

    def _clip(self, scene: Scene) -> dict[str, Any]:
        """Return some frames of a scene, and what is asked for from the first of them on."""
        images = scene.samples[0].images
        random = Random(f"{scene.samples[0].id}/bases")
        moments = [random.randrange(len(images))]
        if images.is_clip(0):
            moments = self._moments(len(images), random)
        things = [scene.renderings[one].things for one in moments]
        said = {  # thing -> its words
            placed.thing.id: words_of(placed.thing)
            for one in moments
            for placed in scene.world.views[one].placed
        }
        ids, counts = np.unique(things[0], return_counts=True)
        clear = [int(i) for i, n in zip(ids, counts, strict=True) if i and n >= LEAST]
        chosen = clear if self.draws else []
        asked, masks = self._asked(things, chosen, said if self.draws else {}, random)
        clip = {
            "size": images[moments[0]].size,
            "labels": [
                pixel_labels(scene.world.views[one], scene.renderings[one]) for one in moments
            ],
            "asked": asked,
            "masks": masks,
        }
        if self.reads:
            clip["view"] = view = self.processor.view_of(images, moments)
            clip["named"] = [said[one] for one in clear]
            clip["touched"] = torch.zeros(view.grid[0], 0, *view.cells, dtype=torch.bool)
            if clear:
                regions = {
                    one: {at: Mask(ids == one) for at, ids in zip(moments, things, strict=True)}
                    for one in clear
                }
                clip["touched"] = self.processor.regions(regions, images, view)
        return clip

    def _moments(self, total: int, random: Random) -> list[int]:
        """Return frames of a clip of some length."""
        stride = min(random.choice(STRIDES), max(1, (total - 1) // max(1, self.frames - 1)))
        count = min(self.frames, total)
        first = random.randrange(total - stride * (count - 1))
        return list(range(first, first + stride * count, stride))

    def _asked(
        self,
        things: Sequence[np.ndarray],
        clear: Sequence[int],
        said: Mapping[int, Said],
        random: Random,
    ) -> tuple[list[tuple[Point | Box | None, Said]], Tensor]:
        """Ask for some of the things that the first frame shows, at times for one that is not
        there; return with it (T, O, S / 2, S / 2) bool, where they are."""
        chosen = random.sample(clear, min(OBJECTS, len(clear)))
        shown = {one: np.stack([ids == one for ids in things]) for one in chosen}
        asked = [ask_for(Mask(shown[one][0]), one, said, random) for one in chosen]
        truth = [torch.from_numpy(shown[one]) for one in chosen]
        if said and random.random() < ABSENT:
            asked.append((None, words_of_none(set(said.values()), random)))
            truth.append(torch.zeros(len(things), *things[0].shape, dtype=torch.bool))
        side = self.side // FINE
        if not truth:
            return asked, torch.zeros(len(things), 0, side, side, dtype=torch.bool)
        return asked, sam_masks(torch.stack(truth, 1), side)

    # -- what is learned -------------------------------------------------------------------------

    def __call__(self, model: Any, batch: Bases) -> dict[str, Tensor]:
        parts: dict[str, Tensor] = {}
        if self.reads:
            parts |= self._read(model, batch)
        if self.scans:
            with exactly(batch.canvas.device):  # small: a short type costs more than it saves
                seen = model.tracker.sam.look(batch.canvas)
                maps = [("sam", one, batch.words) for one in model.teaching.of_cells(seen)]
                parts |= self._unknown(maps)
                if self.draws:
                    parts |= self._masks(model, batch, seen)
        return {name: part * self.weights[name] for name, part in parts.items()}

    def _read(self, model: Any, batch: Bases) -> dict[str, Tensor]:
        """Return what Qwen's patches, picture tokens and <mem> tokens do not know yet."""
        features = model.vision(batch.patches, grid_thw=batch.grids).pooler_output
        height, width = batch.grids[0, 1:].tolist()
        grid = (height // model.teaching.side, width // model.teaching.side)
        pairs = {kind: _paired(ids, batch.lengths) for kind, ids in batch.words.items()}
        table = self.rows(model.language.embed_tokens.weight)
        tokens = model.merge(features)
        own = F.normalize(tokens.float(), dim=1)
        read = {kind: _as_map(likeness(own, table[kind], NONE), grid) for kind in KINDS}
        cells = tokens.unflatten(0, (len(pairs["category"]), -1))  # (V, h * w, D)
        found = {
            f"found_{kind}": unfound(
                cells, table[kind], shares_of(_read(pairs[kind], grid), len(table[kind]))
            )
            for kind in KINDS
        }
        maps = [
            ("qwen", model.teaching.of_patches(features, (height, width)), pairs),
            ("read", read, pairs),
        ]
        level = {"level": _off_level(tokens)}
        return self._unknown(maps) | found | level | self._regions(model, features, batch, table)

    def _unknown(
        self, maps: Sequence[tuple[str, Mapping[str, Tensor], Mapping[str, Tensor]]]
    ) -> dict[str, Tensor]:
        """Return, by encoder and kind, what maps do not know yet of the words that they show."""
        parts: dict[str, Tensor] = {}
        for eye, logits, labels in maps:
            for kind, own in logits.items():
                read = _read(labels[kind], (own.shape[2], own.shape[3]))
                loss = cell_cross_entropy(own, read)
                parts[f"{eye}_{kind}"] = parts.get(f"{eye}_{kind}", 0) + loss / _times(eye)
        return parts

    def _regions(
        self, model: Any, features: Tensor, batch: Bases, table: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """Return how well <mem> tokens resemble the words of their things."""
        counts = (batch.grids.prod(1) // model.vision.spatial_merge_unit).tolist()
        clips = list(zip(features.split(counts), batch.touched, batch.named, strict=True))
        pooled = torch.cat([pool_touched(own, touched) for own, touched, _ in clips])
        tokens = model.regions(pooled)
        times = [touched.flatten(2).any(2).sum(0) for _, touched, _ in clips]
        truth = torch.cat(
            [own.repeat_interleave(t, 0) for (_, _, own), t in zip(clips, times, strict=True)]
        )
        if not len(truth):
            return {name: tokens.sum() * 0 for name in self.weights if name.startswith("mem_")}
        own = F.normalize(tokens.float(), dim=1)
        parts = {
            f"mem_{kind}": F.cross_entropy(likeness(own, table[kind], NONE), truth[:, place])
            for place, kind in enumerate(KINDS)
        }
        return parts | {"mem_level": _off_level(tokens)}

    def _masks(self, model: Any, batch: Bases, seen: FrameFeatures) -> dict[str, Tensor]:
        """Return the mean loss of a frame, of what is asked for and followed, its dice, how far SAM
        looks from it, and what cells that look back do not know of it; clips of one length are
        drawn together."""
        hidden = self.meanings.tokens(model, batch.asks).split(batch.objects)
        losses, dice, sought, recalled = ([seen.coarse.sum() * 0] for _ in range(4))
        for length, clips in _of_one_length(batch):
            first = [sum(batch.lengths[:clip]) for clip in clips]
            rows = torch.cat(
                [torch.full((batch.objects[c],), f) for c, f in zip(clips, first, strict=True)]
            ).to(seen.coarse.device)
            frames = [seen[rows + step] for step in range(length)]
            truth = torch.cat([batch.masks[clip] for clip in clips], 1)  # (T, O, S / 2, S / 2)
            asked = torch.cat([hidden[clip] for clip in clips])
            with Attending(model.tracker.sam.mask_decoder.transformer) as looks:
                drawings = list(model.follow(asked, frames, length))
            cells = (seen.coarse.shape[2], seen.coarse.shape[3])
            sought.append(looks.missed(list(truth), cells) * length * len(clips))
            for drawn, true in zip(drawings[1:], truth[1:], strict=True):
                recalled.append(self._unknown_back(drawn.features, true) * len(clips))
            for drawn, true in zip(drawings, truth, strict=True):
                loss = candidate_losses(
                    drawn.candidates, drawn.candidate_scores, drawn.presence_logits, true
                )
                losses.append(loss.total * len(clips))
                dice.append(loss.dice * len(clips))
        parts = {"masks": losses, "dice": dice, "sought": sought, "recalled": recalled}
        return {name: torch.stack(p).sum() / len(batch.canvas) for name, p in parts.items()}

    def _unknown_back(self, features: Tensor, true: Tensor) -> Tensor:
        """Return what cells (O, C, h, w) that have looked back do not know of where their object is
        (O, H, W): they say it in one fixed random direction."""
        logits = torch.einsum("ochw,c->ohw", features.float(), self.recalled.to(features.device))
        cover = F.adaptive_avg_pool2d(true.float(), (logits.shape[1], logits.shape[2]))
        return F.binary_cross_entropy_with_logits(logits + RARE, cover)


class Looking(BasesObjective):
    """Teaches Qwen's encoder alone the words of every patch: many pictures in short time; of a clip
    two frames, which make one view."""

    scans = draws = False
    frames = 2


class Scanning(BasesObjective):
    """Teaches SAM's encoder alone the words of every cell: many pictures in short time."""

    reads = draws = False


class Sketching(BasesObjective):
    """Teaches SAM alone the words of its cells, to draw, and to follow what it has drawn over the
    next frames of clips."""

    reads = False


def _times(eye: str) -> int:
    """Return how many maps of an encoder are taught."""
    return 2 if eye == "sam" else 1


def _paired(ids: Tensor, lengths: Sequence[int]) -> Tensor:
    """Return labels (V, 2, H, W) of pairs of frames, of (F, H, W); an odd last one is doubled."""
    clips = [torch.cat([own, own[-1:]]) if len(own) % 2 else own for own in ids.split(lengths)]
    return torch.cat([own.unflatten(0, (-1, 2)) for own in clips])


def _read(ids: Tensor, grid: tuple[int, int]) -> Tensor:
    """Return labels (V, P, h, w) at points of cells, of one frame (F, H, W) or of pairs."""
    if ids.dim() == 3:
        return read_cells(ids, grid)
    return torch.cat([read_cells(ids[:, place], grid) for place in range(ids.shape[1])], 1)


def _off_level(tokens: Tensor) -> Tensor:
    """Return how far tokens (R, D) are from length 1, near which words are: what is louder drowns
    them."""
    return (tokens.float().norm(dim=1) - 1).square().mean()


def _as_map(logits: Tensor, grid: tuple[int, int]) -> Tensor:
    """Return (V, n, h, w) of logits (V * h * w, n)."""
    return logits.unflatten(0, (-1, *grid)).permute(0, 3, 1, 2)


def _of_one_length(batch: Bases) -> Iterator[tuple[int, list[int]]]:
    """Yield lengths, and the clips that are so long and ask for anything."""
    for length in sorted(set(batch.lengths)):
        clips = [
            clip
            for clip, objects in enumerate(batch.objects)
            if objects and batch.lengths[clip] == length
        ]
        if clips:
            yield length, clips
