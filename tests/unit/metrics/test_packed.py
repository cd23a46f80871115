"""IoU of packed masks and of RLE against pixels counted one by one."""

import numpy as np
import pytest

from deixis.errors import ShapeError
from deixis.metrics.packed import PackedMasks, rle_ious
from deixis.structures.masks import Mask

EDGES = [(1, 1), (1, 63), (1, 64), (1, 65), (65, 3), (13, 31)]


def drawn(seed: int, count: int, size: tuple[int, int]) -> np.ndarray:
    generator = np.random.default_rng(seed)
    masks = generator.random((count, *size)) < generator.random((count, 1, 1))
    masks[0] = False  # an empty one among them
    return masks


@pytest.mark.parametrize("size", EDGES)
def test_packed_ious_are_those_of_pixels_and_one_where_both_are_empty(size):
    ours, theirs = drawn(1, 4, size), drawn(2, 3, size)
    found = PackedMasks(ours).ious(PackedMasks(theirs))
    for i, a in enumerate(ours):
        for j, b in enumerate(theirs):
            union = (a | b).sum()
            assert found[i, j] == ((a & b).sum() / union if union else 1.0)
            assert PackedMasks(ours).iou(i, PackedMasks(theirs), j) == found[i, j]


@pytest.mark.parametrize("size", EDGES)
def test_rle_ious_are_those_of_packed_masks(size):
    ours, theirs = drawn(3, 4, size), drawn(4, 3, size)
    rles = [[Mask(mask).to_rle() for mask in masks] for masks in (ours, theirs)]
    assert np.array_equal(rle_ious(*rles), PackedMasks(ours).ious(PackedMasks(theirs)))


def test_no_masks_give_an_empty_table():
    some = PackedMasks(np.zeros((2, 3, 4), dtype=bool))
    assert some.ious(PackedMasks(np.zeros((0, 3, 4), dtype=bool))).shape == (2, 0)
    assert rle_ious([], [Mask.empty((3, 4)).to_rle()]).shape == (0, 1)


def test_masks_of_different_sizes_are_refused_with_both():
    small, large = (PackedMasks(np.zeros((1, *size), dtype=bool)) for size in ((2, 3), (3, 2)))
    with pytest.raises(ShapeError, match=r"one size, got \(2, 3\) and \(3, 2\)"):
        small.ious(large)
    with pytest.raises(ShapeError, match=r"one size, got \[\(2, 3\), \(3, 2\)\]"):
        rle_ious([Mask.empty((2, 3)).to_rle()], [Mask.empty((3, 2)).to_rle()])
    with pytest.raises(ShapeError, match=r"booleans \(N, H, W\), got uint8"):
        PackedMasks(np.zeros((1, 2, 3), dtype=np.uint8))
