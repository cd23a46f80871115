"""Laws of masks: every encoding leads back, and overlap behaves like overlap."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from deixis.structures.masks import Mask

SHAPES = array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=24)
PIXELS = SHAPES.flatmap(lambda shape: arrays(bool, shape))
PAIRS = SHAPES.flatmap(lambda shape: st.tuples(arrays(bool, shape), arrays(bool, shape)))


@given(pixels=PIXELS)
@settings(deadline=None)
def test_every_encoding_leads_back(pixels):
    mask = Mask(pixels)
    np.testing.assert_array_equal(mask.pixels, pixels)
    assert Mask.from_rle(mask.to_rle()) == mask
    assert Mask.from_polygons(mask.to_polygons(), mask.size) == mask


@given(pixels=PIXELS)
@settings(deadline=None)
def test_area_and_box_are_those_of_the_pixels(pixels):
    mask = Mask(pixels)
    assert mask.area == pixels.sum()
    if mask.box:
        x0, y0, x1, y1 = mask.box
        assert pixels[y0:y1, x0:x1].sum() == mask.area
        assert all(edge.any() for edge in (pixels[y0], pixels[y1 - 1], pixels[:, x0]))


@given(pair=PAIRS)
@settings(deadline=None)
def test_overlap_is_symmetric_bounded_and_one_only_if_equal(pair):
    a, b = map(Mask, pair)
    assert a.intersection(b) == b.intersection(a) == (pair[0] & pair[1]).sum()
    assert a.union(b) == b.union(a) == a.joined(b).area == (pair[0] | pair[1]).sum()
    assert 0 <= a.intersection(b) <= min(a.area, b.area) <= a.union(b)
    assert (a.intersection(b) == a.union(b)) == (a == b)


@given(pair=PAIRS)
@settings(deadline=None)
def test_joining_is_symmetric_and_takes_nothing_away(pair):
    a, b = map(Mask, pair)
    assert a.joined(b) == b.joined(a)
    assert a.joined(b).joined(a) == a.joined(b)
