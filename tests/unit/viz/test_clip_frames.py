"""A clip's answer on disk, frame by frame: label pictures and COCO's JSON agree with the masks."""

import json

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco

from deixis.structures.answers import GroundedAnswer, Target
from deixis.structures.images import Frame, ImageSet
from deixis.structures.masks import Mask
from deixis.viz.export import write_answer
from deixis.viz.frames import write_frames

SIZE = (12, 20)


def images() -> ImageSet:
    frame = Frame.from_array(np.zeros((*SIZE, 3), np.uint8))
    clip = ImageSet.clip([frame] * 3, [0.0, 0.1, 0.2])
    return ImageSet.join([ImageSet.pictures([frame]), clip])


def square(x: int) -> Mask:
    pixels = np.zeros(SIZE, bool)
    pixels[2:7, x : x + 4] = True
    return Mask(pixels)


def answer(number: int | None = 7) -> GroundedAnswer:
    cup = Target(phrase="the cup", masks={1: square(2), 3: square(5)}, object_id=number, score=0.5)
    mug = Target(phrase="the mug", masks={3: square(7)}, object_id=None, score=None)
    return GroundedAnswer(text="the cup, the mug", targets=(cup, mug), spans=((0, 7), (9, 16)))


def read(folder, name):
    document = json.loads((folder / f"{name}.json").read_text())
    return np.asarray(Image.open(folder / f"{name}.png")), document


def test_every_frame_has_its_labels_and_its_annotations(tmp_path):
    write_frames(tmp_path / "out", images(), 1, answer())
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == [f"00000{n}.{kind}" for n in (1, 2, 3) for kind in ("json", "png")]
    labels, document = read(tmp_path / "out", "000003")
    assert (labels == 2).tolist() == square(7).pixels.tolist()
    assert (labels == 7).sum() == square(5).area - 10  # the mug lies over two columns of the cup
    cup, mug = document["annotations"]
    assert cup["bbox"] == [5, 2, 4, 5]
    assert (cup["category_id"], mug["category_id"], cup["score"]) == (7, 2, 0.5)
    assert (coco.decode(mug["segmentation"]) > 0).tolist() == square(7).pixels.tolist()
    assert document["categories"] == [{"id": 7, "name": "the cup"}, {"id": 2, "name": "the mug"}]
    labels, document = read(tmp_path / "out", "000002")
    assert not labels.any()
    assert document["annotations"] == []


@pytest.mark.parametrize("number", [7, 300])
def test_high_numbers_keep_their_value(tmp_path, number):
    write_frames(tmp_path / "out", images(), 1, answer(number))
    labels, _ = read(tmp_path / "out", "000001")
    assert labels.max() == number


def test_an_answer_about_a_clip_is_written_with_its_frames(tmp_path):
    write_answer(tmp_path / "out", images(), answer(), {"text": "x"})
    assert (tmp_path / "out" / "image_2_frames" / "000003.json").is_file()
    assert not (tmp_path / "out" / "image_1_frames").exists()
    pictures = images().frames[:1]
    write_answer(tmp_path / "out", ImageSet.pictures(pictures), GroundedAnswer(text="y"), {})
    assert not (tmp_path / "out" / "image_2_frames").exists()
