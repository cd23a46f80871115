"""Writes a tiny set of every form below one root, and says how each is opened."""

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from published import box_mask, instances, picture, ref, write_json, write_refcoco

from deixis.data.catalogue import open_data
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
from deixis.structures.masks import Mask

Opened = dict[str, tuple[Path, Callable[[], Any]]]

CUP = box_mask(2, 2, 8, 8)
RLE = Mask(CUP).to_rle()


def annotated(key: int) -> dict[str, Any]:
    return {"segmentation": RLE, "category_name": f"cup {key}", "bbox": [2, 2, 6, 6]}


def write_all(root: Path) -> Opened:
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
        **write_more(root),
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




def write_more(root: Path) -> Opened:
    """Write the sets that are opened by their names alone."""
    write_refcoco(root, "grefcoco", "unc", [ref(0, [10, 11], "val", "a"), ref(1, [-1], "val", "b")])
    write_evaluated_captions(root)
    write_talk(root)
    write_vicas(root)
    frames, base = ["0", "1"], root / "ReVOS"
    asked = {
        str(kind): {"exp": "the cup", "anno_id": [0], "obj_id": [0], "type_id": kind}
        for kind in (0, 1)
    }
    write_json(
        base / "meta_expressions_valid_.json",
        {"videos": {"s/v": {"frames": frames, "expressions": asked}}},
    )
    write_json(base / "mask_dict.json", {"0": [RLE, None]})
    write_json(base / "mask_dict_foreground.json", {"s/v": {"masks_rle": [RLE, [RLE, None]]}})
    davis = root / "ref_davis17"
    said = {"0": {"exp": "the cup"}, "1": {"exp": "it"}}
    write_json(
        davis / "meta_expressions/valid/meta_expressions.json",
        {"videos": {"v": {"frames": frames, "expressions": said}}},
    )
    (davis / "valid").mkdir()
    tracks = {0: [RLE, None], 1: [RLE, RLE]}
    (davis / "valid/mask_dict.pkl").write_bytes(pickle.dumps(tracks))
    for name in frames:
        picture(base / f"JPEGImages/s/v/{name}.jpg")
        picture(davis / f"DAVIS/JPEGImages/480p/v/{name}.jpg")
    (root / "j.jsonl").write_text(
        json.dumps({"images": ["a.jpg"], "question": "what?", "answer": {"text": "a cup"}}) + "\n"
    )
    from deixis.data.reader import JsonlReader

    files = {
        "grefcoco": "refer_seg/grefcoco/grefs(unc).json",
        "grandf": "GranDf/annotations/val_test/val_gcg_coco_mask_gt.json",
        "osprey-conversation": "osprey/Osprey-724K/osprey_conversation.json",
        "osprey-detail": "osprey/Osprey-724K/osprey_detail_description.json",
        "inst_it": "inst_it/Inst-IT-Dataset/inst_it_dataset_video_21k_w_mask.json",
        "vicas": "vicas/annotations/annotations_wo_masks_v1.0.json",
        "revos": "ReVOS/mask_dict_foreground.json",
        "ref_davis17": "ref_davis17/valid/mask_dict.pkl",
        "videorefer-q": "VideoRefer-Bench-Q.json",
        "videorefer-d": "VideoRefer-Bench-D.json",
    }
    opened: Opened = {
        name: (root / file, lambda name=name: open_data(name, root)) for name, file in files.items()
    }
    opened["vicas masks"] = (root / "vicas/masks/000031/0.json", lambda: open_data("vicas", root))
    opened["jsonl"] = (root / "j.jsonl", lambda: JsonlReader(root / "j.jsonl"))
    return {**opened, **write_others(root), **write_tables(root)}


def write_others(root: Path) -> Opened:
    """Write what reads one more file: LVIS, class lists, masks of GroundMoRe, two dialects."""
    value = instances()
    for image in value["images"]:
        del image["file_name"]
        image["coco_url"] = "http://x/train2017/a.jpg"
    write_json(root / "lvis.json", value)
    picture(root / "train2017/a.jpg")
    for folder in ("mapillary/training/v2.0/labels", "cocostuff/train2017"):
        (root / folder).mkdir(parents=True)
        Image.fromarray(CUP.astype(np.uint8)).save(root / folder / "a.png")
    picture(root / "mapillary/training/images/a.jpg")
    write_json(root / "mapillary/config_v2.0.json", {"labels": [{"readable": "Wall"}] * 2})
    (root / "cocostuff/cocostuff_classes.txt").write_text("names:\n0: wall\n1: sky-other")
    mask = root / "groundmore/annotations/x_0010_0020/masks/0.png"
    mask.parent.mkdir(parents=True)
    Image.fromarray(CUP.astype(np.uint8)).save(mask)
    base = root / "ReasonSeg"
    write_json(base / "train/a.json", json.loads((base / "val/a.json").read_text()))
    picture(base / "train/a.jpg")
    said = {"image": "a.jpg", "query": "q", "outputs": "So."}
    write_json(base / "explanatory/train.json", [said])
    base = root / "GranDf/annotations/train"
    told = json.loads((base / "GranDf_HA_GCG_train.json").read_text())
    write_json(base / "OpenPsgGCG_train.json", told)
    refs = [{"sentence": "a cup", "segmentation": RLE}]
    spoken = [{"img_file_name": "a.jpg", "caption": "A cup.", "refs": refs}]
    write_json(base / "RefCOCOg_GCG_train.json", spoken)
    for folder in ("coco_2017/train2017", "coco_2014/train2014"):
        picture(root / folder / "a.jpg")
    return {
        "lvis": (root / "lvis.json", lambda: open_coco(root / "lvis.json", root)),
        "mapillary": (
            root / "mapillary/config_v2.0.json",
            lambda: open_semantic(root, "mapillary"),
        ),
        "cocostuff": (
            root / "cocostuff/cocostuff_classes.txt",
            lambda: open_semantic(root, "cocostuff"),
        ),
        "groundmore masks": (mask, lambda: open_groundmore(root)),
        "explanatory": (
            root / "ReasonSeg/explanatory/train.json",
            lambda: open_reason_seg(root, "train"),
        ),
        "psg": (base / "OpenPsgGCG_train.json", lambda: open_captions(root, "psg")),
        "refcocog": (base / "RefCOCOg_GCG_train.json", lambda: open_captions(root, "refcocog")),
    }


