"""Laws of Placement: what goes onto the canvas comes back to the same pixel."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from deixis.structures.placement import Placement

SIZES = st.tuples(st.integers(1, 20_000), st.integers(1, 20_000))
CANVASES = st.tuples(st.integers(1, 2_000), st.integers(1, 2_000))
PLACES = st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=5)


@given(original=SIZES, canvas=CANVASES, places=PLACES)
@settings(deadline=None)
def test_inverse_leads_back_within_half_a_pixel(original, canvas, places):
    placement = Placement.fit(original, canvas)
    points = np.array(places) * original[::-1]
    np.testing.assert_allclose(placement.invert(placement.apply(points)), points, atol=0.5)


@given(original=SIZES, canvas=CANVASES)
@settings(deadline=None)
def test_the_image_stays_on_the_canvas_and_reaches_one_border(original, canvas):
    placement = Placement.fit(original, canvas)
    height, width = placement.resized
    assert 1 <= height <= canvas[0]
    assert 1 <= width <= canvas[1]
    assert height == canvas[0] or width == canvas[1]
    np.testing.assert_allclose(placement.apply(original[::-1]), (width, height))


@given(original=SIZES, canvas=CANVASES)
@settings(deadline=None)
def test_the_aspect_ratio_is_kept_up_to_half_a_canvas_pixel(original, canvas):
    placement = Placement.fit(original, canvas)
    scale = min(canvas[0] / original[0], canvas[1] / original[1])
    for before, after in zip(original, placement.resized, strict=True):
        assert abs(before * scale - after) <= 0.5 or after == 1
