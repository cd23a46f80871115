"""Scores of clips as UniPixel's and VISA's scripts count them: ReVOS A and R, PixelQA's J and F.

Beside each published reading stands what it should have been (benchmarks, sections 2.7 and 2.11;
UniPixel's specification, section 11).
"""

import numpy as np

GREY = 255  # the value of an object's pixel in a prediction's PNG
LEAST = 10  # pixels of a component that counts for a box
EPSILON = 1e-6


def accuracy(truth: np.ndarray, predicted: np.ndarray) -> float:
    """Return ReVOS's A of one frame: the share of pixels of equal *value*.

    Args:
        truth: (H, W) of 0 and 1.
        predicted: (H, W) of 0 and 1; or of 0 and 255, as the published scripts read their PNGs, so
            that no pixel of an object ever counts as right.
    """
    return float((truth.astype(np.uint8) == predicted.astype(np.uint8)).mean())


def robustness(truth: np.ndarray, predicted: np.ndarray, foreground: np.ndarray) -> float:
    """Return ReVOS's R of one frame: 1 - false pixels / pixels of all objects, at least 0.

    Args:
        truth, predicted: as for ``accuracy``; with 255 each false pixel weighs 255.
        foreground: (H, W) of 0 and 1, the union of all objects of the clip.
    """
    outside = (1 - truth.astype(np.uint8)).astype(np.uint8)
    false = (outside * predicted.astype(np.uint8)).astype(np.float64).sum()
    return max(0.0, 1 - float(false) / (float(foreground.astype(np.float64).sum()) + EPSILON))


def volume_scores(truth: np.ndarray, predicted: np.ndarray) -> tuple[float, float]:
    """Return PixelQA's J and F of an object: IoU and F1 over the pixels of all frames together.

    F is no boundary score here. Both empty is 0, not 1, as published.

    Args:
        truth, predicted: (T, H, W) bool.
    """
    shared = float((truth & predicted).sum())
    either = float((truth | predicted).sum())
    precision = shared / (float(predicted.sum()) + EPSILON)
    recall = shared / (float(truth.sum()) + EPSILON)
    f = 2 * precision * recall / (precision + recall + EPSILON)
    return shared / (either + EPSILON), f


def tight_box(mask: np.ndarray, least: int = LEAST) -> tuple[int, int, int, int] | None:
    """Return the first and last pixel x0, y0, x1, y1 of a mask's larger components, or None.

    Args:
        mask: (H, W) bool.
        least: pixels that a component (8 neighbours) needs to count.
    """
    from scipy.ndimage import label

    parts, count = label(mask, structure=np.ones((3, 3)))
    sizes = np.bincount(parts.ravel(), minlength=count + 1)
    large = np.flatnonzero(sizes[1:] >= least) + 1
    kept = np.isin(parts, large)
    if not kept.any():
        return None
    rows, columns = np.flatnonzero(kept.any(1)), np.flatnonzero(kept.any(0))
    return int(columns[0]), int(rows[0]), int(columns[-1]), int(rows[-1])
