"""Writes scenes with the odd entries of published layouts, and says what reading must give."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from published import write_json
from scene_shows import Shown, Truth, instances, pictures, polygons, save, save_frames, shown

from deixis.structures.masks import Mask

KINDS = ("Basic", "Sequential", "Relationship", "Reasoning", "Future")
ANSWERS = ("(A) yes", "", "(B) no", "B) no", "(A) yes")
ALONE = 5  # the prompt frame, in which only the second object is annotated
LONG = 61  # ten seconds at 6 a second, and the frame at their end
UNTIL = 36  # frames from this on have no file of masks
GROUNDED = {  # question -> kind, objects, seconds of the action, its frames that have masks
    "q0": ("Causal", "1", ("00:12", "00:15"), range(12, 30)),
    "q1": ("Sequential", "1, 2", ("00:10", "00:16"), range(0, UNTIL)),
    "q2": ("Counterfactual", "2", ("00:14", "00:20"), range(24, UNTIL)),
    "q3": ("Descriptive", "1", ("00:17", "00:20"), range(0)),
}


def talk() -> Shown:
    """Return a clip of two objects, of which the first leaves before frame ``ALONE``."""
    clips = (shown("pixelqa", index, 88, 120, frames=9) for index in range(1, 200))
    return next(clip for clip in clips if _leaves_the_other_alone(clip))


def _leaves_the_other_alone(clip: Shown) -> bool:
    if len(clip.targets) != 2:
        return False
    first, second = (set(masks) for _, masks in clip.targets)
    return ALONE in second - first


def write_long_clip(root: Path) -> dict[str, dict[int, Mask]]:
    """Write GroundMoRe's clip of 61 frames, a scene that runs forth and back; return its masks.

    They are by question and by frame of the whole clip, only where the question has any.
    """
    clip, base = talk(), root / "groundmore"
    back = 2 * (len(clip.frames) - 1)
    order = [min(i % back, back - i % back) for i in range(LONG)]
    for video, name in (("abc_0010_0020", "frame_{:06d}"), ("x_1_0010_0020", "{:07d}")):
        folder = base / "annotations" / video
        names = [name.format(i) for i in range(LONG)]
        save_frames(Shown(clip.frames[order], "", ()), folder / "images", names)
        for place in range(UNTIL):
            values = np.zeros(clip.size, dtype=np.uint8)
            for number, (_, masks) in enumerate(clip.targets, start=1):
                if order[place] in masks:
                    values[masks[order[place]].pixels] = number
            save(values, folder / "masks" / f"{names[place]}.png")
    asked, truth = {}, {}
    for key, (kind, objects, (start, end), places) in GROUNDED.items():
        question = {"question": "Who?", "answer": "it", "obj_id": objects, "q_type": kind}
        asked[key] = question | {"action_start": start, "action_end": end}
        masks = [clip.targets[int(one) - 1][1] for one in objects.split(", ")]
        here = {p: [one[order[p]].pixels for one in masks if order[p] in one] for p in places}
        truth[key] = {p: Mask(np.any(found, axis=0)) for p, found in here.items() if found}
    videos = {video: {"questions": asked} for video in ("abc_0010_0020", "x_1_0010_0020")}
    write_json(base / "test_v2.json", {"videos": videos})
    return truth


def runs(mask: Mask) -> dict[str, Any]:
    """Return RLE as COCO writes crowds: a list of runs, down the columns."""
    flat = mask.pixels.ravel(order="F").astype(np.int8)
    edges = [0, *(np.flatnonzero(np.diff(flat)) + 1).tolist(), flat.size]
    counts = [int(b - a) for a, b in pairwise(edges)]
    return {"size": list(mask.size), "counts": [0, *counts] if flat[0] else counts}


def write_crowds(root: Path) -> Truth:
    """Write parts of which every picture also shows a crowd: all its targets as one RLE.

    The crowd has a category of its own in the first picture, and that of a part in the others.
    """
    shows = pictures()
    value = instances(shows, "train2017/{}.jpg".format, polygons)
    for row in value["categories"]:
        row["name"] = f"cup:{row['name']}"
    dog = len(value["categories"])
    value["categories"].append({"id": dog, "name": "dog_(animal)"})
    truth: Truth = []
    for image, one in enumerate(shows):
        crowd = Mask(np.any([masks[0].pixels for _, masks in one.targets], axis=0))
        rows = [row for row in value["annotations"] if row["image_id"] == image]
        category = rows[0]["category_id"] if image else dog
        value["annotations"].append(
            {**rows[0], "id": 100 + image, "category_id": category, "iscrowd": 1}
            | {"segmentation": runs(crowd), "area": crowd.area}
        )
        found = {f"cup's {phrase}": masks[0] for phrase, masks in one.targets}
        found["dog" if image == 0 else f"cup's {one.targets[0][0]}"] = crowd
        truth.append([(name, {0: mask}) for name, mask in found.items()])
        for folder in ("coco", "vlpart/pascal_part/VOCdevkit/VOC2010/JPEGImages"):
            save(one.frames[0], root / folder / f"train2017/{image}.jpg")
    write_json(root / "vlpart/paco/annotations/paco_lvis_v1_train.json", value)
    write_json(root / "vlpart/pascal_part/train.json", value)
    return truth


def write_labels(root: Path) -> dict[str, list[tuple[np.ndarray, dict[str, Mask]]]]:
    """Write labels with 0, 255 and ids beyond a list of six names, one of which has a "-".

    Return by data set what a picture's classes are, 255 where they are ignored, and its targets.
    """
    shows = pictures()
    names = sorted({phrase for one in shows for phrase, _ in one.targets})
    named = [*names[:5], f"{names[5]}-other"]
    assert len(names) > len(named), "choose another seed"
    found: dict[str, list[tuple[np.ndarray, dict[str, Mask]]]] = {}
    for image, one in enumerate(shows):
        values = np.full(one.size, len(names), dtype=np.int64)  # the ground has a number, no name
        for phrase, masks in one.targets:
            values[masks[0].pixels] = names.index(phrase)
        values[:, : one.size[1] // 3] = 255  # a border without labels, over objects too
        ground = values == len(names)
        up = np.where(ground, 0, np.minimum(values + 1, 255))  # ADE20K counts from one
        for name, folder, written, classes in (
            ("ade20k", "annotations/training", up, np.where(ground, 255, values)),
            ("cocostuff", "train2017", values, np.where(values == 5, 255, values)),
            ("mapillary", "training/v2.0/labels", values, values),
        ):
            shown = {n: Mask(classes == i) for i, n in enumerate(named) if (classes == i).any()}
            found.setdefault(name, []).append((classes, shown))
            save(written.astype(np.uint8), root / name / folder / f"{image}.png")
        for folder in ("ade20k/images/training", "coco/train2017", "mapillary/training/images"):
            save(one.frames[0], root / folder / f"{image}.jpg")
    _list_classes(root, named)
    return found


def _list_classes(root: Path, named: list[str]) -> None:
    write_json(root / "ade20k/ade20k_classes.json", named)
    lines = ["0: unlabeled", *[f"{i}: {name}" for i, name in enumerate(named, start=1)]]
    (root / "cocostuff/cocostuff_classes.txt").write_text("\n".join(lines))
    readable = {"labels": [{"readable": name.title()} for name in named]}
    write_json(root / "mapillary/config_v2.0.json", readable)


def write_film(clip: Shown, path: Path) -> None:
    """Write a clip as MP4, with as many frames."""
    import av

    height, width = clip.size
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=6)
        stream.height, stream.width = height, width
        stream.pix_fmt, stream.options = "yuv420p", {"crf": "8"}
        for frame in clip.frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())


def write_film_and_folder(root: Path) -> Shown:
    """Write VideoRefer-Bench about a clip that is a folder and, beside it, an MP4 of one name."""
    clip = talk()
    save_frames(clip, root / "talk")
    write_film(clip, root / "talk.mp4")
    shows = [enumerate(clip.track(i)) for i in range(2)]
    objects = [{str(i): {"segmentation": rle} for i, rle in one if rle} for one in shows]
    entry = {"frame_idx": str(ALONE), "annotation": objects}
    asked = {"Question": "Is <object1><region> near <object2><region>?"}
    asked["options"] = ["(A) yes", "(B) no"]
    rows = [
        {"id": i, "video": ("talk.mp4", "talk")[i % 2], **entry, **asked}
        | {"type": f"{kind} Questions", "Answer": ANSWERS[i]}
        for i, kind in enumerate(KINDS)
    ]
    write_json(root / "VideoRefer-Bench-Q.json", rows)
    told = [{"id": row["id"], "video": row["video"], "caption": "Two."} | entry for row in rows[:2]]
    write_json(root / "VideoRefer-Bench-D.json", told)
    return clip
