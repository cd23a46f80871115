"""Osprey, Inst-IT, ViCaS and VideoGPT+, written as their loaders read them, and read back."""

import json
import pickle

import numpy as np
import pytest
from published import box_mask, box_polygon, picture, write_json

from deixis.data.annotations.index import WORTHWHILE
from deixis.data.catalogue import open_data
from deixis.data.clips.inst_it import open_inst_it
from deixis.data.clips.vicas import open_vicas
from deixis.data.images.osprey import ASKED, open_osprey
from deixis.data.words.conversation import VIDEOGPT_PLUS, open_conversations
from deixis.errors import DataError
from deixis.structures.masks import Mask

LEFT, RIGHT = box_mask(2, 2, 12, 12), box_mask(8, 4, 20, 16)


def rle(mask: np.ndarray) -> dict:
    return Mask(mask).to_rle()


def said(*values: str) -> list[dict]:
    return [{"from": ("human", "gpt")[i % 2], "value": value} for i, value in enumerate(values)]


@pytest.fixture
def osprey(tmp_path):
    annotation = [
        {"segmentation": [box_polygon(2, 2, 12, 12)]},
        {"segmentation": rle(RIGHT)},
    ]
    image = {"id": 7, "file_name": "a.jpg", "height": 30, "width": 40, "annotation": annotation}
    turns = said("<image>\nIs <region2] left?", "<regin1> is, é.", "And <region 2>?", "No.")
    told = ["<Region2>: a dish.", "<region of1>: a cup: red."]
    base = tmp_path / "osprey/Osprey-724K"
    write_json(base / "osprey_conversation.json", [{**image, "conversations": turns}])
    write_json(base / "osprey_detail_description.json", [{**image, "description": told}])
    picture(tmp_path / "osprey/coco/train2014/a.jpg")
    return tmp_path


def test_osprey_points_at_the_regions_of_each_turn_and_mends_their_marks(osprey):
    first, second = open_osprey(osprey)
    assert first.question.text == "Is [2] left?"
    assert first.answer.text == "[1] is, é."
    assert [(p.object_id, p.mask) for p in first.question.prompts] == [
        (2, Mask(RIGHT)),
        (1, Mask(LEFT)),
    ]
    assert [p.object_id for p in second.question.prompts] == [2]


def test_osprey_describes_a_region_at_a_time(osprey):
    dish, cup = open_osprey(osprey, "detail_description")
    assert (dish.question.text, dish.answer.text) == (ASKED.format(2), "a dish.")
    assert cup.answer.text == "a cup: red."


@pytest.mark.parametrize(
    ("turn", "words"),
    [("<region9>", "expected a region from 1 to 2, got 9"), ("<region>", "regions with a number")],
)
def test_osprey_locates_regions_that_are_not_there(osprey, turn, words):
    path = osprey / "osprey/Osprey-724K/osprey_conversation.json"
    path.write_text(path.read_text().replace("<region2]", turn))
    with pytest.raises(DataError, match=rf"osprey_conversation\.json:0: expected {words}|{words}"):
        open_osprey(osprey)[0]


@pytest.fixture
def inst_it(tmp_path):
    base = tmp_path / "inst_it/Inst-IT-Dataset"
    for number in (2, 10, 1):
        picture(base / f"videos_raw/a/b/frame_{number}.jpg")
    pairs = [
        {"question": "What does [01] do?", "answer": "It waits at <0>."},
        {"question": "Where?", "answer": "Outside."},
        {"question": "Who?", "answer": "[1] and [2]."},
    ]
    shown = {
        "frame_1.jpg": {"1": {"mask": rle(LEFT)}, "2": {"mask": rle(RIGHT)}},
        "frame_10.jpg": {"1": {"mask": rle(RIGHT)}},
    }
    entry = {"video_id": 5, "video_path": "videos/a/b", "question_answer_pairs": pairs}
    write_json(base / "inst_it_dataset_video_21k_w_mask.json", [{**entry, "segmentations": shown}])
    return tmp_path


def test_inst_it_asks_what_names_an_object_in_all_frames_that_show_it(inst_it):
    first, both = open_inst_it(inst_it)
    assert (first.question.text, first.answer.text) == ("What does [1] do?", "It waits at <1>.")
    assert [(p.image, p.object_id) for p in first.question.prompts] == [(0, 1), (2, 1)]
    assert [(p.image, p.object_id) for p in both.question.prompts] == [(0, 1), (2, 1), (0, 2)]
    assert first.question.prompts[1].mask == Mask(RIGHT)


