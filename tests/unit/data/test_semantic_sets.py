"""Pictures of labels and parts, written in their layouts and read back; and a look through."""

import json

import numpy as np
import pytest
from PIL import Image
from published import SIZE, box_mask, box_polygon, picture, write_json

from deixis.data.checking import check, readable
from deixis.data.images.semantic import open_parts, open_semantic
from deixis.errors import ConfigError, DataError
from deixis.structures.masks import Mask

NAMES = ["wall", "sky", "wall-other", "tree", "car", "cup"]


def labels(path, values):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values.astype(np.uint8)).save(path)


@pytest.fixture
def values():
    found = np.zeros(SIZE, dtype=np.uint8)
    found[2:8, 2:8], found[10:20, 10:20], found[20:, 30:] = 2, 3, 255
    return found


@pytest.fixture
def root(tmp_path, values):
    write_json(tmp_path / "ade20k/ade20k_classes.json", NAMES)
    labels(tmp_path / "ade20k/annotations/training/a.png", values)
    picture(tmp_path / "ade20k/images/training/a.jpg")
    labels(tmp_path / "cocostuff/train2017/b.png", values)
    picture(tmp_path / "coco/train2017/b.jpg")
    lines = ["0: unlabeled", *[f"{i}: {name}" for i, name in enumerate(NAMES, start=1)]]
    (tmp_path / "cocostuff/cocostuff_classes.txt").write_text("\n".join(lines))
    readables = {"labels": [{"readable": name.title()} for name in NAMES]}
    write_json(tmp_path / "mapillary/config_v2.0.json", readables)
    labels(tmp_path / "mapillary/training/v2.0/labels/c.png", values)
    picture(tmp_path / "mapillary/training/images/c.jpg")
    return tmp_path


def test_ade20k_counts_from_one_and_ignores_zero(root, values):
    samples = open_semantic(root, "ade20k")
    found = {t.phrase: t.masks[0] for t in samples[0].answer.targets}
    assert found == {"sky": Mask(values == 2), "wall-other": Mask(values == 3)}
    assert set(np.unique(samples.labels(0))) == {1, 2, 255}


def test_coco_stuff_ignores_names_with_a_dash(root, values):
    found = [t.phrase for t in open_semantic(root, "cocostuff")[0].answer.targets]
    assert found == ["wall", "tree"]


def test_mapillary_reads_names_from_its_configuration(root, values):
    targets = open_semantic(root, "mapillary")[0].answer.targets
    assert [t.phrase for t in targets] == ["wall", "wall-other", "tree"]
    assert targets[0].masks[0] == Mask(values == 0)


@pytest.fixture
def parts(tmp_path):
    crowd = Mask(box_mask(20, 20, 30, 28)).to_rle()
    rows = [
        {"id": 1, "image_id": 4, "category_id": 1, "segmentation": [box_polygon(2, 2, 8, 8)]},
        {"id": 2, "image_id": 4, "category_id": 1, "segmentation": [box_polygon(10, 2, 14, 8)]},
        {"id": 3, "image_id": 4, "category_id": 2, "segmentation": crowd, "iscrowd": 1},
    ]
    value = {
        "images": [{"id": 4, "file_name": "train2017/d.jpg", "height": 30, "width": 40}],
        "annotations": rows,
        "categories": [{"id": 1, "name": "cup:handle"}, {"id": 2, "name": "dog_(animal)"}],
    }
    write_json(tmp_path / "vlpart/paco/annotations/paco_lvis_v1_train.json", value)
    picture(tmp_path / "coco/train2017/d.jpg")
    return tmp_path


def test_parts_are_named_after_their_objects_and_united(parts):
    sample = open_parts(parts, "paco_lvis")[0]
    found = {t.phrase: t.masks[0] for t in sample.answer.targets}
    handles = box_mask(2, 2, 8, 8) | box_mask(10, 2, 14, 8)
    assert found == {"cup's handle": Mask(handles), "dog": Mask(box_mask(20, 20, 30, 28))}
    assert open_parts(parts, "paco_lvis").labels(0).shape == (3, *SIZE)


def test_unknown_sets_and_missing_files_are_said(parts):
    with pytest.raises(ConfigError, match="expected paco_lvis or pascal_part, got 'paco'"):
        open_parts(parts, "paco")
    with pytest.raises(DataError, match=r"train\.json: expected in .*pascal_part, got none"):
        open_parts(parts, "pascal_part")
    with pytest.raises(ConfigError, match="expected one of ade20k, cocostuff, mapillary"):
        open_semantic(parts, "ade")
    with pytest.raises(DataError, match=r"ade20k_classes\.json: expected in"):
        open_semantic(parts, "ade20k")


def test_a_look_through_counts_what_can_be_read_and_what_cannot(parts):
    path = parts / "vlpart/paco/annotations/paco_lvis_v1_train.json"
    value = json.loads(path.read_text())
    value["images"].append({**value["images"][0], "id": 5, "file_name": "train2017/e.jpg"})
    value["annotations"].append({**value["annotations"][0], "id": 9, "image_id": 5})
    value["annotations"].append({**value["annotations"][0], "id": 10, "image_id": 6})
    path.write_text(json.dumps(value))
    samples, refused = open_parts(parts, "paco_lvis"), []
    report = check(samples, "paco_lvis")
    assert (report.count, report.read, report.missing, report.good) == (3, 1, 1, False)
    assert [index for index, _ in report.refused] == [1, 2]
    assert "got 6" in report.refused[1][1]
    kept = list(readable(samples, lambda index, reason: refused.append(index)))
    assert [index for index, _ in kept] == [0]
    assert refused == [1, 2]
    assert not check(samples[:1], "reason_seg/val").good
