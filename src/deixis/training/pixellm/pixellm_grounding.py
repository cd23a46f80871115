"""Stage 0 of PixelLM's language: answers, and what image tokens and groups should know.

A published PixelLM begins with CLIP and LLaVA, whose image tokens lie near words and whose states
know what they speak of. From nothing, answers alone teach that slowly (in trials, targets were
found in a fraction of the questions when every state was told directly what it stands for).

Shapes: I images, Q image tokens, R image tokens that are read, M targets, G tokens of a group,
D language width, T words, V vocabulary.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deixis.models.configs.deixis_config import scene_words
from deixis.models.parts.pixellm_vision import patch_mask, pooled_mask
from deixis.processing.batch import moved
from deixis.processing.pixellm import PixelLMProcessor
from deixis.processing.batches.pixellm_batch import PixelLMBatch
from deixis.scenes.questions import Scene
from deixis.structures.placement import Placement
from deixis.training.objective import pixel_labels
from deixis.training.pixellm.pixellm_stages import AnswerObjective, on_canvas

FINE = 8  # labels along a side of an image token
GAIN = 8.0  # of a token's agreement with a word
BOX = 5.0  # weight of where a target lies
PURE = {"part": 0.9}  # a group stands for a part if nearly all of its mask is that part
MOSTLY = 0.5  # and for a word of another kind if most of it is


@dataclass(frozen=True, kw_only=True, slots=True)
class GroundingBatch:
    """Questions and answers, and what their images and targets are.

    Attributes:
        asked: the questions.
        shares: kind -> (I, Q, T) how much of each image token every word takes up.
        meant: kind -> (M,) 1 + index of a target's word, 0 for none.
        boxes: (M, 4) centre, width and height on the canvas, in [0, 1].
    """

    asked: PixelLMBatch
    shares: Mapping[str, Tensor]
    meant: Mapping[str, Tensor]
    boxes: Tensor

    def to(self, device: torch.device | str) -> "GroundingBatch":
        """Return the batch with its tensors on a device."""
        batch = moved(replace(self, shares={}, meant={}), device)
        shares = {kind: share.to(device) for kind, share in self.shares.items()}
        meant = {kind: ids.to(device) for kind, ids in self.meant.items()}
        return replace(batch, asked=self.asked.to(device), shares=shares, meant=meant)


class GroundingObjective(AnswerObjective):
    """The losses of answers, and two that stand in for what pre-training brings.

    ``told``: an image token points at the embeddings of the words that it shows. ``meant``: the
    states of a group know category, colour, pattern, size and part of their target, and its box;
    a word is a fixed random direction, so that the model has no weight that only this stage needs.
    """

    weights: Mapping[str, float] = {**AnswerObjective.weights, "told": 1.0, "meant": 1.0}

    def __init__(self, processor: PixelLMProcessor) -> None:
        super().__init__(processor)
        config = processor.config
        self.config = config
        self.words = scene_words()
        self.pieces = {
            kind: _spelled(processor, names, config.text_config.vocab_size)
            for kind, names in self.words.items()
        }
        sizes = [1 + len(names) for names in self.words.values()]
        dice = torch.Generator().manual_seed(0)
        empty = torch.empty(sum(sizes) + 4, config.text_config.hidden_size)
        self.directions = nn.init.orthogonal_(empty, generator=dice)
        self.sizes = sizes

    def collate(self, scenes: Sequence[Scene]) -> GroundingBatch:  # type: ignore[override]
        """Write the questions, and look up what is in every image and target."""
        asked = super().collate(scenes)
        labels = [pixel_labels(one.world.views[0], one.renderings[0]) for one in scenes]
        assert len(asked.pixels) == len(labels), "one image a scene, and a question about each"
        assert asked.truth is not None
        pairs = list(zip(asked.truth.masks, asked.image_of_target.tolist(), strict=True))
        boxes = [_box(mask, asked.placements[i], self.config.canvas) for mask, i in pairs]
        return GroundingBatch(
            asked=asked,
            shares={
                kind: self._shares(labels, asked.placements, kind, len(names))
                for kind, names in self.words.items()
            },
            meant={
                kind: torch.tensor([_word(labels[i][kind], mask, kind) for mask, i in pairs])
                for kind in self.words
            },
            boxes=torch.tensor(boxes).reshape(-1, 4),
        )

    def _shares(
        self, labels: Sequence[Any], placements: Sequence[Placement], kind: str, count: int
    ) -> Tensor:
        """Return (I, Q, T): how much of each image token shows each word of a kind."""
        grid = self.config.image_grid
        known = np.eye(1 + count, dtype=np.float32)[:, 1:]  # no word: nothing
        found = []
        for one, placement in zip(labels, placements, strict=True):
            fine = on_canvas(one[kind], placement, grid * FINE, self.config.canvas)
            cells = known[fine].reshape(grid, FINE, grid, FINE, count)
            found.append(cells.mean((1, 3)).reshape(grid * grid, count))
        return torch.from_numpy(np.stack(found))

    def __call__(self, model: Any, batch: Any) -> dict[str, Tensor]:
        with _watched(model.projector, model.codebook) as seen:
            parts = super().__call__(model, batch.asked)
        tokens, groups = seen["projector"].float(), seen["codebook"].float()
        states = groups.unflatten(0, (-1, self.config.group_size)).mean(1)  # (M, D)
        table = model.language.embed_tokens.weight
        return parts | {
            "told": self.weights["told"] * self._told(tokens, table, batch),
            "meant": self.weights["meant"] * self._meant(states, batch),
        }

    def _told(self, tokens: Tensor, table: Tensor, batch: GroundingBatch) -> Tensor:
        """Cross-entropy of the image tokens (R, D) that are read with what they show."""
        config = self.config
        patches = patch_mask(batch.asked.resized, config.canvas, config.grid)
        read = pooled_mask(patches, config.image_grid).flatten(1)  # (I, Q)
        total = tokens.sum() * 0.0
        for kind, spelled in self.pieces.items():
            words = F.normalize(spelled.to(table) @ table, dim=-1)  # (T, D)
            scores = (GAIN * tokens @ words.T).log_softmax(-1)
            share = batch.shares[kind][read]  # (R, T)
            total = total - (share * scores).sum() / share.sum().clamp(min=1)
        return total / len(self.pieces)

    def _meant(self, states: Tensor, batch: GroundingBatch) -> Tensor:
        """What the groups' states (M, D) do not yet know of their targets."""
        if not len(states):
            return states.sum() * 0.0
        *words, box = (states @ self.directions.to(states).T).split([*self.sizes, 4], dim=1)
        losses = [
            F.cross_entropy(scores, batch.meant[kind])
            for kind, scores in zip(self.words, words, strict=True)
        ]
        return torch.stack(losses).mean() + BOX * F.l1_loss(box.sigmoid(), batch.boxes)


