"""Numbers that people read and type, against flat indices, by hand."""

import numpy as np
import pytest

from deixis.errors import DataError
from deixis.structures.images import Frame, ImageSet
from deixis.structures.numbering import (
    frame_index,
    frame_key,
    heard_by,
    image_name,
    index_of,
    ordinal,
    read_image_names,
)


@pytest.fixture
def images():
    """A picture, a clip of three frames, a picture."""
    frame = Frame.from_array(np.zeros((2, 3, 3), np.uint8))
    one = ImageSet.pictures([frame])
    return ImageSet.join([one, ImageSet.clip([frame] * 3, [0, 1, 2]), one])


KEYS = ["1", "2@1", "2@2", "2@3", "3"]


def test_keys_and_indices_lead_to_each_other(images):
    assert [frame_key(images, i) for i in range(5)] == KEYS
    assert [frame_index(images, key) for key in KEYS] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(("key", "index"), [("2", 1), ("1@1", 0), (" 3 ", 4), ("02@03", 3)])
def test_other_spellings_are_understood(images, key, index):
    assert frame_index(images, key) == index


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("0", r"expected 1 to 3, got 0\. Images are numbered in the order given"),
        ("4", r"expected 1 to 3, got 4"),
        ("2@4", r"frame number: expected 1 to 3 in image 2, got 4"),
        ("2@0", r"expected 1 to 3 in image 2, got 0"),
        ("1@2", r"expected 1 to 1 in image 1, got 2"),
        ("-1", r'expected "2" or "2@17", got "-1"'),
        ("2@", r'got "2@"'),
        ("cup", r'got "cup"'),
        ("", r'got ""'),
        ("²", r'got "²"|expected'),
    ],
)
def test_keys_of_nothing_are_refused(images, key, message):
    with pytest.raises(DataError, match=message):
        frame_index(images, key)


@pytest.mark.parametrize("index", [-1, 5])
def test_an_index_of_no_frame_has_no_key(images, index):
    with pytest.raises(DataError, match=rf"expected an index below 5, got {index}"):
        frame_key(images, index)


def test_ordinals_start_at_one():
    assert [ordinal(i) for i in range(3)] == [1, 2, 3]
    assert [index_of(n) for n in (1, 2, 3)] == [0, 1, 2]
    assert image_name(1) == "image 2"


def test_image_names_are_found_in_words():
    assert read_image_names("Image 2 and image 10, not images 3 or image three.") == [1, 9]
    assert read_image_names("the image2 and preimage 4") == []


def test_each_image_hears_of_itself_and_of_others():
    asked = "The mug from image 2 and Image 12 in the other images, image2?"
    assert [heard_by(image, asked) for image in (1, 11, 0)] == [
        "The mug from this image and another image in the other images, image2?",
        "The mug from another image and this image in the other images, image2?",
        "The mug from another image and another image in the other images, image2?",
    ]
