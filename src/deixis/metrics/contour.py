"""Region similarity J and boundary accuracy F of one object along a clip, as DAVIS defines them.

A frame's F compares boundary pixels within a tolerance of 0.008 of the image's diagonal.
Boundaries are packed into 64-bit words, so that growing one by the tolerance costs a few
passes over few words, whatever it holds; only the box around both masks is looked at.
"""

from collections.abc import Callable
from math import ceil, fsum, hypot, isqrt

import numpy as np

from deixis.errors import ShapeError
from deixis.metrics.overlap import iou
from deixis.structures.answers import Target
from deixis.structures.masks import Mask

TOLERANCE = 0.008  # of the diagonal
WORD = 64
WORTH_CUTTING = 128 * 128  # pixels from which finding the box around them costs less than it saves
Window = tuple[int, int, int, int]  # half-open corners (x0, y0, x1, y1)
FrameScore = Callable[[Mask | None, Mask | None], float]  # of one frame; None is an empty mask


def boundary(pixels: np.ndarray) -> np.ndarray:
    """Mark the pixels (H, W) that differ from their right, lower or lower-right neighbour.

    The last row looks right only, the last column down only, the last corner nowhere.
    """
    edge = np.zeros_like(pixels)
    np.not_equal(pixels[:, :-1], pixels[:, 1:], out=edge[:, :-1])
    edge[:-1] |= pixels[:-1] != pixels[1:]
    edge[:-1, :-1] |= pixels[:-1, :-1] != pixels[1:, 1:]
    return edge


def radius_of(size: tuple[int, int], tolerance: float = TOLERANCE) -> int:
    """Return the tolerance in whole pixels: a share of the diagonal, or from 1 on pixels."""
    return int(tolerance) if tolerance >= 1 else ceil(tolerance * hypot(*size))


def boundary_f(true: Mask | None, predicted: Mask | None) -> float:
    """Return the F of one frame; None is an empty mask. Without any boundary it is 1."""
    some = true if true is not None else predicted
    boxes = [mask.box for mask in (true, predicted) if mask is not None and mask.box]
    if some is None or not boxes:
        return 1.0
    corners = tuple(zip(*boxes, strict=True))
    union = (min(corners[0]), min(corners[1]), max(corners[2]), max(corners[3]))
    window = _wider(union, some.size)
    sides = np.stack([_cut(mask, window, some.size) for mask in (true, predicted)])
    return _f_of(sides, radius_of(some.size))


def boundary_f_of(true: np.ndarray, predicted: np.ndarray, tolerance: float = TOLERANCE) -> float:
    """Return the F of one frame given as two arrays of booleans (H, W).

    Args:
        true: the true pixels.
        predicted: the predicted pixels.
        tolerance: how far boundary pixels may lie apart, as a share of the diagonal; from 1 on,
            in pixels.

    Raises:
        ShapeError: the frames differ in size.
    """
    if true.shape != predicted.shape or true.ndim != 2:
        raise ShapeError(f"frames: expected one size, got {true.shape} and {predicted.shape}.")
    x0, y0, x1, y1 = 0, 0, true.shape[1], true.shape[0]
    if true.size > WORTH_CUTTING:
        union = _box(true | predicted)
        if union is None:
            return 1.0
        x0, y0, x1, y1 = _wider(union, true.shape)
    sides = np.array((true[y0:y1, x0:x1], predicted[y0:y1, x0:x1]))
    return _f_of(sides, radius_of(true.shape, tolerance))


def region_j(true: Mask | None, predicted: Mask | None) -> float:
    """Return the IoU of one frame; None is an empty mask. Both empty is 1."""
    if true is None or predicted is None:
        alone = true or predicted
        return float(alone is None or not alone.area)
    return iou(true.intersection(predicted), true.union(predicted))


def mean_over_frames(
    score: FrameScore, true: Target | None, predicted: Target | None, frames: int
) -> float:
    """Return the mean of a frame score over all frames of the clip.

    Args:
        score: `region_j` or `boundary_f`.
        true: the true target, or None: there is nothing in any frame.
        predicted: the predicted target, or None.
        frames: how many frames the images have; where neither target has a mask, it is 1.
    """
    theirs = dict(true.masks) if true else {}
    ours = dict(predicted.masks) if predicted else {}
    seen = sorted({*theirs, *ours})
    scores = [score(theirs.get(index), ours.get(index)) for index in seen]
    return fsum([*scores, frames - len(seen)]) / frames


