"""Referring segmentation as UniPixel and Seg-Zero score it: IoU and boxes of one mask.

Shapes: (H, W) pixels; boxes (x0, y0, x1, y1).
"""

from collections.abc import Iterable

import numpy as np

from deixis.errors import ShapeError
from deixis.metrics.images.boxes import Corners, box_iou, tight_box
from deixis.metrics.sums import FAILED, Part, Tally

IGNORED = -1  # a label that leaves its pixel out
SMALLEST = 10  # pixels below which UniPixel removes a component before it draws a box
HIT = 0.5  # box IoU from which a box is right
DECIMALS = 5  # of a percentage, as UniPixel's script prints it
BOTH_EMPTY = f"{FAILED}both masks empty"


def measure(true: np.ndarray, predicted: np.ndarray, true_box: Corners) -> Tally:
    """Tally one sample as UniPixel's scripts for RefCOCO and ReasonSeg do.

    Args:
        true: labels (H, W), -1 where a pixel is left out.
        predicted: booleans (H, W); all False where the model failed.
        true_box: of the annotation, with x + w and y + h.

    Raises:
        ShapeError: the maps differ in size.
    """
    shared, union = _areas(true, predicted)
    hit = (box_overlap(predicted, true_box) or 0) >= HIT
    return _tally(shared, union, hit)


def measure_clean(true: np.ndarray, predicted: np.ndarray, true_box: Corners) -> Tally:
    """Tally one sample with a box around all predicted pixels, its far edges included."""
    shared, union = _areas(true, predicted)
    box = tight_box(predicted)
    hit = box is not None and box_iou(box, true_box) >= HIT
    return _tally(shared, union, hit)


def result(tally: Tally) -> dict[str, float]:
    """Return the figures in percent, rounded as UniPixel's script prints them."""
    return {name: round(100 * value, DECIMALS) for name, value in tally.result().items()}


def predicted_box(predicted: np.ndarray) -> Corners | None:
    """Return UniPixel's box of a mask: from the first to the last pixel, that one not included.

    A mask of one row has a box without area. None where no component is large enough.
    """
    from scipy.ndimage import label  # slow to import, seldom needed

    parts, _ = label(predicted, structure=np.ones((3, 3), dtype=bool))
    sizes = np.bincount(parts.ravel())
    large = sizes >= SMALLEST
    large[0] = False
    box = tight_box(large[parts])
    return None if box is None else (box[0], box[1], box[2] - 1, box[3] - 1)


def box_overlap(predicted: np.ndarray, true_box: Corners) -> float | None:
    """Return the IoU of UniPixel's box of a mask with the true one; None without a box."""
    box = predicted_box(predicted)
    return None if box is None else box_iou(box, true_box)


def measure_segzero(true: np.ndarray, predicted: np.ndarray) -> Tally:
    """Tally one mask as Seg-Zero does: where both are empty its code fails, and the sample drops.

    That is counted as the failure "both masks empty".
    """
    return Tally.of(_segzero(true, predicted))


def result_segzero(tally: Tally) -> dict[str, float]:
    """Return the mean IoU, rounded as the script prints it."""
    return {name: round(value, 4) for name, value in tally.result().items()}


def _tally(shared: int, union: int, hit: bool) -> Tally:
    score = shared / union if union else 1.0
    return Tally.of([("giou", score, 1), ("ciou", shared, union), ("box_accuracy", hit, 1)])


def _segzero(true: np.ndarray, predicted: np.ndarray) -> Iterable[Part]:
    shared, union = _areas(true, predicted)
    if union:
        yield "giou", shared / union, 1
    else:
        yield BOTH_EMPTY, 1, 0


def _areas(true: np.ndarray, predicted: np.ndarray) -> tuple[int, int]:
    """Return intersection and union where the truth leaves no pixel out."""
    if true.shape != predicted.shape:
        raise ShapeError(f"masks: expected one size, got {true.shape} and {predicted.shape}.")
    kept = true != IGNORED if np.issubdtype(true.dtype, np.signedinteger) else None
    ours, theirs = predicted.astype(bool), true > 0
    if kept is not None:
        ours, theirs = ours & kept, theirs & kept
    return int(np.count_nonzero(ours & theirs)), int(np.count_nonzero(ours | theirs))
