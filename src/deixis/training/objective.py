"""What is minimised: dense words of every cell first, then answers in words and masks.

Shapes: F frames, H W pixels, h w cells, B rows, O objects, M targets, R mask rows, T tokens.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from deixis.models.parts.deixis_teaching import Taught
from deixis.nn.dense import DenseMaps
from deixis.nn.losses import (
    bce_per_mask,
    info_nce,
    presence_loss,
    refinement_weights,
    soft_dice,
)
from deixis.processing.batch import Batch, Mentions, Output, Truth, moved
from deixis.processing.deixis import STRIDE, DeixisProcessor
from deixis.processing.vocabulary import Vocabulary
from deixis.scenes.catalogue import CATEGORIES, COLOURS, PATTERNS
from deixis.scenes.knowing.facts import Facts
from deixis.scenes.knowing.mentioning import FITS, mentions
from deixis.scenes.knowing.motion import MOTIONS, motion_holds
from deixis.scenes.questions import Scene
from deixis.structures.placement import Placement

FRAMES_PER_CLIP = 3  # frames of a clip that the dense objective looks at


@dataclass(frozen=True, kw_only=True, slots=True)
class DenseBatch:
    """Frames and what every pixel of them shows.

    Attributes:
        pixels: (F, 3, H, W) uint8.
        words: kind -> (F, H, W) 1 + index of the word, 0 for none.
        centre: (F, 2, H, W) of the pixel's object, (x, y) in [0, 1]; 0 for background.
        looks: (F, H, W) one number for all things that look alike, 0 for background.
    """

    pixels: Tensor
    words: Mapping[str, Tensor]
    centre: Tensor
    looks: Tensor

    def to(self, device: torch.device | str) -> "DenseBatch":
        """Return the batch with its tensors on a device."""
        return moved(self, device)


class DenseObjective:
    """Teaches the vision part: words of every cell, where its object's centre is, how it looks."""

    weights: Mapping[str, float] = {
        "category": 1.0,
        "colour": 0.5,
        "pattern": 0.5,
        "size": 0.5,
        "part": 1.5,
        "offset": 2.0,
        "identity": 0.1,
    }

    def __init__(self, processor: DeixisProcessor) -> None:
        self.words = processor.config.words

    def collate(self, scenes: Sequence[Scene]) -> DenseBatch:
        """Turn renderings into labels, a few frames of every clip."""
        return dense_batch(scenes, self.words)

    def __call__(self, model: Any, batch: DenseBatch) -> dict[str, Tensor]:
        _, maps = model.vision.dense(batch.pixels)
        object_cells = F.avg_pool2d((batch.looks > 0).float()[:, None], STRIDE)[:, 0]
        parts = {
            kind: _soft_cross_entropy(maps.logits[kind], ids, object_cells)
            for kind, ids in batch.words.items()
        }
        parts["offset"] = _offset_loss(maps, batch)
        parts["identity"] = _identity_loss(maps, batch)
        return {name: part * self.weights[name] for name, part in parts.items()}