def write_tables(root: Path) -> Opened:
    """Write what needs pyarrow; nothing without."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        return {}
    from deixis.data.formats.folders import open_parquet
    from deixis.data.words.choices import open_video_mme

    content = (root / "a.jpg").read_bytes()
    rows = [{"image": {"bytes": content}, "text": "cup", "mask": CUP.tolist()}]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), root / "rows.parquet")
    row = {"question_id": "001", "videoID": "v", "question": "Which?", "duration": "short"}
    row |= {"options": ["A. cup", "B. mug"], "answer": "B"}
    path = root / "mme/test-00000-of-00001.parquet"
    path.parent.mkdir()
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist([row]), path)
    for name in ("0", "1"):
        picture(root / f"mme/videos/v/{name}.jpg")
    return {
        "parquet": (root / "rows.parquet", lambda: open_parquet(root / "rows.parquet")),
        "video_mme": (path, lambda: open_video_mme(root / "mme")),
    }


def write_evaluated_captions(root: Path) -> None:
    base = root / "GranDf/annotations/val_test"
    write_json(
        base / "val_gcg_coco_mask_gt.json",
        {"annotations": [{"image_id": "a", "segmentation": RLE, "category_id": 1}]},
    )
    said = {"image_id": "a", "caption": "A cup waits.", "labels": ["a cup"]}
    images = [{"id": "a", "file_name": "a.jpg"}]
    write_json(base / "val_gcg_coco_caption_gt.json", {"images": images, "annotations": [said]})
    picture(root / "GranDf_HA_images/val_test/a.jpg")


def write_talk(root: Path) -> None:
    """Write what is said about regions: Osprey, Inst-IT, VideoRefer's benches."""
    image = {"id": 7, "file_name": "a.jpg", "height": 30, "width": 40}
    image["annotation"] = [{"segmentation": RLE}]
    turns = [{"from": "human", "value": "<region1>?"}, {"from": "gpt", "value": "A cup."}]
    base = root / "osprey/Osprey-724K"
    write_json(base / "osprey_conversation.json", [{**image, "conversations": turns}])
    told = {**image, "description": ["<region1>: a cup"]}
    write_json(base / "osprey_detail_description.json", [told])
    picture(root / "osprey/coco/train2014/a.jpg")
    base = root / "inst_it/Inst-IT-Dataset"
    entry = {"video_id": 5, "video_path": "videos/v"}
    entry["question_answer_pairs"] = [{"question": "What is [1]?", "answer": "A cup."}]
    entry["segmentations"] = {"1.jpg": {"1": {"mask": RLE}}}
    write_json(base / "inst_it_dataset_video_21k_w_mask.json", [entry])
    picture(base / "videos_raw/v/1.jpg")
    entry = {"id": 1, "video": "v", "frame_idx": "0", "annotation": [{"0": {"segmentation": RLE}}]}
    asked = {"Question": "<object1>?", "options": ["(A) x", "(B) y"], "Answer": "(A) x"}
    write_json(root / "VideoRefer-Bench-Q.json", [{**entry, **asked}])
    write_json(root / "VideoRefer-Bench-D.json", [{**entry, "caption": "A cup."}])


def write_vicas(root: Path) -> None:
    base = root / "vicas"
    write_json(base / "splits/v1.0/val.json", [31])
    entry = {"filename": "000031.mp4", "segmentations": [{"filename": "0.jpg"}]}
    entry["object_referrals"] = [{"prompt": "the cup", "track_ids": [1]}]
    write_json(base / "annotations/annotations_wo_masks_v1.0.json", {"000031": entry})
    write_json(base / "masks/000031/0.json", [[RLE]])
    picture(base / "video_frames/000031/0.jpg")
