"""Frame and ImageSet: what they promise, and what they refuse."""

import pickle

import numpy as np
import pytest
from PIL import Image

from deixis.errors import DataError
from deixis.structures.images import Frame, ImageSet


def frame(value=0, size=(4, 6), name=""):
    return Frame.from_array(np.full((*size, 3), value, np.uint8), name=name)


def test_a_set_is_a_flat_sequence_that_knows_its_clips():
    clip = ImageSet.clip([frame(1), frame(2), frame(3)], [0.0, 0.5, 2.0])
    images = ImageSet.join([ImageSet.pictures([frame(0)]), clip, ImageSet.pictures([frame(4)])])
    assert [f.pixels[0, 0, 0] for f in images] == [0, 1, 2, 3, 4]
    assert images.spans == (range(0, 1), range(1, 4), range(4, 5))
    assert [images.is_clip(i) for i in range(3)] == [False, True, False]
    assert [images.image_of(i) for i in range(5)] == [0, 1, 1, 1, 2]
    assert images.times == (None, (0.0, 0.5, 2.0), None)


def test_pixels_are_read_only_when_asked_for():
    def read():
        raise AssertionError("read too early")

    images = ImageSet.pictures([Frame(read, (4, 6), key="known")])
    assert (images[0].size, images[0].key, len(images)) == ((4, 6), "known", 1)


def test_equal_pixels_have_equal_keys_and_others_do_not():
    assert frame(1).key == frame(1, name="other").key
    assert len({frame(1).key, frame(2).key, frame(1, (6, 4)).key, frame(1, (3, 8)).key}) == 4


def test_a_key_is_computed_once_and_late():
    calls = []
    one = Frame(lambda: None, (4, 6), key=lambda: calls.append(1) or "k")
    assert (calls, one.key, one.key, calls) == ([1], "k", "k", [1])


def test_frames_go_to_other_processes():
    again = pickle.loads(pickle.dumps(frame(7)))
    assert again.pixels[0, 0, 0] == 7


@pytest.mark.parametrize(
    ("size", "long_side", "expected"),
    [
        ((40, 60), 30, (20, 30)),
        ((60, 40), 30, (30, 20)),
        ((4, 6), 30, (4, 6)),  # never enlarged
        ((1, 20000), 128, (1, 128)),
        ((999, 1000), 10, (10, 10)),
    ],
)
def test_a_reduced_copy_fits_its_long_side(size, long_side, expected):
    assert frame(9, size).reduced(long_side).shape == (*expected, 3)


def test_a_reduced_copy_is_a_smooth_one_of_the_same_view():
    rng = np.random.default_rng(0)
    rough = rng.integers(0, 256, (6, 8, 3), np.uint8)
    pixels = np.asarray(Image.fromarray(rough).resize((320, 240), Image.Resampling.BICUBIC))
    means = pixels.reshape(24, 10, 32, 10, 3).mean((1, 3))
    assert np.abs(Frame.from_array(pixels).reduced(32) - means).mean() < 2


@pytest.mark.parametrize(
    "pixels",
    [np.zeros((4, 6), np.uint8), np.zeros((4, 6, 3)), np.zeros((0, 6, 3), np.uint8)],
)
def test_only_rgb_bytes_are_frames(pixels):
    with pytest.raises(DataError, match=r"expected RGB uint8 \(H, W, 3\), got"):
        Frame.from_array(pixels)


def test_a_frame_that_changed_since_it_was_opened_is_refused():
    changed = Frame(lambda: np.zeros((5, 6, 3), np.uint8), (4, 6), name="a.png")
    with pytest.raises(DataError, match=r"a\.png: expected 6 x 4 pixels as when .* got 6 x 5"):
        _ = changed.pixels


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (((), (), ()), r"at least one, got none"),
        (((frame(),), (2,), (None,)), r"lengths that add up to 1 frames, got \[2\]"),
        (((frame(),), (0, 1), (None, None)), r"got \[0, 1\]"),
        (((frame(),), (1,), ()), r"times for 1 images, got 0"),
        (((frame(), frame()), (2,), (None,)), r"expected times for the 2 frames .* got none"),
        (((frame(), frame()), (2,), ((0.0,),)), r"expected 2 times, got 1"),
        (((frame(), frame()), (2,), ((1.0, 1.0),)), r"times that rise"),
    ],
)
def test_sets_that_do_not_add_up_are_refused(arguments, message):
    with pytest.raises(DataError, match=message):
        ImageSet(*arguments)
