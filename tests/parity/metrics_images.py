"""Ours against the recorded outputs of the published code for masks and boxes of images."""

import re
from collections.abc import Iterator

import numpy as np
import pytest
from recorded import GOLDENS, File, Recorded, recorded

from deixis.metrics.images import boxes, gcg, gres, lisa, muse, unipixel
from deixis.metrics.images.labels import count_labels
from deixis.metrics.images.precision import AveragePrecision
from deixis.metrics.sums import Tally
from deixis.structures.masks import Mask

FOLDER = GOLDENS / "metrics"
IN_PERCENT = 1e-5
FLOAT32 = 1e-6
PRINTED = 0.00005 + 1e-9  # half of the fourth decimal


def check_iou_binary(file: File) -> None:
    assert "validate" in file["about"].fed()
    every, exact = lisa.Float32Meter(), Tally()
    for image in file["images"]:
        index = image["index"].fed()
        assert {image["name"].fed(), image["tag"].fed()}
        true, logits = file.array(f"gt_{index}"), file.array(f"logit_{index}")
        image["shape"].equals(list(true.shape))
        image["n_pred"].equals(len(logits))
        assert len(image["masks"]) == min(len(true), len(logits))
        for j, mask in enumerate(image["masks"]):
            counts = count_labels(logits[j] > 0, true[j])
            mask["intersection"].equals(counts.intersection)
            mask["union"].equals(counts.union)
            mask["target"].equals(counts.true)
        alone = lisa.Float32Meter()
        for meter in (alone, every):
            meter.add(true, logits > 0)
        one = lisa.measure(true, logits > 0)
        exact += one
        for name in ("LISA", "PixelLM"):
            for ours in (alone.result(), lisa.result(one)):
                image[f"{name}_giou"].close(ours["giou"], within=FLOAT32)
                image[f"{name}_ciou"].close(ours["ciou"], within=FLOAT32)
    for _, overall in file["overall"].items():
        for ours in (every.result(), lisa.result(exact)):
            overall["giou"].close(ours["giou"], within=FLOAT32)
            overall["ciou"].close(ours["ciou"], within=FLOAT32)


def check_other_implementations(file: File) -> None:
    arrays = recorded(FOLDER, "iou_binary")
    images = [image.plain["index"] for image in arrays["images"]]
    glamm = file["glamm_referring"]
    assert "all" in glamm["images"].fed()
    tally = Tally()
    for index in images:
        true, logits = arrays.array(f"gt_{index}"), arrays.array(f"logit_{index}")
        tally += lisa.measure(true, logits > 0)
    glamm["giou"].close(lisa.result(tally)["giou"], within=FLOAT32)
    glamm["ciou"].close(lisa.result(tally)["ciou"], within=FLOAT32)
    check_sa2va(file["sa2va_res"], arrays)


def check_sa2va(file: Recorded, arrays: File) -> None:
    rule = re.search(r"j\s*%\s*(\d+)\s*==\s*(\d+)", file["rule_for_none"].fed())
    assert rule, "the rule for missing predictions"
    modulus, rest = map(int, rule.groups())
    tally = Tally()
    for index in file["images"].fed():
        true, logits = arrays.array(f"gt_{index}"), arrays.array(f"logit_{index}")
        masks = [None if j % modulus == rest else logits[j] > 0 for j in range(len(logits))]
        tally += lisa.measure_sa2va(true, masks)
    ours = lisa.result_sa2va(tally)
    file["giou"].close(ours["giou"], within=FLOAT32)
    for name in ("ciou", "Acc"):
        file[name].close(ours["ciou"], within=FLOAT32)


def check_multiclass(file: File) -> None:
    for case in file["cases"]:
        index = case["index"].fed()
        output, target = file.array(f"output_{index}"), file.array(f"target_{index}")
        counts = count_labels(output, target, case["K"].fed())
        case["intersection"].equals(counts.intersection)
        case["union"].equals(counts.union)
        case["target"].equals(counts.true)


