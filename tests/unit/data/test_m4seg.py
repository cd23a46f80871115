"""M4Seg as published: codes, tags, three encodings of masks, faults put aside, images by source."""

import json

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco

from deixis.data.m4seg import open_m4seg, statistics
from deixis.errors import DataError

SIZES = {7: (30, 44), 12: (38, 27), 2008000003: (33, 41)}
BOX = (4, 6, 20, 18)  # top, left, bottom, right


def box(size, place=BOX):
    pixels = np.zeros(size, dtype=np.uint8)
    top, left, bottom, right = place
    pixels[top:bottom, left:right] = 1
    return pixels


def polygon(place=BOX):
    top, left, bottom, right = place
    return [[left, top, right, top, right, bottom, left, bottom]]


def packed(size):
    rle = coco.encode(np.asfortranarray(box(size)))
    return {"size": list(size), "counts": rle["counts"].decode()}


def runs(size):
    flat = box(size).flatten(order="F")
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flat, [0]])))
    lengths = np.diff([0, *edges, len(flat)])
    return {"size": list(size), "counts": lengths.tolist()}


def grounding(name, segmentation, **more):
    return {"name": name, "segmentation": segmentation, **more}


CODED = {
    "dataset_name": "paco_lvis",
    "img_ids": [7, 12],
    "q": "Is the mug_101 like the one with a handle_20101?",
    "a": "The mug_101 has no handle, but the\nmug_201 has a handle_20101; so  mug_101 differs.",
    "groundings": {
        "img_1": [grounding("mug_(drinking)", polygon())],
        "img_2": [
            grounding("mug", packed(SIZES[12])),
            grounding("mug:handle", runs(SIZES[12]), obj_ann_id=5),
        ],
    },
}
TAGGED = {
    "source": "pascal_part",
    "image_ids": [2008000003],
    "question": "Where?",
    "answer": "See <p> dog_1 </p> [SEG] (IMAGE1)) and <p> dog_1's tail_1 </p> [SEG] (IMAGE1)). "
    "<p> dog_1 </p> (IMAGE1)) runs.",
    "annotations": [[grounding("dog", polygon()), grounding("tail", polygon((2, 2, 9, 9)))]],
}


@pytest.fixture
def root(tmp_path):
    folders = {
        "coco_2017/val2017": {7: "000000000007.jpg", 12: "000000000012.jpg"},
        "PASCAL-Part/VOCdevkit/VOC2010/JPEGImages": {2008000003: "2008_000003.jpg"},
    }
    for folder, files in folders.items():
        (tmp_path / folder).mkdir(parents=True)
        for number, name in files.items():
            picture = Image.new("RGB", SIZES[number][::-1], (number % 255, 9, 9))
            picture.save(tmp_path / folder / name)
    return tmp_path


def write(root, *records, name="8q_single_turn_test.json"):
    (root / name).write_text(json.dumps(list(records), indent=1))
    return open_m4seg(root, "test")


def test_codes_are_read_with_masks_of_every_encoding(root):
    data = write(root, CODED)
    assert not data.rejected
    (sample,) = data.samples
    answer = sample.answer
    assert sample.question.text == "Is the mug like the one with a handle?"
    assert answer.text == ("The mug has no handle, but the mug has a mug's handle; so mug differs.")
    assert [t.phrase for t in answer.targets] == ["mug", "mug", "mug's handle"]
    assert [answer.text[a:b] for a, b in answer.spans] == [t.phrase for t in answer.targets]
    assert [list(t.masks) for t in answer.targets] == [[0], [1], [1]]
    for target in answer.targets:
        for image, mask in target.masks.items():
            assert np.array_equal(mask.pixels, box(SIZES[(7, 12)[image]]).astype(bool))


def test_tags_stray_parentheses_and_later_mentions_are_read(root):
    (sample,) = write(root, TAGGED).samples
    assert sample.answer.text == "See dog and dog's tail. dog runs."
    assert [t.phrase for t in sample.answer.targets] == ["dog", "dog's tail"]
    assert sample.images[0].size == SIZES[2008000003]


def test_names_of_several_words_and_written_owners_are_whole(root):
    record = {
        **CODED,
        "q": "?",
        "a": "The dining table_101 and the desk's drawer_20101.",
        "groundings": {
            "img_1": [grounding("dining_table", polygon())],
            "img_2": [grounding("drawer", polygon())],
        },
    }
    (sample,) = write(root, record).samples
    assert [t.phrase for t in sample.answer.targets] == ["dining table", "desk's drawer"]
    assert sample.answer.text == "The dining table and the desk's drawer."


