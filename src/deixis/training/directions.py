"""Words of our scenes as vectors that never learn: what a prompt of a mask says, agreed upon.

Both sides of a prompt learn it in stage 0: what draws, to draw what it says, and what reads, to say
it. So no model has a weight that only training needs.

Shapes: M targets, C width of a prompt or an encoder, F frames, h w cells, n words of a kind,
D width of a language decoder, P tokens or points of a cell, S
states.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from math import isqrt
from random import Random
from re import findall
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deixis.models.configs.deixis_config import scene_words

KINDS = ("category", "colour", "pattern")
WORDS = {kind: tuple(scene_words()[kind]) for kind in KINDS}
LABELS: Mapping[str, int] = {  # kind of word -> how many labels a cell may have, 0 of none
    kind: 1 + len(names) for kind, names in scene_words().items()
}
SHARP = 16.0  # of the likeness between what is read and a word, as logits
STRENGTH = 0.5  # root mean square of what one word adds to a prompt
SHORT = 0.7  # share of the things that are called by category and colour where that suffices

Said = tuple[int, int, int]  # for each kind 1 + index of the word, 0 where none is said
NOTHING: Said = (0, 0, 0)


class Directions:
    """Gives each word a fixed random direction.

    Args:
        width: C.
        kinds: of words.
    """

    def __init__(self, width: int, kinds: Sequence[str] = KINDS) -> None:
        counts = [len(scene_words()[kind]) for kind in kinds]
        total = sum(counts)
        dice = torch.Generator().manual_seed(0)
        rows = nn.init.orthogonal_(torch.empty(total, width), generator=dice)
        rows = rows / rows.square().mean(1, keepdim=True).sqrt() * STRENGTH
        unsaid = torch.zeros(1, width)
        self.tables = [torch.cat([unsaid, own]) for own in rows.split(counts)]

    def __call__(self, said: Tensor) -> Tensor:
        """Return (M, C) of words (M, kinds): the sum of their directions."""
        tables = [table.to(said.device) for table in self.tables]
        return torch.stack([table[ids] for table, ids in zip(tables, said.T, strict=True)]).sum(0)


class LabelRows:
    """Reads from an encoder's states what cells show: each label has a fixed random direction.

    Args:
        width: C, of the states.
    """

    def __init__(self, width: int) -> None:
        dice = torch.Generator().manual_seed(0)
        self.rows = nn.init.orthogonal_(torch.empty(sum(LABELS.values()), width), generator=dice)

    def __call__(self, states: Tensor) -> dict[str, Tensor]:
        """Return logits (F, n, h, w) by kind of states (F, h * w, C) of a square grid."""
        side = isqrt(states.shape[1])
        logits = (states @ self.rows.to(states).T).float().mT.unflatten(2, (side, side))
        return dict(zip(LABELS, logits.split(list(LABELS.values()), 1), strict=True))


class WordRows:
    """Finds the words in a language decoder's own table.

    Args:
        encode: a text's tokens.
    """

    def __init__(self, encode: Callable[[str], Sequence[int]]) -> None:
        self.ids = {kind: [encode(f" {name}") for name in WORDS[kind]] for kind in KINDS}

    def __call__(self, table: Tensor) -> dict[str, Tensor]:
        """Return, by kind, the directions (n, D) of the words of a table (V, D)."""
        return {
            kind: F.normalize(torch.stack([table[one].mean(0) for one in ids]).float(), dim=1)
            for kind, ids in self.ids.items()
        }


def likeness(tokens: Tensor, words: Tensor, none: float = 0.0) -> Tensor:
    """Return logits (..., 1 + n) of words (n, D), the first, ``none``, of none, of tokens (..., D).

    Of tokens of length 1 a word must be more alike than ``none / SHARP`` to be shown at all; at 0
    tokens come to share a vector that is unlike all words, and say little else.
    """
    return F.pad(SHARP * tokens.float() @ words.T, (1, 0), value=none)


def unfound(tokens: Tensor, words: Tensor, shares: Tensor) -> Tensor:
    """Return how far words (n, D) are from finding the tokens (F, P, D) that show them, among all
    of them, in nats; shares (F, P, n) of what each token shows."""
    own = F.normalize(tokens.flatten(0, 1).float(), dim=1)  # (F * P, D)
    logs = (2 * SHARP * own @ words.T).log_softmax(0)  # (F * P, n)
    counts = shares.flatten(0, 1)
    total = counts.sum(0)
    missed = -(counts * logs).sum(0) / total.clamp(min=1e-6)
    return missed.sum() / (total > 0).sum().clamp(min=1)


def shares_of(labels: Tensor, count: int) -> Tensor:
    """Return (F, h * w, n) the shares of words in cells, of labels (F, P, h, w) of P points of
    each: 1 + index of the word, 0 for none, -1 for what is not asked."""
    cells = labels.flatten(2).mT  # (F, h * w, P)
    return F.one_hot(cells.clamp(min=0), count + 1)[..., 1:].float().mean(2)


def unheard(states: Tensor, words: Mapping[str, Tensor], said: Tensor) -> Tensor:
    """Return how far states (S, D) are from what their question says (S, kinds), 1 + index in each
    kind and 0 for nothing, in nats; ``words`` are the directions (n, D) of each kind."""
    if not len(said):
        return states.sum() * 0
    own = F.normalize(states.float(), dim=1)
    losses = [
        F.cross_entropy(SHARP * own @ rows.T, ids - 1, ignore_index=-1, reduction="sum")
        for rows, ids in zip(words.values(), said.T, strict=True)
    ]
    return torch.stack(losses).sum() / (said > 0).sum().clamp(min=1)


def words_of(thing: Any) -> Said:
    """Return the words of a thing of a world."""
    own = (thing.category, thing.colour, thing.pattern)
    category, colour, pattern = (
        1 + WORDS[kind].index(word) for kind, word in zip(KINDS, own, strict=True)
    )
    return category, colour, pattern


def short_words(own: Said, others: Collection[Said], random: Random) -> Said:
    """Return words that mean a thing alone among others; ``NOTHING`` if none do."""
    short: Said = (own[0], own[1], 0)
    tried = (short, own) if random.random() < SHORT else (own,)
    fitting = (some for some in tried if not any(fits(some, other) for other in others))
    return next(fitting, NOTHING)


def fits(some: Said, whole: Said) -> bool:
    """Tell whether words are true of a thing with these."""
    return all(word in (0, own) for word, own in zip(some, whole, strict=True))


def said_of(phrase: str) -> Said:
    """Return the words of a phrase such as "striped blue fish with a pink fin".

    Of a part of a thing nothing is said: its words are those of the whole.

    Example:
        >>> said_of("red mug") == said_of("the red mug with a blue handle") != NOTHING
        True
    """
    if " of the " in phrase:
        return NOTHING
    words = phrase.split(" with ")[0].split()
    found = [
        next((1 + table.index(word) for word in words if word in table), 0)
        for table in WORDS.values()
    ]
    return found[0], found[1], found[2]


def said_in(text: str, said: Sequence[int]) -> Said:
    """Return those words that a text says too, in the singular or in the plural.

    Example:
        >>> said_in("Find the red thing.", said_of("red mug")) == said_of("red thing")
        True
    """
    found = findall("[a-z]+", text.lower())
    known = {*found, *(word.removesuffix("s") for word in found)}
    category, colour, pattern = (
        own if own and table[own - 1] in known else 0
        for own, table in zip(said, WORDS.values(), strict=True)
    )
    return category, colour, pattern
