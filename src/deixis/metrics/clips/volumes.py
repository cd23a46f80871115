"""PixelQA's J and F as UniPixel scores them: over the volume of an object's sampled frames.

Its "F" is an F1 of pixels, not of boundaries. Shapes: O objects, T frames of (H, W) pixels.
"""

import numpy as np

from deixis.metrics.clips.expressions import clip_scores
from deixis.metrics.overlap import iou
from deixis.metrics.sums import Tally

EPSILON = np.float32(1e-6)  # in every denominator: both empty is 0
DECIMALS = 5  # of a percentage, as UniPixel's script prints it


def volume_scores(true: np.ndarray, predicted: np.ndarray) -> tuple[float, float, float]:
    """Return (J, F, their mean) of one object over all its frames (T, H, W), in float32."""
    theirs, ours = true.astype(bool), predicted.astype(bool)
    shared = np.float32(np.count_nonzero(theirs & ours))
    precision = shared / (np.float32(np.count_nonzero(ours)) + EPSILON)
    recall = shared / (np.float32(np.count_nonzero(theirs)) + EPSILON)
    region = shared / (np.float32(np.count_nonzero(theirs | ours)) + EPSILON)
    both = np.float32(2) * precision * recall / (precision + recall + EPSILON)
    return float(region), float(both), (float(region) + float(both)) / 2


def measure(true: np.ndarray, predicted: np.ndarray) -> Tally:
    """Tally one sample (O, T, H, W); every object counts once."""
    scores = [volume_scores(*sides) for sides in zip(true, predicted, strict=True)]
    names = ("j", "f", "jf")
    return Tally.of((name, v, 1) for row in scores for name, v in zip(names, row, strict=True))


def measure_clean(true: np.ndarray, predicted: np.ndarray) -> Tally:
    """Tally one sample with boundaries for F, IoU 1 where both are empty, and once per sample."""
    regions, contours = [], []
    for theirs, ours in zip(true.astype(bool), predicted.astype(bool), strict=True):
        shared, union = np.count_nonzero(theirs & ours), np.count_nonzero(theirs | ours)
        regions.append(iou(int(shared), int(union)))
        contours.append(clip_scores(theirs, ours)[1])
    if not regions:
        return Tally.of([])
    region, contour = float(np.mean(regions)), float(np.mean(contours))
    return Tally.of([("j", region, 1), ("f", contour, 1), ("jf", (region + contour) / 2, 1)])


def result(tally: Tally) -> dict[str, float]:
    """Return J, F and J&F in percent, rounded as UniPixel's script prints them."""
    found = {name: tally.quotient(name) for name in ("j", "f", "jf") if tally.bottom(name)}
    return {name: round(100 * value, DECIMALS) for name, value in found.items()}