class AnswerObjective:
    """Teaches the whole road: which objects are meant, the words, and the masks."""

    weights: Mapping[str, float] = {
        "words": 1.0,
        "concluding": 1.0,  # of the tokens of a conclusion against others, in "words"
        "existence": 0.7,
        "noticed": 0.3,
        "fitting": 0.3,
        "deeds": 0.3,
        "bce": 2.0,
        "dice": 0.5,
        "score": 0.2,
        "presence": 1.0,
        "refinement": 2.0,  # of pixels that two masks of one question claim, in "bce"; 1: none
    }

    def __init__(self, processor: DeixisProcessor) -> None:
        self.processor = processor

    def collate(self, scenes: Sequence[Scene]) -> Any:
        """Encode all questions about all scenes as one batch, with what they touch."""
        samples = [sample for scene in scenes for sample in scene.samples]
        batch = self.processor.encode(samples, with_truth=True)
        assert batch.truth is not None
        touched = _mentions(scenes, batch)
        return replace(batch, truth=replace(batch.truth, mentions=touched))

    def __call__(self, model: Any, batch: Any) -> dict[str, Tensor]:
        output: Output = model(batch)
        truth: Truth = batch.truth
        taught: Taught = output.extra
        assert output.text_logits is not None
        assert taught.true_mask is not None
        masks = truth.masks[taught.true_mask]
        logits = output.mask_logits.float()
        said, vocabulary = output.text_logits, self.processor.vocabulary
        parts = {
            "words": _word_loss(said, truth.tokens, vocabulary, self.weights["concluding"]),
        }
        if model.config.object_tokens:
            parts["existence"] = _existence_loss(taught.existence, taught.meant, taught.counted)
            if taught.touched is not None and taught.noticed is not None:
                there = taught.counted[..., :1].expand_as(taught.touched)
                parts["noticed"] = _existence_loss(taught.noticed, taught.touched, there)
                if taught.fitting is not None:
                    fits = taught.touched[..., FITS]
                    parts["fitting"] = _existence_loss(taught.fitting, fits, there[..., FITS])
            if taught.deeds is not None and taught.done is not None:
                parts["deeds"] = _deed_loss(taught.deeds, taught.done)
        elif len(taught.shows):
            parts["presence"] = presence_loss(taught.presence, taught.shows, taught.there)
        if len(logits):
            question = truth.row[output.target] * len(batch.pixels) + output.frame
            weights = refinement_weights(
                logits, question.unique(return_inverse=True)[1], alpha=self.weights["refinement"]
            )
            parts["bce"] = bce_per_mask(logits, masks, weights).mean()
            parts["dice"] = soft_dice(logits, masks).mean()
            parts["score"] = _score_loss(output, logits, masks)
        return {name: part * self.weights[name] for name, part in parts.items()}


OBJECTIVES: dict[str, Any] = {"dense": DenseObjective, "answer": AnswerObjective}

_CATEGORY = {category.name: index for index, category in enumerate(CATEGORIES)}
_COLOUR = {name: index for index, name in enumerate(COLOURS)}


def dense_batch(scenes: Sequence[Scene], kinds: Iterable[str]) -> DenseBatch:
    """Return frames, a few of every clip, with what their pixels show, in these kinds of words."""
    rows = [
        pixel_labels(view, rendering)
        for scene in scenes
        for view, rendering in _some([*zip(scene.world.views, scene.renderings, strict=True)])
    ]
    stacked = {key: torch.from_numpy(np.stack([row[key] for row in rows])) for key in rows[0]}
    return DenseBatch(
        pixels=stacked["pixels"].permute(0, 3, 1, 2).contiguous(),
        words={kind: stacked[kind] for kind in kinds},
        centre=stacked["centre"],
        looks=stacked["looks"],
    )


def pixel_labels(view: Any, rendering: Any) -> dict[str, np.ndarray]:
    """Look up every pixel's words by the id of its thing."""
    size = 1 + max((p.thing.id for p in view.placed), default=0)
    table = {kind: np.zeros(size, np.uint8) for kind in ("category", "pattern", "size")}
    centre, looks = np.zeros((2, size), np.float32), np.zeros(size, np.int64)
    for placed in view.placed:
        thing, index = placed.thing, placed.thing.id
        table["category"][index] = 1 + _CATEGORY[thing.category]
        table["pattern"][index] = 1 + PATTERNS.index(thing.pattern)
        table["size"][index] = 2 if placed.large else 1
        centre[:, index] = placed.x / view.width, placed.y / view.height
        looks[index] = 1 + _looks_number(thing)
    ids = rendering.things
    return {
        "pixels": rendering.pixels,
        "part": rendering.parts,
        "colour": rendering.colours,
        "centre": centre[:, ids],
        "looks": looks[ids],
        **{kind: values[ids] for kind, values in table.items()},
    }


