"""Ours against the recorded outputs of the published code for clips."""

from typing import Any

import numpy as np
from recorded import File, Recorded

from deixis.metrics.clips import davis, expressions, revos, volumes
from deixis.metrics.contour import radius_of
from deixis.metrics.sums import Tally
from deixis.structures.masks import Mask

EXACT = 1e-9
ROUNDED = 0.005 + 1e-9  # half of the second decimal
IN_PERCENT = 1e-5


def check_davis(file: File) -> None:
    for image in file["images"]:
        index = image["index"].fed()
        assert image["kind"].fed()
        true, predicted = file.array(f"gt_{index}"), file.array(f"pred_{index}")
        void = file.array(f"void_{index}") if image["has_void"].fed() else None
        check_frame(image, true, predicted, void)
        image["n_boundary_gt"].equals(davis.boundary_length(true))
        image["n_boundary_pred"].equals(davis.boundary_length(predicted))
    for image in file["large"]:
        index = image["index"].fed()
        check_frame(image, file.array(f"big_gt_{index}"), file.array(f"big_pred_{index}"), None)
    total = Tally()
    for video in file["videos"]:
        total += check_video(file, video)
    for name, figure in file["davis_official_JF_over_videos"].items():
        figure.close(davis.result(total)[name.lower()], within=EXACT)


def check_frame(
    image: Recorded, true: np.ndarray, predicted: np.ndarray, void: np.ndarray | None
) -> None:
    image["shape"].equals(list(true.shape))
    image["bound_pix"].equals(radius_of(true.shape))
    image["J"].close(davis.frame_j(true, predicted, void), within=EXACT)
    image["F"].close(davis.frame_f(true, predicted, void), within=EXACT)
    for name, figure in image.items():
        if name.startswith("F_bound_th_"):
            tolerance = float(name.removeprefix("F_bound_th_").removesuffix("px"))
            figure.close(davis.frame_f(true, predicted, void, tolerance), within=EXACT)


def check_video(file: File, video: Recorded) -> Tally:
    index = video["index"].fed()
    true, predicted = file.array(f"vid_gt_{index}"), file.array(f"vid_pred_{index}")
    video["T"].equals(len(true))
    pairs = list(zip(true, predicted, strict=True))
    scores = {
        "J": [davis.frame_j(*pair) for pair in pairs],
        "F": [davis.frame_f(*pair) for pair in pairs],
    }
    for name, values in scores.items():
        video[name].close(values, within=EXACT)
        video[f"{name}_mean_recall_decay"].close(davis.statistics(values), within=EXACT)
    tally = davis.measure(true, predicted)
    video["JF"].close(davis.result(tally)["jf"], within=EXACT)
    return tally


Clip = tuple[str, str, np.ndarray, np.ndarray | None, np.ndarray, int]


def clips_of(file: File) -> list[Clip]:
    """Return (video, expression, truth, prediction, foreground, kind), in the file's order."""
    tracks = file["mask_dict"].fed()
    found = []
    for name, video in file["meta_expressions"]["videos"].items():
        number, frames = video["vid_id"].fed(), len(video["frames"].fed())
        for key, expression in video["expressions"].items():
            there = f"pred_{number}_{key}" in file.names()
            predicted = file.array(f"pred_{number}_{key}") if there else None
            size = predicted.shape[1:] if predicted is not None else (1, 1)
            annotations = expression["anno_id"].fed() if there else []
            used = [tracks[str(a)] for a in annotations]
            expression["anno_id"].fed()
            true = expressions.summed_truth(used, size, frames)
            fore = foreground_of(file, name, number, true.shape) if there else true
            if not there and name in file["mask_dict_foreground"]:
                file["mask_dict_foreground"][name].fed()
            found.append((name, key, true, predicted, fore, expression["type_id"].fed()))
    return found


def foreground_of(file: File, name: str, number: int, shape: tuple[int, ...]) -> np.ndarray:
    rles = file["mask_dict_foreground"][name]["masks_rle"].fed()
    lists = [rle if isinstance(rle, list) else [rle] for rle in rles]
    total = np.zeros(shape, dtype=np.uint8)
    for frame, masks in zip(total, lists, strict=True):
        for rle in masks:
            frame += Mask.from_rle(rle).pixels
    assert np.array_equal(total, file.array(f"fore_{number}"))
    return total


def check_tracks(file: File) -> None:
    """The arrays of objects are the tracks, counted over all videos."""
    assert "obj_{vid}_{object}" in file["array_names"].fed()
    tracks = file["mask_dict"].fed()
    names = [name for name in file.names() if name.startswith("obj_")]
    assert len(names) == len(tracks)
    ordered = sorted(names, key=lambda name: [int(part) for part in name.split("_")[1:]])
    for key, name in zip(sorted(tracks, key=int), ordered, strict=True):
        array = file.array(name)
        ours = expressions.summed_truth([tracks[key]], array.shape[1:], len(array))
        assert np.array_equal(ours, array), name