@pytest.fixture
def vicas(tmp_path):
    base = tmp_path / "vicas"
    write_json(base / "splits/v1.0/val.json", [31])
    frames = [{"filename": f"{i:05d}.jpg"} for i in range(2)]
    asked = [{"prompt": " the cups ", "track_ids": [4, 2]}]
    entry = {"filename": "000031.mp4", "segmentations": frames, "object_referrals": asked}
    write_json(base / "annotations/annotations_wo_masks_v1.0.json", {"000031": entry})
    write_json(base / "masks/000031/0.json", [[rle(LEFT), rle(RIGHT)], [None, rle(RIGHT)]])
    for frame in frames:
        picture(base / "video_frames/000031" / frame["filename"])
    return tmp_path


def test_vicas_unites_the_tracks_of_a_referral(vicas):
    sample = open_vicas(vicas)[0]
    masks = sample.answer.targets[0].masks
    assert (masks[0], masks[1]) == (Mask(LEFT | RIGHT), Mask(RIGHT))
    assert sample.question.text == "the cups"
    assert np.array_equal(open_vicas(vicas).labels(0)[0], LEFT | RIGHT)


def test_vicas_reads_a_file_a_video_with_masks_by_track(vicas):
    path = vicas / "vicas/annotations/annotations_wo_masks_v1.0.json"
    entry = json.loads(path.read_text())["000031"]
    masks = {"track_ids": [2, 3], "mask_rles": [rle(RIGHT), rle(LEFT)]}
    entry["segmentations"] = [{**frame, **masks} for frame in entry["segmentations"]]
    path.unlink()
    write_json(vicas / "vicas/annotations/v1.0/000031.json", entry)
    assert open_vicas(vicas)[0].answer.targets[0].masks[1] == Mask(RIGHT)


def test_videogpt_plus_finds_pictures_and_clips_in_their_folders(tmp_path):
    entries = [
        {"id": "p", "image": "a.jpg", "conversations": said("<image>\nWhat?", "A cup.")},
        {"id": "v", "video": "clip", "conversations": said("What?\n<video>", "A dance.")},
        {"id": "t", "conversations": said("Hello", "Hello.")},
    ]
    write_json(tmp_path / VIDEOGPT_PLUS, entries)
    picture(tmp_path / "llava_instruct/a.jpg")
    for number in range(3):
        picture(tmp_path / f"videogpt_plus/clip/{number}.jpg")
    still, clip = open_data("videogpt_plus", tmp_path)
    assert (len(still.images), len(clip.images)) == (1, 3)
    assert clip.question.text == "What?"


def test_the_index_of_a_large_file_is_kept_beside_its_hash(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    long = "é" * 200
    entries = [
        {"id": i, "image": "a.jpg", "conversations": said(f"{long}{i}?", "x", "y?", "z")}
        for i in range(WORTHWHILE // 400)
    ]
    path = tmp_path / "c.json"
    path.write_text(json.dumps(entries, ensure_ascii=False), encoding="utf-8")
    picture(tmp_path / "a.jpg")
    first = open_conversations(tmp_path, "c.json", ".")
    (kept,) = (tmp_path / "cache/deixis/index").iterdir()
    again = open_conversations(tmp_path, "c.json", ".")
    assert first.rows[:] == again.rows[:]
    assert again[2001].id == "1000/1"
    assert pickle.loads(pickle.dumps(again))[2000].question.text == f"{long}1000?"
    kept.write_bytes(b"broken")
    assert len(open_conversations(tmp_path, "c.json", ".")) == len(first)
    path.write_text(json.dumps(entries[:-1], ensure_ascii=False), encoding="utf-8")
    assert len(open_conversations(tmp_path, "c.json", ".")) == len(first) - 2


@pytest.mark.parametrize("text", ["[{}", "[{} {}]", "{}", "[{}] x", "[,]", "", "[{},]"])
def test_a_broken_list_is_located(tmp_path, text):
    (tmp_path / "c.json").write_text(text)
    with pytest.raises(DataError, match=r"c\.json.* expected "):
        open_conversations(tmp_path, "c.json", ".")
