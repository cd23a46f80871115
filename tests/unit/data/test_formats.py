"""The formats that people have, written and read back to the same masks."""

import io
import json

import numpy as np
import pytest
from PIL import Image
from published import BOXES, SIZE, box_mask, box_polygon, instances, picture, write_json

from deixis.data.formats.folders import open_label_studio, open_mask_folder, open_parquet
from deixis.data.formats.tables import open_coco, open_cvat, open_yolo
from deixis.errors import DataError
from deixis.structures.masks import Mask

CUP, DISH = box_mask(2, 3, 12, 13), box_mask(20, 6, 28, 24)


def found(sample):
    return [(t.phrase, t.masks[0]) for t in sample.answer.targets]


def test_coco_and_lvis_give_a_sample_per_image(tmp_path):
    value = instances()
    lvis = value["images"][1]
    lvis["coco_url"] = f"http://x/train2017/{lvis.pop('file_name')}"
    write_json(tmp_path / "a.json", value)
    picture(tmp_path / "COCO_train2014_000000000001.jpg")
    picture(tmp_path / "train2017/COCO_train2014_000000000002.jpg")
    first, second = open_coco(tmp_path / "a.json", tmp_path)
    assert found(first) == [("box", Mask(box_mask(*BOXES[key]))) for key in (10, 11)]
    assert found(second) == [("box", Mask(box_mask(*BOXES[12])))]
    assert open_coco(tmp_path / "a.json", tmp_path).labels(0).max() == 2


def test_yolo_outlines_are_shares_of_the_image(tmp_path):
    picture(tmp_path / "images/a.png")
    outline = np.array(box_polygon(2, 3, 12, 13)).reshape(-1, 2) / (SIZE[1], SIZE[0])
    (tmp_path / "labels").mkdir()
    path = tmp_path / "labels/a.txt"
    path.write_text("1 " + " ".join(map(str, outline.ravel())) + "\n\n")
    assert found(open_yolo(tmp_path, ["dish", "cup"])[0]) == [("cup", Mask(CUP))]
    for line in ("1 0.5", "7 0 0 1 0 1 1", "1 0 0 1 0 1 x", "1 0 0 1 0 1 nan"):
        path.write_text(line)
        with pytest.raises(DataError, match=r"a\.txt:1: expected a class below 2"):
            open_yolo(tmp_path, ["dish", "cup"])[0]


def cvat(content: str) -> str:
    image = f'<image id="0" name="a.jpg" width="{SIZE[1]}" height="{SIZE[0]}">'
    return f"<annotations>{image}{content}</image></annotations>"


def test_cvat_gives_polygons_and_masks_by_label(tmp_path):
    picture(tmp_path / "a.jpg")
    polygon = '<polygon label="cup" points="2,3;12,3;12,13;2,13"/>'
    mask = '<mask label="dish" rle="0, 144" left="20" top="6" width="8" height="18"/>'
    path = tmp_path / "a.xml"
    path.write_text(cvat(polygon + mask + '<box label="x"/>'))
    assert found(open_cvat(path, tmp_path)[0]) == [("cup", Mask(CUP)), ("dish", Mask(DISH))]
    for broken in (polygon.replace("2,3;", "x,3;"), mask.replace("144", "143"), mask[:30]):
        path.write_text(cvat(broken))
        with pytest.raises(DataError, match=r"a\.xml: "):
            open_cvat(path, tmp_path)[0]
    path.write_text('<!DOCTYPE x [<!ENTITY a "b">]>' + cvat(polygon))
    with pytest.raises(DataError, match="got one with entities"):
        open_cvat(path, tmp_path)


@pytest.mark.parametrize("colours", [False, True])
def test_values_of_masks_beside_pictures_are_objects(tmp_path, colours):
    picture(tmp_path / "images/a.jpg")
    picture(tmp_path / "images/b.jpg")
    values = CUP.astype(np.uint8) * 3 + DISH.astype(np.uint8) * 7
    (tmp_path / "masks").mkdir()
    shown = np.stack([values, values * 0, values * 0], axis=-1) if colours else values
    Image.fromarray(shown).save(tmp_path / "masks/a.png")
    samples = open_mask_folder(tmp_path / "images", tmp_path / "masks", {7: "dish"})
    names = ["object 1", "object 2"] if colours else ["object 3", "dish"]
    assert found(samples[0]) == list(zip(names, [Mask(CUP), Mask(DISH)], strict=True))
    assert len(samples) == 1
    with pytest.raises(DataError, match=r"expected a \.png for pictures"):
        open_mask_folder(tmp_path / "images", tmp_path)


def test_label_studio_gives_outlines_in_percent(tmp_path):
    picture(tmp_path / "a b.jpg")
    points = np.array(box_polygon(2, 3, 12, 13)).reshape(-1, 2) * (100 / SIZE[1], 100 / SIZE[0])
    value = {"points": points.tolist(), "polygonlabels": ["cup"]}
    result = {"type": "polygonlabels", "value": value}
    task = {"id": 4, "data": {"image": "/data/upload/a%20b.jpg"}}
    path = tmp_path / "tasks.json"
    write_json(path, [{**task, "annotations": [{"result": [result]}]}])
    assert found(open_label_studio(path, tmp_path)[0]) == [("cup", Mask(CUP))]
    path.write_text(path.read_text().replace('"type": "polygonlabels"', '"type": "brushlabels"'))
    with pytest.raises(DataError, match=r"tasks\.json:0: expected polygonlabels, got 'brushl"):
        open_label_studio(path, tmp_path)[0]


def test_parquet_holds_pictures_and_masks(tmp_path):
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    content = io.BytesIO()
    Image.fromarray(np.full((*SIZE, 3), 9, dtype=np.uint8)).save(content, "PNG")
    rows = [
        {"image": {"bytes": content.getvalue(), "path": "a"}, "said": "cup", "mask": CUP.tolist()},
        {
            "image": {"bytes": content.getvalue(), "path": "b"},
            "said": "dish",
            "mask": DISH.tolist(),
        },
    ]
    path = tmp_path / "a.parquet"
    parquet.write_table(arrow.Table.from_pylist(rows), path, row_group_size=1)
    samples = open_parquet(path, {"text": "said"})
    assert [found(s) for s in samples] == [[("cup", Mask(CUP))], [("dish", Mask(DISH))]]
    with pytest.raises(DataError, match=r"expected the columns \['image', 'mask', 'text'\], got"):
        open_parquet(path)
    encoded = [{**row, "mask": json.loads(json.dumps(Mask(CUP).to_rle()))} for row in rows]
    parquet.write_table(arrow.Table.from_pylist(encoded), path)
    assert found(open_parquet(path, {"text": "said"})[1]) == [("dish", Mask(CUP))]
