"""GranD-f in its four dialects and for evaluation, written and read back to the same truth."""

import json

import pytest
from published import box_mask, box_polygon, picture, write_json

from deixis.data.images.captions import open_captions
from deixis.errors import ConfigError, DataError
from deixis.structures.masks import Mask

CUP, DISH = box_mask(2, 2, 8, 8), box_mask(10, 10, 20, 20)
CAPTION = "A cup beside a dish."


def rle(mask):
    return Mask(mask).to_rle()


@pytest.fixture
def root(tmp_path):
    base = tmp_path / "GranDf/annotations"
    groundings = {
        "a dish": {"token_positives": [13, 19], "rle_masks": [rle(DISH), rle(CUP)]},
        "A cup": {"token_positives": [0, 5], "rle_masks": [rle(CUP)]},
    }
    listed = [{"file_name": "a.jpg", "caption": CAPTION, "groundings": groundings}]
    write_json(base / "train/GranDf_HA_GCG_train.json", listed)
    refs = [
        {"sentence": "cup beside a dish", "segmentation": [box_polygon(2, 2, 8, 8)]},
        {"sentence": "A Dish", "segmentation": [box_polygon(10, 10, 20, 20)]},
        {"sentence": "a spoon", "segmentation": [box_polygon(0, 0, 3, 3)]},
    ]
    spoken = [{"img_file_name": "b.jpg", "caption": CAPTION, "refs": refs}]
    write_json(base / "train/RefCOCOg_GCG_train.json", spoken)
    flickr = {
        "images": [{"id": 5, "file_name": "c.jpg", "caption": CAPTION}],
        "annotations": [{"image_id": 5, "tokens_positive": [[0, 5]], "sam_mask": rle(CUP)}],
    }
    write_json(base / "train/flickr_mergedGT_GCG_train.json", flickr)
    masks = [{"image_id": "sa_1", "segmentation": rle(m), "category_id": 1} for m in (DISH, CUP)]
    write_json(base / "val_test/val_gcg_coco_mask_gt.json", {"annotations": masks})
    said = {"image_id": "sa_1", "caption": CAPTION, "labels": ["a dish", "a cup"]}
    images = [{"id": "sa_1", "file_name": "sa_1.jpg"}]
    write_json(
        base / "val_test/val_gcg_coco_caption_gt.json", {"images": images, "annotations": [said]}
    )
    for name in (
        "GranDf_HA_images/train/a",
        "coco_2014/train2014/b",
        "flikcr_30k/train/c",
        "GranDf_HA_images/val_test/sa_1",
    ):
        picture(tmp_path / f"{name}.jpg")
    return tmp_path


def read(root, part):
    answer = open_captions(root, part)[0].answer
    return [(t.phrase, t.masks[0]) for t in answer.targets]


def test_groundings_come_in_reading_order_with_their_masks_united(root):
    assert read(root, "ha") == [("A cup", Mask(CUP)), ("a dish", Mask(CUP | DISH))]


def test_sentences_are_sought_in_the_caption_and_cut_where_they_overlap(root):
    assert read(root, "refcocog") == [("cup beside a dish", Mask(CUP))]


def test_flickr_and_the_evaluated_pair_name_their_phrases(root):
    assert read(root, "flickr") == [("A cup", Mask(CUP))]
    assert read(root, "val") == [("A cup", Mask(CUP)), ("a dish", Mask(DISH))]


def test_broken_captions_are_located(root):
    path = root / "GranDf/annotations/train/GranDf_HA_GCG_train.json"
    path.write_text(path.read_text().replace("[13, 19]", "[13, 99]"))
    with pytest.raises(DataError, match=r"train\.json:0: 'a dish': expected token_positives"):
        open_captions(root, "ha")[0]
    captions = root / "GranDf/annotations/val_test/val_gcg_coco_caption_gt.json"
    value = json.loads(captions.read_text())
    value["annotations"][0]["labels"] = ["a dish"]
    captions.write_text(json.dumps(value))
    with pytest.raises(DataError, match="expected 2 labels, one a mask, got 1"):
        open_captions(root, "val")[0]
    with pytest.raises(DataError, match=r"OpenPsgGCG_train\.json: expected in"):
        open_captions(root, "psg")
    with pytest.raises(ConfigError, match="unknown part of GranD-f"):
        open_captions(root, "hb")
