"""Sets of clips, written in their layouts and read back to the same truth."""

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from published import box_mask, picture, write_json

from deixis.data.clips.expressions import open_expressions
from deixis.data.clips.groundmore import open_groundmore
from deixis.data.clips.regions import ASKED, open_regions
from deixis.errors import ConfigError, DataError
from deixis.structures.masks import Mask
from deixis.structures.prompts import Box, Point, Region

LEFT, RIGHT = box_mask(2, 2, 12, 12), box_mask(8, 4, 20, 16)
FRAMES = ["00000", "00005", "00010"]


def rle(mask: np.ndarray) -> dict:
    return Mask(mask).to_rle()


def expression(text: str, *tracks: int, **more: int) -> dict:
    return {"exp": text, "obj_id": list(range(len(tracks))), "anno_id": list(tracks), **more}


def clip(folder: Path, names: list[str] = FRAMES) -> None:
    for name in names:
        picture(folder / f"{name}.jpg")


@pytest.fixture
def mevis(tmp_path):
    asked = {
        "2": expression("the left one", 0),
        "10": expression("both", 0, 1),
        "3": expression("nothing"),
    }
    base = tmp_path / "mevis/valid_u"
    videos = {"clip": {"frames": FRAMES, "expressions": asked, "vid_id": 0}}
    write_json(base / "meta_expressions.json", {"videos": videos})
    tracks = {"0": [rle(LEFT), None, rle(LEFT)], "1": [rle(RIGHT), rle(RIGHT), None]}
    write_json(base / "mask_dict.json", tracks)
    clip(base / "JPEGImages/clip")
    return tmp_path


def test_tracks_of_an_expression_are_united_and_empty_frames_left_out(mevis):
    left, both, nothing = open_expressions(mevis, "mevis", "valid_u")
    assert set(left.answer.targets[0].masks) == {0, 2}
    assert both.answer.targets[0].masks[0] == Mask(LEFT | RIGHT)
    assert set(both.answer.targets[0].masks) == {0, 1, 2}
    assert not nothing.answer.targets
    assert [target.phrase for target in nothing.answer.absent] == ["nothing"]
    assert len(left.images) == 3
    assert left.images.is_clip(0)


def test_labels_count_the_tracks_of_each_pixel(mevis):
    labels = open_expressions(mevis, "mevis", "valid_u").labels(1)
    assert np.array_equal(labels[0], LEFT.astype(np.uint8) + RIGHT)
    assert not open_expressions(mevis, "mevis", "valid_u").labels(2).any()


def test_without_public_masks_there_is_no_true_answer(mevis):
    (mevis / "mevis/valid_u/mask_dict.json").unlink()
    samples = open_expressions(mevis, "mevis", "valid_u")
    assert samples[0].answer is None
    with pytest.raises(DataError, match=r"mask_dict\.json: expected in"):
        samples.labels(0)


def test_broken_tracks_and_missing_frames_are_located(mevis):
    path = mevis / "mevis/valid_u/mask_dict.json"
    path.write_text(json.dumps({"0": [None], "1": [None]}))
    with pytest.raises(DataError, match=r"clip/2: expected a track 0 of 3 frames"):
        open_expressions(mevis, "mevis", "valid_u")[0]
    (mevis / "mevis/valid_u/JPEGImages/clip/00005.jpg").unlink()
    with pytest.raises(DataError, match=r"00005: expected in .*clip, got none\. https"):
        open_expressions(mevis, "mevis", "valid_u")[0]
    with pytest.raises(DataError, match=r"meta_expressions\.json: expected in .*train, got none"):
        open_expressions(mevis, "mevis", "train")


def test_revos_names_videos_with_a_slash_and_two_kinds(tmp_path):
    base = tmp_path / "ReVOS"
    asked = {"0": expression("a", 0, type_id=0), "1": expression("b", 0, type_id=1)}
    videos = {"TAO/one": {"frames": FRAMES, "expressions": asked, "vid_id": 0}}
    write_json(base / "meta_expressions_valid_.json", {"videos": videos})
    write_json(base / "mask_dict.json", {"0": [rle(LEFT)] * 3})
    clip(base / "JPEGImages/TAO/one")
    samples = open_expressions(tmp_path, "revos", "valid")
    assert [s.type for s in samples] == ["referring", "reasoning"]


@pytest.mark.parametrize("dataset", ["ref_davis17", "ref_youtube_vos"])
def test_numbers_of_expressions_run_over_sorted_names_or_the_file(tmp_path, dataset):
    base = tmp_path / dataset
    asked = {key: {"exp": f"word {key}", "obj_id": "1"} for key in ("2", "11", "10")}
    write_json(
        base / "meta_expressions/valid/meta_expressions.json",
        {"videos": {"v": {"frames": FRAMES[:1], "expressions": asked}}},
    )
    marks = [box_mask(0, 0, 5, 1 + number) for number in range(3)]
    tracks = {number: [rle(mark)] for number, mark in enumerate(marks)}
    (base / "valid").mkdir()
    (base / "valid/mask_dict.pkl").write_bytes(pickle.dumps(tracks))
    frames = "DAVIS/JPEGImages/480p" if dataset == "ref_davis17" else "valid/JPEGImages"
    clip(base / frames / "v", FRAMES[:1])
    samples = open_expressions(tmp_path, dataset, "valid")
    orders = {"ref_davis17": [2, 1, 0], "ref_youtube_vos": [0, 1, 2]}[dataset]
    found = [s.answer.targets[0].masks[0] for s in samples]
    assert found == [Mask(marks[number]) for number in orders]


