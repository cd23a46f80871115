"""Data sets of others from file to figure: what a perfect and an empty answer come to."""

import base64
import json
import re
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny_sets import write_all
from typer.testing import CliRunner

from deixis.cli.app import app
from deixis.data.catalogue import DATA_SETS
from deixis.errors import ConfigError, DataError
from deixis.evaluation.answering.baselines import make_baseline
from deixis.evaluation.answering.predictions import Predictions
from deixis.evaluation.protocols.published import UNSCORED, WAYS, open_published
from deixis.evaluation.reporting.comparing import compare
from deixis.evaluation.reporting.tables import markdown
from deixis.evaluation.running.evaluator import evaluate
from deixis.metrics.protocols import find_protocol
from deixis.structures.wire import answer_to_json

TINY = (
    *("refcoco", "multi-refcoco", "grefcoco", "reason_seg", "muse", "grandf", "mevis", "revos"),
    *("ref_davis17", "groundmore", "videorefer-q", "pixelqa-point", "pixelqa-mixed", "ade20k"),
    *("paco_lvis", "mvbench", "vicas"),
)
PIXELS = 30 * 40


def scored(root, name, baseline, protocol="published"):
    benchmark = open_published(name, root, protocol=protocol)
    if name == "grandf" and protocol != "clean":
        benchmark.task.counts.scored = False  # Java takes seconds: once is enough
    return evaluate(make_baseline(baseline, benchmark), benchmark)


def test_every_data_set_has_protocols_that_exist_or_is_for_training():
    assert set(WAYS) | set(UNSCORED) == set(DATA_SETS)
    for name, ways in WAYS.items():
        assert "clean" in ways, name
        for way in ways.values():
            assert find_protocol(way.metric, way.protocol)[1].says


@pytest.mark.parametrize("name", TINY)
def test_a_perfect_answer_has_the_best_score_in_every_clean_protocol(root, name):
    report = scored(root, name, "oracle", "clean")
    assert report["metrics"]
    best = 100 if name == "revos" else 1
    for figure, value in report["metrics"].items():
        if figure not in {"METEOR", "CIDEr"}:  # of captions; they have another best
            assert value == pytest.approx(0 if "decay" in figure else best), figure
    assert not report["failures"]


SHORT, LONG = 100 / 100.00001, 150 / 200.00001  # of the second, 50 pixels are under two polygons
TRAPS = {  # what the traps of each published protocol leave of a perfect answer
    ("refcoco", "lisa"): {"giou": (SHORT + LONG) / 2.00001, "ciou": 250 / 300},
    ("refcoco", "sa2va"): {"giou": (SHORT + LONG) / 2, "ciou": 250 / 300},
    ("refcoco", "segzero"): {"giou": 1},
    ("refcoco", "unipixel"): {"giou": 100, "ciou": 100, "box_accuracy": 100},
    ("multi-refcoco", "pixellm"): {"giou": (SHORT + LONG) / 2.00001, "ciou": 250 / 300},
    ("grefcoco", "rela"): {"giou": 100, "ciou": 100, "n_acc": 1, "t_acc": 1},
    ("grefcoco", "grec"): {"f1_score": 0.5},  # one mask of two things has one box
    ("muse", "pixellm"): {"giou": 2 * 36 / 36.00001 / 2.00001, "ciou": 1},
    ("mevis", "mevis"): {"j": 1, "f": 1, "jf": 1},
    ("mevis", "unipixel"): {"j": 100, "f": 100, "jf": 100},
    ("ref_davis17", "mevis"): {"jf": 1},
    ("groundmore", "davis"): {"j": 1, "f": 1, "jf": 1, "j_recall": 1},
    ("revos", "visa"): {  # object pixels are 255, not 1: all of them are wrong
        "overall/jf": 100,
        "overall/a": round(100 - 100 * 36 / PIXELS / 2, 2),
        "overall/r": 100,
    },
    ("videorefer-q", "videorefer"): {"accuracy": 1},
    ("videorefer-q", "unipixel"): {"accuracy": 1},
    ("reason_seg", "pixellm"): {"giou": 1 / 1.00001 * 49 / 49.00001, "ciou": 1},
    ("pixelqa-point", "unipixel"): {"j": 100, "f": 99.99995, "accuracy": 100},
    ("mvbench", "mvbench"): {"accuracy": 1},
    ("ade20k", "lisa"): {"miou": 0.5},  # of two classes one never shows
    ("grandf", "glamm"): {"miou": 1, "recall": 1, "ap50": 1},
}


