"""Counts pixels by class: how LISA, PixelLM, GLaMM and Sa2VA compare two maps of labels.

Shapes: H x W pixels, K classes; every count is an array (K,).
"""

from dataclasses import dataclass

import numpy as np

from deixis.errors import ShapeError

IGNORED = 255  # a label that leaves its pixel out


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Pixels of each class, int64 (K,): in both maps, in either, in the one, in the other."""

    intersection: np.ndarray
    union: np.ndarray
    predicted: np.ndarray
    true: np.ndarray


def count_labels(
    predicted: np.ndarray, true: np.ndarray, classes: int = 2, ignored: int | None = IGNORED
) -> Counts:
    """Compare a predicted map (H, W) with the true one, class by class.

    Labels outside 0..K-1 belong to no class, yet stay in the other map's count. Where the
    prediction holds fractions they fall into the K bins of [0, K - 1], as in a histogram.

    Raises:
        ShapeError: the maps differ in size.
    """
    if predicted.shape != true.shape:
        raise ShapeError(f"labels: expected one size, got {predicted.shape} and {true.shape}.")
    if predicted.dtype == np.bool_:
        predicted = predicted.view(np.uint8)
    if true.dtype == np.bool_:
        true = true.view(np.uint8)
    if ignored is not None:
        kept = true != ignored
        predicted, true = predicted[kept], true[kept]
    both = histogram(predicted[predicted == true], classes)
    ours, theirs = histogram(predicted, classes), histogram(true, classes)
    return Counts(intersection=both, union=ours + theirs - both, predicted=ours, true=theirs)


def histogram(values: np.ndarray, classes: int) -> np.ndarray:
    """Return how many values fall into each of K bins of [0, K - 1], int64 (K,)."""
    inside = values[(values >= 0) & (values <= classes - 1)]
    if not np.issubdtype(inside.dtype, np.integer):
        inside = np.minimum(np.floor(inside * (classes / (classes - 1))), classes - 1)
    return np.bincount(inside.ravel().astype(np.int64), minlength=classes)
