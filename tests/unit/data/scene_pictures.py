"""Writes scenes as data sets of pictures in their published layouts; returns what they show."""

import json
import pickle
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from published import ref, write_json
from scene_shows import Shown, Truth, instances, of_pictures, pictures, polygons, save

from deixis.structures.masks import Mask


def write_referring(root: Path) -> dict[str, Truth]:
    """Write the RefCOCO family, and gRefCOCO with an expression for all and one for nothing."""
    shows, base = pictures(), root / "refer_seg"
    file = "COCO_train2014_{:012d}.jpg".format
    value = instances(shows, file, polygons)
    parts = [row["segmentation"] for row in value["annotations"]]
    assert any(len(one) > 1 for one in parts if isinstance(one, list)), "some overlap"
    for folder in ("mscoco/images/train2014", "saiapr_tc-12"):
        for image, one in enumerate(shows):
            save(one.frames[0], base / "images" / folder / file(image))
    refs, none, truth = [], [], []
    for image, one in enumerate(shows):
        rows = [r for r in value["annotations"] if r["image_id"] == image]
        for row, target in zip(rows, one.targets, strict=True):
            said = (target[0].upper(), f"{target[0]} there")
            refs.append(ref(len(refs), row["id"], "val", *said, image=image))
            truth += [[(target[0].lower(), target[1])], [(said[1].lower(), target[1])]]
        ids = [row["id"] for row in rows]
        none += [ref(len(none), ids, "val", "all", image=image)]
        none += [ref(len(none), [-1], "val", "nothing", image=image)]
    sets = {"refcoco": "unc", "refcoco+": "unc", "refclef": "unc"}
    for dataset, by in [*sets.items(), ("refcocog", "umd"), ("refcocog", "google")]:
        listed = instances(shows, file, lambda mask, number: [mask.to_rle()])
        write_json(base / dataset / "instances.json", listed if dataset == "refclef" else value)
        (base / dataset / f"refs({by}).p").write_bytes(pickle.dumps(refs, protocol=2))
    write_json(base / "grefcoco/instances.json", value)
    write_json(base / "grefcoco/grefs(unc).json", none)
    found: dict[str, Truth] = dict.fromkeys(["refcocog", "refcocog-google", *sets], truth)
    unions = []
    for one in shows:
        pixels = np.any([masks[0].pixels for _, masks in one.targets], axis=0)
        unions += [[("all", {0: Mask(pixels)})], []]
    together: Truth = []
    for one in shows:
        both = [(p, m) for q, m in one.targets for p in (q.lower(), f"{q} there".lower())]
        starts = [0, 6, 11, 15]
        together += [both[a:b] for a, b in pairwise(starts) if both[a:b]]
    for name in ("multi-refcoco", "multi-refcoco+", "multi-refcocog"):
        found[name] = together
    return {**found, "grefcoco": unions}


def write_questions(root: Path) -> dict[str, Truth]:
    """Write ReasonSeg (with the outlines that it draws itself) and MUSE."""
    shows = pictures()
    reason, muse = [], []
    for image, one in enumerate(shows):
        masks = one.targets[0][1]
        points = np.array(masks[0].to_polygons()[0]).reshape(-1, 2).tolist()
        texts = [[one.question], [f"{one.question} (un café)"], [one.question, "or", "so"]][image]
        entry = {"text": texts, "is_sentence": image % 2 == 0}
        entry["shapes"] = _odd_shapes(points, masks[0])
        path = root / f"reason_seg/ReasonSeg/val/{image}.json"
        write_json(path, {})
        path.write_bytes(json.dumps(entry, ensure_ascii=False).encode("cp1252"))
        save(one.frames[0], root / f"reason_seg/ReasonSeg/val/{image}.jpg")
        reason.append([("the target", masks)])
        name, (height, width) = f"COCO_{image}.jpg", one.size
        answers = [
            {"segmentation": (polygons(m[0], 1), m[0].to_rle())[number % 2], "bbox": [0, 0, 1, 1]}
            | {"rephrased_name": phrase}
            for number, (phrase, m) in enumerate(one.targets)
        ]
        place = ({"file_name": name}, {"coco_url": f"http://x/val2017/{name}"})[image % 2]
        folder = ("train2014", "val2017")[image % 2]
        save(one.frames[0], root / "coco" / folder / name)
        row = {**place, "height": height, "width": width, "questions": [one.question]}
        written = ({}, {"text_answers": [None]}, {"text_answers": ["one {seg} only"]})[image]
        muse.append({**row, "answers": [answers], **written})
    write_json(root / "muse/muse_val.json", muse)
    return {"reason_seg": reason, "muse": of_pictures(shows)}


