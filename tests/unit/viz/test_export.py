"""Files of an answer: right at full size, and there completely or not at all."""

import json
import os

import numpy as np
import pytest
from PIL import Image

from deixis.structures.answers import GroundedAnswer, Target
from deixis.structures.images import Frame, ImageSet
from deixis.structures.masks import Mask
from deixis.viz.export import whole_folder, write_answer, write_page

PICTURE = np.full((30, 50, 3), 90, np.uint8)
COVERED = np.zeros((30, 50), dtype=bool)
COVERED[5:20, 10:25] = True
IMAGES = ImageSet.join(
    [
        ImageSet.pictures([Frame.from_array(PICTURE)]),
        ImageSet.clip([Frame.from_array(PICTURE)] * 3, [0.0, 0.5, 1.0]),
    ]
)
ANSWER = GroundedAnswer(
    text="The cup.",
    targets=(Target(phrase="cup", masks={0: Mask(COVERED), 3: Mask(~COVERED)}, object_id=4),),
    spans=((4, 7),),
)


def test_a_folder_holds_a_picture_an_animation_its_frames_the_masks_and_the_document(tmp_path):
    write_answer(tmp_path / "out", IMAGES, ANSWER, {"text": "The cup."})
    names = sorted(str(p.relative_to(tmp_path / "out")) for p in (tmp_path / "out").rglob("*.*"))
    assert names == [
        "answer.json",
        "image_1.png",
        "image_2.gif",
        *(f"image_2_frames/00000{n}.{kind}" for n in (1, 2, 3) for kind in ("json", "png")),
        "masks/target_4_image_1.png",
        "masks/target_4_image_2@3.png",
    ]
    assert json.loads((tmp_path / "out/answer.json").read_text()) == {"text": "The cup."}


def test_masks_are_exact_at_the_size_of_their_image(tmp_path):
    write_answer(tmp_path / "out", IMAGES, ANSWER, {})
    read = np.asarray(Image.open(tmp_path / "out/masks/target_4_image_1.png"))
    assert np.array_equal(read == 255, COVERED)
    assert set(np.unique(read)) == {0, 255}


def test_an_animation_has_all_frames_at_the_speed_of_the_clip(tmp_path):
    write_answer(tmp_path / "out", IMAGES, ANSWER, {})
    with Image.open(tmp_path / "out/image_2.gif") as animation:
        shown = 0.0
        for frame in range(animation.n_frames):
            animation.seek(frame)
            shown += animation.info["duration"]
    assert shown == 1500


def test_a_second_answer_replaces_the_first_and_leaves_other_files_alone(tmp_path):
    out = tmp_path / "out"
    write_answer(out, IMAGES, ANSWER, {})
    (out / "notes.txt").write_text("mine")
    plain = ImageSet.pictures([Frame.from_array(PICTURE)])
    write_answer(out, plain, GroundedAnswer(text="Nothing."), {})
    assert sorted(p.name for p in out.iterdir()) == [
        "answer.json",
        "image_1.png",
        "masks",
        "notes.txt",
    ]
    assert not list((out / "masks").iterdir())


def fill_half(folder):
    with whole_folder(folder) as draft:
        (draft / "answer.json").write_text("new")
        raise OSError("full")


def test_an_error_half_way_leaves_nothing_behind(tmp_path):
    with pytest.raises(OSError, match="full"):
        fill_half(tmp_path / "out")
    assert os.listdir(tmp_path) == []


def test_an_error_half_way_leaves_an_earlier_answer_as_it_was(tmp_path):
    (tmp_path / "answer.json").write_text("old")
    with pytest.raises(OSError, match="full"):
        fill_half(tmp_path)
    assert (tmp_path / "answer.json").read_text() == "old"
    assert os.listdir(tmp_path) == ["answer.json"]


def test_a_page_escapes_its_words_and_carries_its_pictures(tmp_path):
    picture = Image.fromarray(PICTURE)
    write_page(tmp_path / "page.html", "A & B", [("<script>alert(1)</script>", picture)])
    page = (tmp_path / "page.html").read_text()
    assert "<script>" not in page
    assert "A &amp; B" in page
    assert page.count("data:image/png;base64,") == 1
