"""Frames, masks and positions as UniPixel's language decoder and SAM read them."""

from random import Random

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from deixis.errors import DataError, ShapeError
from deixis.processing.frames.unipixel_frames import (
    MAX_PIXELS,
    MERGED,
    centre_point,
    corners,
    frames_by_rate,
    mrope_positions,
    pair_masks,
    patchify,
    sample_frames,
    sample_in_buckets,
    sample_with,
    smart_resize,
    touched_cells,
    whole_if_empty,
)

MIN_PIXELS = 128 * MERGED**2


@given(total=st.integers(1, 400), count=st.integers(1, 40))
@settings(max_examples=60, deadline=None)
def test_sampled_frames_rise_and_hold_both_ends(total, count):
    frames = sample_frames(total, count)
    assert frames == sorted(set(frames))
    assert len(frames) == min(total, count)
    assert frames[0] == 0
    assert count == 1 or frames[-1] == total - 1


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_frames_to_keep_are_kept_and_their_number_stays(data):
    total = data.draw(st.integers(1, 90))
    keep = data.draw(st.sets(st.integers(0, total - 1), max_size=min(total, 16)))
    frames = sample_with(total, keep, 16)
    assert set(keep) <= set(frames)
    assert frames == sorted(set(frames))
    assert len(frames) == min(total, 16)


@given(total=st.integers(1, 90), count=st.integers(1, 20), seed=st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_frames_by_chance_are_one_of_each_stretch(total, count, seed):
    frames = sample_in_buckets(total, count, Random(seed))
    assert len(frames) == min(total, count)
    for place, frame in enumerate(frames):
        assert place * total // len(frames) <= frame < (place + 1) * total // len(frames)


def test_more_frames_to_keep_than_are_read_are_refused():
    with pytest.raises(
        DataError, match="at most 16 frames, which the model reads of a clip, got 17"
    ):
        sample_with(40, range(17), 16)


@given(height=st.integers(20, 3000), width=st.integers(20, 3000))
@settings(max_examples=60, deadline=None)
def test_frames_get_whole_cells_and_no_more_pixels_than_allowed(height, width):
    rows, columns = smart_resize(height, width, MIN_PIXELS, MAX_PIXELS)
    assert rows % MERGED == columns % MERGED == 0
    assert rows * columns <= MAX_PIXELS


def test_a_strip_is_refused_in_one_sentence():
    with pytest.raises(DataError, match="at most 200 times as long as wide, got 2010 x 10"):
        smart_resize(10, 2010, MIN_PIXELS, MAX_PIXELS)


def test_a_video_of_one_frame_is_no_video():
    assert frames_by_rate(100, 25.0, most=16) == 8
    with pytest.raises(DataError, match="at least 2 frames, got 1"):
        frames_by_rate(1, 25.0, most=16)


def test_patches_hold_the_pixels_of_their_place():
    frames = np.random.default_rng(0).integers(0, 256, (4, 56, 84, 3), dtype=np.uint8)
    patches, grid = patchify(frames)
    assert grid == (2, 4, 6)
    row = patches.unflatten(1, (3, 2, 14, 14))
    pair, cell_row, cell_column, inner_row, inner_column = 1, 1, 2, 0, 1
    index = ((pair * 2 + cell_row) * 3 + cell_column) * 4 + inner_row * 2 + inner_column
    y, x = (cell_row * 2 + inner_row) * 14 + 3, (cell_column * 2 + inner_column) * 14 + 9
    value = frames[pair * 2 + 1, y, x, 2] / 255
    wanted = (value - 0.40821073) / 0.27577711
    assert row[index, 2, 1, 3, 9].item() == pytest.approx(wanted, abs=1e-5)
    with pytest.raises(ShapeError, match="pairs of whole cells of 28"):
        patchify(frames[:3])


def test_an_odd_last_frame_stands_for_its_pair():
    masks = torch.zeros(3, 1, 4, 4).bool()
    masks[2, 0, 1, 1] = True
    pairs = pair_masks(masks)
    assert pairs.flatten(1).any(1).tolist() == [False, True]


def test_a_touched_cell_counts_and_an_empty_object_is_everywhere():
    masks = torch.zeros(1, 2, 56, 56).bool()
    masks[0, 0, 30, 3] = True
    touched = touched_cells(masks, (2, 2), 28)
    assert touched[0, 0].tolist() == [[False, False], [True, False]]
    assert whole_if_empty(masks)[0, 1].all()
    assert torch.equal(whole_if_empty(masks)[0, 0], masks[0, 0])


def test_points_and_boxes_of_masks_lie_inside_them():
    mask = np.zeros((20, 30), dtype=bool)
    mask[4:11, 6:17] = True
    assert corners(mask) == ((6, 4), (16, 10))
    x, y = centre_point(mask)
    assert mask[y, x]
    with pytest.raises(DataError, match="at least one pixel to point at"):
        centre_point(np.zeros((3, 3), dtype=bool))


def test_positions_go_on_after_the_longest_side_of_a_clip():
    tokens = torch.tensor([[1, 9, 9, 9, 9, 9, 9, 2, 3, 0]])
    held = tokens > 0
    grid = torch.tensor([[1, 4, 6]])  # 2 x 3 merged cells
    positions, after = mrope_positions(tokens, held, grid, video_token=9, step=2.0)
    assert positions[:, 0, 0].tolist() == [0, 0, 0]
    assert positions[0, 0, 1:7].tolist() == [1] * 6
    assert positions[1, 0, 1:7].tolist() == [1, 1, 1, 2, 2, 2]
    assert positions[2, 0, 1:7].tolist() == [1, 2, 3, 1, 2, 3]
    assert positions[:, 0, 7:9].tolist() == [[4, 5]] * 3
    assert after.tolist() == [6]