def _looks_number(thing: Any) -> int:
    """Return a number that two things share exactly if they look alike."""
    accent = 0
    if thing.accent is not None:
        category = CATEGORIES[_CATEGORY[thing.category]]
        accent = 1 + category.possible.index(thing.accent[0]) * 10 + _COLOUR[thing.accent[1]]
    number = _CATEGORY[thing.category] * 10 + _COLOUR[thing.colour]
    return (number * 10 + PATTERNS.index(thing.pattern)) * 100 + accent


def _some(frames: list[Any]) -> list[Any]:
    """Return the pictures of a set, or a few frames of a clip, evenly."""
    if len(frames) <= 4:
        return frames
    return [frames[i] for i in np.linspace(0, len(frames) - 1, FRAMES_PER_CLIP).astype(int)]


def _soft_cross_entropy(logits: Tensor, ids: Tensor, object_cells: Tensor) -> Tensor:
    """Mean cross-entropy of a cell against its pixels; cells of objects weigh more."""
    scores = logits.float().log_softmax(1)
    corners = [ids[:, y::STRIDE, x::STRIDE] for y in range(STRIDE) for x in range(STRIDE)]
    loss = -sum(scores.gather(1, c[:, None].long())[:, 0] for c in corners) / len(corners)
    weight = 0.3 + object_cells
    return (loss * weight).sum() / weight.sum()


def _offset_loss(maps: DenseMaps, batch: DenseBatch) -> Tensor:
    height, width = maps.offset.shape[-2:]
    inside = batch.looks[:, ::STRIDE, ::STRIDE] > 0
    y = (torch.arange(height, device=inside.device) + 0.5) / height
    x = (torch.arange(width, device=inside.device) + 0.5) / width
    cells = torch.stack([x.expand(height, width), y[:, None].expand(height, width)])
    wanted = batch.centre[:, :, ::STRIDE, ::STRIDE] - cells
    error = (maps.offset - wanted).abs().sum(1) * inside
    return error.sum() / inside.sum().clamp(min=1)


def _identity_loss(maps: DenseMaps, batch: DenseBatch, most: int = 160) -> Tensor:
    """Bring together the mean embeddings of things that look alike, anywhere in the batch."""
    looks = batch.looks[:, ::STRIDE, ::STRIDE]
    frame = torch.arange(len(looks), device=looks.device)[:, None, None]
    keys, cell = torch.unique(frame * 1_000_000 + looks, return_inverse=True)
    width = maps.identity.shape[1]
    rows = maps.identity.permute(0, 2, 3, 1).reshape(-1, width)
    total = rows.new_zeros(len(keys), width).index_add(0, cell.flatten(), rows)
    count = torch.bincount(cell.flatten(), minlength=len(keys))
    kept = torch.nonzero((keys % 1_000_000 > 0) & (count >= 8))[:most, 0]
    embeddings = F.normalize(total[kept], dim=1)
    return info_nce(embeddings, keys[kept] % 1_000_000, temperature=0.1)


def _mentions(scenes: Sequence[Scene], batch: Batch) -> Mentions:
    """Return what all questions of all scenes touch."""
    asked = [(scene, one) for scene in scenes for one in scene.asked]
    facts = {id(scene): Facts(scene.world, scene.renderings) for scene in scenes}
    renderings = [rendering for scene in scenes for rendering in scene.renderings]
    first = dict(zip(map(id, scenes), _starts(scenes), strict=True))
    found = [
        (row, first[id(scene)] + each.frame, each.thing, each.role)
        for row, (scene, one) in enumerate(asked)
        for each in mentions(facts[id(scene)], one)
    ]
    rows, frames, numbers, roles = torch.tensor(found, dtype=torch.long).reshape(-1, 4).T
    cells = [_cells(r.things, p, batch) for r, p in zip(renderings, batch.placements, strict=True)]
    return Mentions(
        things=torch.from_numpy(np.stack(cells)),
        row=rows,
        frame=frames,
        thing=numbers,
        role=roles,
        deeds=_done([facts[id(scene)] for scene in scenes]),
    )