def _odd_shapes(points: list[list[float]], mask: Mask) -> list[dict[str, Any]]:
    """Return the target's outline among shapes that mean nothing, and an ignored spot inside it."""
    y, x = (int(v[len(v) // 2]) for v in np.nonzero(mask.pixels))
    spot, far = [[x, y], [x + 1, y], [x + 1, y + 1]], [[900, 900], [950, 900], [950, 950]]
    labels = [("target", points), ("Ignore", spot), ("flag", [[0, 0], [9, 0], [9, 9]])]
    labels += [("target", far), ("target", [[x, y]] * 3)]
    return [{"label": name, "points": p, "shape_type": "polygon"} for name, p in labels]


Captioned = list[tuple[str, str, dict[str, list[int]], Shown]]  # file, text, places of phrases


def write_captions(root: Path) -> dict[str, Truth]:
    """Write GranD-f: the four dialects of training, and the two files of evaluation."""
    base, rows = root / "GranDf/annotations", _captioned(root)
    by_phrase = [
        {"file_name": name, "caption": text}
        | {
            "groundings": {
                p: {"token_positives": at[p], "rle_masks": [m[0].to_rle()]} for p, m in one.targets
            }
        }
        for name, text, at, one in rows
    ]
    write_json(base / "train/GranDf_HA_GCG_train.json", by_phrase)
    write_json(base / "train/OpenPsgGCG_train.json", by_phrase)
    sentences = [
        {"img_file_name": name, "caption": text.upper()}
        | {"refs": [{"sentence": p, "segmentation": m[0].to_rle()} for p, m in one.targets]}
        for name, text, _, one in rows
    ]
    write_json(base / "train/RefCOCOg_GCG_train.json", sentences)
    _write_as_coco(base, rows)
    truth = of_pictures([one for *_, one in rows])
    low = [[(p.lower(), m) for p, m in one] for one in truth]
    return {"grandf": truth, "grandf/ha": truth, "grandf/psg": truth, "grandf/flickr": truth} | {
        "grandf/refcocog": low
    }


def _captioned(root: Path) -> Captioned:
    """Write pictures; return them with captions that name each of their phrases once."""
    shows, rows = pictures(), []
    said = [", ".join(dict.fromkeys(phrase for phrase, _ in one.targets)) for one in shows]
    shows = [
        Shown(one.frames, text, tuple({p: (p, m) for p, m in one.targets}.values()))
        for one, text in zip(shows, said, strict=True)
    ]
    for image, one in enumerate(shows):
        for folder in ("GranDf_HA_images/val_test", "GranDf_HA_images/train", "flikcr_30k/train"):
            save(one.frames[0], root / folder / f"sa_{image}.jpg")
        for folder in ("coco_2017/train2017", "coco_2014/train2014"):
            save(one.frames[0], root / folder / f"sa_{image}.jpg")
        places = {p: [said[image].find(p), said[image].find(p) + len(p)] for p, _ in one.targets}
        rows.append((f"sa_{image}.jpg", said[image], places, one))
    return rows


def _write_as_coco(base: Path, rows: Captioned) -> None:
    """Write Flickr's dialect and the two files of evaluation."""
    images, marks, labels = [], [], []
    for key, (name, text, at, one) in enumerate(rows):
        images.append({"id": f"k{key}", "file_name": name, "caption": text})
        labels.append({"image_id": f"k{key}", "caption": text, "labels": [*at]})
        marks += [
            {"image_id": f"k{key}", "category_id": 1, "segmentation": m[0].to_rle()}
            | {"tokens_positive": [at[p]], "sam_mask": m[0].to_rle()}
            for p, m in one.targets
        ]
    flickr = {"images": images, "annotations": marks}
    write_json(base / "train/flickr_mergedGT_GCG_train.json", flickr)
    write_json(base / "val_test/val_gcg_coco_mask_gt.json", {"annotations": marks})
    told = {"images": images, "annotations": labels}
    write_json(base / "val_test/val_gcg_coco_caption_gt.json", told)


def write_classes(root: Path) -> dict[str, Truth]:
    """Write pictures of labels, in which a later target covers an earlier, and parts."""
    shows = pictures()
    names = sorted({phrase for one in shows for phrase, _ in one.targets})
    truth: Truth = []
    for image, one in enumerate(shows):
        values = np.full(one.size, 255, dtype=np.uint8)
        for phrase, masks in one.targets:
            values[masks[0].pixels] = names.index(phrase)
        found = [int(v) for v in np.unique(values) if v != 255]
        truth.append([(names[v], {0: Mask(values == v)}) for v in found])
        one_up = np.where(values == 255, 0, values + 1).astype(np.uint8)
        for pixels, path in (
            (one_up, "ade20k/annotations/training/{}.png"),
            (one.frames[0], "ade20k/images/training/{}.jpg"),
            (values, "cocostuff/train2017/{}.png"),
            (one.frames[0], "coco/train2017/{}.jpg"),
            (values, "mapillary/training/v2.0/labels/{}.png"),
            (one.frames[0], "mapillary/training/images/{}.jpg"),
            (one.frames[0], "coco/{}.jpg"),
            (one.frames[0], "vlpart/pascal_part/VOCdevkit/VOC2010/JPEGImages/{}.jpg"),
        ):
            save(pixels, root / path.format(image))
    write_json(root / "ade20k/ade20k_classes.json", names)
    lines = ["names:", *[f"{i}: {name}" for i, name in enumerate(names)]]
    (root / "cocostuff/cocostuff_classes.txt").write_text("\n".join(lines))
    readable = {"labels": [{"readable": name.title()} for name in names]}
    write_json(root / "mapillary/config_v2.0.json", readable)
    value = instances(shows, "{}.jpg".format)
    for row in value["categories"]:
        row["name"] = f"thing_(x):{row['name'].replace(' ', '_')}"
    write_json(root / "vlpart/paco/annotations/paco_lvis_v1_train.json", value)
    write_json(root / "vlpart/pascal_part/train.json", value)
    return dict.fromkeys(("ade20k", "cocostuff", "mapillary"), truth) | dict.fromkeys(
        ("paco_lvis", "pascal_part"), _parts(shows)
    )


def _parts(shows: Sequence[Shown]) -> Truth:
    """Return the truth where parts of one name are one target."""
    parts: Truth = []
    for one in shows:
        united: dict[str, Mask] = {}
        for phrase, masks in one.targets:
            name = f"thing's {phrase}"
            united[name] = united[name].joined(masks[0]) if name in united else masks[0]
        parts.append([(name, {0: mask}) for name, mask in united.items()])
    return parts
