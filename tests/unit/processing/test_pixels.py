"""Frames of any size on one canvas, and masks there and back on the right pixels."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from deixis.processing.pixels import GREY, place_frame, place_mask, restore_masks
from deixis.structures.images import Frame
from deixis.structures.placement import Placement

CANVAS, STRIDE = (48, 64), 2
SIZES = [(48, 64), (96, 128), (37, 91), (91, 37), (333, 200), (120, 31), (7, 5), (50, 201)]


def there_and_back(mask: np.ndarray, canvas: tuple[int, int] = CANVAS) -> np.ndarray:
    """Bring a mask to cells and back, half a cell being the edge."""
    placement = Placement.fit(mask.shape, canvas)
    covered = place_mask(torch.from_numpy(mask), placement, STRIDE)
    return restore_masks(covered[None] - 0.5, placement)[0].numpy()


def disc(size: tuple[int, int], y: float, x: float, radius: float) -> np.ndarray:
    """A disc at a share of the size, its radius a share of the shorter side."""
    rows, columns = np.mgrid[: size[0], : size[1]] + 0.5
    away = np.hypot(rows - y * size[0], columns - x * size[1])
    return away < radius * min(size)


def iou(one: np.ndarray, other: np.ndarray) -> float:
    return (one & other).sum() / (one | other).sum()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("y", "x"), [(0.5, 0.5), (0.1, 0.9), (0.95, 0.3)])
def test_a_mask_comes_back_on_its_own_pixels(size, y, x):
    mask = disc(size, y, x, 0.3)
    least = 0.93 if min(size) / max(size) > 0.5 else 0.8  # few cells are left of narrow images
    assert iou(there_and_back(mask), mask) > least


@pytest.mark.parametrize("size", [*SIZES, (1, 1), (1, 20_000), (20_000, 1), (3, 1000), (1, 2)])
def test_all_and_nothing_come_back_exactly(size):
    assert there_and_back(np.ones(size, dtype=bool)).all()
    assert not there_and_back(np.zeros(size, dtype=bool)).any()


def test_half_of_a_line_of_pixels_comes_back():
    line = np.zeros((1, 20_000), dtype=bool)
    line[:, 5_000:12_000] = True
    assert iou(there_and_back(line), line) > 0.95


@given(
    height=st.integers(1, 90),
    width=st.integers(1, 90),
    corners=st.tuples(*[st.floats(0, 1)] * 4),
)
@settings(max_examples=60, deadline=None)
def test_every_edge_of_a_box_comes_back_within_a_cell(height, width, corners):
    y0, y1 = sorted(round(c * height) for c in corners[:2])
    x0, x1 = sorted(round(c * width) for c in corners[2:])
    mask = np.zeros((height, width), dtype=bool)
    mask[y0:y1, x0:x1] = True
    back = there_and_back(mask)
    cell_x, cell_y = STRIDE / np.array(Placement.fit(mask.shape, CANVAS).scale)
    inner = np.zeros_like(mask)
    dy, dx = int(np.ceil(cell_y)), int(np.ceil(cell_x))
    top, left = 0 if y0 == 0 else y0 + dy, 0 if x0 == 0 else x0 + dx
    bottom = height if y1 == height else max(0, y1 - dy)
    right = width if x1 == width else max(0, x1 - dx)
    inner[top:bottom, left:right] = True
    outer = np.zeros_like(mask)
    outer[max(0, y0 - dy) : y1 + dy, max(0, x0 - dx) : x1 + dx] = True
    big_enough = y1 - y0 > 2 * dy and x1 - x0 > 2 * dx
    assert not (back & ~outer).any()
    assert not big_enough or not (inner & mask & ~back).any()


def test_cells_hold_the_share_of_their_pixels_that_a_mask_covers():
    random = torch.Generator().manual_seed(0)
    mask = torch.rand(48, 64, generator=random) > 0.5
    covered = place_mask(mask, Placement.fit((48, 64), CANVAS), STRIDE)
    for y, x in np.ndindex(24, 32):
        pixels = mask[2 * y : 2 * y + 2, 2 * x : 2 * x + 2]
        assert covered[y, x] == pixels.float().mean()


def test_masks_of_several_targets_come_back_together():
    placement = Placement.fit((37, 91), CANVAS)
    logits = torch.randn(3, 24, 32, generator=torch.Generator().manual_seed(0))
    together = restore_masks(logits, placement)
    assert together.shape == (3, 37, 91)
    for drawn, mask in zip(logits, together, strict=True):
        assert torch.equal(restore_masks(drawn[None], placement)[0], mask)


def test_a_large_logit_at_one_cell_lands_on_that_cell_s_pixels():
    placement = Placement.fit((96, 64), CANVAS)  # two thirds of a canvas pixel each, left half
    logits = torch.full((1, 24, 32), -1.0)
    logits[0, 10, 6] = 1.0
    rows, columns = restore_masks(logits, placement)[0].nonzero(as_tuple=True)
    assert rows.float().mean() + 0.5 == pytest.approx(10.5 / 24 * 96, abs=0.5)
    assert columns.float().mean() + 0.5 == pytest.approx(6.5 / 16 * 64, abs=0.5)


@pytest.mark.parametrize("size", [*SIZES, (1, 1), (1, 20_000), (20_000, 1)])
def test_a_frame_of_any_size_fills_its_part_of_the_canvas_and_the_rest_is_grey(size):
    frame = Frame.from_array(np.full((*size, 3), (200, 10, 60), dtype=np.uint8))
    pixels, placement = place_frame(frame, CANVAS)
    height, width = placement.resized
    assert pixels.dtype == torch.uint8
    assert pixels.shape == (3, *CANVAS)
    assert (pixels[:, :height, :width] == torch.tensor([200, 10, 60])[:, None, None]).all()
    assert (pixels[:, height:] == GREY).all()
    assert (pixels[:, :, width:] == GREY).all()
    assert height == CANVAS[0] or width == CANVAS[1]


def test_a_frame_of_the_canvas_size_is_not_touched():
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (*CANVAS, 3), dtype=np.uint8)
    placed, _ = place_frame(Frame.from_array(pixels), CANVAS)
    assert (placed.permute(1, 2, 0).numpy() == pixels).all()


def test_left_and_right_top_and_bottom_stay_where_they_are():
    pixels = np.zeros((100, 50, 3), dtype=np.uint8)
    pixels[:50, :25] = (255, 0, 0)  # red above left, green below right
    pixels[50:, 25:] = (0, 255, 0)
    placed, placement = place_frame(Frame.from_array(pixels), CANVAS)
    assert placement.resized == (48, 24)
    assert placed[:, 4, 4].tolist() == [255, 0, 0]
    assert placed[:, 44, 20].tolist() == [0, 255, 0]
    assert placed[:, 4, 20].tolist() == [0, 0, 0]
