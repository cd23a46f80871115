"""Stage 0 of PixelLM's language: words, and what image tokens and groups should know.

A published PixelLM begins with CLIP and LLaVA, whose image tokens lie near words and whose states
know what they speak of. From nothing, answers alone teach that slowly.

Shapes: B rows, W columns, I images, Q image tokens, R image tokens that are read, M targets, G
tokens of a group, D language width, T words, V vocabulary.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from deixis.language.packed import Packed
from deixis.models.pixellm import Laid, Look, group_states
from deixis.processing.batch import moved
from deixis.processing.batches.pixellm_batch import IGNORED, IMAGE, PixelLMBatch
from deixis.processing.pixellm import PixelLMProcessor
from deixis.scenes.knowing.asked import Asked
from deixis.scenes.knowing.facts import Facts
from deixis.scenes.knowing.meaning import Which
from deixis.scenes.questions import Scene
from deixis.training.objective import pixel_labels
from deixis.training.pixellm.pixellm_knowing import Knowledge, Known
from deixis.training.pixellm.pixellm_objective import PixelLMObjective
from deixis.training.pixellm.pixellm_recipe import PIXELLM
from deixis.training.pixellm.pixellm_stages import AnswerObjective
from deixis.training.pixellm.pixellm_telling import Tellable, Telling
from deixis.training.seeking import lookers, seeking_loss
from deixis.training.standing import SAYINGS, asked_sayings, descriptions

DRAWN = 12  # targets of a step, at most


@dataclass(frozen=True, kw_only=True, slots=True)
class GroundingBatch:
    """Questions and answers, and what their images and targets are.

    Attributes:
        asked: the questions.
        tellable: what there is to say of the image tokens.
        known: what there is to know of the targets.
        cover: (M, Q) how much of each image token is of each target.
        asking: (M, kinds) 1 + index of the words of each target's description, 0 for none.
        sayings: (M, kinds) 1 + index of what should be true of it among others, 0 for none.
    """

    asked: PixelLMBatch
    tellable: Tellable
    known: Known
    cover: Tensor
    asking: Tensor
    sayings: Tensor

    def to(self, device: torch.device | str) -> "GroundingBatch":
        """Return the batch with its tensors on a device."""
        return moved(self, device)


class GroundingObjective(AnswerObjective):
    """The words of answers, and losses that stand in for what pre-training brings.

    ``told``, ``found``, ``compared``, ``placed``: an image token says which words it shows and what
    is true of its thing among others, and knows its box. ``heard``: two layers before the last, the
    states that name or draw a target know the words of the question's description, and what should
    be true of it among others. ``sought``: the last two layers look where the target lies.
    ``named``: between them, the states before a group point at the words of their target.
    ``meant``: the states of a group know its words and its box, in the same directions
    (``pixellm_knowing.py``): what is found need only be passed on. Nothing is drawn, so that a step
    has room for many questions.
    """

    weights: Mapping[str, float] = {
        "text": PIXELLM.losses["text"],
        "told": 1.0,
        "found": 1.0,
        "compared": 0.5,
        "placed": 1.0,
        "named": 0.5,
        "heard": 1.0,
        "sought": 2.0,
        "meant": 2.0,
    }

    def __init__(self, processor: PixelLMProcessor) -> None:
        super().__init__(processor)
        config = self.config = processor.config
        self.knowledge = Knowledge(config.text_config.hidden_size)
        self.telling = Telling(processor, self.knowledge)

    def collate(self, scenes: Sequence[Scene]) -> Any:
        """Write the questions, and look up what is in every image and target."""
        asked, questions = self.written(scenes)
        labels = [pixel_labels(one.world.views[0], one.renderings[0]) for one in scenes]
        assert len(asked.pixels) == len(labels), "one image a scene, and a question about each"
        assert asked.truth is not None
        images = asked.image_of_target.tolist()
        facts = [Facts(one.world, one.renderings) for one in scenes]
        described = _described(facts, questions, asked)
        return GroundingBatch(
            asked=asked,
            tellable=self.telling.look_up(labels, facts, asked.placements),
            known=self.knowledge.look_up(
                asked.truth.masks,
                [labels[image] for image in images],
                [asked.placements[image] for image in images],
                self.config.canvas,
            ),
            cover=self._cover(asked),
            asking=_rows([self._words_of(one) for one in described], len(self.knowledge.kinds)),
            sayings=_rows([asked_sayings(one) for one in described], len(SAYINGS)),
        )

    def _words_of(self, which: Which) -> list[int]:
        """Return 1 + index of the word of each kind in a description, 0 for none."""
        said = {kind: getattr(which.described, kind, None) for kind in self.knowledge.kinds}
        said["part"] = which.part
        pairs = zip(said.values(), self.knowledge.kinds.values(), strict=True)
        return [1 + own.index(word) if word else 0 for word, own in pairs]

    def _cover(self, asked: PixelLMBatch) -> Tensor:
        """Return (M, Q): how much of each image token is of each target."""
        assert asked.truth is not None
        images = asked.image_of_target.tolist()
        found = [
            self.telling.portions(mask.numpy().astype(np.int64), asked.placements[image], 1)
            for mask, image in zip(asked.truth.masks, images, strict=True)
        ]
        cells = self.config.image_grid**2
        return torch.from_numpy(np.stack(found)[..., 0] if found else np.zeros((0, cells), "f4"))

    def __call__(self, model: Any, batch: Any) -> dict[str, Tensor]:
        return self.knows(model, batch)[0]

    def knows(self, model: Any, batch: GroundingBatch) -> tuple[dict[str, Tensor], Look, Tensor]:
        """Return the parts of the loss, what was seen, and the states of groups (M, G, D)."""
        asked = batch.asked
        assert asked.truth is not None
        self._count(asked.truth.dropped)
        look = model.see(asked.pixels, asked.resized)
        laid = model.lay_out(asked.tokens, asked.held, asked.image, look)
        early, before, hidden = model.read_layers(laid, [-3, -2, -1])
        states, labels = model.labelled(hidden, laid, asked)
        table = model.language.embed_tokens.weight
        groups = group_states(hidden, laid, asked.slots)
        looking = _lookers(laid, asked)
        parts = {
            "text": F.cross_entropy(model.speak(states).float(), labels),
            **self.telling.losses(look, batch.tellable),
            "named": self.telling.named(
                group_states(before, laid, asked.slots).flatten(0, 1),
                self.telling.words(table),
                batch.known.words.repeat_interleave(groups.shape[1], dim=0),
            ),
            "heard": self._heard(early, batch, table, looking),
            "sought": seeking_loss(
                model.language,
                [early, before],
                _wanted(laid, asked, batch.cover, look.read),
                looking,
            ),
            "meant": self.knowledge.loss(groups.mean(1), batch.known),
        }
        return {name: self.weights[name] * part for name, part in parts.items()}, look, groups

    def _heard(
        self, states: Packed, batch: GroundingBatch, table: Tensor,
        looking: tuple[Tensor, Tensor, Tensor],
    ) -> Tensor:  # fmt: skip
        """Return how far states (B, W, D) that look for targets are from what is asked for."""
        row, column, target = looking
        asked = batch.asking[target], batch.sayings[target]
        return self.telling.heard(states[row, column], table, *asked)


class HearingObjective(GroundingObjective):
    """What questions ask for, and how answers are put, from words alone: no picture is read.

    Heads that look for what a state does not know stay where they began. A question without its
    picture costs little, so that what states must know first is learned in many small steps.
    """

    weights: Mapping[str, float] = {
        name: GroundingObjective.weights[name] for name in ("text", "heard")
    }

    def __call__(self, model: Any, batch: Any) -> dict[str, Tensor]:
        asked = batch.asked
        assert asked.truth is not None
        table = model.language.embed_tokens.weight
        rows = table.new_zeros(len(asked.pixels), self.config.image_grid**2, table.shape[1])
        none = torch.zeros_like(rows[..., 0], dtype=torch.bool)
        nothing = Look(features=rows[:0], rows=rows, read=none)
        laid = model.lay_out(asked.tokens, asked.held, asked.image, nothing)
        early, hidden = model.read_layers(laid, [-3, -1])
        states, labels = model.labelled(hidden, laid, asked)
        parts = {
            "text": F.cross_entropy(model.speak(states).float(), labels),
            "heard": self._heard(early, batch, table, _lookers(laid, asked)),
        }
        return {name: self.weights[name] * part for name, part in parts.items()}


class JoiningObjective(GroundingObjective):
    """All that ``GroundingObjective`` teaches, and masks of some of the targets.

    A mask costs as much as several questions, and drawing is known by then: what is meant goes on
    being learned from all questions, and joined to what is drawn by a few.
    """

    weights: Mapping[str, float] = {
        **GroundingObjective.weights,
        "bce": PIXELLM.losses["bce"],
        "dice": PIXELLM.losses["dice"],
    }

    def __call__(self, model: Any, batch: Any) -> dict[str, Tensor]:
        parts, look, groups = self.knows(model, batch)
        step = max(1, -(-len(groups) // DRAWN))
        asked, groups = batch.asked.every(step), groups[::step]
        image = asked.image_of_target
        output = model.drawn(model.point(model.queries(groups), look, image), image)
        total = {name: output.mask_logits.sum() * 0.0 for name in ("bce", "dice")}
        for losses in PixelLMObjective().per_image(output, asked):
            total = {name: total[name] + losses[name].sum() for name in total}
        count = max(len(groups), 1)
        return parts | {name: self.weights[name] * part / count for name, part in total.items()}


def _lookers(laid: Laid, batch: PixelLMBatch) -> tuple[Tensor, Tensor, Tensor]:
    """Return the rows and columns of states that name or draw a target, and that target."""
    assert batch.truth is not None
    learned = batch.truth.labels != IGNORED
    return lookers(laid.starts, learned, batch.slots.row, batch.slots.column.amax(1))


def _wanted(laid: Laid, batch: PixelLMBatch, cover: Tensor, read: Tensor) -> Tensor:
    """Return (M, W): what covers (M, Q) say of the columns of their rows."""
    place = ((batch.tokens == IMAGE) & batch.held).long().argmax(1)  # (B,)
    first = laid.starts.gather(1, place[:, None])[:, 0][batch.slots.row]  # (M,)
    mine = read[batch.image_of_target]  # (M, Q)
    column = first[:, None] + mine.long().cumsum(1) - 1
    width = laid.embedded.shape[1]
    wanted = cover.new_zeros(len(cover), width + 1)  # the last for what is not read
    column = column.masked_fill(~mine, width)
    return wanted.scatter(1, column, cover)[:, :width]


def _described(
    facts: Sequence[Facts], questions: Sequence[Asked | None], asked: PixelLMBatch
) -> list[Which]:
    """Return how each target's question describes it; by names: not at all."""
    images = asked.image.tolist()
    of_rows = [
        descriptions(facts[image], question) if question else repeat(Which())
        for image, question in zip(images, questions, strict=True)
    ]
    return [next(of_rows[row]) for row in asked.slots.row.tolist()]


def _rows(found: Sequence[Sequence[int]], width: int) -> Tensor:
    return torch.tensor(found, dtype=torch.long).reshape(-1, width)