def check_unipixel(file: File) -> None:
    tally = Tally()
    for sample in file["samples"]:
        index = sample["index"].fed()
        assert {sample[name].fed() for name in ("kind", "vid", "qid")}
        true, predicted = file.array(f"gt_{index}"), file.array(f"pred_{index}") > 0
        box = sample["gt_box_xyxy"].fed()
        one = unipixel.measure(true, predicted, box)
        sample["inter"].equals(one.top("ciou"))
        sample["union"].equals(one.bottom("ciou"))
        sample["iou"].equals(one.top("giou"))
        sample["hit"].equals(one.top("box_accuracy") == 1)
        found = unipixel.predicted_box(predicted)
        sample["pred_box"].equals(None if found is None else list(map(float, found)))
        if found is None:
            sample["box_iou"].equals(None)
        else:
            sample["box_iou"].close(unipixel.box_overlap(predicted, box), within=1e-6)
        tally += one
    overall = file["overall"]
    assert "percent" in overall["note"].fed()
    overall["cum_inter"].equals(tally.top("ciou"))
    overall["cum_union"].equals(tally.bottom("ciou"))
    ours = unipixel.result(tally)
    for name, figure in (("CIoU", "ciou"), ("GIoU", "giou"), ("BBoxAcc", "box_accuracy")):
        overall[name].close(ours[figure], within=IN_PERCENT)


def check_segzero(file: File) -> None:
    arrays = recorded(FOLDER, "iou_binary")
    assert "mask 0" in file["uses"].fed()
    tally = Tally()
    for sample in file["samples"]:
        index = sample["image"].fed()
        true, predicted = arrays.array(f"gt_{index}")[0], arrays.array(f"logit_{index}")[0] > 0
        one = unipixel.measure_segzero(true, predicted)
        tally += one
        if "returned" in sample:
            sample["returned"].equals(0)
            assert "fails" in sample["note"].fed()
            assert one.failures() == {"both masks empty": 1}
        else:
            sample["intersection"].equals(np.count_nonzero((true > 0) & predicted))
            sample["union"].equals(np.count_nonzero((true > 0) | predicted))
    printed = tally.result()["giou"]
    assert unipixel.result_segzero(tally)["giou"] == round(printed, 4)
    title, figure = file["gIoU_printed"].fed().rsplit(": ", 1)
    assert title == "gIoU (average of per image IoU)"
    assert float(figure) == pytest.approx(printed, abs=PRINTED)
    for pair in file["box_iou"]:
        pair["iou"].equals(boxes.box_iou(pair["a"].fed(), pair["b"].fed()))


def check_gres(file: File) -> None:
    assert "percent" in file["note"].fed()
    tallies: dict[str, Tally] = {}
    for sample in file["samples"]:
        index = sample["index"].fed()
        assert sample["kind"].fed()
        masks = file.array(f"gt_{index}") > 0, file.array(f"pred_{index}") > 0
        flags = {
            "no_target": sample["gt_nt"].fed(),
            "predicted_none": bool(sample["pred_nt"].fed()),
        }
        shared, union, score = gres.sample_areas(*masks, **flags)
        sample["I"].equals(shared)
        sample["U"].equals(union)
        sample["cIoU"].close(score, within=1e-9)
        one = gres.measure(*masks, **flags)
        source = sample["source"].fed()
        tallies[source] = tallies.get(source, Tally()) + one
    tallies["full"] = sum(tallies.values(), Tally())
    names = {"gIoU": "giou", "cIoU": "ciou", "T_acc": "t_acc", "N_acc": "n_acc"}
    for part in ("grefcoco_only", "with_refcoco"):
        for source, figures in file[part].items():
            ours = gres.result(tallies[source])
            for name, figure in figures.items():
                key = names.get(name) or f"precision@{name.removeprefix('Pr@')}"
                quiet = source == "refcoco" and name in ("T_acc", "N_acc")
                figure.equals(0) if quiet else figure.close(ours[key], within=1e-9)


def check_grec(file: File) -> None:
    limits = {
        "overlap": file["thresh_iou"].fed(),
        "keep": file["thresh_score"].fed(),
        "enough": file["thresh_F1"].fed(),
    }
    tally = Tally()
    for index, sample in enumerate(file["samples"]):
        sample["index"].equals(index)
        true = [boxes.corners(box) for box in sample["gt_xywh"].fed()]
        one = boxes.measure_grec(
            true,
            sample["boxes_xyxy"].fed(),
            sample["scores"].fed(),
            no_target=sample["no_target"].fed(),
            **limits,
        )
        tally += one
        if sample["correct"].plain is None:  # used to read off the others
            sample["correct"].fed()
        else:
            sample["correct"].equals(int(one.top("f1_score")))
    for name, figure in (("F1_score", "f1_score"), ("T_acc", "t_acc"), ("N_acc", "n_acc")):
        file["result"][name].equals(tally.result()[figure])


