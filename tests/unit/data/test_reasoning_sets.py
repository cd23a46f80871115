"""ReasonSeg and MUSE, written in their layouts and read back to the same truth."""

import json

import numpy as np
import pytest
from published import SIZE, box_mask, box_polygon, picture, write_json

from deixis.data.images.reasoning import open_muse, open_reason_seg
from deixis.errors import DataError
from deixis.structures.masks import Mask

INSIDE = [[4, 4], [9, 4], [9, 9], [4, 9]]  # outlines are drawn too: 4 to 9 included


def shape(label: str, points: list[list[float]]) -> dict:
    return {"label": label, "points": points, "shape_type": "polygon", "image_name": "x"}


def entry(*shapes: dict, texts: tuple[str, ...] = ("what holds tea?",), long: bool = True) -> dict:
    return {"text": list(texts), "is_sentence": long, "shapes": list(shapes)}


@pytest.fixture
def reason_seg(tmp_path):
    base = tmp_path / "reason_seg" / "ReasonSeg"
    whole = [[1, 1], [20, 1], [20, 20], [1, 20]]
    write_json(base / "val/a.json", entry(shape("Ignore", INSIDE), shape("target", whole)))
    odd = entry(
        shape("flag", whole),
        shape("target", [[5, 5], [5, 5], [5, 5]]),
        shape("target", [[30.9, 25.9], [60, 25.9], [60, 60], [30.9, 60]]),
        texts=("un café ?", "two", "three"),
        long=False,
    )
    (base / "val/b.json").write_bytes(json.dumps(odd, ensure_ascii=False).encode("cp1252"))
    write_json(base / "train/c.json", entry(shape("target", INSIDE)))
    write_json(
        base / "explanatory/train.json", [{"image": "c.jpg", "query": "q", "outputs": "So."}]
    )
    for name in ("val/a", "val/b", "train/c"):
        picture(base / f"{name}.jpg")
    return tmp_path


def test_reason_seg_draws_larger_shapes_below_smaller_ones(reason_seg):
    samples = open_reason_seg(reason_seg, "val")
    assert [s.type for s in samples] == ["long", "short"]
    expected = box_mask(1, 1, 21, 21) & ~box_mask(4, 4, 10, 10)
    assert samples[0].answer.targets[0].masks[0] == Mask(expected)
    assert set(np.unique(samples.labels(0))) == {0, 1, 255}
    assert set(np.unique(open_reason_seg(reason_seg, "val", ignored=0).labels(0))) == {0, 1}


def test_reason_seg_cuts_to_whole_numbers_and_to_the_image(reason_seg):
    sample = open_reason_seg(reason_seg, "val")[1]
    expected = box_mask(30, 25, 40, 30)
    expected[5, 5] = True
    assert sample.answer.targets[0].masks[0] == Mask(expected)
    assert sample.question.text == "un café ?"


def test_reason_seg_asks_the_first_text_or_all(reason_seg):
    assert len(open_reason_seg(reason_seg, "val")) == 2
    texts = [s.question.text for s in open_reason_seg(reason_seg, "val", every_text=True)]
    assert texts == ["what holds tea?", "un café ?", "two", "three"]


def test_reason_seg_explains_what_it_trains_on(reason_seg):
    assert open_reason_seg(reason_seg, "train")[0].answer.text == "the target. So."


def test_broken_reason_seg_is_located(reason_seg):
    path = reason_seg / "reason_seg/ReasonSeg/val/a.json"
    path.write_text('{"text": ["x"], "is_sentence": true}')
    with pytest.raises(DataError, match=r'a\.json: "shapes": expected list'):
        open_reason_seg(reason_seg, "val")[0]
    assert open_reason_seg(reason_seg, "val")[1].question.text == "un café ?"
    with pytest.raises(DataError, match=r"test: expected images with a \.json each, got none"):
        open_reason_seg(reason_seg, "test")


def target(name: str, segmentation: object) -> dict:
    return {"segmentation": segmentation, "category_name": name, "bbox": [0, 0, 1, 1]}


@pytest.fixture
def muse(tmp_path):
    cup, dish = box_polygon(2, 2, 8, 8), box_polygon(10, 10, 20, 20)
    overlap = [cup, box_polygon(4, 4, 8, 8)]
    rle = Mask(box_mask(10, 10, 20, 20)).to_rle()
    size = {"height": SIZE[0], "width": SIZE[1], "ann_list": []}
    entries = [
        {"file_name": "a.jpg", "questions": ["one?", "two?"], **size}
        | {"answers": [[target("cup", overlap)], [target("cup", [cup]), target("dish", rle)]]}
        | {"text_answers": [None, "Take the red cup{seg}, or a dish {seg}."]},
        {"coco_url": "http://x/train2017/b.jpg", "questions": ["q"], **size}
        | {"answers": [[target("dish", [dish])] * 5]},
        {"coco_url": "http://x/val2017/c.jpg", "questions": ["q"], **size}
        | {"answers": [[target("dish", [dish])]], "text_answers": ["no slot"]},
    ]
    write_json(tmp_path / "muse/muse_val.json", entries)
    for name in ("train2014/a", "train2017/b", "val2017/c"):
        picture(tmp_path / "coco" / f"{name}.jpg")
    return tmp_path


def test_muse_finds_images_of_three_years_and_tells_few_from_many(muse):
    samples = open_muse(muse, "val")
    assert [s.id for s in samples] == ["0/0", "0/1", "1/0", "2/0"]
    assert [s.type for s in samples] == ["few", "few", "many", "few"]
    assert [s.images[0].name for s in samples] == ["a.jpg", "a.jpg", "b.jpg", "c.jpg"]


def test_muse_speaks_its_own_words_where_the_slots_fit(muse):
    samples = open_muse(muse, "val")
    answer = samples[1].answer
    assert answer.text == "Take the red cup, or a dish."
    assert [answer.text[a:b] for a, b in answer.spans] == ["Take the red cup", "or a dish"]
    assert [t.masks[0] for t in answer.targets] == [
        Mask(box_mask(2, 2, 8, 8)),
        Mask(box_mask(10, 10, 20, 20)),
    ]
    assert samples[0].answer.text == "cup."
    assert samples[3].answer.text == "dish."


def test_muse_adds_parts_in_labels(muse):
    assert open_muse(muse, "val").labels(0).max() == 2
    assert open_muse(muse, "val").labels(2).shape == (5, *SIZE)


def test_broken_muse_is_located(muse):
    path = muse / "muse/muse_val.json"
    path.write_text(json.dumps([{"questions": ["q"], "answers": []}]))
    with pytest.raises(DataError, match=r'muse_val\.json:0: "answers": .* question 0, got None'):
        open_muse(muse, "val")[0]
    with pytest.raises(DataError, match=r"muse_test_less\.json: expected in .*muse, got none"):
        open_muse(muse, "test_less")
