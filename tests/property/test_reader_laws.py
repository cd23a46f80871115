"""Readers meet broken files: every one is a located error or a right reading, and nothing hangs.

Each mutation is drawn from a fixed seed; most break a file's bytes, others put odd values in it.
"""

import json
import pickle
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from PIL import Image

from deixis.data.clips.expressions import open_expressions
from deixis.data.clips.groundmore import open_groundmore
from deixis.data.clips.regions import open_regions
from deixis.data.formats.folders import open_label_studio, open_mask_folder
from deixis.data.formats.tables import open_coco, open_cvat, open_yolo
from deixis.data.images.captions import open_captions
from deixis.data.images.reasoning import open_muse, open_reason_seg
from deixis.data.images.referring import open_referring
from deixis.data.images.semantic import open_parts, open_semantic
from deixis.data.words.choices import open_mvbench
from deixis.data.words.conversation import open_conversations
from deixis.errors import DeixisError
from deixis.structures.masks import Mask

sys.path.insert(0, str(Path(__file__).parents[1] / "unit" / "data"))
from published import (  # the writers that the readers' own tests use
    box_mask,
    instances,
    picture,
    ref,
    write_json,
    write_refcoco,
)

MUTATIONS = 1_000  # in all
ODD = [
    None,
    True,
    -1,
    0,
    2**40,
    1e308,
    float("nan"),
    "",
    "x",
    "\udc80",
    [],
    {},
    [[]],
    [None],
    "9" * 99,
]
CUP = box_mask(2, 2, 8, 8)
RLE = Mask(CUP).to_rle()


def annotated(key: int) -> dict[str, Any]:
    return {"segmentation": RLE, "category_name": f"cup {key}", "bbox": [2, 2, 6, 6]}


def write_all(root: Path) -> dict[str, tuple[Path, Callable[[], Any]]]:
    """Write a tiny set of each form; return its file and how it is opened."""
    write_refcoco(root, "refcoco", "unc", [ref(0, 10, "val", "a"), ref(1, 11, "val", "b")])
    for name in ("a.jpg", "images/a.jpg", "coco/train2014/a.jpg", "coco/train2017/a.jpg"):
        picture(root / name)
    write_images(root)
    write_clips(root)
    (root / "labels").mkdir()
    (root / "labels/a.txt").write_text("0 0.1 0.1 0.5 0.1 0.5 0.5")
    image = '<image id="0" name="a.jpg" width="40" height="30">'
    polygon = '<polygon label="cup" points="2,3;12,3;12,13"/>'
    mask = '<mask label="d" rle="0,20,4" left="2" top="6" width="4" height="6"/>'
    (root / "a.xml").write_text(f"<annotations>{image}{polygon}{mask}</image></annotations>")
    refcoco = root / "refer_seg/refcoco"
    return {
        "refs": (refcoco / "refs(unc).p", lambda: open_referring(root, "refcoco", "val")),
        "instances": (refcoco / "instances.json", lambda: open_referring(root, "refcoco", "val")),
        "reason_seg": (root / "ReasonSeg/val/a.json", lambda: open_reason_seg(root, "val")),
        "muse": (root / "muse/muse_val.json", lambda: open_muse(root, "val")),
        "captions": (
            root / "GranDf/annotations/train/GranDf_HA_GCG_train.json",
            lambda: open_captions(root, "ha"),
        ),
        "flickr": (
            root / "GranDf/annotations/train/flickr_mergedGT_GCG_train.json",
            lambda: open_captions(root, "flickr"),
        ),
        "parts": (
            root / "vlpart/paco/annotations/paco_lvis_v1_train.json",
            lambda: open_parts(root, "paco_lvis"),
        ),
        "ade20k": (root / "ade20k/ade20k_classes.json", lambda: open_semantic(root, "ade20k")),
        "labels": (
            root / "ade20k/annotations/training/a.png",
            lambda: open_semantic(root, "ade20k"),
        ),
        "meta": (
            root / "mevis/valid_u/meta_expressions.json",
            lambda: open_expressions(root, "mevis", "valid_u"),
        ),
        "tracks": (
            root / "mevis/valid_u/mask_dict.json",
            lambda: open_expressions(root, "mevis", "valid_u"),
        ),
        "groundmore": (root / "groundmore/test_v2.json", lambda: open_groundmore(root)),
        "regions": (root / "Q.json", lambda: open_regions(root, "Q", prompt="mixed")),
        "llava": (root / "c.json", lambda: open_conversations(root, "c.json", ".")),
        "mvbench": (root / "json/t.json", lambda: open_mvbench(root)),
        "coco": (root / "coco.json", lambda: open_coco(root / "coco.json", root)),
        "yolo": (root / "labels/a.txt", lambda: open_yolo(root, ["cup"])),
        "cvat": (root / "a.xml", lambda: open_cvat(root / "a.xml", root)),
        "masks": (
            root / "masks/a.png",
            lambda: open_mask_folder(root / "images", root / "masks"),
        ),
        "studio": (root / "studio.json", lambda: open_label_studio(root / "studio.json", root)),
    }