@pytest.fixture
def groundmore(tmp_path):
    base = tmp_path / "groundmore"
    video = "abc_0010_0020"
    names = [f"frame_{index:06d}" for index in range(61)]
    clip(base / "annotations" / video / "images", names)
    for index in range(0, 61, 2):
        values = LEFT.astype(np.uint8) + 2 * (RIGHT & ~LEFT).astype(np.uint8)
        path = base / "annotations" / video / "masks" / f"{names[index]}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(values).save(path)
    asked = {
        f"q{i}": {"question": "who?", "answer": "it", "obj_id": objects, "q_type": kind}
        | {"action_start": "00:12", "action_end": "00:15"}
        for i, (objects, kind) in enumerate([("1", "Causal"), ("1, 2", "Sequential")])
    }
    write_json(base / "test_v2.json", {"videos": {video: {"questions": asked}}})
    return tmp_path


def test_groundmore_is_true_only_while_the_action_lasts(groundmore):
    one, two = open_groundmore(groundmore, frames=None)
    assert set(one.answer.targets[0].masks) == set(range(12, 30, 2))
    assert one.answer.targets[0].masks[12] == Mask(LEFT)
    assert two.answer.targets[0].masks[12] == Mask(LEFT | RIGHT)
    assert [one.type, two.type] == ["Causal", "Sequential"]


def test_groundmore_looks_at_twenty_frames(groundmore):
    samples = open_groundmore(groundmore)
    assert len(samples[0].images) == 20
    places = np.linspace(0, 60, 20).astype(int)
    there = [i for i, place in enumerate(places) if 12 <= place < 30 and place % 2 == 0]
    assert sorted(samples[0].answer.targets[0].masks) == there
    assert np.flatnonzero(samples.labels(0).any((1, 2))).tolist() == there


def test_broken_groundmore_is_located(groundmore):
    path = groundmore / "groundmore/test_v2.json"
    path.write_text(path.read_text().replace("00:12", "soon"))
    with pytest.raises(DataError, match=r'q0: "action_start": expected mm:ss, got .soon.'):
        open_groundmore(groundmore)[0]


@pytest.fixture
def bench(tmp_path):
    clip(tmp_path / "frames", [f"{index:05d}" for index in range(4)])
    one = {"0": {"segmentation": rle(LEFT)}, "2": {"segmentation": rle(LEFT)}}
    other = {"2": {"segmentation": rle(RIGHT)}}
    entry = {
        "id": 7,
        "video": "frames",
        "Question": "What does <object1><region> do to <object2><region>?",
        "options": ["(A) push", "(B) pull"],
        "Answer": "(B) pull",
        "type": "Relationship Questions",
        "frame_idx": "2",
        "annotation": [one, other],
    }
    described = {"id": 1, "video": "frames", "caption": "A box waits.", "frame_idx": "0"}
    write_json(tmp_path / "VideoRefer-Bench-Q.json", [entry])
    write_json(tmp_path / "VideoRefer-Bench-D.json", [{**described, "annotation": [one]}])
    return tmp_path


def test_objects_are_pointed_at_in_the_prompt_frame_or_in_all(bench):
    sample = open_regions(bench, "VideoRefer-Bench-Q")[0]
    lines = ["What does [1] do to [2]?", "(A) push", "(B) pull", ASKED]
    assert sample.question.text.splitlines() == lines
    assert [(p.image, p.object_id) for p in sample.question.prompts] == [(2, 1), (2, 2)]
    assert all(isinstance(prompt, Region) for prompt in sample.question.prompts)
    assert sample.answer.conclusion == "B"
    every = open_regions(bench, "VideoRefer-Bench-Q", every_frame=True)[0]
    assert [(p.image, p.object_id) for p in every.question.prompts] == [(0, 1), (2, 1), (2, 2)]


def test_pixelqa_points_in_other_ways_and_asks_for_the_masks(bench):
    for prompt, kinds in (("point", {Point}), ("box", {Box}), ("mixed", {Point, Box})):
        sample = open_regions(bench, "VideoRefer-Bench-Q", prompt=prompt)[0]
        assert {type(one) for one in sample.question.prompts} == kinds
        assert [t.masks[2] for t in sample.answer.targets] == [Mask(LEFT), Mask(RIGHT)]
    with pytest.raises(ConfigError, match="expected one of region, point, box, mixed, got 'dot'"):
        open_regions(bench, "VideoRefer-Bench-Q", prompt="dot")


def test_descriptions_are_answers_in_plain_words(bench):
    sample = open_regions(bench, "VideoRefer-Bench-D")[0]
    assert sample.answer.text == "A box waits."
    assert sample.question.text == "Describe [1] in the video."


def test_frames_that_the_video_has_not_are_located(bench):
    path = bench / "VideoRefer-Bench-D.json"
    path.write_text(path.read_text().replace('"2": {"seg', '"9": {"seg'))
    with pytest.raises(DataError, match=r"D\.json:0: object 1: expected frames from 0 to 3.*'9'"):
        open_regions(bench, "VideoRefer-Bench-D")[0]
