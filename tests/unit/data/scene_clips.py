"""Writes scenes as data sets of clips, regions and words in their published layouts; returns what
they show."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
from published import write_json
from scene_shows import Shown, Truth, clips, pictures, save, save_frames, shown

EXPRESSIONS = {  # folder of frames -> its files; or a folder and "valid", in the form of DAVIS
    "mevis/valid_u/JPEGImages": ("mevis/valid_u/meta_expressions", "mevis/valid_u/mask_dict"),
    "ReVOS/JPEGImages": ("ReVOS/meta_expressions_valid_", "ReVOS/mask_dict"),
    "ref_sav/valid/videos": ("ref_sav/valid/meta_expressions_valid", "ref_sav/valid/mask_dict"),
    "lvvis/train/JPEGImages": ("lvvis/meta_expressions", "lvvis/mask_dict"),
    "ref_youtube_vos/valid/JPEGImages": ("ref_youtube_vos", "valid"),
    "ref_davis17/DAVIS/JPEGImages/480p": ("ref_davis17", "valid"),
}


def write_expressions(root: Path) -> dict[str, Truth]:
    """Write the sets of expressions; each clip is asked about once more for nothing."""
    shows = clips()
    truth: Truth = []
    videos: dict[str, Any] = {}
    tracks: dict[str, Any] = {}
    for number, clip in enumerate(shows):
        names = [f"{i:05d}" for i in range(len(clip.frames))]
        asked = {"exp": clip.question, "obj_id": [0, 1], "type_id": number}
        asked["anno_id"] = [number, 100 + number]  # two tracks, one of which covers the other
        nothing = {"exp": "nothing", "obj_id": [], "anno_id": [], "type_id": number}
        expressions = {"2": asked, "10": nothing}  # as text "10" comes first
        videos[f"s/v{number}"] = {"frames": names, "expressions": expressions}
        tracks[str(number)] = clip.track(0)
        tracks[str(100 + number)] = [rle if i % 2 else None for i, rle in enumerate(clip.track(0))]
        truth += [[(None, clip.targets[0][1])], []]
    meta = {"videos": videos}
    whole = {
        f"s/v{i}": {"masks_rle": [rle or [] for rle in c.track(0)]} for i, c in enumerate(shows)
    }
    for frames, files in EXPRESSIONS.items():
        for number, clip in enumerate(shows):
            save_frames(clip, root / frames / f"s/v{number}")
        if files[1] == "valid":
            base = root / files[0]
            write_json(base / "meta_expressions/valid/meta_expressions.json", meta)
            (base / "valid").mkdir(parents=True, exist_ok=True)
            first = int(files[0] == "ref_davis17")  # there numbers run over sorted names
            by_number = {}
            for number, clip in enumerate(shows):
                by_number[2 * number + first] = clip.track(0)
                by_number[2 * number + 1 - first] = [None] * len(clip.frames)
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
    _write_videorefer(root, clip)
    _write_osprey(root)
    _write_inst_it(root, clip)
    masks = [masks for _, masks in clip.targets[:2]]
    both: Truth = [[("object 1", masks[0]), ("object 2", masks[1])]]
    pointed = dict.fromkeys(("pixelqa-point", "pixelqa-box", "pixelqa-mixed"), both)
    silent = ("videorefer-q", "videorefer-d", "inst_it", "osprey-conversation", "osprey-pos_neg")
    return pointed | {name: [[]] for name in (*silent, "osprey-detail")}


def _write_videorefer(root: Path, clip: Shown) -> None:
    save_frames(clip, root / "talk")
    shows = [dict(enumerate(clip.track(i))) for i in range(2)]
    first = next(str(i) for i in range(9) if all(one[i] for one in shows))
    objects = [{str(i): {"segmentation": r} for i, r in one.items() if r} for one in shows]
    entry = {"id": 1, "video": "talk", "frame_idx": first, "annotation": objects}
    asked = "Is <object0><region> near <object1><region>, and is <object0> larger?"
    options = {"options": ["(A) yes", "(B) no"], "Answer": "(A) yes", "type": "Relationship"}
    write_json(root / "VideoRefer-Bench-Q.json", [{**entry, "Question": asked, **options}])
    write_json(root / "VideoRefer-Bench-D.json", [{**entry, "caption": "Two things."}])


def _write_osprey(root: Path) -> None:
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


def _write_inst_it(root: Path, clip: Shown) -> None:
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
