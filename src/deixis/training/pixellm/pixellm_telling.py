"""What PixelLM's image tokens should say: the words of what they show, and where its thing lies;
and what a language decoder asks for.

LLaVA's projector brings image tokens to where a language decoder finds them by words; from nothing,
they are told how. They say it in the directions in which the states of a group say what they mean
(``pixellm_knowing.py``), so that what is found need only be passed on.

Shapes: I images, Q image tokens, S states or sayings, D language width, T words of a kind, V
vocabulary, H W pixels of an image.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from deixis.models.configs.deixis_config import scene_words
from deixis.models.pixellm import Look
from deixis.processing.pixellm import PixelLMProcessor
from deixis.scenes.knowing.facts import Facts
from deixis.structures.placement import Placement
from deixis.training.pixellm.pixellm_canvas import counted, on_canvas, things_of
from deixis.training.pixellm.pixellm_knowing import Knowledge, bin_loss
from deixis.training.standing import SAYINGS, directions_of_sayings, sayings_of

FINE = 8  # labels along a side of an image token
GAIN = 1.6  # of a state's agreement with a word
NOTHING = 4.0  # the score of showing nothing, so that the others lie around 0
BLANK = 0.3  # how much a token counts that shows nothing
SIZES = [len(said) for said in SAYINGS.values()]
LEAST = 0.25  # tokens that show a word, from which it can be found


@dataclass(frozen=True, kw_only=True, slots=True)
class Tellable:
    """What there is to say of the tokens of some images.

    Attributes:
        shares: kind -> (I, Q, T) how much of each image token every word takes up.
        true: (I, Q, S) how much of each is of a thing of which a saying is true.
        boxes: (I, Q, 4) of the thing that most of a token shows, on the canvas.
        shown: (I, Q) how much of the token it takes up.
    """

    shares: Mapping[str, Tensor]
    true: Tensor
    boxes: Tensor
    shown: Tensor


class Telling:
    """Compares image tokens with what they show, and states with what they ask for."""

    def __init__(self, processor: PixelLMProcessor, knowledge: Knowledge) -> None:
        config = processor.config
        self.grid, self.canvas = config.image_grid, config.canvas
        self.knowledge = knowledge
        self.sayings = directions_of_sayings(config.text_config.hidden_size)  # (S, D)
        self.pieces = {
            kind: _spelled(processor, names, config.text_config.vocab_size)
            for kind, names in scene_words().items()
        }

    def look_up(
        self, labels: Sequence[Mapping[str, np.ndarray]], facts: Sequence[Facts],
        placements: Sequence[Placement],
    ) -> Tellable:  # fmt: skip
        """Return what images show, given labels by kind of their pixels (H, W) and their facts."""
        things = [one.renderings[0].things for one in facts]
        true = [
            self.portions(ids, place, len(known) - 1) @ known[1:]
            for ids, place, known in zip(things, placements, map(sayings_of, facts), strict=True)
        ]
        pairs = zip(things, placements, strict=True)
        boxes, shown = zip(
            *(things_of(ids, place, self.grid, self.canvas) for ids, place in pairs), strict=True
        )
        shares = {
            kind: [
                self.portions(one[kind], place, len(spelled))
                for one, place in zip(labels, placements, strict=True)
            ]
            for kind, spelled in self.pieces.items()
        }
        return Tellable(
            shares={kind: torch.from_numpy(np.stack(each)) for kind, each in shares.items()},
            true=torch.from_numpy(np.stack(true)),
            boxes=torch.from_numpy(np.stack(boxes)),
            shown=torch.from_numpy(np.stack(shown)),
        )

    def portions(self, labels: np.ndarray, placement: Placement, count: int) -> np.ndarray:
        """Return (Q, count): how much of each image token shows each label (H, W) from 1 on."""
        fine = on_canvas(labels, placement, self.grid * FINE, self.canvas)
        return counted(fine, self.grid, 1 + count)[:, 1:] / np.float32(FINE**2)  # 0: no label

    def losses(self, look: Look, true: Tellable) -> dict[str, Tensor]:
        """Return what the image tokens that are read do not say yet.

        ``told``: of all words of a kind, and none, a token is nearest to what it shows.
        ``found``: of all tokens of an image, those that show a word are nearest to it, so that who
        looks for words finds them. ``compared``: who looks for what is true of a thing
        among others finds it. ``placed``: a token knows the box of its thing.

        Args:
            look: at the images.
            true: what they show.
        """
        tokens = look.rows.float()  # (I, Q, D)
        told = found = tokens.sum() * 0.0
        for kind, words in self.knowledge.words.items():
            scores = GAIN * tokens @ words.to(tokens).T  # (I, Q, T)
            share = true.shares[kind] * look.read[..., None]
            told = told + self._told(scores[look.read], share[look.read])
            found = found + _missed(scores, share, look.read)
        scores = GAIN * tokens @ self.sayings.to(tokens).T
        share = true.true * look.read[..., None]
        each = zip(scores.split(SIZES, dim=2), share.split(SIZES, dim=2), strict=True)
        compared = torch.stack([_missed(*pair, look.read) for pair in each]).mean()
        boxes = tokens @ self.knowledge.places.to(tokens).T
        shown = true.shown * look.read
        placed = (bin_loss(boxes, true.boxes) * shown).sum() / shown.sum().clamp(min=1)
        kinds = len(self.pieces)
        told, found = told / kinds, found / kinds
        return {"told": told, "found": found, "compared": compared, "placed": placed}

    def _told(self, scores: Tensor, share: Tensor) -> Tensor:
        """Return how far scores (R, T) are from what tokens show (R, T)."""
        shows = share.sum(1, keepdim=True)
        scores, share = F.pad(scores, (1, 0), value=NOTHING), torch.cat([1 - shows, share], 1)
        weight = BLANK + shows[:, 0]
        each = -(share * scores.log_softmax(1)).sum(1)
        return (each * weight).sum() / weight.sum().clamp(min=1)

    def heard(self, states: Tensor, table: Tensor, asked: Tensor, sayings: Tensor) -> Tensor:
        """Return how far states (S, D) are from what is asked for: words (S, kinds) and sayings (S,
        kinds); 1 + index of each, 0 for none."""
        words = self.named(states, self.words(table), asked)
        return words + _named(states, self.sayings.to(table).split(SIZES), sayings)

    def named(self, states: Tensor, directions: Tensor, index: Tensor) -> Tensor:
        """Return how far states (S, D) are from words (S, kinds) in directions (words, D); 1 +
        index of the word, 0 for none."""
        sizes = [len(spelled) for spelled in self.pieces.values()]
        return _named(states, directions.split(sizes), index)

    def shown(self) -> Tensor:
        """Return the directions (words, D) in which image tokens show words."""
        return torch.cat(list(self.knowledge.words.values()))

    def words(self, table: Tensor) -> Tensor:
        """Return the directions (words, D) of words in the decoder's table (V, D)."""
        return F.normalize(torch.cat(list(self.pieces.values())).to(table) @ table, dim=-1)


