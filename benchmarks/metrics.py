"""Metrics beside the usual procedures: packed IoU, boundary F, IoU of RLE, assignment.

The sides take turns in one run, on one thread, in CPU seconds; a figure is the median of five
ratios. OpenCV comes with the extra ``metrics``.
"""

import sys
from collections.abc import Callable
from math import ceil, hypot
from pathlib import Path
from statistics import median
from time import process_time

import numpy as np
from results import record

from deixis.metrics.contour import TOLERANCE, boundary_f_of
from deixis.metrics.matching import assign
from deixis.metrics.packed import PackedMasks, rle_ious
from deixis.structures.masks import Mask

SIZE, PAIRS, ROUNDS = (480, 854), 16, 5
Pairs = list[tuple[np.ndarray, np.ndarray]]


def shapes(generator: np.random.Generator, size: tuple[int, int] = SIZE) -> np.ndarray:
    """Return a mask of one to three smooth shapes, about 6 % of the image in the mean."""
    y, x = np.mgrid[: size[0], : size[1]]
    mask = np.zeros(size, dtype=bool)
    for _ in range(generator.integers(1, 4)):
        cy, cx = generator.uniform(0, size[0]), generator.uniform(0, size[1])
        a, b = generator.uniform(0.06, 0.24, 2) * size[0]
        mask |= ((y - cy) / a) ** 2 + ((x - cx) / b) ** 2 < 1
    return mask


def drawn_pairs(size: tuple[int, int] = SIZE) -> Pairs:
    """Return predictions that lie a few pixels beside their targets."""
    generator = np.random.default_rng(7)
    masks = [shapes(generator, size) for _ in range(PAIRS)]
    by = size[0] // 32
    return [(m, np.roll(m, generator.integers(-by, by + 1, 2), (0, 1))) for m in masks]


