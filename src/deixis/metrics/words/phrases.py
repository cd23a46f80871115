"""How alike two phrases are: shared words, and the cosine of what they mean."""

import re
from collections.abc import Callable

import numpy as np

from deixis.metrics.sums import FAILED, Tally

BOTH_EMPTY = f"{FAILED}both phrases empty"


def word_iou(predicted: str, true: str) -> float | None:
    """Return Osprey's semantic IoU: shared words over all words, apart by white space alone.

    Case and punctuation tell words apart. None where neither has a word: Osprey's code divides by
    zero there.
    """
    ours, theirs = set(predicted.split()), set(true.split())
    return len(ours & theirs) / len(ours | theirs) if ours | theirs else None


def word_iou_clean(predicted: str, true: str) -> float:
    """Return the share of words that both have, whatever their case and punctuation."""
    ours, theirs = (set(re.findall(r"[\w'-]+", text.casefold())) for text in (predicted, true))
    return len(ours & theirs) / len(ours | theirs) if ours | theirs else 1.0


def measure(predicted: str, true: str) -> Tally:
    """Tally one pair of phrases; two empty ones are left out, by name."""
    found = word_iou(predicted, true)
    return Tally.of([(BOTH_EMPTY, 1, 0)] if found is None else [("siou", found, 1)])


def measure_clean(predicted: str, true: str) -> Tally:
    """Tally one pair of phrases without regard to case and punctuation; two empty ones agree."""
    return Tally.of([("siou", word_iou_clean(predicted, true), 1)])


def cosine_of(embed: Callable[[str], np.ndarray]) -> Callable[[str, str], float]:
    """Return the similarity of two phrases that an embedding of phrases (D,) defines.

    GLaMM embeds with the mean of BERT's token vectors, Osprey with a sentence model.
    """

    def similarity(one: str, other: str) -> float:
        a, b = embed(one), embed(other)
        length = float(np.linalg.norm(a) * np.linalg.norm(b))
        return float(a @ b) / length if length else 0.0

    return similarity
