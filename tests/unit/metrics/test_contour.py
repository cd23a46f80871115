"""J and F of frames: by hand, against a slow loop, and against recorded values."""

import json
import os
from math import ceil, hypot
from pathlib import Path

import numpy as np
import pytest

from deixis.metrics.contour import boundary, boundary_f, mean_over_frames, region_j
from deixis.structures.answers import Target
from deixis.structures.masks import Mask

GOLDENS = Path(os.environ.get("DEIXIS_GOLDENS", "../shared/goldens")) / "metrics"


def slow_boundary(mask: np.ndarray) -> list[tuple[int, int]]:
    height, width = mask.shape
    found = []
    for y in range(height):
        for x in range(width):
            around = [(y, x + 1), (y + 1, x), (y + 1, x + 1)]
            if any(b < height and a < width and mask[b, a] != mask[y, x] for b, a in around):
                found.append((y, x))
    return found


def slow_f(true: np.ndarray, predicted: np.ndarray) -> float:
    radius = ceil(0.008 * hypot(*true.shape))
    theirs, ours = slow_boundary(true), slow_boundary(predicted)
    if not theirs and not ours:
        return 1.0

    def share(points, others) -> float:
        near = [any(hypot(y - b, x - a) <= radius for b, a in others) for y, x in points]
        return sum(near) / len(near) if near else 1.0

    precision, recall = share(ours, theirs), share(theirs, ours)
    if not theirs or not ours or precision + recall == 0:
        return 0.0
    return 2 * precision * recall / (precision + recall)


def smooth(generator: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    y, x = np.mgrid[: size[0], : size[1]]
    cy, cx = generator.uniform(0, size[0]), generator.uniform(0, size[1])
    return (y - cy) ** 2 + (x - cx) ** 2 < generator.uniform(1, 2 + max(size) / 2) ** 2


@pytest.mark.parametrize("size", [(1, 1), (1, 20), (17, 1), (23, 31), (140, 90)])
def test_boundary_f_equals_a_loop_over_all_pairs_of_pixels(size):
    generator = np.random.default_rng(sum(size))
    for _ in range(3):
        true, predicted = smooth(generator, size), smooth(generator, size)
        assert boundary_f(Mask(true), Mask(predicted)) == pytest.approx(slow_f(true, predicted))


def test_boundary_f_of_noise_equals_the_loop():
    generator = np.random.default_rng(5)
    true, predicted = generator.random((2, 19, 26)) < 0.2
    assert boundary_f(Mask(true), Mask(predicted)) == pytest.approx(slow_f(true, predicted))


def test_the_last_row_looks_right_the_last_column_down_the_corner_nowhere():
    corner = np.zeros((3, 4), dtype=bool)
    corner[2, 3] = True
    assert np.argwhere(boundary(corner)).tolist() == [[1, 2], [1, 3], [2, 2]]


def test_a_mask_of_the_whole_image_has_no_boundary():
    full, empty = Mask(np.ones((6, 9), dtype=bool)), Mask.empty((6, 9))
    assert (region_j(full, empty), boundary_f(full, empty)) == (0.0, 1.0)
    assert (region_j(full, None), boundary_f(None, full)) == (0.0, 1.0)
    assert (region_j(None, None), boundary_f(None, empty)) == (1.0, 1.0)
    assert region_j(empty, empty) == region_j(None, empty) == 1.0


def test_the_mean_runs_over_all_frames_and_empty_ones_count_one():
    half = np.zeros((4, 8), dtype=bool)
    half[:, :4] = True
    quarter = half.copy()
    quarter[2:] = False
    true = Target(phrase="a", masks={0: Mask(half), 3: Mask(half)})
    predicted = Target(phrase="a", masks={0: Mask(quarter), 1: Mask(half)})
    # frames 0 to 4: 1/2, 0, 1, 0, 1
    assert mean_over_frames(region_j, true, predicted, 5) == 2.5 / 5
    assert mean_over_frames(region_j, true, None, 5) == 3 / 5
    assert mean_over_frames(region_j, None, None, 5) == 1.0


def test_j_and_f_equal_the_recorded_values():
    if not (GOLDENS / "davis_jf.json").exists():
        pytest.skip(f"no recorded values under {GOLDENS}; set DEIXIS_GOLDENS")
    recorded = json.loads((GOLDENS / "davis_jf.json").read_text())
    arrays = np.load(GOLDENS / "davis_jf.npz")
    for group, prefix in (("images", ""), ("large", "big_")):
        for one in recorded[group]:
            if one.get("has_void"):
                continue
            true, guess = (arrays[f"{prefix}{s}_{one['index']}"] > 0 for s in ("gt", "pred"))
            assert boundary_f(Mask(true), Mask(guess)) == pytest.approx(one["F"], abs=1e-9)
            assert region_j(Mask(true), Mask(guess)) == pytest.approx(one["J"], abs=1e-9)
