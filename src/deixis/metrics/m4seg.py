"""M4Seg's figures: masks and phrases of answers about image sets (specification of PRIMA 5.1).

The unit of a mask is (sample, image), as GLaMM's is an image. No evaluator of M4Seg could be
read: mIoU and recall are GLaMM's, the others what the published columns bear out; each says below
how it pairs and by what it divides. A strict mIoU and a strict recall stand beside.

Shapes: N true and M predicted masks of one image; IoUs are (N, M).
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from deixis.metrics.images.gcg import (
    ALIKE,
    OVERLAP,
    Similarity,
    greedy_matches,
    greedy_miou,
    similarities,
)
from deixis.metrics.matching import assign
from deixis.metrics.packed import PackedMasks
from deixis.metrics.sums import Part, Tally
from deixis.metrics.words.phrases import word_iou
from deixis.structures.answers import GroundedAnswer

NAMES = (
    *("miou", "miou_strict", "recall", "recall_strict"),
    *("i_ss", "i_siou", "ss", "siou", "meteor"),
)
NUMBERED = re.compile(r"_\d+\b")  # "mug_2" is a mug
NAMED_IMAGE = re.compile(r"\(\s*IMAGE\s*\d+\s*\)*", re.IGNORECASE)

Meteor = Callable[[str, str], float]  # of a true and a predicted answer, in [0, 1]


@dataclass(frozen=True, slots=True)
class Labelled:
    """The masks of one image (N, H, W) and what each is called."""

    masks: np.ndarray
    phrases: tuple[str, ...]


def measure(
    truth: GroundedAnswer,
    predicted: GroundedAnswer,
    *,
    similarity: Similarity,
    meteor: Meteor | None = None,
) -> Tally:
    """Tally one sample.

    miou: pairs by the largest IoU again and again, their mean; unmatched ones cost nothing; the
    mean over images with a true mask. miou_strict: the best pairs, over the larger number of
    masks, over images with a mask on either side. recall: in that order, until the first pair
    with IoU or similarity below 0.5; over true masks. recall_strict: as many such pairs as there
    are. i_ss, i_siou: similarity (at least 0) and shared words of pairs of IoU > 0, over true
    masks. ss, siou: phrases of the sample paired by the text alone, over true phrases. meteor: of
    whole answers.

    Args:
        truth, predicted: answers about one image set.
        similarity: of two phrases in lower case, 1 for the same meaning.
        meteor: of the texts; ``exact_meteor`` if not given.
    """
    return Tally.of(_parts(truth, predicted, similarity, meteor or exact_meteor))


def label(phrase: str) -> str:
    """Return a phrase as it is compared: lower case, without the number of its instance."""
    return " ".join(NUMBERED.sub("", phrase).lower().split())


def plain(text: str) -> str:
    """Return an answer as METEOR reads it: without the names of images and numbers of instances."""
    return " ".join(NUMBERED.sub("", NAMED_IMAGE.sub(" ", text)).split())


def words_alike(one: str, other: str) -> float:
    """Return shared over all words: the similarity where no sentence model is at hand."""
    return word_iou(other, one) or 0.0


def exact_meteor(true: str, predicted: str) -> float:
    """Return METEOR (Banerjee and Lavie, 2005) with exact words alone: no stems, no synonyms.

    10 P R / (R + 9 P), less 0.5 (chunks / matches) cubed of it. Of several ways to pair equal
    words the one in reading order counts.
    """
    theirs, ours = (re.findall(r"[\w'-]+", text.lower()) for text in (true, predicted))
    pairs = _aligned(theirs, ours)
    if not pairs:
        return float(not theirs and not ours)
    precision, recall = len(pairs) / len(ours), len(pairs) / len(theirs)
    mean = 10 * precision * recall / (recall + 9 * precision)
    breaks = sum(b != (a[0] + 1, a[1] + 1) for a, b in pairwise(pairs))
    return mean * (1 - 0.5 * ((1 + breaks) / len(pairs)) ** 3)


def _aligned(true: Sequence[str], predicted: Sequence[str]) -> list[tuple[int, int]]:
    """Pair equal words once each, preferring the one that follows the last pair."""
    free = list(range(len(true)))
    pairs: list[tuple[int, int]] = []
    for place, word in enumerate(predicted):
        fits = [at for at in free if true[at] == word]
        if fits:
            after = pairs[-1][0] + 1 if pairs else 0
            at = after if after in fits else fits[0]
            free.remove(at)
            pairs.append((at, place))
    return pairs


def by_image(answer: GroundedAnswer) -> dict[int, Labelled]:
    """Return the masks of each image, in the order in which the answer names them."""
    found: dict[int, list[tuple[np.ndarray, str]]] = {}
    for target in answer.targets:
        for image, mask in target.masks.items():
            if mask.area:
                found.setdefault(image, []).append((mask.pixels, label(target.phrase)))
    return {
        image: Labelled(np.stack([m for m, _ in rows]), tuple(name for _, name in rows))
        for image, rows in found.items()
    }


def _parts(
    truth: GroundedAnswer, predicted: GroundedAnswer, similarity: Similarity, meteor: Meteor
) -> Iterable[Part]:
    true, ours = by_image(truth), by_image(predicted)
    for image in sorted({*true, *ours}):
        yield from _of_image(true.get(image), ours.get(image), similarity)
    names = [name for image in sorted(true) for name in true[image].phrases]
    said = [name for image in sorted(ours) for name in ours[image].phrases]
    yield "ss", _by_text(names, said, similarity), len(names)
    yield "siou", _by_text(names, said, words_alike), len(names)
    yield "meteor", meteor(plain(truth.text), plain(predicted.text)), 1


def _of_image(
    true: Labelled | None, ours: Labelled | None, similarity: Similarity
) -> Iterable[Part]:
    if true is None:
        yield "miou_strict", 0, 1  # a mask where nothing is: free of charge only as published
        return
    count = len(true.phrases)
    if ours is None:
        yield from ((name, 0, 1) for name in ("miou", "miou_strict"))
        yield from ((n, 0, count) for n in ("recall", "recall_strict", "i_ss", "i_siou"))
        return
    ious = PackedMasks(true.masks).ious(PackedMasks(ours.masks))
    alike = similarities(true.phrases, ours.phrases, similarity)
    shared = similarities(true.phrases, ours.phrases, words_alike)
    rows, columns = assign(ious)
    most = max(count, len(ours.phrases))
    yield "miou", greedy_miou(ious), 1
    yield "miou_strict", float(ious[rows, columns].sum()) / most, 1
    yield "recall", len(greedy_matches(ious, alike)), count
    good = (ious >= OVERLAP) & (alike >= ALIKE)
    rows, columns = assign(good.astype(np.float64))
    yield "recall_strict", int(good[rows, columns].sum()), count
    pairs = greedy_matches(ious, np.ones_like(ious), overlap=float(np.nextafter(0, 1)), least=0)
    yield "i_ss", sum(max(0.0, float(alike[pair])) for pair in pairs), count
    yield "i_siou", sum(float(shared[pair]) for pair in pairs), count


def _by_text(true: Sequence[str], predicted: Sequence[str], similarity: Similarity) -> float:
    """Return the sum of similarities of phrases that are paired, the most alike first."""
    rest, total = similarities(true, predicted, similarity), 0.0
    while rest.size and rest.max() > 0:
        row, column = np.unravel_index(np.argmax(rest), rest.shape)
        total += float(rest[row, column])
        rest = np.delete(np.delete(rest, row, axis=0), column, axis=1)
    return total
