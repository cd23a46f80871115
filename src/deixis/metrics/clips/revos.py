"""ReVOS: J, F, accuracy A and robustness R per expression, and VISA's summary of them.

A and R are computed on the grey values of the predicted pictures, in unsigned bytes: with masks
saved as 255 every object pixel is wrong, and a false one weighs 255 times (or wraps around).

Shapes: T frames of (H, W) pixels.
"""

from collections.abc import Iterable

import numpy as np

from deixis.metrics.clips.expressions import MISSING, clip_scores
from deixis.metrics.sums import Part, Tally

KINDS = ("referring", "reason")  # by type_id
FIGURES = ("j", "f", "a", "r", "jf")
FOREGROUND_EPSILON = 1e-6
DECIMALS = 2  # of the figures of one expression, in percent


def accuracy(true: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Return the share of pixels of equal value in each frame, (T,); uint8 (T, H, W)."""
    return (true == predicted).mean((1, 2))


def robustness(true: np.ndarray, predicted: np.ndarray, foreground: np.ndarray) -> np.ndarray:
    """Return 1 less the false pixels over the foreground's, at least 0, of each frame (T,).

    All is done in unsigned bytes (T, H, W): 1 - 2 is 255, and 255 x 255 is 1.
    """
    outside = np.uint8(1) - true.astype(np.uint8)
    false = (outside * predicted.astype(np.uint8)).sum((1, 2), dtype=np.float64)
    whole = foreground.astype(np.uint8).sum((1, 2), dtype=np.float64)
    return np.maximum(0, 1 - false / (whole + FOREGROUND_EPSILON))


def figures(
    true: np.ndarray, predicted: np.ndarray | None, foreground: np.ndarray
) -> dict[str, float]:
    """Return J, F, A, R and J&F of one expression in percent.

    Args:
        true: how many tracks cover each pixel.
        predicted: the values of the predicted pictures, uint8; None scores 0 everywhere.
        foreground: pixels of any object.
    """
    if predicted is None:
        return dict.fromkeys(FIGURES, 0.0)
    region, contour = clip_scores(true, predicted)
    right = float(accuracy(true, predicted).mean())
    robust = float(robustness(true, predicted, foreground).mean())
    values = (region, contour, right, robust, (region + contour) / 2)
    return {name: 100 * value for name, value in zip(FIGURES, values, strict=True)}


def measure(
    true: np.ndarray, predicted: np.ndarray | None, foreground: np.ndarray, kind: int
) -> Tally:
    """Tally one expression, referring (0) or reasoning (1), as VISA's script rounds its figures."""
    exact = figures(true, predicted, foreground)
    rounded = {name: round(value, DECIMALS) for name, value in exact.items()}
    return Tally.of(_parts(rounded, predicted, KINDS[kind]))


def measure_clean(
    true: np.ndarray, predicted: np.ndarray | None, foreground: np.ndarray, kind: int
) -> Tally:
    """Tally one expression on masks, whatever values they were saved with, and without rounding."""
    if predicted is None:
        return Tally.of(_parts(dict.fromkeys(FIGURES, 0.0), None, KINDS[kind]))
    theirs, ours = true > 0, predicted > 0
    region, contour = clip_scores(theirs, ours)
    false = (ours & ~theirs).sum((1, 2))
    whole = np.maximum((foreground > 0).sum((1, 2)), 1)
    found = {
        "j": region,
        "f": contour,
        "a": float((theirs == ours).mean()),
        "r": float(np.maximum(0, 1 - false / whole).mean()),
        "jf": (region + contour) / 2,
    }
    return Tally.of(_parts({k: 100 * v for k, v in found.items()}, predicted, KINDS[kind]))


def result(tally: Tally) -> dict[str, float]:
    """Return each kind's means, and overall the mean of both, whatever their numbers.

    Keys are "referring/j" and so on; a kind without expressions is left out, and so is "overall".
    """
    found = {name: tally.top(name) / tally.bottom(name) for name in tally.sums if _is_figure(name)}
    kinds = [kind for kind in KINDS if f"{kind}/j" in found]
    if len(kinds) == len(KINDS):
        for figure in FIGURES:
            found[f"overall/{figure}"] = sum(found[f"{kind}/{figure}"] for kind in KINDS) / 2
    return found


def result_clean(tally: Tally) -> dict[str, float]:
    """Return each kind's means, and overall the mean over all expressions."""
    found = {name: tally.top(name) / tally.bottom(name) for name in tally.sums if _is_figure(name)}
    for figure in FIGURES:
        names = [f"{kind}/{figure}" for kind in KINDS if f"{kind}/{figure}" in found]
        if names:
            count = sum(tally.bottom(name) for name in names)
            found[f"overall/{figure}"] = sum(tally.top(name) for name in names) / count
    return found


def _is_figure(name: str) -> bool:
    return name.split("/")[0] in KINDS


def _parts(found: dict[str, float], predicted: np.ndarray | None, kind: str) -> Iterable[Part]:
    for name, value in found.items():
        yield f"{kind}/{name}", value, 1
    if predicted is None:
        yield MISSING, 1, 0
