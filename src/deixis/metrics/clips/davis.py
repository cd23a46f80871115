"""J and F of single frames and their statistics along a clip, as the DAVIS evaluation has them.

Shapes: T frames of (H, W) pixels.
"""

from collections.abc import Sequence

import numpy as np

from deixis.errors import DataError, ShapeError
from deixis.metrics.contour import TOLERANCE, boundary, boundary_f_of
from deixis.metrics.sums import FAILED, Tally

RECALLED = 0.5  # a frame's score above which it counts as recalled
QUARTERS = 4
NO_DECAY = f"{FAILED}decay of a quarter without frames"


def frame_j(true: np.ndarray, predicted: np.ndarray, void: np.ndarray | None = None) -> float:
    """Return the IoU of one frame without its void pixels; 1 where both are empty.

    Raises:
        ShapeError: the frames differ in size.
    """
    ours, theirs = _without(predicted, void), _without(true, void)
    if ours.shape != theirs.shape:
        raise ShapeError(f"frames: expected one size, got {theirs.shape} and {ours.shape}.")
    union = np.count_nonzero(ours | theirs)
    return np.count_nonzero(ours & theirs) / union if union else 1.0


def frame_f(
    true: np.ndarray,
    predicted: np.ndarray,
    void: np.ndarray | None = None,
    tolerance: float = TOLERANCE,
) -> float:
    """Return the boundary F of one frame without its void pixels.

    A mask of the whole image has no boundary, so compared with an empty one it scores 1.
    """
    return boundary_f_of(_without(true, void), _without(predicted, void), tolerance)


def frame_f_clean(
    true: np.ndarray,
    predicted: np.ndarray,
    void: np.ndarray | None = None,
    tolerance: float = TOLERANCE,
) -> float:
    """Return the boundary F where the image's own edge bounds a mask too, as anything outside does.

    The tolerance is that of the image as it is.
    """
    theirs, ours = (np.pad(_without(side, void), 1) for side in (true, predicted))
    if not theirs.any() or not ours.any():
        return float(theirs.any() == ours.any())
    radius = np.ceil(tolerance * np.hypot(*true.shape)) if tolerance < 1 else tolerance
    return boundary_f_of(theirs, ours, radius)


def boundary_length(mask: np.ndarray, void: np.ndarray | None = None) -> int:
    """Return how many pixels the boundary of a mask has."""
    return int(np.count_nonzero(boundary(_without(mask, void))))


def statistics(values: Sequence[float]) -> tuple[float, float, float]:
    """Return mean, recall and decay of the scores of a clip's frames, as DAVIS computes them.

    Recall is the share of frames above 0.5, decay the mean of the first quarter less that of the
    last. The published code keeps the quarters' places in 8 bits: beyond 256 frames they wrap, and
    a quarter may be left without frames; its decay is not a number.

    Raises:
        DataError: no frames.
    """
    return _statistics(values, np.uint8)


def statistics_clean(values: Sequence[float]) -> tuple[float, float, float]:
    """Return mean, recall and decay of a clip of any length."""
    return _statistics(values, np.int64)


def measure(
    true: np.ndarray,
    predicted: np.ndarray,
    voids: np.ndarray | None = None,
    tolerance: float = TOLERANCE,
    *,
    clean: bool = False,
) -> Tally:
    """Tally one object along one clip: (T, H, W) booleans, every frame.

    The semi-supervised protocol of DAVIS leaves out the first and the last frame: cut them off.
    """
    frame = frame_f_clean if clean else frame_f
    summary = statistics_clean if clean else statistics
    parts = []
    gaps = [None] * len(true) if voids is None else list(voids)
    frames = list(zip(true, predicted, gaps, strict=True))
    scores = {
        "j": [frame_j(*sides) for sides in frames],
        "f": [frame(*sides, tolerance) for sides in frames],
    }
    for name, values in scores.items():
        mean, recall, decay = summary(values)
        parts += [(name, mean, 1), (f"{name}_recall", recall, 1)]
        parts.append((NO_DECAY, 1, 0) if np.isnan(decay) else (f"{name}_decay", decay, 1))
    return Tally.of(parts)


def result(tally: Tally) -> dict[str, float]:
    """Return the means over objects of mean, recall and decay, and J&F."""
    names = [name for name in tally.sums if tally.bottom(name)]
    means = {name: tally.top(name) / tally.bottom(name) for name in sorted(names)}
    return {**means, "jf": (means["j"] + means["f"]) / 2} if {"j", "f"} <= set(means) else means


def _statistics(values: Sequence[float], places: type[np.integer]) -> tuple[float, float, float]:
    scores = np.asarray(values, dtype=np.float64)
    if not scores.size:
        raise DataError("scores: expected those of at least one frame, got none.")
    ends = np.round(np.linspace(1, len(scores), QUARTERS + 1) + 1e-10) - 1
    at = ends.astype(np.int64).astype(places).astype(np.int64).tolist()  # wraps where published
    first, last = scores[at[0] : at[1] + 1], scores[at[3] : at[4] + 1]
    decay = float(first.mean() - last.mean()) if first.size and last.size else float("nan")
    return float(scores.mean()), float((scores > RECALLED).mean()), decay


def _without(mask: np.ndarray, void: np.ndarray | None) -> np.ndarray:
    mask = mask.astype(bool, copy=False)
    return mask if void is None else mask & ~void.astype(bool, copy=False)
