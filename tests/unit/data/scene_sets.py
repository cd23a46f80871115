"""Writes scenes as data sets in their published layouts, and says what reading them must give.

Pictures are cut so that no two sides are equal. A truth is a list of samples, each a list of
(phrase, {frame: mask}); a phrase is None where the layout has no place for it.
"""

import json
import pickle
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from published import ref, write_json

from deixis.scenes.questions import make_sample
from deixis.structures.masks import Mask

SEED = 11
Truth = list[list[tuple[str | None, dict[int, Mask]]]]


@dataclass(frozen=True)
class Shown:
    """A picture or a clip (T, H, W, 3), its question, and its targets by phrase."""

    frames: np.ndarray
    question: str
    targets: tuple[tuple[str, dict[int, Mask]], ...]

    @property
    def size(self) -> tuple[int, int]:
        """(height, width)."""
        return self.frames.shape[1:3]

    def track(self, number: int) -> list[dict[str, object] | None]:
        """Return RLE or None of a target by frame."""
        masks = self.targets[number][1]
        return [masks[i].to_rle() if i in masks else None for i in range(len(self.frames))]


def shown(task: str, index: int, height: int, width: int, frames: int = 1) -> Shown:
    """Return a scene cut to (height, width)."""
    sample = make_sample("test", task, SEED, index)
    count = min(frames, len(sample.images))
    pixels = np.stack([sample.images[i].pixels[:height, :width] for i in range(count)])
    targets = []
    for target in sample.answer.targets:
        cut = {i: Mask(m.pixels[:height, :width]) for i, m in target.masks.items() if i < count}
        cut = {i: mask for i, mask in cut.items() if mask.area}
        if cut:
            targets.append((target.phrase, cut))
    return Shown(pixels, sample.question.text, tuple(targets))


def pictures() -> list[Shown]:
    """Return pictures of several targets each, of different sizes."""
    sizes = ((96, 128), (120, 88), (104, 112))
    found = [shown("many", i, *size) for i, size in enumerate(sizes)]
    assert all(len(one.targets) >= 2 for one in found), "choose another seed"
    return found


def clips() -> list[Shown]:
    """Return clips with one target each, which some frames may not show."""
    found = [shown("clip", i, 88, 120, frames=n) for i, n in ((0, 10), (2, 7))]
    assert all(len(one.targets) == 1 for one in found), "choose another seed"
    return found