def check_precision_at_k(file: File) -> None:
    assert "generalised" in file["note"].fed()
    tallies: dict[str, Tally] = {}
    for index, sample in enumerate(file["samples"]):
        sample["index"].equals(index)
        true, found = boxes.corners(sample["gt_xywh"].fed()), sample["boxes_xyxy"].fed()
        one = boxes.measure_precision(true, found, sample["scores"].fed())
        sample["hit_at_1_5_10"].equals([one.top(f"precision@{k}") for k in boxes.RANKS])
        dataset = sample["dataset"].fed()
        tallies[dataset] = tallies.get(dataset, Tally()) + one
    for dataset, figures in file["result"].items():
        figures.equals([tallies[dataset].result()[f"precision@{k}"] for k in boxes.RANKS])


def questions_of(file: File, image: Recorded) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield (logits, targets) of each question of an image."""
    index = image["index"].fed()
    true, logits = file.array(f"gt_{index}"), file.array(f"logit_{index}").astype(np.float32)
    image["shape"].equals(list(true.shape[1:]))
    n = m = 0
    for question in image["questions"]:
        assert question["style"].fed()
        more, others = question["n_pred"].fed(), question["n_gt"].fed()
        yield logits[m : m + more], true[n : n + others]
        m, n = m + more, n + others


def check_muse(file: File) -> None:
    assert file["torch_seed_before_each_run"].fed() >= 0
    costs = {(c["image"].fed(), c["question"].fed()): c for c in file["costs"]}
    every, stable, unstable = lisa.Float32Meter(), lisa.Float32Meter(), []
    for image in file["images"]:
        found, index, steady = [], image["index"].fed(), True
        for number, (logits, true) in enumerate(questions_of(file, image)):
            partners = muse.pair_up(logits, true)
            if (index, number) in costs:
                partners, calm = check_costs(costs[index, number], logits, true, partners)
                steady = steady and calm
            found.append(muse.compare(logits, true, partners))
        heavy = check_muse_image(image, found)
        for meter in (every, stable)[: 1 + steady]:
            muse.add_to_meter(meter, found, heavy)
        unstable += [] if steady else [index]
    file["images_with_unstable_assignment"].equals(unstable)
    images = [image.plain["index"] for image in file["images"]]
    for name, meter in (("overall", every), ("overall_stable_images_only", stable)):
        left_out = unstable if meter is stable else []
        file[name]["images"].equals([i for i in images if i not in left_out])
        file[name]["giou"].close(meter.result()["giou"], within=FLOAT32)
        file[name]["ciou"].close(meter.result()["ciou"], within=FLOAT32)


def check_costs(
    case: Recorded, logits: np.ndarray, true: np.ndarray, partners: tuple[int | None, ...]
) -> tuple[tuple[int | None, ...], bool]:
    """Compare costs and assignments; return the assignment to go on with, and if it is stable."""
    entropy, dice = muse.costs(logits, true)
    case["bce_full_grid"].close(entropy, relative=1e-4)
    case["dice_full_grid"].close(dice, relative=1e-4)
    calm = case["stable"].fed()
    assert calm == (case["distinct_official_assignments_over_50_seeds"].fed() == 1)
    official = case["assign_official_12544_random_points"]
    drawn = muse.pair_up(logits, true, np.random.default_rng(0))
    total, best = entropy + dice, tuple(as_rows(partners))
    rivals = tuple(case["assign_full_grid"].fed())
    assert total[rivals].sum() == pytest.approx(total[best].sum(), rel=1e-4)
    if calm:
        assert rivals == best
        official.equals(as_rows(partners))
        assert drawn == partners
        return partners, True
    rows, columns = official.fed()
    recorded_partners: list[int | None] = [None] * len(logits)
    for row, column in zip(rows, columns, strict=True):
        recorded_partners[row] = column
    return tuple(recorded_partners), False


def as_rows(partners: tuple[int | None, ...]) -> list[list[int]]:
    pairs = [(i, partner) for i, partner in enumerate(partners) if partner is not None]
    return [[i for i, _ in pairs], [partner for _, partner in pairs]]


def check_muse_image(image: Recorded, found: list[muse.Compared]) -> int:
    """Compare what one image came to; return its weight."""
    index, (height, width) = image["index"].plain, image["shape"].plain
    image["assign_indice"].equals([as_rows(one.partners)[0] for one in found])
    image["assign_length"].equals([flag for one in found for flag in one.matched])
    pairs = [pair for one in found for pair in one.pairs]
    image["assign_acc"].equals([[p.intersection.tolist(), p.union.tolist()] for p in pairs])
    sizes = [(q["n_pred"].plain, q["n_gt"].plain) for q in image["questions"]]
    image["total_pred_count"].equals([max(size) for size in sizes])
    image["pred_count"].equals([m for m, _ in sizes])
    heavy = muse.weight(sizes)
    image["max_num"].equals(heavy)
    place = f"[0, 0, {width}, {height}]"
    names = [
        ["None []" if j is None else f"obj{index}_{number}_{j} {place}" for j in one.partners]
        for number, one in enumerate(found)
    ]
    image["question_gt_category_name"].equals(names)
    spoken = [" " + ", ".join(f"thing {i} [SEG]" for i in range(len(n))) + "." for n in names]
    image["answers"].equals(
        [muse.with_names(s, "[SEG]", n) for s, n in zip(spoken, names, strict=True)]
    )
    alone = lisa.Float32Meter()
    image["acc_iou"].close(muse.add_to_meter(alone, found, heavy), within=FLOAT32)
    image["giou_alone"].close(alone.result()["giou"], within=FLOAT32)
    image["ciou_alone"].close(alone.result()["ciou"], within=FLOAT32)
    exact = lisa.result(muse.measure(found, heavy))
    image["giou_alone"].close(exact["giou"], within=FLOAT32)
    return heavy


def check_gcg(file: File) -> None:
    table = {(a, b): value for a, b, value in file["text_similarity_table"].fed()}
    by_image: dict[str, list[dict]] = {}
    assert [category["id"] for category in file["mask_gt"]["categories"].fed()] == [1]
    for entry in file["mask_gt"]["annotations"].fed():
        by_image.setdefault(entry["image_id"], []).append(entry)
    phrases = {e["image_id"]: e["labels"] for e in file["caption_gt"]["annotations"].plain}
    precision, tally = AveragePrecision(), Tally()
    images = {entry["id"]: entry for entry in file["mask_gt"]["images"].fed()}
    for number, image in enumerate(file["images"]):
        name = image["image_id"].fed()
        true, guess = by_image.get(name, []), file["predictions"][name]
        check_gcg_masks(file, number, true, guess, images[name])
        precision.add(name, true, guess["pred_masks"].fed())
        one, ious, alike = gcg_image(true, phrases[name], guess, table)
        image["iou_matrix_gt_x_pred"].close(ious, within=1e-9)
        image["miou"].close(one.top("miou"), within=1e-9)
        pairs = gcg.greedy_matches(ious, alike)
        image["matches_gt_pred"].equals([list(pair) for pair in pairs])
        image["n_gt_labels"].equals(one.bottom("recall"))
        tally += one
    figures = precision.result()
    file["coco_stats_12"].close(list(figures.values()), within=1e-9)
    file["AP"].close(figures["ap"], within=1e-9)
    file["AP50"].close(figures["ap50"], within=1e-9)
    file["tp"].equals(tally.top("recall"))
    file["actual_positives"].equals(tally.bottom("recall"))
    for name, figure in (("miou", "miou"), ("recall", "recall")):
        file[name].close(tally.result()[figure], within=1e-9)
        file[f"printed_{name}"].close(tally.result()[figure], within=0.0005 + 1e-9)


def gcg_image(
    true: list[dict], phrases: list[str], guess: Recorded, table: dict[tuple[str, str], float]
) -> tuple[Tally, np.ndarray, np.ndarray]:
    """Return the tally of one image, its IoUs and its similarities."""
    rles, found = [entry["segmentation"] for entry in true], guess["pred_masks"].fed()
    said = guess["phrases"].fed()

    def similarity(one: str, other: str) -> float:
        return table[one, other]

    ious = gcg.rle_ious(rles, found)
    alike = gcg.similarities(phrases, said, similarity)
    return gcg.measure(rles, phrases, found, said, similarity), ious, alike


def check_gcg_masks(
    file: File, number: int, true: list[dict], guess: Recorded, image: dict
) -> None:
    """The RLEs and the arrays are the same masks."""
    arrays = file.array(f"gt_{number}"), file.array(f"pred_{number}")
    rles = [entry["segmentation"] for entry in true], guess["pred_masks"].fed()
    for array, masks in zip(arrays, rles, strict=True):
        assert len(array) == len(masks)
        for pixels, rle in zip(array, masks, strict=True):
            assert Mask.from_rle(rle) == Mask(pixels > 0)
            assert rle["size"] == [image["height"], image["width"]]


CHECKS = {
    "iou_binary": check_iou_binary,
    "iou_binary_other_impls": check_other_implementations,
    "iou_multiclass": check_multiclass,
    "unipixel_refcoco": check_unipixel,
    "segzero_iou": check_segzero,
    "grefcoco_gres": check_gres,
    "grefcoco_grec": check_grec,
    "rec_precision_at_k": check_precision_at_k,
    "muse_match": check_muse,
    "gcg": check_gcg,
}
