"""A prompt may say when instead of which frame: "1@3.2s" is the frame shown after 3.2 seconds."""

import numpy as np
import pytest
from PIL import Image

from deixis.cli.asking.arguments import Asked, read_sample
from deixis.errors import DataError


@pytest.fixture
def paths(tmp_path):
    """A picture, and a clip of four frames of 100 ms each."""
    picture, clip = tmp_path / "a.png", tmp_path / "clip.gif"
    Image.fromarray(np.full((20, 30, 3), 77, np.uint8)).save(picture)
    frames = [Image.fromarray(np.full((20, 30), 40 * k, np.uint8)) for k in range(4)]
    frames[0].save(clip, save_all=True, append_images=frames[1:], duration=100)
    return [str(picture), str(clip)]


def frame_of(paths, key):
    sample = read_sample(Asked(inputs=(*paths, "what is it?"), boxes=(f"{key}:1,2,9,8=cup",)))
    return sample.question.prompts[0].image


@pytest.mark.parametrize(
    ("key", "frame"),
    [("2@0s", 1), ("2@0.05s", 1), ("2@0.1s", 2), ("2@0.299s", 3), ("2@0.3s", 4), ("2@0.4s", 4)],
)
def test_a_time_means_the_frame_that_is_shown_then(paths, key, frame):
    assert frame_of(paths, key) == frame


def test_a_time_and_a_number_of_one_frame_are_the_same(paths):
    assert frame_of(paths, "2@0.2s") == frame_of(paths, "2@3") == 3


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("2@7s", r'expected at most 0\.40 s, where the clip ends, got "2@7s"'),
        ("1@0s", 'expected a clip, got image 1, a picture, in "1@0s"'),
        ("3@0s", "expected 1 to 2, got 3"),
        ("2@s", 'box: expected 1:x0,y0,x1,y1, with =NAME behind it if you like, got "2@s:'),
    ],
)
def test_a_time_that_nothing_shows_is_refused(paths, key, message):
    with pytest.raises(DataError, match=message):
        frame_of(paths, key)
