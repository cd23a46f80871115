"""IoU of classes of pixels over a whole set, as LISA's meters count them, and a clean count.

Shapes: maps of labels (H, W), K classes; 255 is left out.
"""

import numpy as np

from deixis.metrics.images.labels import count_labels
from deixis.metrics.sums import Tally

PREFIX = "class/"
NUMBER = "classes/number"  # of classes, once a sample
TOTAL_EPSILON = 1e-10  # added to the sum of unions


def measure(true: np.ndarray, predicted: np.ndarray, classes: int) -> Tally:
    """Tally one map of labels: intersection and union of each class that either has.

    Raises:
        ShapeError: the maps differ in size.
    """
    counts = count_labels(predicted, true, classes)
    shown = [
        (f"{PREFIX}{k}", int(counts.intersection[k]), int(counts.union[k]))
        for k in np.flatnonzero(counts.union)
    ]
    return Tally.of([*shown, (NUMBER, 0, classes)])


def result(tally: Tally) -> dict[str, float]:
    """Return the mean IoU over all K classes; one that never shows scores 0, as published."""
    total = tally.bottom(NUMBER) // max(tally.samples, 1)
    ious = [
        tally.top(name) / (tally.bottom(name) + TOTAL_EPSILON)
        for name in (f"{PREFIX}{k}" for k in range(total))
    ]
    return {"miou": float(np.mean(ious))} if ious else {}


def result_clean(tally: Tally) -> dict[str, float]:
    """Return the mean IoU over the classes that the truth or a prediction shows."""
    names = sorted(name for name in tally.sums if name.startswith(PREFIX) and tally.bottom(name))
    return {"miou": float(np.mean([tally.quotient(name) for name in names]))} if names else {}
