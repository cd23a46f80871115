"""gIoU and cIoU as LISA, PixelLM, GLaMM and Sa2VA count them, and a clean count beside them.

"gIoU" is the mean of the IoUs of single masks, "cIoU" the sum of intersections over the sum of
unions. Predictions are paired with targets by position; truths are maps of labels: 1 the target,
255 left out, and 2 where polygons of one annotation overlap, which belongs to no class at all.

Shapes: N true and M predicted masks of (H, W) pixels.
"""

from collections.abc import Iterable, Sequence

import numpy as np

from deixis.metrics.images.labels import IGNORED, count_labels
from deixis.metrics.matching import assign
from deixis.metrics.packed import PackedMasks
from deixis.metrics.sums import Part, Tally

UNION_EPSILON = 1e-5  # added to every union: one pixel compared with itself is 0.99998
COUNT_EPSILON = 1e-5  # added to the number of masks
TOTAL_EPSILON = 1e-10  # added to the sum of unions

Maps = Sequence[np.ndarray] | np.ndarray


def measure(true: Maps, predicted: Maps) -> Tally:
    """Tally the masks of one image as LISA's and PixelLM's `validate` pairs them.

    Surplus predictions are dropped; targets without one are too, but still counted.

    Args:
        true: label maps (N, H, W).
        predicted: booleans (M, H, W).

    Raises:
        ShapeError: maps of different sizes.
    """
    return Tally.of(_by_position(true, predicted))


def measure_sa2va(true: Maps, predicted: Sequence[np.ndarray | None]) -> Tally:
    """Tally one image as Sa2VA does: a prediction that is missing, None, is an empty mask."""
    filled = [
        np.zeros(truth.shape, dtype=bool) if mask is None else mask
        for truth, mask in zip(true, predicted, strict=False)
    ]
    return Tally.of(_by_position(true, filled))


def measure_clean(true: Maps, predicted: Maps) -> Tally:
    """Tally one image cleanly: pairs by the best sum of IoUs, and whoever is left over counts 0.

    A pixel under several polygons is the target's; nothing is added to unions.
    """
    theirs, ours = np.asarray(true), np.asarray(predicted, dtype=bool)
    kept = ~(theirs == IGNORED).any(0)
    return tally_pairs((theirs > 0) & kept, ours & kept)


def tally_pairs(true: np.ndarray, predicted: np.ndarray) -> Tally:
    """Tally true and predicted masks (N, H, W), (M, H, W) by the best sum of IoUs."""
    theirs, ours = PackedMasks(true), PackedMasks(predicted)
    ious, shared = theirs.ious(ours), theirs.intersections(ours)
    rows, columns = assign(ious)
    both = int(shared[rows, columns].sum())
    whole = int(theirs.areas.sum() + ours.areas.sum()) - both
    most = max(len(theirs), len(ours))
    return Tally.of([("giou", float(ious[rows, columns].sum()), most), ("ciou", both, whole)])


def result(tally: Tally) -> dict[str, float]:
    """Return gIoU and cIoU with LISA's small numbers in the denominators."""
    return {
        "giou": tally.top("giou") / (tally.bottom("giou") + COUNT_EPSILON),
        "ciou": tally.top("ciou") / (tally.bottom("ciou") + TOTAL_EPSILON),
    }


def result_sa2va(tally: Tally) -> dict[str, float]:
    """Return gIoU and cIoU; Sa2VA's script adds nothing to the number of masks."""
    count = tally.bottom("giou")
    return {**result(tally), "giou": tally.top("giou") / count if count else 0.0}


def united(masks: Iterable[np.ndarray]) -> np.ndarray:
    """Return the union of the masks of one answer, as Sa2VA takes several ``[SEG]`` together."""
    return np.logical_or.reduce(list(masks))


def soft_iou(intersection: np.ndarray, union: np.ndarray) -> np.ndarray:
    """Return the IoU of each class (K,) in float32, as published: 1 where the union is empty."""
    soft = intersection.astype(np.float32) / (union.astype(np.float32) + np.float32(UNION_EPSILON))
    return soft + (union == 0).astype(np.float32)


class Float32Meter:
    """LISA's meters to the last digit: sums in float32, in the order of the images.

    They depend on the order and do not merge exactly; `measure` does, and differs in the
    seventh digit.
    """

    def __init__(self) -> None:
        self.shared = np.zeros(2, dtype=np.float32)
        self.union = np.zeros(2, dtype=np.float32)
        self.score = np.zeros(2, dtype=np.float32)
        self.count = 0

    def add(self, true: Maps, predicted: Maps) -> None:
        """Add the masks of one image, paired by position."""
        shared = np.zeros(2, dtype=np.float32)
        union, score = shared.copy(), shared.copy()
        for truth, mask in zip(true, predicted, strict=False):
            counts = count_labels(mask, truth)
            shared += counts.intersection.astype(np.float32)
            union += counts.union.astype(np.float32)
            score += soft_iou(counts.intersection, counts.union)
        self.add_sums(shared, union, score, len(true))

    def add_sums(
        self, shared: np.ndarray, union: np.ndarray, score: np.ndarray, weight: int
    ) -> None:
        """Add what one image summed up to by class (2,), its mean score weighing so much."""
        self.shared += shared.astype(np.float32)
        self.union += union.astype(np.float32)
        if weight:
            self.score += score.astype(np.float32) / np.float32(weight) * np.float32(weight)
        self.count += weight

    def result(self) -> dict[str, float]:
        """Return gIoU and cIoU."""
        total = self.shared / (self.union + np.float32(TOTAL_EPSILON))
        mean = self.score / np.float32(self.count + COUNT_EPSILON)
        return {"giou": float(mean[1]), "ciou": float(total[1])}


def _by_position(true: Maps, predicted: Maps) -> Iterable[Part]:
    for truth, mask in zip(true, predicted, strict=False):
        counts = count_labels(mask, truth)
        shared, union = int(counts.intersection[1]), int(counts.union[1])
        yield "giou", shared / (union + UNION_EPSILON) if union else 1.0, 0
        yield "ciou", shared, union
    yield "giou", 0, len(true)
