"""gRefCOCO's masks (GRES) as ReLA's evaluator scores them, and a clean count beside it.

An expression may mean nothing in the image. The evaluator believes the model's own flag about
that, not its mask. Shapes: masks are booleans (H, W).
"""

from collections.abc import Iterable, Sequence

import numpy as np

from deixis.errors import ShapeError
from deixis.metrics.sums import Part, Tally

PRECISIONS = (0.7, 0.8, 0.9)


def measure(
    true: np.ndarray,
    predicted: np.ndarray,
    *,
    no_target: bool,
    predicted_none: bool,
    precisions: Sequence[float] = PRECISIONS,
) -> Tally:
    """Tally one expression.

    Args:
        true: the true mask.
        predicted: the predicted one; where the flag says "nothing" its pixels still count.
        no_target: whether the expression means nothing in the image.
        predicted_none: whether the model says so.
        precisions: IoUs from which a targeted expression is precise.

    Raises:
        ShapeError: the masks differ in size.
    """
    shared, union, score = sample_areas(
        true, predicted, no_target=no_target, predicted_none=predicted_none
    )
    return Tally.of(_parts(shared, union, score, no_target, predicted_none, precisions))


def measure_clean(
    true: np.ndarray, predicted: np.ndarray, precisions: Sequence[float] = PRECISIONS
) -> Tally:
    """Tally one expression by its masks alone: an empty one says that nothing is meant."""
    no_target, nothing = not true.any(), not predicted.any()
    shared, union = _areas(true, predicted)
    score = shared / union if union else 1.0
    return Tally.of(_parts(shared, union, score, no_target, nothing, precisions))


def sample_areas(
    true: np.ndarray, predicted: np.ndarray, *, no_target: bool, predicted_none: bool
) -> tuple[int, int, float]:
    """Return the intersection, union and IoU that ReLA's evaluator sums up for one expression."""
    shared, union = _areas(true, predicted)
    if no_target:
        return (0, 0, 1.0) if predicted_none else (0, union, 0.0)
    if predicted_none:
        shared = 0
    return shared, union, shared / union if union else 0.0


def result(tally: Tally) -> dict[str, float]:
    """Return the figures as the evaluator does: IoUs and precisions in percent, rates as shares.

    A rate without any sample is 0 there.
    """
    shares = {"n_acc": 0.0, "t_acc": 0.0, **tally.result()}
    rates = {"n_acc", "t_acc"}
    return {name: value if name in rates else 100 * value for name, value in shares.items()}


def _parts(
    shared: int,
    union: int,
    score: float,
    no_target: bool,
    nothing: bool,
    precisions: Sequence[float],
) -> Iterable[Part]:
    yield "giou", score, 1
    yield "ciou", shared, union
    if no_target:
        yield "n_acc", nothing, 1
    else:
        yield "t_acc", not nothing, 1
    for least in precisions:
        if not no_target:
            yield f"precision@{least}", score >= least, 1


def _areas(true: np.ndarray, predicted: np.ndarray) -> tuple[int, int]:
    if true.shape != predicted.shape:
        raise ShapeError(f"masks: expected one size, got {true.shape} and {predicted.shape}.")
    return int(np.count_nonzero(true & predicted)), int(np.count_nonzero(true | predicted))
