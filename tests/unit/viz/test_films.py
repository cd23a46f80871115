"""The overlay of a video is a video: every frame at its own time, whatever its size."""

import numpy as np
import pytest
from PIL import Image

from deixis.structures.answers import GroundedAnswer, Target
from deixis.structures.images import Frame, ImageSet
from deixis.structures.masks import Mask
from deixis.structures.opening import open_images
from deixis.viz.export import write_answer, write_film

TIMES = [2.0, 2.1, 2.5, 4.0]


def clip(name):
    frames = [
        Frame.from_array(np.full((31, 51, 3), 60 * i, np.uint8), name=name) for i in range(4)
    ]
    return ImageSet.clip(frames, TIMES)


@pytest.mark.parametrize("size", [(31, 51), (40, 64)])
def test_a_film_shows_each_frame_at_its_time(tmp_path, size):
    pictures = [Image.new("RGB", size[::-1], (60 * i,) * 3) for i in range(4)]
    write_film(tmp_path / "a.mp4", iter(pictures), TIMES)
    film = open_images([tmp_path / "a.mp4"])
    np.testing.assert_allclose(film.times[0], np.subtract(TIMES, 2.0), atol=2e-3)
    assert film[0].size == tuple(side + side % 2 for side in size)
    greys = [float(film[i].pixels.mean()) for i in (3, 0, 2, 1)]
    np.testing.assert_allclose(greys, [180, 0, 120, 60], atol=4)


@pytest.mark.parametrize(("name", "overlay"), [("a.MP4", ".mp4"), ("a.gif", ".gif"), ("", ".gif")])
def test_what_came_as_a_video_goes_out_as_one(tmp_path, name, overlay):
    covered = np.zeros((31, 51), dtype=bool)
    covered[5:20, 10:30] = True
    target = Target(phrase="cup", masks={2: Mask(covered)})
    answer = GroundedAnswer(text="The cup.", targets=(target,), spans=((4, 7),))
    write_answer(tmp_path / "out", clip(name), answer, {})
    assert [p.suffix for p in (tmp_path / "out").glob("image_1.*")] == [overlay]
    shown = open_images([tmp_path / "out" / f"image_1{overlay}"])
    assert len(shown) == len(TIMES)
    there, gone = (shown[i].pixels.astype(int) for i in (2, 1))
    colourful = [int(np.ptp(one[8:60], axis=2).max()) for one in (there, gone)]
    assert colourful[0] > colourful[1] + 40


def test_a_film_takes_the_place_of_an_earlier_one(tmp_path):
    write_answer(tmp_path / "out", clip("a.mp4"), GroundedAnswer(text="Nothing."), {})
    plain = ImageSet.pictures([Frame.from_array(np.zeros((20, 20, 3), np.uint8))])
    write_answer(tmp_path / "out", plain, GroundedAnswer(text="Nothing."), {})
    assert [p.name for p in (tmp_path / "out").glob("image_1.*")] == ["image_1.png"]