@pytest.mark.parametrize(("name", "protocol"), TRAPS)
def test_a_published_protocol_leaves_of_a_perfect_answer_what_its_traps_leave(
    root, name, protocol
):
    metrics = scored(root, name, "oracle", protocol)["metrics"]
    expected = TRAPS[name, protocol]
    assert {k: metrics[k] for k in expected} == pytest.approx(expected, abs=1e-6)


EMPTY = {
    "refcoco": {"giou": 0, "ciou": 0},
    "grefcoco": {"giou": 50, "ciou": 0, "n_acc": 1, "t_acc": 0},  # one of two means nothing
    "muse": {"giou": 0, "ciou": 0},
    "mevis": {"j": 0, "f": 0, "jf": 0},
    "ref_davis17": {"j": 0.25, "jf": 0.25},  # one of four frames is truly empty
    "revos": {"overall/j": 50, "overall/a": 100 - 100 * 36 / PIXELS / 2, "overall/r": 100},
    "videorefer-q": {"accuracy": 0},
    "pixelqa-point": {"j": 0, "f": 0, "accuracy": 0},
    "ade20k": {"miou": 0},
    "grandf": {"miou": 0, "recall": 0, "ap50": 0},
}


@pytest.mark.parametrize("name", EMPTY)
def test_an_empty_answer_scores_what_is_empty_in_truth(root, name):
    report = scored(root, name, "empty")
    expected = EMPTY[name]
    assert {k: report["metrics"][k] for k in expected} == pytest.approx(expected, abs=1e-6)
    if name == "videorefer-q":
        assert report["failures"]["empty answer"] == 1


def test_a_report_says_its_protocol_and_how_sure_its_figures_are(root):
    report = scored(root, "ref_davis17", "empty")
    assert report["configuration"]["protocol"] == "mevis"
    low, high = report["intervals"]["j"]
    assert (low, high) == (0, 0.5)
    written = markdown(report)
    assert "## Published (in percent; not measured here)" in written
    assert "| UniPixel-3B | 74.2 | U |" in written
    assert "| system | jf | read in |" in written


def test_the_wrong_name_split_or_protocol_is_said(root):
    with pytest.raises(ConfigError, match="expected a data set with an evaluation, got one to"):
        open_published("llava_instruct", root)
    with pytest.raises(ConfigError, match='unknown protocol of mevis "lisa"'):
        open_published("mevis", root, protocol="lisa")
    with pytest.raises(ConfigError, match="unknown split of mevis"):
        open_published("mevis", root, split="test")
    with pytest.raises(ConfigError, match="expected a judge, got none"):
        scored(root, "videorefer-d", "oracle")


def test_pictures_as_handed_in_are_scored_and_missing_ones_count_nothing(root, tmp_path):
    benchmark = open_published("ref_davis17", root)
    for sample in benchmark.samples:
        for index, frame in enumerate(sample.images):
            mask = sample.answer.targets[0].masks.get(index)
            values = np.zeros(frame.size, np.uint8) if mask is None else 255 * mask.pixels
            path = tmp_path / "in" / sample.id / f"{Path(frame.name).stem}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(values.astype(np.uint8)).save(path)
    assert evaluate(Predictions(tmp_path / "in"), benchmark)["metrics"]["jf"] == 1
    for picture in (tmp_path / "in/v/1").iterdir():
        picture.unlink()
    (tmp_path / "in/v/1").rmdir()
    report = evaluate(Predictions(tmp_path / "in"), benchmark)
    assert report["metrics"]["jf"] == 0.5
    assert report["failures"] == {"prediction missing": 1}
    next((tmp_path / "in/v/0").iterdir()).unlink()
    with pytest.raises(DataError, match=r"png: expected a picture of every frame, got none"):
        evaluate(Predictions(tmp_path / "in"), benchmark)


