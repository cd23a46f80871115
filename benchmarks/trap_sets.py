"""Scenes written in the published layouts, with what the traps of published protocols wait for.

One annotation in four is two polygons that overlap, every second ReasonSeg entry ignores a part
of the picture and asks in three texts, clips are annotated beyond the action that is asked about.
Each writer returns nothing: `deixis.data` reads what it wrote.
"""

import json
import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import ascii_uppercase
from typing import Any

import numpy as np
from PIL import Image

from deixis.data.annotations.polygons import coco_map
from deixis.scenes.questions import make_scene
from deixis.scenes.world import WorldKey
from deixis.structures.masks import Mask

SHARED = 4  # one annotation in so many has polygons that overlap
BETWEEN = 6  # rows that both of them cover, at most
RATE = 6  # frames a second of GroundMoRe
COLOURS = ("red", "green", "blue", "yellow", "orange", "purple", "pink", "white", "black")


@dataclass(frozen=True)
class Shown:
    """A picture or a clip (T, H, W, 3), its question, targets by phrase, pixels of any object."""

    frames: np.ndarray
    question: str
    answer: str
    numbers: tuple[int | None, ...]
    targets: tuple[tuple[str, Mapping[int, Mask]], ...]
    things: np.ndarray

    def track(self, number: int) -> list[dict[str, Any] | None]:
        """Return RLE or None of a target by frame."""
        masks = self.targets[number][1]
        return [masks[i].to_rle() if i in masks else None for i in range(len(self.frames))]


def scenes(task: str, count: int, seed: int, *, several: bool = False) -> list[Shown]:
    """Return the first scenes of a task that are one picture, or (``several``) one clip each."""
    found: list[Shown] = []
    index = 0
    while len(found) < count:
        key = WorldKey(split="test", task=task, seed=seed, index=index)
        scene, index = make_scene(key), index + 1
        sample = scene.samples[0]
        truth = sample.answer
        if truth is None or (len(sample.images) > 1) != several:
            continue
        found.append(
            Shown(
                frames=np.stack([frame.pixels for frame in sample.images]),
                question=sample.question.text,
                answer=truth.conclusion or "",
                numbers=tuple(prompt.object_id for prompt in sample.question.prompts),
                targets=tuple((t.phrase, t.masks) for t in truth.targets),
                things=np.stack([one.things > 0 for one in scene.renderings]),
            )
        )
    return found


def save(pixels: np.ndarray, path: Path) -> None:
    """Write a picture, without loss whatever its ending says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, "PNG")


def write_json(path: Path, value: object) -> None:
    """Write JSON with its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


def polygons(mask: Mask, overlapping: bool) -> Any:
    """Return COCO's polygons of a mask; RLE where they cannot draw it, as where it has a hole."""
    parts = [mask]
    if overlapping:
        _, top, _, bottom = mask.box or (0, 0, 0, 0)
        middle, rows = (top + bottom) // 2, np.arange(mask.size[0])[:, None]
        upper, lower = rows < middle + BETWEEN // 2, rows >= middle - BETWEEN // 2
        parts = [Mask(mask.pixels & side) for side in (upper, lower)]
    outlines = [outline for part in parts for outline in part.to_polygons()]
    drawn = coco_map(outlines, mask.size)
    return outlines if Mask(drawn > 0) == mask else mask.to_rle()


def write_instances(folder: Path, shows: Sequence[Shown]) -> list[list[int]]:
    """Write COCO's instances; return the annotations' ids of each picture."""
    images, ids = [], []
    rows: list[dict[str, Any]] = []
    for image, one in enumerate(shows):
        height, width = one.frames.shape[1:3]
        name = f"COCO_train2014_{image:012d}.jpg"
        images.append({"id": image, "file_name": name, "height": height, "width": width})
        first = len(rows)
        for _, masks in one.targets:
            x0, y0, x1, y1 = masks[0].box or (0, 0, 0, 0)
            shape = polygons(masks[0], len(rows) % SHARED == 0)
            rows.append(
                {"id": len(rows), "image_id": image, "category_id": 1, "iscrowd": 0}
                | {"bbox": [x0, y0, x1 - x0, y1 - y0], "segmentation": shape}
            )
        ids.append(list(range(first, len(rows))))
    categories = [{"id": 1, "name": "thing"}]
    value = {"images": images, "annotations": rows, "categories": categories}
    write_json(folder / "instances.json", value)
    return ids


def _reference(number: int, ids: Any, image: int, text: str) -> dict[str, Any]:
    said = [{"sent": text, "raw": text, "sent_id": number, "tokens": text.split()}]
    fixed = {"split": "val", "category_id": 1, "file_name": "", "sent_ids": [number]}
    return {"ref_id": number, "ann_id": ids, "image_id": image, "sentences": said, **fixed}