def _done(scenes: Sequence[Facts]) -> Tensor:
    """Return (F, things, 13): what each thing does in the clip of each frame, -1 if in doubt."""
    most = 1 + max(max(facts.things) for facts in scenes)
    tables = []
    for facts in scenes:
        table = np.full((most, len(MOTIONS)), -1.0, np.float32)
        for thing in facts.things if facts.is_clip else ():
            holds = [motion_holds(facts, thing, motion) for motion in MOTIONS]
            table[thing] = [-1.0 if held is None else float(held) for held in holds]
        tables.append(np.broadcast_to(table, (len(facts.frames), *table.shape)))
    return torch.from_numpy(np.concatenate(tables))


def _starts(scenes: Sequence[Scene]) -> list[int]:
    return [0, *np.cumsum([len(scene.renderings) for scene in scenes])[:-1].tolist()]


def _cells(things: np.ndarray, placement: Placement, batch: Batch) -> np.ndarray:
    """Return the thing in the middle of each cell (h, w) of a canvas."""
    cells = np.zeros([side // STRIDE for side in batch.pixels.shape[-2:]], dtype=np.int64)
    height, width = (side // STRIDE for side in placement.resized)
    y = ((np.arange(height) + 0.5) * things.shape[0] / height).astype(int)
    x = ((np.arange(width) + 0.5) * things.shape[1] / width).astype(int)
    cells[:height, :width] = things[y[:, None], x]
    return cells


def _word_loss(logits: Tensor, tokens: Tensor, words: Vocabulary, concluding: float) -> Tensor:
    """Mean cross-entropy of the answers' tokens; every question weighs the same, and those of its
    conclusion ``concluding`` times as much as others."""
    loss = F.cross_entropy(
        logits.float().flatten(0, 1), tokens.flatten(), ignore_index=words.pad, reduction="none"
    ).unflatten(0, tokens.shape)
    begun = (tokens == words.conclude).cumsum(1) > (tokens == words.conclude_end).cumsum(1)
    said = begun & (tokens != words.conclude)
    weight = (tokens != words.pad) * torch.where(said, concluding, 1.0)
    return ((loss * weight).sum(1) / weight.sum(1).clamp(min=1)).mean()


def _existence_loss(logits: Tensor, meant: Tensor, counted: Tensor) -> Tensor:
    """BCE over all things and parts, summed over each question: the few that are meant must not
    drown among the many that are not."""
    loss = F.binary_cross_entropy_with_logits(logits.float(), meant, reduction="none") * counted
    asked = counted.flatten(1).any(1).sum()
    return loss.sum() / asked.clamp(min=1)


def _deed_loss(logits: Tensor, done: Tensor) -> Tensor:
    """Mean BCE of what things do, where it is known."""
    loss = F.binary_cross_entropy_with_logits(logits, done.clamp(min=0), reduction="none")
    known = done >= 0
    return (loss * known).sum() / known.sum().clamp(min=1)


def _score_loss(output: Output, logits: Tensor, masks: Tensor) -> Tensor:
    """Teach each target to expect the IoU that its masks reach."""
    drawn, true = logits.detach() > 0, masks > 0.5
    num = len(output.score)

    def summed(values: Tensor) -> Tensor:
        return values.new_zeros(num).index_add(0, output.target, values)

    shared = summed((drawn & true).sum((1, 2)).float())
    either = summed((drawn | true).sum((1, 2)).float())
    seen = either > 0
    wanted = shared / either.clamp(min=1)
    loss = F.mse_loss(output.score.float(), wanted, reduction="none") * seen
    return loss.sum() / seen.sum().clamp(min=1)