def test_pictures_in_the_layout_of_davis_are_scored(root, tmp_path):
    benchmark = open_published("ref_davis17", root)
    for sample in benchmark.samples:  # v/0 and v/1: object 1 in the words of two annotators
        video, key = sample.id.split("/")
        for index, frame in enumerate(sample.images):
            mask = sample.answer.targets[0].masks.get(index)
            values = np.full(frame.size, 2, np.uint8)  # another object everywhere else
            if mask is not None:
                values[mask.pixels] = 1
            path = tmp_path / f"anno_{key}" / video / f"{Path(frame.name).stem}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(values).save(path)
    assert evaluate(Predictions(tmp_path), benchmark)["metrics"]["jf"] == 1


def test_lines_results_and_captions_of_other_systems_are_scored(root, tmp_path):
    benchmark = open_published("refcoco", root, protocol="clean")
    truths = list(benchmark.samples)
    rows = [{"id": s.id, **answer_to_json(s.answer, s.images)} for s in truths]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    results = [
        {"image_id": s.id, "category_id": 1, "score": 0.9, "segmentation": mask.to_rle()}
        for s in truths
        for mask in s.answer.targets[0].masks.values()
    ]
    (tmp_path / "b.json").write_text(json.dumps(results))
    for name in ("a.jsonl", "b.json"):
        report = evaluate(Predictions(tmp_path / name), benchmark)
        assert report["metrics"] == {"giou": 1, "ciou": 1}, name
    captions = open_published("grandf", root, protocol="clean")
    captions.task.counts.scored = False
    answer = captions.samples[0].answer
    said = {"caption": answer.text, "phrases": [t.phrase for t in answer.targets]}
    said["pred_masks"] = [t.masks[0].to_rle() for t in answer.targets]
    (tmp_path / "gcg/part").mkdir(parents=True)
    (tmp_path / "gcg/part/a.json").write_text(json.dumps({"a": said}))
    assert evaluate(Predictions(tmp_path / "gcg"), captions)["metrics"]["recall"] == 1


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("x.jsonl", "{", r"x\.jsonl:1: expected JSON"),
        ("x.json", '[{"image_id": "0/0", "score": 2}]', r'x\.json:0: "score": expected one in'),
        ("x.zip", "no", r"x\.zip: expected a zip file"),
    ],
)
def test_broken_predictions_are_located(root, tmp_path, name, content, words):
    (tmp_path / name).write_text(content)
    with pytest.raises(DataError, match=words):
        evaluate(Predictions(tmp_path / name), open_published("refcoco", root))


def test_two_reports_are_compared_sample_by_sample(root, tmp_path):
    for baseline in ("oracle", "empty"):
        benchmark = open_published("ref_davis17", root)
        evaluate(make_baseline(baseline, benchmark), benchmark, out=tmp_path / f"{baseline}.json")
    found = compare(tmp_path / "empty.json", tmp_path / "oracle.json")
    assert found["figures"]["j"]["difference"] == 0.75
    assert found["figures"]["j"]["interval"] == [0.5, 1.0]
    assert found["figures"]["j"]["differs"]
    assert [row["id"] for row in found["changed"]] == ["v/1", "v/0"]
    other = open_published("mevis", root)
    evaluate(make_baseline("empty", other), other, out=tmp_path / "other.json")
    with pytest.raises(DataError, match="expected benchmark 'ref_davis17', got 'mevis'"):
        compare(tmp_path / "empty.json", tmp_path / "other.json")


def test_a_comparison_draws_what_changed_side_by_side(root, tmp_path):
    run, place = CliRunner(), ["--root", str(root)]
    for baseline in ("oracle", "empty"):
        out = str(tmp_path / f"{baseline}.json")
        done = run.invoke(
            app, ["eval", "ref_davis17", *place, "--baseline", baseline, "--out", out]
        )
        assert done.exit_code == 0, done.output
    reports = [str(tmp_path / f"{name}.json") for name in ("empty", "oracle")]
    page = tmp_path / "diff.html"
    asked = ["eval", "--compare", *reports, "--out", str(page)]
    said = run.invoke(app, [*asked, *place])
    assert said.exit_code == 0, said.output
    assert json.loads(said.output)["figures"]["j"]["differs"]
    text = page.read_text()
    assert text.count("<img ") == 2
    for number, jpeg in enumerate(re.findall(r"base64,([^\"]+)", text)):
        with Image.open(BytesIO(base64.b64decode(jpeg))) as picture:
            assert picture.width > 3 * 300, number  # both answers and the truth
    assert "baseline:empty: 0.50, baseline:oracle: 1.00, truth" in text.replace("0.25", "0.50")
    without = run.invoke(app, asked)
    assert "expected --root with the folder of ref_davis17" in str(without.exception)
    (tmp_path / "oracle.answers.jsonl").unlink()
    missing = run.invoke(app, [*asked, *place])
    assert "expected the answers that are written beside a report" in str(missing.exception)


