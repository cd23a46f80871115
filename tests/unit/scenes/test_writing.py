"""Data sets as files: read back equal, whole or not there, never over something else."""

import json

import numpy as np
import pytest
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from deixis.errors import DataError
from deixis.scenes.questions import make_sample, make_scene
from deixis.scenes.world import WorldKey
from deixis.scenes.writing import make_dataset
from deixis.structures.wire import sample_from_json


@pytest.mark.parametrize("task", ["multi", "clip", "region", "absent"])
def test_samples_are_read_back_as_they_were_made(tmp_path, task):
    out = make_dataset(task, 3, 7, "test", tmp_path / "set")
    lines = (out / "samples.jsonl").read_text().splitlines()
    assert len(lines) == 3
    for index, line in enumerate(lines):
        read, made = sample_from_json(line, out), make_sample("test", task, 7, index)
        assert read.answer == made.answer
        assert (read.question, read.id, read.type) == (made.question, made.id, made.type)
        assert read.images.times == made.images.times
        for a, b in zip(read.images, made.images, strict=True):
            assert np.array_equal(a.pixels, b.pixels)


def test_a_picture_is_a_file_and_a_clip_a_folder_of_numbered_frames(tmp_path):
    multi = make_dataset("multi", 1, 7, "test", tmp_path / "multi")
    assert (multi / "images" / "000000-1.png").is_file()
    clip = make_dataset("clip", 1, 7, "test", tmp_path / "clip")
    frames = sorted(path.name for path in (clip / "images" / "000000-1").iterdir())
    assert frames[0] == "0001.png"
    assert len(frames) == len(make_sample("test", "clip", 7, 0).images)


def test_instances_hold_the_visible_pixels_of_everything(tmp_path):
    out = make_dataset("refer", 2, 7, "test", tmp_path / "set")
    coco = COCO(str(out / "instances.json"))
    scene = make_scene(WorldKey(split="test", task="refer", seed=7, index=1))
    (image,) = [i for i in coco.dataset["images"] if i["file_name"] == "images/000001-1.png"]
    found = np.zeros((image["height"], image["width"]), np.uint8)
    for entry in coco.imgToAnns[image["id"]]:
        pixels = coco.annToMask(entry).astype(bool)
        found[pixels] = entry["thing"]
        assert entry["area"] == pixels.sum()
        assert entry["bbox"] == coco_mask.toBbox(entry["segmentation"]).tolist()
    assert np.array_equal(found, scene.renderings[0].things)


def test_the_same_data_set_is_left_as_it_is(tmp_path):
    out = make_dataset("plain", 2, 7, "test", tmp_path / "set")
    stamp = (out / "samples.jsonl").stat().st_mtime_ns
    assert make_dataset("plain", 2, 7, "test", out) == out
    assert (out / "samples.jsonl").stat().st_mtime_ns == stamp


def test_another_data_set_or_a_strange_folder_is_refused(tmp_path):
    out = make_dataset("plain", 2, 7, "test", tmp_path / "set")
    with pytest.raises(DataError, match="expected an empty folder, or the same data set"):
        make_dataset("plain", 3, 7, "test", out)
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "mine.txt").write_text("keep me")
    with pytest.raises(DataError, match="Choose another folder"):
        make_dataset("plain", 2, 7, "test", tmp_path / "notes")
    assert (tmp_path / "notes" / "mine.txt").read_text() == "keep me"


def test_an_empty_folder_is_filled(tmp_path):
    (tmp_path / "set").mkdir()
    assert (make_dataset("plain", 1, 7, "test", tmp_path / "set") / "samples.jsonl").is_file()


def test_what_fails_leaves_nothing_behind(tmp_path):
    with pytest.raises(DataError, match="compose"):
        make_dataset("compose", 1, 7, "train", tmp_path / "set")
    with pytest.raises(DataError, match="expected at least 1 sample, got 0"):
        make_dataset("plain", 0, 7, "test", tmp_path / "set")
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="expected"):
        make_dataset("plain", 1, 7, "test", tmp_path / "file" / "set")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_progress_is_told_after_each_sample(tmp_path):
    told: list[int] = []
    make_dataset("plain", 3, 7, "test", tmp_path / "set", progress=told.append)
    assert told == [1, 2, 3]


def test_every_category_has_a_number_and_a_name(tmp_path):
    out = make_dataset("plain", 1, 7, "test", tmp_path / "set")
    content = json.loads((out / "instances.json").read_text())
    names = {entry["id"]: entry["name"] for entry in content["categories"]}
    assert len(names) >= 16
    assert {entry["category_id"] for entry in content["annotations"]} <= set(names)
