"""Placement: sizes and places by hand."""

import numpy as np
import pytest

from deixis.structures.placement import Placement


@pytest.mark.parametrize(
    ("original", "canvas", "resized"),
    [
        ((100, 200), (64, 64), (32, 64)),
        ((200, 100), (64, 64), (64, 32)),
        ((30, 30), (64, 96), (64, 64)),
        ((1, 20000), (128, 128), (1, 128)),
        ((64, 64), (64, 64), (64, 64)),
        ((3, 2), (6, 6), (6, 4)),
    ],
)
def test_an_image_fills_the_canvas_as_far_as_its_shape_allows(original, canvas, resized):
    assert Placement.fit(original, canvas).resized == resized


def test_points_are_scaled_and_come_back():
    placement = Placement.fit((100, 200), (64, 64))
    assert placement.scale == (0.32, 0.32)
    np.testing.assert_allclose(placement.apply([[200, 100], [50, 25]]), [[64, 32], [16, 8]])
    np.testing.assert_allclose(placement.invert([[64, 32], [16, 8]]), [[200, 100], [50, 25]])


def test_both_axes_have_their_own_scale():
    placement = Placement(original=(10, 20), resized=(5, 40), canvas=(64, 64))
    assert placement.scale == (2.0, 0.5)
    np.testing.assert_allclose(placement.apply((3, 4)), (6, 2))