def write_referring(root: Path, single: Sequence[Shown], several: Sequence[Shown]) -> None:
    """Write RefCOCO of single targets, and RefCOCO+ of several a picture, for multi-RefCOCO."""
    base = root / "refer_seg"
    for folder, shows in (("refcoco", single), ("refcoco+", several)):
        ids = write_instances(base / folder, shows)
        refs: list[dict[str, Any]] = []
        for image, one in enumerate(shows):
            for key, (phrase, _) in zip(ids[image], one.targets, strict=True):
                text = one.question if folder == "refcoco" else phrase
                refs.append(_reference(len(refs), key, image, text))
        (base / folder / "refs(unc).p").write_bytes(pickle.dumps(refs, protocol=2))
    _save_pictures(root, [*several])


def write_general(root: Path, several: Sequence[Shown], absent: Sequence[Shown]) -> None:
    """Write gRefCOCO below a root of its own: expressions for several objects, and for none."""
    shows = [*several, *absent]
    base = root / "refer_seg/grefcoco"
    ids = write_instances(base, shows)
    rows = [
        _reference(image, ids[image] or [-1], image, one.question)
        for image, one in enumerate(shows)
    ]
    write_json(base / "grefs(unc).json", rows)
    _save_pictures(root, shows)


def _save_pictures(root: Path, shows: Sequence[Shown]) -> None:
    for image, one in enumerate(shows):
        name = f"COCO_train2014_{image:012d}.jpg"
        for folder in ("refer_seg/images/mscoco/images/train2014", "coco/train2014"):
            save(one.frames[0], root / folder / name)


def write_reason_seg(root: Path, shows: Sequence[Shown]) -> None:
    """Write ReasonSeg: every second entry ignores a box over the target's lower half."""
    for image, one in enumerate(shows):
        phrase, masks = one.targets[0]
        outline = np.array(max(masks[0].to_polygons(), key=len)).reshape(-1, 2).tolist()
        shapes = [{"label": "target", "points": outline, "shape_type": "polygon"}]
        x0, y0, x1, y1 = masks[0].box or (0, 0, 0, 0)
        if image % 2:
            middle = (y0 + y1) // 2
            box = [[x0, middle], [x1, middle], [x1, y1 + 4], [x0, y1 + 4]]
            shapes.append({"label": "ignore", "points": box, "shape_type": "polygon"})
        texts = [one.question] if image % 2 else [one.question, phrase, f"mark the {phrase}"]
        entry = {"text": texts, "is_sentence": image % 2 == 0, "shapes": shapes}
        folder = root / "reason_seg/ReasonSeg/val"
        write_json(folder / f"{image:03d}.json", entry)
        save(one.frames[0], folder / f"{image:03d}.jpg")


def write_muse(root: Path, shows: Sequence[Shown]) -> None:
    """Write MUSE: the scenes' own questions for several objects."""
    rows = []
    for image, one in enumerate(shows):
        height, width = one.frames.shape[1:3]
        answers = [
            {"segmentation": m[0].to_rle(), "bbox": [0, 0, 1, 1], "rephrased_name": phrase}
            for phrase, m in one.targets
        ]
        name = f"COCO_train2014_{image:012d}.jpg"
        place = {"file_name": name, "height": height, "width": width}
        rows.append({**place, "questions": [one.question], "answers": [answers]})
    write_json(root / "muse/muse_val.json", rows)
    _save_pictures(root, shows)


def write_captions(root: Path, shows: Sequence[Shown]) -> None:
    """Write GranD-f's two files of evaluation."""
    base, images, marks, told = root / "GranDf/annotations/val_test", [], [], []
    for number, one in enumerate(shows):
        key, height, width = f"k{number:03d}", *one.frames.shape[1:3]
        image = {"id": key, "file_name": f"sa_{number}.jpg", "height": height, "width": width}
        images.append(image)
        names = [phrase for phrase, _ in one.targets]
        told.append({"image_id": key, "caption": ", ".join(names), "labels": names})
        marks += [
            {"image_id": key, "category_id": 1, "segmentation": m[0].to_rle()}
            for _, m in one.targets
        ]
        save(one.frames[0], root / "GranDf_HA_images/val_test" / f"sa_{number}.jpg")
    write_json(base / "val_gcg_coco_mask_gt.json", {"annotations": marks})
    captions = {"images": images, "annotations": told}
    write_json(base / "val_gcg_coco_caption_gt.json", captions)


