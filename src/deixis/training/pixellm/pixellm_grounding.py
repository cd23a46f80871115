"""Stage 0 of PixelLM's language: answers, and what image tokens and groups should know.

A published PixelLM begins with CLIP and LLaVA, whose image tokens lie near words and whose states
know what they speak of. From nothing, answers alone teach that slowly.

Shapes: I images, Q image tokens, R image tokens that are read, M targets, G tokens of a group,
D language width, T words, V vocabulary.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deixis.models.configs.deixis_config import scene_words
from deixis.models.parts.pixellm_vision import patch_mask, pooled_mask
from deixis.processing.batch import moved
from deixis.processing.batches.pixellm_batch import PixelLMBatch
from deixis.processing.pixellm import PixelLMProcessor
from deixis.scenes.questions import Scene
from deixis.structures.placement import Placement
from deixis.training.objective import pixel_labels
from deixis.training.pixellm.pixellm_knowing import Knowledge, Known
from deixis.training.pixellm.pixellm_patches import on_canvas
from deixis.training.pixellm.pixellm_stages import AnswerObjective

FINE = 8  # labels along a side of an image token
GAIN = 8.0  # of a token's agreement with a word


@dataclass(frozen=True, kw_only=True, slots=True)
class GroundingBatch:
    """Questions and answers, and what their images and targets are.

    Attributes:
        asked: the questions.
        shares: kind -> (I, Q, T) how much of each image token every word takes up.
        known: what there is to know of the targets.
    """

    asked: PixelLMBatch
    shares: Mapping[str, Tensor]
    known: Known

    def to(self, device: torch.device | str) -> "GroundingBatch":
        """Return the batch with its tensors on a device."""
        shares = {kind: share.to(device) for kind, share in self.shares.items()}
        known = moved(self.known, device)
        return GroundingBatch(asked=self.asked.to(device), shares=shares, known=known)


class GroundingObjective(AnswerObjective):
    """The losses of answers, and two that stand in for what pre-training brings.

    ``told``: an image token points at the embeddings of the words that it shows. ``meant``: the
    states of a group know the words and the box of their target (``pixellm_knowing.py``).
    """

    weights: Mapping[str, float] = {**AnswerObjective.weights, "told": 1.0, "meant": 1.0}

    def __init__(self, processor: PixelLMProcessor) -> None:
        super().__init__(processor)
        config = self.config = processor.config
        self.knowledge = Knowledge(config.text_config.hidden_size)
        self.pieces = {
            kind: _spelled(processor, names, config.text_config.vocab_size)
            for kind, names in scene_words().items()
        }

    def collate(self, scenes: Sequence[Scene]) -> Any:
        """Write the questions, and look up what is in every image and target."""
        asked = super().collate(scenes)
        labels = [pixel_labels(one.world.views[0], one.renderings[0]) for one in scenes]
        assert len(asked.pixels) == len(labels), "one image a scene, and a question about each"
        assert asked.truth is not None
        images = asked.image_of_target.tolist()
        return GroundingBatch(
            asked=asked,
            shares={
                kind: self._shares(labels, asked.placements, kind, len(spelled))
                for kind, spelled in self.pieces.items()
            },
            known=self.knowledge.look_up(
                asked.truth.masks,
                [labels[image] for image in images],
                [asked.placements[image] for image in images],
                self.config.canvas,
            ),
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
        states = seen["codebook"].unflatten(0, (-1, self.config.group_size)).mean(1)  # (M, D)
        told = self._told(seen["projector"].float(), model.language.embed_tokens.weight, batch)
        return parts | {
            "told": self.weights["told"] * told,
            "meant": self.weights["meant"] * self.knowledge.loss(states, batch.known),
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


def _spelled(processor: PixelLMProcessor, names: Sequence[str], size: int) -> Tensor:
    """Return (T, V): which embeddings make up each word."""
    table = torch.zeros(len(names), size)
    for row, name in zip(table, names, strict=True):
        pieces = processor.vocabulary.encode(name)
        for piece in pieces:
            row[piece] += 1 / len(pieces)
    return table


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
