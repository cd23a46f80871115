"""Overlaps of targets over several images, computed by hand."""

import numpy as np
import pytest

from deixis.errors import ShapeError
from deixis.metrics.overlap import area, iou, overlap, visible_frames, visible_targets
from deixis.structures.answers import GroundedAnswer, Target
from deixis.structures.masks import Mask


def strip(start: int, stop: int, *, width: int = 10, height: int = 2) -> Mask:
    pixels = np.zeros((height, width), dtype=bool)
    pixels[:, start:stop] = True
    return Mask(pixels)


def test_sums_run_over_every_image_where_either_target_is():
    one = Target(phrase="a", masks={0: strip(0, 4), 1: strip(0, 2)})
    other = Target(phrase="b", masks={0: strip(2, 6), 2: strip(5, 10)})
    # image 0: 4 of 12 pixels; image 1: 0 of 4; image 2: 0 of 10
    assert overlap(one, other) == (4, 12 + 4 + 10)
    assert overlap(other, one) == (4, 26)


def test_both_empty_counts_as_equal_and_one_empty_as_nothing():
    assert iou(0, 0) == 1.0
    assert iou(0, 5) == 0.0
    assert iou(3, 4) == 0.75


def test_a_target_without_a_pixel_is_no_target():
    hollow = Target(phrase="a", masks={0: Mask.empty((2, 10))})
    seen = Target(phrase="b", masks={0: Mask.empty((2, 10)), 3: strip(0, 1)})
    answer = GroundedAnswer(text="a b", targets=(hollow, seen), spans=((0, 1), (2, 3)))
    assert visible_targets(answer) == (seen,)
    assert visible_frames(seen) == {3}
    assert area(seen) == 2


def test_masks_of_different_sizes_are_refused():
    one = Target(phrase="a", masks={0: strip(0, 4)})
    other = Target(phrase="b", masks={0: strip(0, 4, width=11)})
    with pytest.raises(ShapeError, match=r"\(2, 10\) and \(2, 11\)"):
        overlap(one, other)