def test_an_owner_is_looked_up_where_annotations_are_at_hand(root):
    note = {
        "images": [{"id": 12, "file_name": "val2017/000000000012.jpg", "height": 38, "width": 27}],
        "annotations": [{"id": 5, "category_id": 3}],
        "categories": [{"id": 3, "name": "jug_(for_water)"}],
    }
    (root / "paco_lvis_v1_test.json").write_text(json.dumps(note))
    (sample,) = write(root, CODED).samples
    assert sample.answer.targets[2].phrase == "jug's handle"


FAULTS = {
    "no such image": ({"a": "A mug_301."}, r"expected images 1 to 2, got 3"),
    "too many things": ({"a": "A mug_101, a mug_102, mug_201, handle_20101."},
                        r"image 1: expected 1 things, .* got more with \"mug_102\""),
    "too few": ({"a": "A mug_101 and a mug_201."}, r"image 2: expected its 2 groundings .* got 1"),
    "another name": ({"a": "A cup_101, mug_201, handle_20101."}, r'expected "mug" .* got "cup"'),
    "unknown source": ({"dataset_name": "coco"}, r"dataset_name.*got 'coco'"),
    "no question": ({"q": None}, r"expected q or question, got none"),
    "no masks": ({"groundings": {"img_1": [{"name": "mug"}]}}, r"expected name and segmentation"),
    "a broken mask": ({"groundings": {"img_1": [grounding("mug", 3)]}},
                      r"expected polygons or RLE"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_a_bad_record_is_put_aside_with_its_line_and_the_rest_is_read(root, fault):
    change, message = FAULTS[fault]
    bad = {key: value for key, value in {**CODED, **change}.items() if value is not None}
    data = write(root, TAGGED, bad, CODED)
    assert len(data.samples) == 2
    (said,) = data.rejected
    line = 1 + (root / "8q_single_turn_test.json").read_text().split('"paco_lvis"')[0].count("\n")
    if "source" not in fault:
        assert said.startswith(f"{root / '8q_single_turn_test.json'}:{line - 1}: ")
    with pytest.raises(DataError, match=message):
        raise DataError(said)


def test_a_missing_image_says_which_file_to_fetch(root):
    (root / "coco_2017/val2017/000000000012.jpg").unlink()
    data = write(root, CODED)
    said = r":2: image 2 of 2: .*000000000012\.jpg: expected in .*Fetch COCO 2017"
    with pytest.raises(DataError, match=said):
        data.samples[0]


def test_records_that_are_not_there_or_not_one_file_are_said(root):
    with pytest.raises(DataError, match=r"expected PREFIX_test\.json .* got none\. Fetch"):
        open_m4seg(root, "test")
    write(root, CODED)
    with pytest.raises(DataError, match=r"expected one file with records of test, got .*, .*"):
        write(root, CODED, name="other_test.json")
    assert len(open_m4seg(root, "test", file=root / "other_test.json").samples) == 1
    (root / "cut_val.json").write_text('[{"q": 1},\n\n{"q"')
    with pytest.raises(DataError, match=r"cut_val\.json:3: expected JSON, got a broken file"):
        open_m4seg(root, "val")
    with pytest.raises(DataError, match=r"gone\.json: expected M4Seg's records as JSON, got: .*No"):
        open_m4seg(root, "val", file=root / "gone.json")


def test_statistics_count_without_opening_an_image(root):
    data = write(root, CODED, {**CODED, "q": "Again?"}, TAGGED, {"q": "x"})
    for file in root.rglob("*.jpg"):
        file.unlink()
    told = statistics(data)
    assert told["samples"] == 3
    assert told["rejected"] == 1
    assert told["image_sets"] == 2
    assert told["sources"] == {"paco_lvis": 2, "pascal_part": 1}
    assert told["images_per_set"] == {1: 1, 2: 2}
    assert told["masks"] == 8
    assert told["parts"] == 3
    assert told["mentions"] == 11
    assert told["masks_per_sample"] == pytest.approx(8 / 3)


def test_parquet_with_structs_or_json_in_its_columns_is_read(root):
    arrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    rows = [
        {
            "source": "paco_lvis",
            "image_ids": [7, 12],
            "question": CODED["q"],
            "answer": CODED["a"],
            "groundings": json.dumps(CODED["groundings"]),
        }
    ]
    shards = root / "data"
    shards.mkdir()
    parquet.write_table(arrow.Table.from_pylist(rows), shards / "test-00000-of-00002.parquet")
    boxes = {"img_1": [grounding("mug", polygon())], "img_2": None}
    plain = {**rows[0], "answer": "A mug_101.", "question": "?", "groundings": boxes}
    parquet.write_table(arrow.Table.from_pylist([plain]), shards / "test-00001-of-00002.parquet")
    first, second = open_m4seg(root, "test").samples
    shards.rename(root.parent / f"{root.name} gone")
    expected = write(root, CODED).samples[0]
    assert first.answer == expected.answer
    assert second.answer.text == "A mug."