def _f_of(sides: np.ndarray, radius: int) -> float:
    """Return the F of true and predicted pixels (2, h, w) within a distance of radius."""
    height, width = sides.shape[1:]
    words = -(-(width + radius) // WORD)  # of a row; the gap takes what is grown beyond it
    rows = np.zeros((2, height, words * (WORD // 8)), dtype=np.uint8)
    rows[:, :, : -(-width // 8)] = np.packbits(sides, axis=2, bitorder="little")
    edges = _edges(rows.view("<u8").reshape(2, -1), width, words)
    theirs, ours = np.bitwise_count(edges).sum(1, dtype=np.int64).tolist()
    if not theirs or not ours:
        return float(theirs == ours)
    near = np.bitwise_count(edges & _grow(edges, words, radius)[::-1])
    found, hit = near.sum(1, dtype=np.int64).tolist()
    precision, recall = hit / ours, found / theirs
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def _edges(bits: np.ndarray, width: int, words: int) -> np.ndarray:
    """Return the boundaries, as `boundary` defines them, of rows of so many words (2, h * words).

    Bits beyond the width are 0.
    """
    inner = np.zeros(words * WORD, dtype=bool)
    inner[: width - 1] = True  # the last column has no right neighbour
    right = bits >> 1
    right[:, :-1] |= bits[:, 1:] << 63
    within = np.tile(np.packbits(inner, bitorder="little").view("<u8"), bits.shape[1] // words)
    edges = (bits ^ right) & within
    below = edges[:, :-words]  # but the last row, which has none below
    below |= bits[:, :-words] ^ bits[:, words:]
    below |= (bits[:, :-words] ^ right[:, words:]) & within[:-words]
    return edges


def _grow(bits: np.ndarray, words: int, radius: int) -> np.ndarray:
    """Return rows of so many words (2, h * words) grown by the digital disk.

    The gaps between rows hold anything afterwards.
    """
    grown, wide, reach = np.zeros_like(bits), bits.copy(), 0
    scratch, length = (np.empty_like(bits), np.empty_like(bits)), bits.shape[1]
    for step in range(radius, -1, -1):  # from the disk's top to its middle it gets wider
        half = isqrt(radius**2 - step**2)
        while reach < half:
            by = min(2 * reach + 1, half - reach, WORD - 1)
            _widen(wide, by, *scratch)
            reach += by
        offset = step * words
        if offset < length:
            grown[:, offset:] |= wide[:, : length - offset]
            if step:
                grown[:, : length - offset] |= wide[:, offset:]
    return grown


def _widen(bits: np.ndarray, by: int, moved: np.ndarray, carry: np.ndarray) -> None:
    """Add to the pixels of flat words (2, n) those so far to the left and right, in place."""
    np.left_shift(bits, by, out=moved)
    np.right_shift(bits, WORD - by, out=carry)
    moved[:, 1:] |= carry[:, :-1]
    np.left_shift(bits, WORD - by, out=carry)
    moved[:, :-1] |= carry[:, 1:]
    np.right_shift(bits, by, out=carry)
    bits |= carry
    bits |= moved


def _box(pixels: np.ndarray) -> Window | None:
    """Return the half-open box around the pixels (H, W) that are set."""
    rows = np.flatnonzero(pixels.any(1))
    if not rows.size:
        return None
    columns = np.flatnonzero(pixels[rows[0] : rows[-1] + 1].any(0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def _wider(box: Window, size: tuple[int, int]) -> Window:
    """Return a box one pixel wider, within the image: one outside may differ from one inside."""
    x0, y0, x1, y1 = box
    return max(x0 - 1, 0), max(y0 - 1, 0), min(x1 + 1, size[1]), min(y1 + 1, size[0])


def _cut(mask: Mask | None, window: Window, size: tuple[int, int]) -> np.ndarray:
    """Return the pixels of a mask within a window."""
    x0, y0, x1, y1 = window
    if mask is None:
        return np.zeros((y1 - y0, x1 - x0), dtype=bool)
    if mask.size != size:
        raise ShapeError(f"masks: expected one size, got {size} and {mask.size}.")
    return mask.pixels[y0:y1, x0:x1]