def save(pixels: np.ndarray, path: Path) -> None:
    """Write a picture."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def save_frames(clip: Shown, folder: Path, names: Sequence[str] | None = None) -> list[str]:
    """Write the frames of a clip; return their names without ending."""
    names = [f"{i:05d}" for i in range(len(clip.frames))] if names is None else list(names)
    for name, frame in zip(names, clip.frames, strict=True):
        save(frame, folder / f"{name}.jpg")
    return names


def of_pictures(shows: Sequence[Shown]) -> Truth:
    """Return the truth of a set with a sample for each picture."""
    return [list(one.targets) for one in shows]


# -- pictures -------------------------------------------------------------------------------------


def instances(shows: Sequence[Shown], name: Callable[[int], str]) -> dict[str, Any]:
    """Return COCO instances, one for each target, with RLE; categories by phrase."""
    phrases = sorted({phrase for one in shows for phrase, _ in one.targets})
    rows, images = [], []
    for image, one in enumerate(shows):
        height, width = one.size
        images.append({"id": image, "file_name": name(image), "height": height, "width": width})
        for phrase, masks in one.targets:
            x0, y0, x1, y1 = masks[0].box
            rows.append(
                {"id": len(rows), "image_id": image, "category_id": phrases.index(phrase)}
                | {"bbox": [x0, y0, x1 - x0, y1 - y0], "area": masks[0].area, "iscrowd": 0}
                | {"segmentation": masks[0].to_rle()}
            )
    categories = [{"id": i, "name": phrase} for i, phrase in enumerate(phrases)]
    return {"images": images, "annotations": rows, "categories": categories}


def write_referring(root: Path) -> dict[str, Truth]:
    """Write the RefCOCO family, and gRefCOCO with an expression for all and one for nothing."""
    shows, base = pictures(), root / "refer_seg"
    file = "COCO_train2014_{:012d}.jpg".format
    value = instances(shows, file)
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
        write_json(base / dataset / "instances.json", value)
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
        shapes = [{"label": "target", "points": points, "shape_type": "polygon"}]
        entry = {"text": [one.question], "is_sentence": image % 2 == 0, "shapes": shapes}
        write_json(root / f"reason_seg/ReasonSeg/val/{image}.json", entry)
        save(one.frames[0], root / f"reason_seg/ReasonSeg/val/{image}.jpg")
        reason.append([("the target", masks)])
        name, (height, width) = f"COCO_{image}.jpg", one.size
        answers = [
            {"segmentation": m[0].to_rle(), "bbox": [0, 0, 1, 1], "rephrased_name": phrase}
            for phrase, m in one.targets
        ]
        place = ({"file_name": name}, {"coco_url": f"http://x/val2017/{name}"})[image % 2]
        folder = ("train2014", "val2017")[image % 2]
        save(one.frames[0], root / "coco" / folder / name)
        row = {**place, "height": height, "width": width, "questions": [one.question]}
        muse.append({**row, "answers": [answers], "text_answers": [None]})
    write_json(root / "muse/muse_val.json", muse)
    return {"reason_seg": reason, "muse": of_pictures(shows)}


def write_captions(root: Path) -> dict[str, Truth]:
    """Write GranD-f: the four dialects of training, and the two files of evaluation."""
    shows = pictures()
    base, rows = root / "GranDf/annotations", []
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
    images, marks, labels, truth = [], [], [], of_pictures(shows)
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
    low = [[(p.lower(), m) for p, m in one] for one in truth]
    return {"grandf": truth, "grandf/ha": truth, "grandf/psg": truth, "grandf/flickr": truth} | {
        "grandf/refcocog": low
    }


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
    parts: Truth = []
    for one in shows:
        united: dict[str, Mask] = {}
        for phrase, masks in one.targets:
            name = f"thing's {phrase}"
            united[name] = united[name].joined(masks[0]) if name in united else masks[0]
        parts.append([(name, {0: mask}) for name, mask in united.items()])
    return dict.fromkeys(("ade20k", "cocostuff", "mapillary"), truth) | dict.fromkeys(
        ("paco_lvis", "pascal_part"), parts
    )


# -- clips ----------------------------------------------------------------------------------------


def write_expressions(root: Path) -> dict[str, Truth]:
    """Write the sets of expressions; each clip is asked about once more for nothing."""
    shows = clips()
    truth: Truth = []
    videos: dict[str, Any] = {}
    tracks: dict[str, Any] = {}
    for number, clip in enumerate(shows):
        names = [f"{i:05d}" for i in range(len(clip.frames))]
        asked = {"exp": clip.question, "obj_id": [number], "anno_id": [number], "type_id": number}
        nothing = {"exp": "nothing", "obj_id": [], "anno_id": [], "type_id": number}
        expressions = {"0": asked, "1": nothing}
        videos[f"s/v{number}"] = {"frames": names, "expressions": expressions}
        tracks[str(number)] = clip.track(0)
        truth += [[(None, clip.targets[0][1])], []]
    meta = {"videos": videos}
    by_number = {}
    for number, clip in enumerate(shows):
        by_number[2 * number] = clip.track(0)
        by_number[2 * number + 1] = [None] * len(clip.frames)
    whole = {
        f"s/v{i}": {"masks_rle": [rle or [] for rle in c.track(0)]} for i, c in enumerate(shows)
    }
    for frames, files in (
        ("mevis/valid_u/JPEGImages", ("mevis/valid_u/meta_expressions", "mevis/valid_u/mask_dict")),
        ("ReVOS/JPEGImages", ("ReVOS/meta_expressions_valid_", "ReVOS/mask_dict")),
        (
            "ref_sav/valid/videos",
            ("ref_sav/valid/meta_expressions_valid", "ref_sav/valid/mask_dict"),
        ),
        ("lvvis/train/JPEGImages", ("lvvis/meta_expressions", "lvvis/mask_dict")),
        ("ref_youtube_vos/valid/JPEGImages", ("ref_youtube_vos", "valid")),
        ("ref_davis17/DAVIS/JPEGImages/480p", ("ref_davis17", "valid")),
    ):
        for number, clip in enumerate(shows):
            save_frames(clip, root / frames / f"s/v{number}")
        if files[1] == "valid":
            base = root / files[0]
            write_json(base / "meta_expressions/valid/meta_expressions.json", meta)
            (base / "valid").mkdir(parents=True, exist_ok=True)
            (base / "valid/mask_dict.pkl").write_bytes(pickle.dumps(by_number))
        else:
            write_json(root / f"{files[0]}.json", meta)
            write_json(root / f"{files[1]}.json", tracks)
    write_json(root / "ReVOS/mask_dict_foreground.json", whole)
    names = ("mevis", "revos", "ref_sav", "lvvis", "ref_youtube_vos", "ref_davis17")
    return dict.fromkeys(names, truth)


def write_moving(root: Path) -> dict[str, Truth]:
    """Write GroundMoRe (20 frames, looked at as it does) and ViCaS."""
    shows = clips()
    videos, grounded, referred, told = {}, [], [], {}
    for number, clip in enumerate(shows):
        video = f"v{number}_0010_0030"
        names = save_frames(clip, root / f"groundmore/annotations/{video}/images")
        masks = clip.targets[0][1]
        for index, mask in masks.items():
            values = mask.pixels.astype(np.uint8) * 3
            save(values, root / f"groundmore/annotations/{video}/masks/{names[index]}.png")
        question = {"question": clip.question, "answer": "it", "obj_id": "3", "q_type": "Causal"}
        question |= {"action_start": "00:10", "action_end": "00:30"}
        videos[video] = {"questions": {"q": question}}
        places = np.linspace(0, len(clip.frames) - 1, 20).astype(int)
        grounded.append([("it", {i: masks[p] for i, p in enumerate(places) if p in masks})])
        key = f"{number:06d}"
        save_frames(clip, root / f"vicas/video_frames/{key}")
        referrals = [{"prompt": clip.question, "track_ids": [1]}]
        frames = [{"filename": f"{name}.jpg"} for name in names]
        told[key] = {"filename": f"{key}.mp4", "segmentations": frames}
        told[key]["object_referrals"] = referrals
        write_json(root / f"vicas/masks/{key}/0.json", [[rle] for rle in clip.track(0)])
        referred.append([(clip.question, masks)])
    write_json(root / "groundmore/test_v2.json", {"videos": videos})
    write_json(root / "vicas/splits/v1.0/val.json", list(range(len(shows))))
    write_json(root / "vicas/annotations/annotations_wo_masks_v1.0.json", told)
    return {"groundmore": grounded, "vicas": referred}


def write_regions(root: Path) -> dict[str, Truth]:
    """Write VideoRefer-Bench, PixelQA, Osprey and Inst-IT; the first prompts show the truth."""
    clip = shown("pixelqa", 1, 88, 120, frames=9)
    assert len(clip.targets) >= 2, "choose another seed"
    save_frames(clip, root / "talk")
    shows = [dict(enumerate(clip.track(i))) for i in range(2)]
    first = next(str(i) for i in range(9) if all(one[i] for one in shows))
    objects = [{str(i): {"segmentation": r} for i, r in one.items() if r} for one in shows]
    entry = {"id": 1, "video": "talk", "frame_idx": first, "annotation": objects}
    asked = "Is <object0><region> near <object1><region>, and is <object0> larger?"
    options = {"options": ["(A) yes", "(B) no"], "Answer": "(A) yes", "type": "Relationship"}
    write_json(root / "VideoRefer-Bench-Q.json", [{**entry, "Question": asked, **options}])
    write_json(root / "VideoRefer-Bench-D.json", [{**entry, "caption": "Two things."}])
    masks = [masks for _, masks in clip.targets[:2]]
    both: Truth = [[("object 1", masks[0]), ("object 2", masks[1])]]
    one = pictures()[0]
    height, width = one.size
    image = {"id": 7, "file_name": "a.jpg", "height": height, "width": width}
    image["annotation"] = [{"segmentation": m[0].to_rle()} for _, m in one.targets]
    turns = [{"from": "human", "value": "<region2>?"}, {"from": "gpt", "value": "It is."}]
    base = root / "osprey/Osprey-724K"
    for name in ("osprey_conversation", "osprey_lvis_positive_negative"):
        write_json(base / f"{name}.json", [{**image, "conversations": turns}])
    told = {**image, "description": [f"<region2>: {one.targets[1][0]}"]}
    write_json(base / "osprey_detail_description.json", [told])
    for folder in ("train2014", "imgs"):
        save(one.frames[0], root / f"osprey/coco/{folder}/a.jpg")
    names = save_frames(clip, root / "inst_it/Inst-IT-Dataset/videos_raw/v")
    cut = {
        f"{name}.jpg": {"1": {"mask": clip.track(0)[i]}}
        for i, name in enumerate(names)
        if clip.track(0)[i]
    }
    pairs = [{"question": "What is [1]?", "answer": clip.targets[0][0]}]
    row = {"video_id": 5, "video_path": "x/v", "question_answer_pairs": pairs}
    write_json(
        root / "inst_it/Inst-IT-Dataset/inst_it_dataset_video_21k_w_mask.json",
        [{**row, "segmentations": cut}],
    )
    pointed = dict.fromkeys(("pixelqa-point", "pixelqa-box", "pixelqa-mixed"), both)
    silent = ("videorefer-q", "videorefer-d", "inst_it", "osprey-conversation", "osprey-pos_neg")
    return pointed | {name: [[]] for name in (*silent, "osprey-detail")}


def write_words(root: Path) -> dict[str, Truth]:
    """Write what has no masks: conversations and multiple choice."""
    one, clip = pictures()[0], clips()[0]
    turns = [{"from": "human", "value": f"<image>\n{one.question}"}]
    turns += [{"from": "gpt", "value": "There."}]
    rows = [{"id": "a", "image": "llava.jpg", "conversations": turns}]
    write_json(root / "llava_dataset/llava_instruct_150k.json", rows)
    save(one.frames[0], root / "coco/train2017/llava.jpg")
    name = "general/llava_v1_5_mix665k_with_videogpt_plus_576k.json"
    write_json(root / name, [*rows, {"id": "b", "video": "clip", "conversations": turns}])
    save(one.frames[0], root / "llava_instruct/llava.jpg")
    save_frames(clip, root / "videogpt_plus/clip")
    choice = {"video": "clip", "question": "Which?", "candidates": ["cup", "mug"], "answer": "mug"}
    write_json(root / "json/t.json", [choice])
    save_frames(clip, root / "video/t/clip")
    found: dict[str, Truth] = {"llava_instruct": [[]], "videogpt_plus": [[], []], "mvbench": [[]]}
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        return found
    row = {"question_id": "001", "videoID": "clip", "question": "Which?", "duration": "short"}
    row |= {"options": ["A. cup", "B. mug"], "answer": "B"}
    table = pyarrow.Table.from_pylist([row])
    pyarrow.parquet.write_table(table, root / "test-00000-of-00001.parquet")
    save_frames(clip, root / "videos/clip")
    return {**found, "video_mme": [[]]}


WRITERS = (
    *(write_referring, write_questions, write_captions, write_classes),
    *(write_expressions, write_moving, write_regions, write_words),
)


def write_scenes(root: Path) -> dict[str, Truth]:
    """Write every data set; return by name (behind a "/" its split) what its samples show."""
    return {name: truth for write in WRITERS for name, truth in write(root).items()}


# -- what people have -----------------------------------------------------------------------------


def write_formats(root: Path) -> Truth:
    """Write the same pictures as COCO, LVIS, YOLO, CVAT, Label Studio, masks and parquet."""
    shows = []
    for one in pictures():  # outlines hold one piece without a hole
        kept = tuple((p, m) for p, m in one.targets if len(m[0].to_polygons()) == 1)
        shows.append(Shown(one.frames, one.question, kept))
    names = sorted({phrase for one in shows for phrase, _ in one.targets})
    value = instances(shows, "{}.jpg".format)
    write_json(root / "coco.json", value)
    for row in value["images"]:
        row["coco_url"] = f"http://x/train2017/{row.pop('file_name')}"
    write_json(root / "lvis.json", value)
    xml, tasks, rows = [], [], []
    (root / "labels").mkdir(parents=True)
    for image, one in enumerate(shows):
        height, width = one.size
        for folder in ("", "images/", "train2017/"):
            save(one.frames[0], root / f"{folder}{image}.jpg")
        outlines = [(p, np.array(m[0].to_polygons()[0]).reshape(-1, 2)) for p, m in one.targets]
        lines = [
            f"{names.index(p)} " + " ".join(map(repr, (o / (width, height)).ravel().tolist()))
            for p, o in outlines
        ]
        (root / f"labels/{image}.txt").write_text("\n".join(lines))
        inside = "".join(
            f'<polygon label="{p}" points="{";".join(f"{x},{y}" for x, y in o)}"/>'
            for p, o in outlines
        )
        xml.append(f'<image name="{image}.jpg" width="{width}" height="{height}">{inside}</image>')
        results = [
            {"type": "polygonlabels"}
            | {"value": {"points": (100 * o / (width, height)).tolist(), "polygonlabels": [p]}}
            for p, o in outlines
        ]
        tasks.append({"data": {"image": f"/x/{image}.jpg"}, "annotations": [{"result": results}]})
        values = np.zeros(one.size, dtype=np.uint8)
        for number, (_, masks) in enumerate(one.targets, start=1):
            values[masks[0].pixels] = number
        save(values, root / f"masks/{image}.png")
        content = (root / f"{image}.jpg").read_bytes()
        rows += [
            {"image": {"bytes": content}, "text": p, "mask": json.loads(json.dumps(m[0].to_rle()))}
            for p, m in one.targets
        ]
    (root / "cvat.xml").write_text(f"<annotations>{''.join(xml)}</annotations>")
    write_json(root / "studio.json", tasks)
    write_json(root / "names.json", names)
    write_json(root / "rows.json", [row["text"] for row in rows])
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        return of_pictures(shows)
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), root / "rows.parquet")
    return of_pictures(shows)
