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

from deixis.models.pixellm import Look, group_states
from deixis.processing.batch import moved
from deixis.processing.batches.pixellm_batch import PixelLMBatch
from deixis.processing.pixellm import PixelLMProcessor
from deixis.scenes.knowing.asked import Asked
from deixis.scenes.knowing.facts import Facts
from deixis.scenes.knowing.meaning import Described
from deixis.scenes.knowing.mentioning import mentions
from deixis.scenes.questions import Scene
from deixis.training.objective import pixel_labels
from deixis.training.pixellm.pixellm_knowing import Knowledge, Known
from deixis.training.pixellm.pixellm_objective import PixelLMObjective
from deixis.training.pixellm.pixellm_recipe import PIXELLM
from deixis.training.pixellm.pixellm_seeking import lookers, noticing_loss, seeking_loss
from deixis.training.pixellm.pixellm_stages import AnswerObjective
from deixis.training.pixellm.pixellm_telling import Tellable, Telling

DRAWN = 12  # targets of a step, at most


@dataclass(frozen=True, kw_only=True, slots=True)
class GroundingBatch:
    """Questions and answers, and what their images and targets are.

    Attributes:
        asked: the questions.
        tellable: what there is to say of the image tokens.
        known: what there is to know of the targets.
        cover: (M, Q) how much of each image token is of each target.
        touched: (B, 2, Q) how much of each is of what fits a question's description, and of what
            that should stand beside; nothing for questions by names.
        asking: (B, 2, kinds) 1 + index of the words in these two roles, 0 for none.
    """

    asked: PixelLMBatch
    tellable: Tellable
    known: Known
    cover: Tensor
    touched: Tensor
    asking: Tensor

    def to(self, device: torch.device | str) -> "GroundingBatch":
        """Return the batch with its tensors on a device."""
        return GroundingBatch(
            asked=self.asked.to(device),
            tellable=self.tellable.to(device),
            known=moved(self.known, device),
            cover=self.cover.to(device),
            touched=self.touched.to(device),
            asking=self.asking.to(device),
        )


class GroundingObjective(AnswerObjective):
    """The words of answers, and losses that stand in for what pre-training brings.

    ``told``, ``found``, ``placed``: an image token says which words it shows, and knows the box of
    its thing. ``heard``: two layers before the last, the states that name or draw a target know the
    words of the question's description, and of what that should stand beside. ``noticed``: the
    layer before the last looks at what fits them. ``named``: after it, the states before a group
    point at the words of their target. ``sought``: the last layer looks where the target lies.
    ``meant``: the states of a group know its words and its box, in the same directions
    (``pixellm_knowing.py``): what is found need only be passed on. Nothing is drawn, so that a step
    has room for many questions.
    """

    weights: Mapping[str, float] = {
        "text": PIXELLM.losses["text"],
        "told": 1.0,
        "found": 1.0,
        "placed": 1.0,
        "named": 0.5,
        "heard": 1.0,
        "noticed": 0.5,
        "sought": 1.0,
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
        things = [one.renderings[0].things for one in scenes]
        return GroundingBatch(
            asked=asked,
            tellable=self.telling.look_up(labels, things, asked.placements),
            known=self.knowledge.look_up(
                asked.truth.masks,
                [labels[image] for image in images],
                [asked.placements[image] for image in images],
                self.config.canvas,
            ),
            cover=self._cover(asked),
            touched=self._touched(scenes, questions, asked),
            asking=self._asking(questions),
        )

    def _touched(
        self, scenes: Sequence[Scene], questions: Sequence[Asked | None], asked: PixelLMBatch
    ) -> Tensor:
        """Return (B, 2, Q): how much of each image token a question touches, by role."""
        facts = [Facts(one.world, one.renderings) for one in scenes]
        things = [one.renderings[0].things for one in scenes]
        of = [
            self.telling.portions(ids, place, int(ids.max()))
            for ids, place in zip(things, asked.placements, strict=True)
        ]
        found = np.zeros((len(questions), 2, len(of[0])), dtype=np.float32)
        for touched, question, image in zip(found, questions, asked.image.tolist(), strict=True):
            for one in mentions(facts[image], question) if question else ():
                if one.thing <= of[image].shape[1]:  # else it lies behind all others
                    touched[one.role] += of[image][:, one.thing - 1]
        return torch.from_numpy(found)

    def _asking(self, questions: Sequence[Asked | None]) -> Tensor:
        """Return (B, 2, kinds): what the first description of each question says, and that of what
        it should stand beside."""
        found = torch.zeros(len(questions), 2, len(self.knowledge.kinds), dtype=torch.long)
        for row, question in zip(found, questions, strict=True):
            if question is None:
                continue
            which = question.which[0]
            row[0] = self._words_of(which.described)
            if which.relation:
                row[1] = self._words_of(which.relation[1])
        return found

    def _words_of(self, described: Described) -> Tensor:
        """Return (kinds,): 1 + index of the word of each kind in a description, 0 for none."""
        said = [(getattr(described, kind, None), own) for kind, own in self.knowledge.kinds.items()]
        return torch.tensor([1 + own.index(word) if word else 0 for word, own in said])

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
        row, column, _ = lookers(laid, asked)
        reading = (laid, asked)
        parts = {
            "text": F.cross_entropy(model.speak(states).float(), labels),
            **self.telling.losses(look, batch.tellable),
            "named": self.telling.named(
                group_states(before, laid, asked.slots).flatten(0, 1),
                self.telling.words(table),
                batch.known.words.repeat_interleave(groups.shape[1], dim=0),
            ),
            "heard": self.telling.heard(early[row, column], table, batch.asking[row]),
            "noticed": noticing_loss(model.language, early, *reading, batch.touched, look.read),
            "sought": seeking_loss(model.language, before, *reading, batch.cover, look.read),
            "meant": self.knowledge.loss(groups.mean(1), batch.known),
        }
        return {name: self.weights[name] * part for name, part in parts.items()}, look, groups


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