def write_classes(root: Path, shows: Sequence[Shown]) -> None:
    """Write ADE20K; one class in five shows nowhere, as when a part of a set is evaluated."""
    names = sorted({phrase for one in shows for phrase, _ in one.targets})
    unseen = [f"unseen {number}" for number in range(len(names) // 4)]
    for image, one in enumerate(shows):
        values = np.zeros(one.frames.shape[1:3], dtype=np.uint8)
        for phrase, masks in one.targets:
            values[masks[0].pixels] = names.index(phrase) + 1
        save(values, root / f"ade20k/annotations/training/{image:03d}.png")
        save(one.frames[0], root / f"ade20k/images/training/{image:03d}.jpg")
    write_json(root / "ade20k/ade20k_classes.json", [*names, *unseen])


def write_clips(root: Path, shows: Sequence[Shown]) -> None:
    """Write MeViS, ReVOS and Ref-DAVIS17: one expression a clip, every second one "reasoning"."""
    videos: dict[str, Any] = {}
    tracks, whole = {}, {}
    for number, one in enumerate(shows):
        names = [f"{i:05d}" for i in range(len(one.frames))]
        asked: dict[str, Any] = {"exp": one.question, "obj_id": [number], "anno_id": [number]}
        asked["type_id"] = number % 2
        videos[f"v{number}"] = {"frames": names, "expressions": {"0": asked}}
        tracks[str(number)] = one.track(0)
        whole[f"v{number}"] = {"masks_rle": [Mask(m).to_rle() for m in one.things]}
        for folder in ("mevis/valid_u", "ReVOS", "ref_davis17/DAVIS"):
            at = "480p/" if folder.endswith("DAVIS") else ""
            for name, pixels in zip(names, one.frames, strict=True):
                save(pixels, root / f"{folder}/JPEGImages/{at}v{number}/{name}.jpg")
    meta = {"videos": videos}
    for file in ("mevis/valid_u/meta_expressions", "ReVOS/meta_expressions_valid_"):
        write_json(root / f"{file}.json", meta)
    for file in ("mevis/valid_u/mask_dict", "ReVOS/mask_dict"):
        write_json(root / f"{file}.json", tracks)
    write_json(root / "ReVOS/mask_dict_foreground.json", whole)
    write_json(root / "ref_davis17/meta_expressions/valid/meta_expressions.json", meta)
    write_numbers(root, shows)


def write_numbers(root: Path, shows: Sequence[Shown], *, of_file: bool = False) -> None:
    """Write Ref-DAVIS17's masks: numbers run over sorted names, as published, or as in the file."""
    names = [f"v{number}" for number in range(len(shows))]
    tracks = {}
    for number, name in enumerate(sorted(names)):  # as the mask of this one it will be read
        track = shows[number if of_file else names.index(name)].track(0)
        length = len(shows[names.index(name)].frames)
        tracks[number] = [*track, *[None] * length][:length]
    path = root / "ref_davis17/valid/mask_dict.pkl"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(tracks))


def write_groundmore(root: Path, shows: Sequence[Shown]) -> None:
    """Write GroundMoRe: masks of the whole clip, of which one second is asked about."""
    videos = {}
    for number, one in enumerate(shows):
        video = f"v{number:03d}_0010_0030"
        base, masks = root / "groundmore/annotations" / video, one.targets[0][1]
        for index, pixels in enumerate(one.frames):
            save(pixels, base / f"images/{index:06d}.jpg")
            if index in masks:
                values = masks[index].pixels.astype(np.uint8)
                save(values, base / f"masks/{index:06d}.png")
        asked = {"question": one.question, "answer": "it", "obj_id": "1", "q_type": "Causal"}
        asked |= {"action_start": "00:10", "action_end": "00:11"}
        videos[video] = {"questions": {"q": asked}}
    write_json(root / "groundmore/test_v2.json", {"videos": videos})


def write_regions(root: Path, shows: Sequence[Shown]) -> None:
    """Write VideoRefer-Bench-Q, of which PixelQA is made: four options, the true one anywhere."""
    entries = []
    for number, one in enumerate(shows):
        text, options = one.question, choices(one.answer, number)
        for place, name in enumerate(one.numbers):
            text = text.replace(f"[{name}]", f"<object{place}><region>")
        lines = [f"({x}) {o}" for x, o in zip(ascii_uppercase, options, strict=False)]
        objects = [
            {str(i): {"segmentation": m.to_rle()} for i, m in masks.items()}
            for _, masks in one.targets
        ]
        first = next(i for i in range(len(one.frames)) if all(str(i) in o for o in objects))
        entries.append(
            {"id": number, "video": f"clips/{number:03d}", "frame_idx": str(first)}
            | {"Question": text, "options": lines, "Answer": lines[options.index(one.answer)]}
            | {"type": "Basic Questions", "annotation": objects}
        )
        for index, pixels in enumerate(one.frames):
            save(pixels, root / f"clips/{number:03d}/{index:05d}.jpg")
    write_json(root / "VideoRefer-Bench-Q.json", entries)


def choices(answer: str, number: int) -> list[str]:
    """Return four options with the true one at the place that a number gives."""
    kind: Sequence[str] = COLOURS
    if answer.isdecimal():
        kind = [str(int(answer) + offset) for offset in (1, 2, 3, 4)]
    elif answer not in COLOURS:
        kind = ("car", "tree", "lamp", "house", "left", "right", "up", "down", "cup", "boat")
    others = [one for one in kind if one != answer][number % 3 :][:3]
    place = number % 4
    return [*others[:place], answer, *others[place:]]


def usable(one: Shown) -> bool:
    """Say whether a clip's question is about exactly what is pointed at, seen together once."""
    whole = len(one.targets) == len(one.numbers) and bool(one.answer)
    frames = [set(masks) for _, masks in one.targets]
    return whole and bool(frames) and bool(set.intersection(*frames))
