"""Mask: areas and boxes by hand, COCO's encodings against pycocotools, and bad arrays."""

import time

import numpy as np
import pytest
from pycocotools import mask as coco

from deixis.errors import DataError, ShapeError
from deixis.structures.masks import Mask

L_SHAPE = np.array([[0, 0, 0, 0], [0, 1, 0, 0], [0, 1, 1, 0]], dtype=bool)
RING = np.pad(np.pad(np.zeros((1, 2), bool), 1, constant_values=True), 1)
TOUCHING = np.array([[1, 0, 1], [0, 1, 0], [1, 0, 1]], dtype=bool)


@pytest.mark.parametrize(
    ("pixels", "area", "box"),
    [
        (L_SHAPE, 3, (1, 1, 3, 3)),
        (np.ones((2, 5), bool), 10, (0, 0, 5, 2)),
        (np.zeros((2, 5), bool), 0, None),
        (np.eye(3, dtype=bool)[:, ::-1], 3, (0, 0, 3, 3)),
    ],
)
def test_area_and_box(pixels, area, box):
    mask = Mask(pixels)
    assert (mask.area, mask.box, mask.size) == (area, box, pixels.shape)
    np.testing.assert_array_equal(mask.pixels, pixels)


def test_overlap_is_counted_in_pixels():
    a, b = np.zeros((4, 6), bool), np.zeros((4, 6), bool)
    a[0:3, 0:3], b[1:4, 2:6] = True, True
    a, b = Mask(a), Mask(b)
    assert (a.intersection(b), a.union(b), a.joined(b).area) == (2, 19, 19)
    assert a.intersection(Mask.empty((4, 6))) == 0
    assert a.joined(Mask.empty((4, 6))) == a


def test_equal_pixels_are_equal_masks():
    assert Mask(L_SHAPE) == Mask(L_SHAPE.copy())
    assert hash(Mask(L_SHAPE)) == hash(Mask(L_SHAPE.copy()))
    assert Mask(L_SHAPE) != Mask(np.pad(L_SHAPE, ((0, 0), (0, 1))))
    assert Mask(L_SHAPE) != Mask(np.roll(L_SHAPE, 1, axis=1))


def test_a_mask_does_not_change_with_the_array_it_was_made_of():
    pixels = L_SHAPE.copy()
    mask = Mask(pixels)
    pixels[:] = True
    mask.pixels[:] = True
    assert mask.area == 3


# -- COCO ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(40))
def test_rle_is_what_pycocotools_writes(seed):
    rng = np.random.default_rng(seed)
    pixels = rng.random(rng.integers(1, 40, 2)) < rng.random()
    theirs = coco.encode(np.asfortranarray(pixels, dtype=np.uint8))
    ours = Mask(pixels).to_rle()
    assert ours == {"size": list(pixels.shape), "counts": theirs["counts"].decode()}
    assert Mask.from_rle(theirs) == Mask(pixels)


@pytest.mark.parametrize(
    ("pixels", "runs"),
    [
        (L_SHAPE, [4, 2, 2, 1, 3]),
        (np.ones((2, 3), bool), [0, 6]),
        (np.zeros((2, 3), bool), [6]),
        (np.array([[1, 1], [0, 1]], bool), [0, 1, 1, 2]),
    ],
)
def test_uncompressed_runs_go_down_the_columns(pixels, runs):
    assert Mask.from_rle({"size": list(pixels.shape), "counts": runs}) == Mask(pixels)


@pytest.mark.parametrize(
    ("rle", "message"),
    [
        ({"size": [2, 3], "counts": [5]}, r"2 x 3 = 6 pixels, got 5"),
        ({"size": [2, 3], "counts": [8, -2]}, r"got 6|add up"),
        ({"size": [2, 3], "counts": [2.0, 4]}, r"list of whole numbers"),
        ({"size": [2, 3], "counts": 6}, r"counts as text or as a list .* got int"),
        ({"size": [2, 3], "counts": [2**70]}, r"list of whole numbers"),
        ({"size": [2, 3], "counts": "é"}, r"compressed counts"),
        ({"size": [2, 3], "counts": ""}, r"compressed counts"),
        ({"size": [2, 3], "counts": "o"}, r"compressed counts"),
        ({"size": [2, 3], "counts": "7"}, r"2 x 3 = 6 pixels, got 7"),
        ({"size": [2, 3], "counts": "oooooooooo0"}, r"over 35 bits"),
        ({"size": [2, 0], "counts": [0]}, r"two whole numbers over 0"),
        ({"size": 6, "counts": [6]}, r"two whole numbers over 0"),
        ({"size": [2**15, 2**15], "counts": [2**30]}, r"at most 268435456 pixels"),
        ({"counts": [6]}, r"size"),
    ],
)
def test_bad_rle_is_refused(rle, message):
    with pytest.raises(DataError, match=message):
        Mask.from_rle(rle)