def _spelled(processor: PixelLMProcessor, names: Sequence[str], size: int) -> Tensor:
    """Return (T, V): which embeddings make up each word."""
    table = torch.zeros(len(names), size)
    for row, name in zip(table, names, strict=True):
        pieces = processor.vocabulary.encode(name)
        for piece in pieces:
            row[piece] += 1 / len(pieces)
    return table


def _word(labels: np.ndarray, mask: Tensor, kind: str) -> int:
    """Return the label that a mask (H, W) shows nearly alone, 0 for none."""
    inside = labels[mask.numpy()]
    if not len(inside):
        return 0
    counts = np.bincount(inside)
    best = int(counts.argmax())
    return best if counts[best] >= PURE.get(kind, MOSTLY) * len(inside) else 0


def _box(mask: Tensor, placement: Placement, canvas: int) -> list[float]:
    """Return centre, width and height of a mask (H, W) on the canvas, in [0, 1]."""
    centres, sizes = [], []
    for axis in (1, 0):  # x, then y
        held = torch.nonzero(mask.any(1 - axis))[:, 0]
        if not len(held):
            return [0.5, 0.5, 0.0, 0.0]
        share = placement.resized[axis] / placement.original[axis] / canvas
        begin, end = int(held[0]), int(held[-1]) + 1
        centres.append((begin + end) / 2 * share)
        sizes.append((end - begin) * share)
    return [*centres, *sizes]


@contextmanager
def _watched(projector: nn.Module, codebook: nn.Module) -> Iterator[dict[str, Tensor]]:
    """Note what leaves the projector (R, D) and what enters the codebook (M * G, D)."""
    seen: dict[str, Tensor] = {}
    hooks = [
        projector.register_forward_hook(lambda _, __, out: seen.update(projector=out)),
        codebook.register_forward_pre_hook(lambda _, given: seen.update(codebook=given[0])),
    ]
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()