def _named(states: Tensor, directions: Sequence[Tensor], index: Tensor) -> Tensor:
    """Return how far states (S, D) are from one direction (T, D) of each kind; 1 + its index
    (S, kinds), 0 for none."""
    total = states.sum() * 0.0
    for words, wanted in zip(directions, index.unbind(1), strict=True):
        has = wanted > 0
        if has.any():
            scores = GAIN * states[has].float() @ words.T  # (s, T)
            total = total + F.cross_entropy(scores, wanted[has] - 1)
    return total / len(directions)


def _missed(scores: Tensor, share: Tensor, read: Tensor) -> Tensor:
    """Return how far scores (I, Q, T) of the tokens that are read (I, Q) are from finding the words
    that share (I, Q, T) says they show."""
    whole = share.sum(1, keepdim=True)  # (I, 1, T)
    among = scores.masked_fill(~read[..., None], -torch.inf).log_softmax(1)
    among = among.masked_fill(among.isinf(), 0.0)
    each = -(share / whole.clamp(min=LEAST) * among).sum(1)  # (I, T)
    shows = whole[:, 0] >= LEAST
    return (each * shows).sum() / shows.sum().clamp(min=1)


def _spelled(processor: PixelLMProcessor, names: Sequence[str], size: int) -> Tensor:
    """Return (T, V): which embeddings make up each word."""
    table = torch.zeros(len(names), size)
    for row, name in zip(table, names, strict=True):
        pieces = processor.vocabulary.encode(name)
        for piece in pieces:
            row[piece] += 1 / len(pieces)
    return table
