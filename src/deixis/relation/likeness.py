"""How alike two sightings look: the same words everywhere, every part that both show of one colour,
and no part that one shows clearly and the other not at all. Comparing decides; nothing is learned.

A sighting is one row: an embedding of its looks, the probabilities of words of each kind, the
share of its cells that each part has, and how often each part has each colour.

Shapes: N M sightings, L width of a row.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

LOOKS = ("category", "colour", "pattern")  # what a thing keeps from image to image
LEAST_SHARE = 0.02  # of the cells, from which a part shows
CLEAR_SHARE, TRACE = 0.08, 0.01  # from which a part shows clearly; below which it does not
LACKING = 0.1  # what is left of a likeness where a part is lacking: it may be hidden after all


@dataclass(frozen=True, kw_only=True, slots=True)
class Likeness:
    """Compares rows of ``sizes``: embedding, kinds of words, parts, parts x colours."""

    sizes: tuple[int, ...]

    @classmethod
    def of(cls, identity_width: int, words: Mapping[str, Sequence[str]]) -> "Likeness":
        """Return what compares sightings of a model that knows these words, by kind."""
        kinds = [len(words[kind]) for kind in LOOKS if kind in words]
        parts, colours = len(words["part"]), len(words["colour"])
        return cls(sizes=(identity_width, *kinds, parts, parts * colours))

    def __call__(
        self, one: np.ndarray, other: np.ndarray, whole: np.ndarray | bool = True
    ) -> np.ndarray:
        """Return (N, M) in [0, 1] for rows (N, L) and (M, L).

        ``whole`` (M,) or one for all: whether a part that is lacking speaks against them; in a
        clip it does not, things hide behind others there.
        """
        ends = np.cumsum(self.sizes)[:-1]
        *mine, parts, pairs = np.split(one, ends, axis=1)
        *theirs, other_parts, other_pairs = np.split(other, ends, axis=1)
        alike = np.ones((len(one), len(other)))
        for a, b in zip(mine, theirs, strict=True):
            alike *= np.clip(_unit(a) @ _unit(b).T, 0, 1)
        lacking = np.where(whole, self._lacking(parts, other_parts), 1.0)
        return alike * self._parts(pairs, other_pairs, parts, other_parts) * lacking

    @staticmethod
    def _lacking(one: np.ndarray, other: np.ndarray) -> np.ndarray:
        """Return (N, M) from LACKING, where a part shows on one alone, to 1."""
        most, least = np.maximum(one[:, None], other), np.minimum(one[:, None], other)
        shows = np.clip(most / CLEAR_SHARE - 0.5, 0, 1)
        lacks = np.clip(1.5 - least / TRACE, 0, 1)
        return 1 - (1 - LACKING) * (shows * lacks).max(axis=2, initial=0)

    @staticmethod
    def _parts(one: np.ndarray, other: np.ndarray, mine: np.ndarray, theirs: np.ndarray):
        """Return (N, M): how well the colours of that part agree which agrees least."""
        count = mine.shape[1]
        a = _unit(one.reshape(len(one), count, -1 if len(one) else 1))
        b = _unit(other.reshape(len(other), count, -1 if len(other) else 1))
        agree = np.einsum("npc,mpc->nmp", a, b)
        both = (mine[:, None] > LEAST_SHARE) & (theirs[None] > LEAST_SHARE)
        return np.where(both, np.clip(agree, 0, 1), 1.0).min(axis=2)


def _unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.maximum(np.linalg.norm(rows, axis=-1, keepdims=True), 1e-9)
