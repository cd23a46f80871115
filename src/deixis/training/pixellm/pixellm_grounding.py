"""Stage 0 of PixelLM's language: words, and what image tokens and groups should know.

A published PixelLM begins with CLIP and LLaVA, whose image tokens lie near words and whose states
know what they speak of. From nothing, answers alone teach that slowly.

Shapes: I images, Q image tokens, R image tokens that are read, M targets, G tokens of a group,
D language width, T words, V vocabulary.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from deixis.models.configs.deixis_config import scene_words
from deixis.models.pixellm import Look, group_states
from deixis.processing.batch import moved
from deixis.processing.batches.pixellm_batch import PixelLMBatch
from deixis.processing.pixellm import PixelLMProcessor
from deixis.scenes.questions import Scene
from deixis.structures.placement import Placement
from deixis.training.objective import pixel_labels
from deixis.training.pixellm.pixellm_knowing import Knowledge, Known, bin_loss
from deixis.training.pixellm.pixellm_patches import on_canvas, things_of
from deixis.training.pixellm.pixellm_recipe import PIXELLM
from deixis.training.pixellm.pixellm_seeking import seeking_loss
from deixis.training.pixellm.pixellm_stages import AnswerObjective

FINE = 8  # labels along a side of an image token
GAIN = 8.0  # of a token's agreement with a word


@dataclass(frozen=True, kw_only=True, slots=True)
class GroundingBatch:
    """Questions and answers, and what their images and targets are.

    Attributes:
        asked: the questions.
        shares: kind -> (I, Q, T) how much of each image token every word takes up.
        boxes: (I, Q, 4) of the thing that most of a token shows, on the canvas.
        shown: (I, Q) how much of the token it takes up.
        known: what there is to know of the targets.
        cover: (M, Q) how much of each image token is of each target.
    """

    asked: PixelLMBatch
    shares: Mapping[str, Tensor]
    boxes: Tensor
    shown: Tensor
    known: Known
    cover: Tensor

    def to(self, device: torch.device | str) -> "GroundingBatch":
        """Return the batch with its tensors on a device."""
        return GroundingBatch(
            asked=self.asked.to(device),
            shares={kind: share.to(device) for kind, share in self.shares.items()},
            boxes=self.boxes.to(device),
            shown=self.shown.to(device),
            known=moved(self.known, device),
            cover=self.cover.to(device),
        )


class GroundingObjective(AnswerObjective):
    """The words of answers, and losses that stand in for what pre-training brings.

    ``told``: an image token points at the embeddings of the words that it shows. ``placed``: it
    knows the box of its thing. ``named``: one layer before the last, the states before a group
    point at the words of their target. ``sought``: the last layer looks where it lies. ``meant``:
    the states of a group know its words and its box, in the same directions
    (``pixellm_knowing.py``): what is found need only be passed on. Nothing is drawn, so that a step
    has room for many questions.
    """

    weights: Mapping[str, float] = {
        "text": PIXELLM.losses["text"],
        "told": 1.0,
        "placed": 1.0,
        "named": 0.5,
        "sought": 1.0,
        "meant": 2.0,
    }

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
        pairs = zip(scenes, asked.placements, strict=True)
        grid, canvas = self.config.image_grid, self.config.canvas
        things = [things_of(one.renderings[0].things, place, grid, canvas) for one, place in pairs]
        return GroundingBatch(
            asked=asked,
            boxes=torch.from_numpy(np.stack([boxes for boxes, _ in things])),
            shown=torch.from_numpy(np.stack([shown for _, shown in things])),
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
            cover=self._cover(asked),
        )

    def _cover(self, asked: PixelLMBatch) -> Tensor:
        """Return (M, Q): how much of each image token is of each target."""
        assert asked.truth is not None
        grid, images = self.config.image_grid, asked.image_of_target.tolist()
        found = np.zeros((len(images), grid * grid), dtype=np.float32)
        for row, mask, image in zip(found, asked.truth.masks, images, strict=True):
            place = asked.placements[image]
            fine = on_canvas(mask.numpy(), place, grid * FINE, self.config.canvas)
            row[:] = fine.reshape(grid, FINE, grid, FINE).mean((1, 3)).ravel()
        return torch.from_numpy(found)

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
        asked = batch.asked
        self._count(asked.truth.dropped)
        look = model.see(asked.pixels, asked.resized)
        laid = model.lay_out(asked.tokens, asked.held, asked.image, look)
        before, hidden = model.read_layers(laid, [-2, -1])
        states, labels = model.labelled(hidden, laid, asked)
        table = model.language.embed_tokens.weight
        groups = group_states(hidden, laid, asked.slots).mean(1)  # (M, D)
        parts = {
            "text": F.cross_entropy(model.speak(states).float(), labels),
            "told": self._told(look, table, batch),
            "placed": self._placed(look, batch),
            "named": self._named(group_states(before, laid, asked.slots), table, batch.known),
            "sought": seeking_loss(model.language, before, laid, asked, batch.cover, look.read),
            "meant": self.knowledge.loss(groups, batch.known),
        }
        return {name: self.weights[name] * part for name, part in parts.items()}

    def _told(self, look: Look, table: Tensor, batch: GroundingBatch) -> Tensor:
        """Cross-entropy of the image tokens that are read with what they show."""
        tokens = look.rows[look.read].float()  # (R, D)
        total = tokens.sum() * 0.0
        for kind, words in self._words(table).items():
            scores = (GAIN * tokens @ words.T).log_softmax(-1)
            share = batch.shares[kind][look.read]  # (R, T)
            total = total - (share * scores).sum() / share.sum().clamp(min=1)
        return total / len(self.pieces)

    def _named(self, states: Tensor, table: Tensor, known: Known) -> Tensor:
        """Cross-entropy of states (M, G, D) with the words of their targets."""
        total = states.sum() * 0.0
        for (_, words), index in zip(self._words(table).items(), known.words.T, strict=True):
            has = index > 0
            if has.any():
                scores = GAIN * states[has].float() @ words.T  # (m, G, T)
                wanted = (index[has] - 1)[:, None].expand(scores.shape[:2])
                total = total + F.cross_entropy(scores.flatten(0, 1), wanted.flatten())
        return total / len(self.pieces)

    def _words(self, table: Tensor) -> dict[str, Tensor]:
        """Return by kind the directions (T, D) of words in the decoder's table."""
        return {
            kind: F.normalize(spelled.to(table) @ table, dim=-1)
            for kind, spelled in self.pieces.items()
        }

    def _placed(self, look: Look, batch: GroundingBatch) -> Tensor:
        """Cross-entropy of the image tokens that are read with the boxes of their things."""
        tokens = look.rows[look.read].float()  # (R, D)
        scores = tokens @ self.knowledge.places.to(tokens).T
        shown = batch.shown[look.read]
        loss = bin_loss(scores, batch.boxes[look.read]) * shown
        return loss.sum() / shown.sum().clamp(min=1)


def _spelled(processor: PixelLMProcessor, names: Sequence[str], size: int) -> Tensor:
    """Return (T, V): which embeddings make up each word."""
    table = torch.zeros(len(names), size)
    for row, name in zip(table, names, strict=True):
        pieces = processor.vocabulary.encode(name)
        for piece in pieces:
            row[piece] += 1 / len(pieces)
    return table