def write_images(root: Path) -> None:
    shape = {"label": "target", "points": [[2, 2], [8, 2], [8, 8]]}
    entry = {"text": ["what?"], "is_sentence": True, "shapes": [shape]}
    write_json(root / "ReasonSeg/val/a.json", entry)
    picture(root / "ReasonSeg/val/a.jpg")
    muse = {"file_name": "a.jpg", "height": 30, "width": 40, "questions": ["q"]}
    answered = {"answers": [[annotated(1), annotated(2)]], "text_answers": ["a {seg} b {seg}"]}
    write_json(root / "muse/muse_val.json", [{**muse, **answered}])
    grounded = {"a cup": {"token_positives": [0, 5], "rle_masks": [RLE]}}
    caption = {"file_name": "a.jpg", "caption": "a cup.", "groundings": grounded}
    base = root / "GranDf/annotations/train"
    write_json(base / "GranDf_HA_GCG_train.json", [caption])
    flickr = {
        "images": [{"id": 5, "file_name": "a.jpg", "caption": "a cup"}],
        "annotations": [{"image_id": 5, "tokens_positive": [[0, 5]], "sam_mask": RLE}],
    }
    write_json(base / "flickr_mergedGT_GCG_train.json", flickr)
    picture(root / "GranDf_HA_images/train/a.jpg")
    picture(root / "flikcr_30k/train/a.jpg")
    value = instances()
    for image in value["images"]:
        image["file_name"] = "a.jpg"
    write_json(root / "coco.json", value)
    write_json(root / "vlpart/paco/annotations/paco_lvis_v1_train.json", value)
    picture(root / "coco/a.jpg")
    write_json(root / "ade20k/ade20k_classes.json", ["wall", "sky"])
    picture(root / "ade20k/images/training/a.jpg")
    for path in ("ade20k/annotations/training/a.png", "masks/a.png"):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(CUP.astype(np.uint8)).save(root / path)
    points = {"points": [[2, 2], [8, 2], [8, 8]], "polygonlabels": ["cup"]}
    result = [{"result": [{"type": "polygonlabels", "value": points}]}]
    write_json(root / "studio.json", [{"data": {"image": "x/a.jpg"}, "annotations": result}])