def test_answers_beside_a_report_can_be_scored_again(root, tmp_path):
    benchmark = open_published("ref_davis17", root)
    evaluate(make_baseline("oracle", benchmark), benchmark, out=tmp_path / "a.json")
    report = evaluate(Predictions(tmp_path / "a.answers.jsonl"), benchmark)
    assert report["metrics"]["jf"] == 1


@pytest.mark.parametrize("name", ["muse", "pixelqa-point"])
def test_figures_that_are_more_than_sums_are_compared_too(root, tmp_path, name):
    for baseline in ("oracle", "empty"):
        benchmark = open_published(name, root)
        evaluate(make_baseline(baseline, benchmark), benchmark, out=tmp_path / f"{baseline}.json")
    found = compare(tmp_path / "empty.json", tmp_path / "oracle.json")
    figure = "giou" if name == "muse" else "j"
    assert found["figures"][figure]["differs"]


def test_the_commands_score_compare_and_check(root, tmp_path):
    run, place = CliRunner(), ["--root", str(root)]
    out = tmp_path / "report.json"
    said = run.invoke(
        app,
        ["eval", "mevis", *place, "--baseline", "oracle", "--out", str(out), "--pictures", "1"],
    )
    assert said.exit_code == 0, said.output
    assert json.loads(out.read_text())["metrics"]["jf"] == 1
    assert "| protocol | mevis |" in out.with_suffix(".md").read_text()
    page = out.with_suffix(".html").read_text()
    assert "<svg" in page
    assert "<td class=\"t\">v/0</td>" in page
    assert re.findall('<img alt="([^"]+)"', page) == ["worst 01", "best 01"]
    said = run.invoke(app, ["eval", "--compare", str(out), str(out)])
    assert json.loads(said.output)["figures"]["jf"]["difference"] == 0
    said = run.invoke(app, ["data", "check", "refcoco", *place])
    assert json.loads(said.stdout)["read"] == 2
    assert "refcoco/val: expected 1500 pictures or clips as published, got 1." in said.stderr


def test_a_quarantine_keeps_what_was_refused(root, tmp_path):
    write_all(tmp_path)
    (tmp_path / "refer_seg/images/mscoco/images/train2014/COCO_train2014_000000000001.jpg").unlink()
    run, place = CliRunner(), ["data", "check", "refcoco", "--root", str(tmp_path)]
    strict = run.invoke(app, place)
    assert strict.exit_code == 2
    kept = tmp_path / "refused.jsonl"
    going_on = run.invoke(app, [*place, "--quarantine", str(kept)])
    assert going_on.exit_code == 0
    rows = [json.loads(line) for line in kept.read_text().splitlines()]
    assert [row["index"] for row in rows] == [0, 1]
    assert "expected in" in rows[0]["reason"]

def test_an_evaluation_with_a_quarantine_goes_on_without_broken_records(tmp_path):
    write_all(tmp_path)
    path = tmp_path / "refer_seg/grefcoco/grefs(unc).json"
    path.write_text(path.read_text().replace("[10, 11]", "[10, 99]"))
    with pytest.raises(DataError, match="expected an id among the annotations, got 99"):
        scored(tmp_path, "grefcoco", "oracle")
    benchmark = open_published("grefcoco", tmp_path, quarantine=tmp_path / "out.jsonl")
    report = evaluate(make_baseline("oracle", benchmark), benchmark)
    assert (report["samples"], report["metrics"]["n_acc"]) == (1, 1)
    assert "got 99" in (tmp_path / "out.jsonl").read_text()