# -- outlines ------------------------------------------------------------------------------------


def test_an_outline_runs_along_the_edges_of_pixels():
    (outline,) = Mask(L_SHAPE).to_polygons()
    corners = {tuple(c) for c in np.reshape(outline, (-1, 2)).tolist()}
    assert corners == {(1, 1), (2, 1), (2, 2), (3, 2), (3, 3), (1, 3)}


def test_a_hole_has_an_outline_of_its_own():
    outlines = Mask(RING).to_polygons()
    assert len(outlines) == 2
    assert Mask.from_polygons(outlines, RING.shape) == Mask(RING)


def test_pixels_that_touch_at_a_corner_stay_apart():
    assert [len(o) for o in Mask(TOUCHING).to_polygons()] == [8] * 5


@pytest.mark.parametrize("seed", range(40))
def test_filled_outlines_are_the_mask(seed):
    rng = np.random.default_rng(seed)
    pixels = rng.random(rng.integers(1, 30, 2)) < rng.random()
    assert Mask.from_polygons(Mask(pixels).to_polygons(), pixels.shape) == Mask(pixels)


@pytest.mark.parametrize(
    ("polygon", "expected"),
    [
        (
            [0, 0, 4, 0, 0, 4],
            [[1, 1, 1, 0], [1, 1, 0, 0], [1, 0, 0, 0]],
        ),  # centres on the line: out
        ([1, 1, 3, 1, 3, 2, 1, 2], [[0, 0, 0, 0], [0, 1, 1, 0], [0, 0, 0, 0]]),
        ([-9, -9, 2, -9, 2, 9, -9, 9], [[1, 1, 0, 0]] * 3),  # cut off at the border
        ([0.4, 0.4, 0.6, 0.4, 0.6, 0.6, 0.4, 0.6], [[1, 0, 0, 0], [0] * 4, [0] * 4]),
        ([0, 0, 4, 0, 2, 0], [[0] * 4] * 3),  # no area
    ],
)
def test_a_pixel_is_inside_if_its_centre_is(polygon, expected):
    np.testing.assert_array_equal(
        Mask.from_polygons([polygon], (3, 4)).pixels, np.array(expected, bool)
    )


def test_no_outline_is_an_empty_mask():
    assert Mask.from_polygons([], (3, 4)) == Mask.empty((3, 4))
    assert Mask.empty((3, 4)).to_polygons() == []


@pytest.mark.parametrize(
    ("polygon", "message"),
    [
        ([0, 0, 1, 1], r"at least 3 corners, got 4 numbers"),
        ([0, 0, 1, 1, 2, 2, 3], r"got 7 numbers"),
        ([0, 0, 1, 1, 2, float("nan")], r"finite"),
    ],
)
def test_bad_outlines_are_refused(polygon, message):
    with pytest.raises(DataError, match=message):
        Mask.from_polygons([polygon], (3, 4))


# -- errors and size -----------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(3,), (2, 3, 1), (0, 4)])
def test_an_array_of_other_axes_is_refused(shape):
    with pytest.raises(ShapeError, match=r"expected an array \(H, W\), got shape"):
        Mask(np.ones(shape, bool))


def test_an_array_of_numbers_is_refused():
    with pytest.raises(DataError, match=r"expected booleans, got uint8\. Compare first"):
        Mask(np.ones((2, 2), np.uint8))


@pytest.mark.parametrize("verb", ["intersection", "joined", "union"])
def test_masks_of_two_sizes_do_not_meet(verb):
    with pytest.raises(ShapeError, match=r"expected one size, got \(2, 2\) and \(2, 3\)"):
        getattr(Mask(np.ones((2, 2), bool)), verb)(Mask(np.ones((2, 3), bool)))


def test_a_mask_of_a_large_photograph_is_encoded_quickly():
    y, x = np.ogrid[:4400, :6400]  # 28 megapixels
    mask = Mask(((x - 3000) ** 2 + (y - 2000) ** 2 < 1500**2) & ((x // 40 + y // 40) % 5 > 0))
    start = time.process_time()
    rle = mask.to_rle()
    assert time.process_time() - start < 1  # measured 0.15; other work may share the core
    assert Mask.from_rle(rle) == mask