def write_clips(root: Path) -> None:
    base = root / "mevis/valid_u"
    asked = {"0": {"exp": "the cup", "obj_id": [0], "anno_id": [0, 1]}}
    write_json(
        base / "meta_expressions.json",
        {"videos": {"v": {"frames": ["0", "1"], "expressions": asked}}},
    )
    write_json(base / "mask_dict.json", {"0": [RLE, None], "1": [None, RLE]})
    for name in ("0", "1"):
        picture(base / f"JPEGImages/v/{name}.jpg")
        picture(root / f"v/{name}.jpg")
        picture(root / f"video/t/v/{name}.jpg")
        picture(root / f"groundmore/annotations/x_0010_0020/images/{name}.jpg")
    question = {"question": "who?", "answer": "it", "obj_id": "1, 2", "q_type": "Causal"}
    question |= {"action_start": "00:10", "action_end": "00:15"}
    write_json(
        root / "groundmore/test_v2.json",
        {"videos": {"x_0010_0020": {"questions": {"q": question}}}},
    )
    entry = {"id": 1, "video": "v", "Question": "<object1>?", "Answer": "(A) x", "frame_idx": "0"}
    write_json(root / "Q.json", [{**entry, "annotation": [{"0": {"segmentation": RLE}}]}])
    turns = [{"from": "human", "value": "x"}, {"from": "gpt", "value": "y"}]
    write_json(root / "c.json", [{"image": "a.jpg", "conversations": turns}])
    choice = {"video": "v", "question": "q", "candidates": ["a", "b"], "answer": "b"}
    write_json(root / "json/t.json", [{**choice, "start": 0, "end": 1}])


def mutated(content: bytes, chance: Random, suffix: str) -> bytes:
    """Return broken bytes, or the same data with odd values."""
    if suffix in {".json", ".p"} and chance.random() < 0.6:
        plain = json.loads(content) if suffix == ".json" else pickle.loads(content)
        for _ in range(chance.randint(1, 2)):
            plain = with_odd_value(plain, chance)
        if suffix == ".p":
            return pickle.dumps(plain, protocol=2)
        return json.dumps(plain).encode("ascii", "replace")
    data = bytearray(content)
    for _ in range(chance.randint(1, 4)):
        place = chance.randrange(len(data) + 1)
        kind = chance.randrange(4)
        if kind == 0 and data:
            data[place % len(data)] = chance.randrange(256)
        elif kind == 1:
            del data[place : place + chance.randint(1, 20)]
        elif kind == 2:
            data[place:place] = bytes(chance.randrange(256) for _ in range(chance.randint(1, 6)))
        else:
            del data[place:]
    return bytes(data)


def with_odd_value(value: Any, chance: Random) -> Any:
    """Return data in which one place holds something else, or is gone."""
    if isinstance(value, dict) and value and chance.random() < 0.9:
        key = chance.choice(sorted(value))
        if chance.random() < 0.1:
            return {k: v for k, v in value.items() if k != key}
        return {**value, key: with_odd_value(value[key], chance)}
    if isinstance(value, list) and value and chance.random() < 0.9:
        place = chance.randrange(len(value))
        return [with_odd_value(v, chance) if i == place else v for i, v in enumerate(value)]
    return chance.choice(ODD)


def everything(samples: Any) -> Iterator[Any]:
    """Read all that a reader gives; what it refuses is given as the error."""
    for index in range(len(samples)):
        try:
            yield samples[index]
            if getattr(samples, "draw", None):
                yield samples.labels(index)
        except DeixisError as error:
            yield error


NAMES = (
    *("refs", "instances", "reason_seg", "muse", "captions", "flickr", "parts", "ade20k", "labels"),
    *("meta", "tracks", "groundmore", "regions", "llava", "mvbench", "coco", "yolo", "cvat"),
    *("masks", "studio"),
)


@pytest.mark.parametrize("name", NAMES)
def test_a_broken_file_is_an_error_with_its_place_or_a_right_reading(name, tmp_path):
    sets = write_all(tmp_path)
    assert sorted(sets) == sorted(NAMES)
    path, opened = sets[name]
    whole, chance = path.read_bytes(), Random(f"broken {name}")
    assert not [e for e in everything(opened()) if isinstance(e, DeixisError)]
    for _ in range(MUTATIONS // len(NAMES)):
        path.write_bytes(mutated(whole, chance, path.suffix))
        try:
            found = list(everything(opened()))
        except DeixisError as error:
            found = [error]
        for error in found:
            assert not isinstance(error, DeixisError) or len(str(error)) > 20