def check_rvos(file: File) -> None:
    check_tracks(file)
    clips, results = clips_of(file), file["results"]
    for name, part in results.items():
        if name.startswith("revos"):
            check_revos(file, part, clips, int(name.rsplit("_", 1)[1]))
    tally = Tally()
    per_expression = results["mevis_script"]["per_expression"]
    for video, key, true, predicted, _, _ in clips:
        one = expressions.measure(true, predicted)
        per_expression[f"{video}_{key}"].close([one.top("j"), one.top("f")], within=EXACT)
        assert one.failures() == ({} if predicted is not None else {"prediction missing": 1})
        tally += one
    ours = expressions.result(tally)
    for name, figure in (("J", "j"), ("F", "f"), ("JF", "jf")):
        results["mevis_script"][name].close(ours[figure], within=EXACT)
    assert expressions.result_in_percent(tally)["j"] == round(100 * ours["j"], 2)
    for name, figure in (("J", "j"), ("F", "f"), ("J&F", "jf")):
        results["unipixel_eval_seg_ref_sav"][name].close(100 * ours[figure], within=ROUNDED)
    check_ref_davis(file, results["unipixel_eval_seg_ref_davis17"], clips)
    check_frames(file["accuracy_robustness_per_frame"], clips)


def check_revos(file: File, part: Recorded, clips: list[Clip], value: int) -> None:
    tally, rows = Tally(), list(part["per_expression"])
    assert len(rows) == len(clips)
    videos = file["meta_expressions"]["videos"]
    for row, (video, key, true, mask, fore, kind) in zip(rows, clips, strict=True):
        predicted = None if mask is None else mask * np.uint8(value)
        row["video_name"].equals(video)
        row["exp_id"].equals(int(key))
        row["videxp"].equals(f"{video}_{key}")
        row["exp"].equals(videos[video]["expressions"][key]["exp"].fed())
        row["type_id"].equals(kind)
        for name, figure in revos.figures(true, predicted, fore).items():
            row[name.upper()].close(figure, within=ROUNDED)
        tally += revos.measure(true, predicted, fore, kind)
    ours = revos.result(tally)
    for kind_name, figures in part["summary"].items():
        for name, figure in figures.items():
            figure.close(ours[f"{kind_name}/{name.lower()}"], within=ROUNDED)


def check_ref_davis(file: File, part: Recorded, clips: list[Clip]) -> None:
    """There, the truth of an expression is its first object; indices run over sorted names."""
    assert "first obj_id of each expression only" in part["gt"].fed()
    meta: Any = file["meta_expressions"].plain
    tracks, by_name = file["mask_dict"].fed(), {clip[:2]: clip for clip in clips}
    tally = Tally()
    for _, video, key in expressions.running_index(meta):
        predicted = by_name[video, key][3]
        expression = meta["videos"][video]["expressions"][key]
        file["meta_expressions"]["videos"][video]["expressions"][key]["obj_id"].fed()
        size = predicted.shape[1:] if predicted is not None else (1, 1)
        frames = len(predicted) if predicted is not None else 1
        used = [tracks[str(a)] for a in expression["anno_id"][:1]] if predicted is not None else []
        tally += expressions.measure(expressions.summed_truth(used, size, frames), predicted)
    ours = expressions.result(tally)
    for name, figure in (("J", "j"), ("F", "f"), ("J&F", "jf")):
        part["result"][name].close(100 * ours[figure], within=ROUNDED)


def check_frames(entries: Recorded, clips: list[Clip]) -> None:
    by_name = {clip[:2]: clip for clip in clips}
    for entry in entries:
        _, _, true, mask, fore, _ = by_name[entry["video"].fed(), entry["exp"].fed()]
        predicted = mask * np.uint8(entry["png_value"].fed())
        entry["A"].close(revos.accuracy(true, predicted), within=EXACT)
        entry["R"].close(revos.robustness(true, predicted, fore), within=EXACT)


def check_volumes(file: File) -> Tally:
    """Compare the J and F of PixelQA."""
    tally = Tally()
    for sample in file["samples"]:
        index = sample["index"].fed()
        true, predicted = file.array(f"gt_{index}"), file.array(f"pred_{index}")
        rows = [volumes.volume_scores(*sides) for sides in zip(true, predicted, strict=True)]
        for column, name in enumerate(("j_values", "f_values", "jf_values")):
            sample[name].close([row[column] for row in rows], within=1e-7)
        tally += volumes.measure(true, predicted)
    ours = volumes.result(tally)
    for name, figure in (("J", "j"), ("F", "f"), ("JF", "jf")):
        file["result"][name].close(ours[figure], within=IN_PERCENT)
    return tally


CHECKS = {"davis_jf": check_davis, "rvos_dataset": check_rvos}