def noise(size: tuple[int, int], cell: int) -> Pairs:
    """Return masks of square cells, half of them set, and the same moved by a pixel."""
    generator = np.random.default_rng(8)
    small = generator.random((PAIRS, -(-size[0] // cell), -(-size[1] // cell))) < 0.5
    masks = small.repeat(cell, 1).repeat(cell, 2)[:, : size[0], : size[1]]
    return [(m, np.roll(m, 1, (0, 1))) for m in masks]


def elsewhere() -> dict[str, Pairs]:
    """Return pairs of other sizes and kinds than those of the claim."""
    full, empty = np.ones(SIZE, dtype=bool), np.zeros(SIZE, dtype=bool)
    one = empty.copy()
    one[200, 300] = True
    return {
        "1024 x 1024": drawn_pairs((1024, 1024)),
        "240 x 427": drawn_pairs((240, 427)),
        "97 x 45": drawn_pairs((97, 45)),
        "60 x 80": drawn_pairs((60, 80)),
        "all but the shapes": [(~a, ~b) for a, b in drawn_pairs()],
        "cells of 8 pixels": noise(SIZE, 8),
        "single pixels": noise(SIZE, 1),
        "cells at 60 x 80": noise((60, 80), 4),
        "empty": [(empty, empty), (a := drawn_pairs()[0][0], empty), (empty, a)],
        "full": [(full, full), (full, empty), (full, a)],
        "one pixel": [(one, one), (one, full), (one, empty)],
    }


def bool_iou(one: np.ndarray, other: np.ndarray) -> float:
    """Return the IoU as it is usually written; some pixel is set."""
    return float((one & other).sum() / (one | other).sum())


def davis_f(true: np.ndarray, predicted: np.ndarray) -> float:
    """Return F by the DAVIS procedure: both boundaries of the whole frame dilated by a disk."""
    import cv2

    cv2.setNumThreads(1)
    radius = ceil(TOLERANCE * hypot(*true.shape))
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    disk = (x**2 + y**2 <= radius**2).astype(np.uint8)
    theirs, ours = davis_boundary(true), davis_boundary(predicted)
    near_ours = cv2.dilate(ours.astype(np.uint8), disk)
    near_theirs = cv2.dilate(theirs.astype(np.uint8), disk)
    if not theirs.sum() or not ours.sum():
        return float(theirs.sum() == ours.sum())
    precision = (ours * near_theirs).sum() / ours.sum()
    recall = (theirs * near_ours).sum() / theirs.sum()
    return float(2 * precision * recall / (precision + recall)) if precision + recall else 0.0


def davis_boundary(mask: np.ndarray) -> np.ndarray:
    """Return the boundary map of the DAVIS procedure, over the whole frame."""
    right, below, beyond = (np.zeros_like(mask) for _ in range(3))
    right[:, :-1], below[:-1], beyond[:-1, :-1] = mask[:, 1:], mask[1:], mask[1:, 1:]
    edge = (mask ^ right) | (mask ^ below) | (mask ^ beyond)
    edge[-1], edge[:, -1] = mask[-1] ^ right[-1], mask[:, -1] ^ below[:, -1]
    edge[-1, -1] = False
    return edge


def ratios(usual: Callable[[], object], ours: Callable[[], object], often: int) -> list[float]:
    """Return how many times faster ours is, in each of five rounds of both."""
    found = []
    for _ in range(ROUNDS):
        start = process_time()
        usual()
        middle = process_time()
        for _ in range(often):
            ours()
        found.append(round((middle - start) / ((process_time() - middle) / often), 2))
    return found


def note(name: str, claim: str, figure: float, bound: str, **sides: object) -> None:
    """Record a claim beside this script."""
    record(str(Path(__file__).with_name(f"metrics_{name}.py")), claim, figure, bound, **sides)


def measure_iou(pairs: Pairs) -> None:
    true, predicted = (PackedMasks(np.stack(side)) for side in zip(*pairs, strict=True))
    usual = [bool_iou(*pair) for pair in pairs]
    assert usual == [true.iou(i, predicted, i) for i in range(PAIRS)]
    found = ratios(
        lambda: [bool_iou(*pair) for pair in pairs],
        lambda: [true.iou(i, predicted, i) for i in range(PAIRS)],
        20,
    )
    claim = "times bool arrays: IoU of packed masks in pairs, 480 x 854"
    note("iou", claim, median(found), ">= 18", ratios=found)


def measure_boundary(pairs: Pairs) -> None:
    assert [davis_f(*pair) for pair in pairs] == [boundary_f_of(*pair) for pair in pairs]
    found = ratios(
        lambda: [davis_f(*pair) for pair in pairs],
        lambda: [boundary_f_of(*pair) for pair in pairs],
        3,
    )
    claim = "times the DAVIS procedure: boundary F, 480 x 854"
    note("boundary", claim, median(found), ">= 4", ratios=found)


def measure_elsewhere(_: Pairs) -> None:
    found = {}
    for kind, pairs in elsewhere().items():
        assert [davis_f(*pair) for pair in pairs] == [boundary_f_of(*pair) for pair in pairs], kind
        often = max(1, 1_000_000 // pairs[0][0].size)  # small ones are over too soon to be timed
        some = pairs * often
        found[kind] = median(
            ratios(
                lambda some=some: [davis_f(*pair) for pair in some],
                lambda some=some: [boundary_f_of(*pair) for pair in some],
                1,
            )
        )
        print(kind, found[kind])
    claim = "times the DAVIS procedure: boundary F, the slowest of other sizes and kinds"
    note("elsewhere", claim, min(found.values()), ">= 1", kinds=found)


def measure_rle(pairs: Pairs) -> None:
    true, predicted = ([Mask(m).to_rle() for m in side] for side in zip(*pairs, strict=True))

    def decoding() -> np.ndarray:
        ours, theirs = ([Mask.from_rle(r).pixels for r in side] for side in (true, predicted))
        return np.array([[bool_iou(a, b) for b in theirs] for a in ours])

    assert np.array_equal(decoding(), rle_ious(true, predicted))
    found = ratios(decoding, lambda: rle_ious(true, predicted), 3)
    claim = "times decoding first: IoU of RLE, 16 x 16 masks of 480 x 854"
    note("rle", claim, median(found), ">= 1", ratios=found)


def measure_assignment() -> None:
    generator, found = np.random.default_rng(3), []
    for _ in range(ROUNDS):
        ious = generator.random((1000, 1000))
        start = process_time()
        assign(ious)
        found.append(round(process_time() - start, 4))
    note("assign", "seconds to assign 1000 targets to 1000", median(found), "< 0.2", seconds=found)


def main() -> None:
    """Measure what is named, or all."""
    pairs = drawn_pairs()
    steps: dict[str, Callable[[], None]] = {
        "iou": lambda: measure_iou(pairs),
        "boundary": lambda: measure_boundary(pairs),
        "elsewhere": lambda: measure_elsewhere(pairs),
        "rle": lambda: measure_rle(pairs),
        "assign": measure_assignment,
    }
    for name in sys.argv[1:] or steps:
        steps[name]()


if __name__ == "__main__":
    main()
