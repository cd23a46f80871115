"""Arguments of `ask`: what a person types becomes images, question and prompts."""

import numpy as np
import pytest
from PIL import Image

from deixis.cli.asking.arguments import (
    Asked,
    check_folder,
    check_settings,
    read_mask,
    read_sample,
)
from deixis.errors import ConfigError, DataError
from deixis.structures.prompts import Box, Point, Region
from deixis.structures.samples import LONGEST


@pytest.fixture
def folder(tmp_path):
    for name in ("a.png", "b.png"):
        Image.fromarray(np.full((20, 30, 3), 77, np.uint8)).save(tmp_path / name)
    frames = [Image.fromarray(np.full((20, 30), 40 * k, np.uint8)) for k in range(4)]
    frames[0].save(tmp_path / "clip.gif", save_all=True, append_images=frames[1:], duration=100)
    mask = np.zeros((20, 30), np.uint8)
    mask[5:9, 5:9] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    return tmp_path


def asked(folder, *inputs, **prompts):
    paths = [str(folder / name) for name in inputs]
    return Asked(inputs=(*paths, "which one?"), **prompts)


def test_the_last_argument_is_the_question_and_the_others_are_images_in_order(folder):
    sample = read_sample(asked(folder, "b.png", "clip.gif", "a.png"))
    assert sample.question.text == "which one?"
    assert sample.images.lengths == (1, 4, 1)


def test_points_boxes_and_masks_land_on_the_image_and_frame_that_they_name(folder):
    sample = read_sample(
        asked(
            folder,
            "a.png",
            "clip.gif",
            points=["2@3:4,5.5=cup", "2:1,2"],
            boxes=["1:1,2,3,4"],
            masks=[f"1:{folder}/mask.png=the sign"],
        )
    )
    first, second, box, region = sample.question.prompts
    assert first == Point(image=3, x=4, y=5.5, name="cup")
    assert second == Point(image=1, x=1, y=2)
    assert box == Box(image=0, x0=1, y0=2, x1=3, y1=4)
    assert isinstance(region, Region)
    assert (region.image, region.mask.box) == (0, (5, 5, 9, 9))


def test_a_mask_file_whose_name_has_an_equals_sign_is_taken_whole(folder):
    (folder / "mask.png").rename(folder / "mask=1.png")
    sample = read_sample(asked(folder, "a.png", masks=[f"1:{folder}/mask=1.png"]))
    assert sample.question.prompts[0].name is None


@pytest.mark.parametrize(
    ("prompts", "message"),
    [
        ({"points": ["3:1,1"]}, r"image number: expected 1 to 2, got 3"),
        ({"points": ["0:1,1"]}, r"image number: expected 1 to 2, got 0"),
        ({"points": ["2@9:1,1"]}, r"frame number: expected 1 to 4 in image 2, got 9"),
        ({"points": ["1:30,1"]}, r"point: expected x in \[0, 30\) .* got 30,1"),
        ({"points": ["1:1"]}, r'point: expected 2 numbers as in 2:x,y, got "1:1"'),
        ({"points": ["1:nan,1"]}, r"point: expected 2 numbers"),
        ({"points": ["1,1"]}, r'point: expected 2:x,y, .* got "1,1"'),
        ({"points": ["1:1,1="]}, r'point: expected a name behind "="'),
        ({"boxes": ["1:5,5,5,9"]}, r"box: expected x0 < x1 and y0 < y1, got 5,5,5,9"),
        ({"boxes": ["1:1,1,99,9"]}, r"box: expected corners inside 30 x 20 of image 1"),
        ({"boxes": ["one:1,1,9,9"]}, r"box: expected 1:x0,y0,x1,y1"),
        ({"masks": ["1:gone.png"]}, r"gone.png: expected a file"),
    ],
)
def test_a_prompt_that_does_not_fit_is_refused_with_what_was_expected(folder, prompts, message):
    with pytest.raises(DataError, match=message):
        read_sample(asked(folder, "a.png", "clip.gif", **prompts))


def test_a_mask_of_another_size_is_refused(folder):
    Image.new("L", (31, 20), 255).save(folder / "wide.png")
    with pytest.raises(DataError, match=r"size \(20, 30\) \(height, width\), got \(20, 31\)"):
        read_sample(asked(folder, "a.png", masks=[f"1:{folder}/wide.png"]))


@pytest.mark.parametrize("scale", [1, 255])
def test_masks_of_ones_and_of_255_are_the_same(folder, scale):
    Image.fromarray(np.eye(6, dtype=np.uint8) * np.uint8(scale)).save(folder / "eye.png")
    assert np.array_equal(read_mask(str(folder / "eye.png")).pixels, np.eye(6, dtype=bool))


@pytest.mark.parametrize("inputs", [(), ("",), ("a.png",), ("a.png", "  "), ("a.png", "b.png")])
def test_without_words_at_the_end_there_is_no_question(folder, inputs):
    paths = tuple(str(folder / one) if one.strip() else one for one in inputs)
    with pytest.raises(DataError, match="question: expected words after the images"):
        read_sample(Asked(inputs=paths))


def test_a_question_without_an_image_is_refused():
    with pytest.raises(DataError, match="images: expected at least one before the question"):
        read_sample(Asked(inputs=("what is this?",)))


def test_a_long_question_is_read_and_a_very_long_one_refused(folder):
    path = str(folder / "a.png")
    assert len(read_sample(Asked(inputs=(path, "why " * 2500))).question.text) == 10_000
    with pytest.raises(DataError, match=f"at most {LONGEST} characters, got 100000"):
        read_sample(Asked(inputs=(path, "x" * 100_000)))


def test_bytes_that_are_no_utf8_are_refused(folder):
    with pytest.raises(DataError, match="question: expected text in UTF-8"):
        read_sample(Asked(inputs=(str(folder / "a.png"), "caf\udce9")))


def test_unknown_devices_and_kinds_of_numbers_are_refused():
    with pytest.raises(ConfigError, match=r'device: expected cpu, .* got "gpu"'):
        check_settings("gpu", None, None)
    with pytest.raises(ConfigError, match=r'dtype: expected one of .* got "int8"'):
        check_settings("cuda:1", "int8", None)


def test_an_output_place_is_tried_and_left_as_it_was(tmp_path):
    check_folder(tmp_path / "new" / "deep")
    assert not list(tmp_path.iterdir())
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="expected a folder to write to, got a file"):
        check_folder(tmp_path / "file" / "out")
