"""Every data set in every protocol: perfect and empty answers, broken records, a model through all.

The sets are scenes in the published layouts; what the traps leave of a perfect answer is derived
in ``test_published.py``, and here for those protocols that stand nowhere there.
"""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import test_published

from deixis.data.catalogue import open_data
from deixis.errors import ConfigError, DataError
from deixis.evaluation.answering.asking import blind
from deixis.evaluation.answering.baselines import make_baseline
from deixis.evaluation.answering.keeping import check_submission, write_submission
from deixis.evaluation.answering.predictions import Predictions
from deixis.evaluation.protocols.published import UNSCORED, WAYS, open_published
from deixis.evaluation.running.evaluator import evaluate
from deixis.metrics.words.judged import ASPECTS

sys.path.insert(0, str(Path(__file__).parents[1] / "data"))
from scene_formats import write_formats
from scene_sets import write_scenes
from test_broken_records import BROKEN, damaged

from deixis.data.formats.named import open_format


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    """Return a folder with scenes in the layout of every data set."""
    folder = tmp_path_factory.mktemp("scenes")
    write_scenes(folder)
    return folder


class Strict:
    """A judge who gives five points for the very words, else none."""

    note = "strict"

    def ask(self, true, said):
        points = 5 if true == said else 0
        return "\n".join(f"{i}. {name}: {points}" for i, name in enumerate(ASPECTS, start=1))


def opened(root, name, protocol="published", **more):
    if name == "video_mme" and not list(root.glob("*.parquet")):
        pytest.skip("pyarrow is not installed: install deixis[data]")
    benchmark = open_published(name, root, protocol=protocol, **more)
    if name == "grandf":
        benchmark.task.counts.scored = False  # Java takes seconds: once is enough
    if name == "videorefer-d":
        benchmark.task.counts.use(Strict())
    return benchmark


def scored(root, name, baseline, protocol="published"):
    benchmark = opened(root, name, protocol)
    return evaluate(make_baseline(baseline, benchmark), benchmark)


@pytest.mark.parametrize("name", WAYS)
def test_a_perfect_answer_has_exactly_the_best_score_in_every_clean_protocol(scenes, name):
    report = scored(scenes, name, "oracle", "clean")
    best = {"revos": 100, "videorefer-d": 5}.get(name, 1)
    assert report["metrics"]
    for figure, value in report["metrics"].items():
        assert value == (0 if "decay" in figure else best), figure
    assert not report["failures"]


SHORT, LONG = test_published.SHORT, test_published.LONG
TRAPS = {  # what stands nowhere in test_published.TRAPS
    ("refcoco", "glamm"): {"giou": (SHORT + LONG) / 2.00001, "ciou": 250 / 300},
    ("reason_seg", "unipixel"): {"giou": 100, "ciou": 100},
    ("videorefer-d", "videorefer"): {"All": 5},
    ("videorefer-q", "unipixel-multi"): {"accuracy": 1},
}


@pytest.mark.parametrize(("name", "protocol"), TRAPS)
def test_a_published_protocol_leaves_of_a_perfect_answer_what_its_traps_leave(
    root, name, protocol
):
    metrics = scored(root, name, "oracle", protocol)["metrics"]
    expected = TRAPS[name, protocol]
    assert {k: metrics[k] for k in expected} == pytest.approx(expected, abs=1e-6)


def test_what_traps_leave_is_derived_for_every_way_to_count():
    def kinds(pairs):
        ways = [WAYS[name][protocol] for name, protocol in pairs]
        return {(way.count.__name__, way.metric, way.protocol) for way in ways}

    every = [(name, p) for name, ways in WAYS.items() for p in ways if "clean" not in p]
    assert kinds([*test_published.TRAPS, *TRAPS]) == kinds(every)


EMPTY = {  # beside those of test_published.EMPTY
    ("multi-refcoco", "published"): {"giou": 0, "ciou": 0},
    ("reason_seg", "published"): {"giou": 0, "ciou": 0},
    ("reason_seg", "segzero"): {"giou": 0},
    ("grefcoco", "grec"): {"f1_score": 0.5},  # right where nothing is meant
    ("groundmore", "published"): {"j": 1 / 20, "f": 1 / 20},  # of 20 frames one is truly empty
    ("vicas", "clean"): {"j": 0, "f": 0, "jf": 0},
    ("paco_lvis", "clean"): {"giou": 0, "ciou": 0},
    ("mvbench", "published"): {"accuracy": 0},
    ("mvbench", "clean"): {"accuracy": 0},
    ("videorefer-d", "published"): {"All": 0},
    ("pixelqa-mixed", "clean"): {"j": 0, "f": 0.5, "accuracy": 0},  # of two frames one is empty
}


@pytest.mark.parametrize(("name", "protocol"), EMPTY)
def test_an_empty_answer_scores_what_is_empty_in_truth(root, name, protocol):
    metrics = scored(root, name, "empty", protocol)["metrics"]
    expected = EMPTY[name, protocol]
    assert {k: metrics[k] for k in expected} == pytest.approx(expected, abs=1e-6)


ONE_RECORD = {"videorefer-q", "videorefer-d", "pixelqa-point", "pixelqa-box", "pixelqa-mixed"}


@pytest.mark.parametrize("name", sorted(set(WAYS) & set(BROKEN)))
def test_with_a_quarantine_an_evaluation_goes_on_without_the_broken_record(
    scenes, tmp_path, name
):
    file, change = BROKEN[name]
    whole, kept = (scenes / file).read_bytes(), tmp_path / "refused.jsonl"
    try:
        damaged(scenes / file, change)
        benchmark = opened(scenes, name)
        if change is not None:  # of a picture of labels the strict run ends at its first question
            with pytest.raises(DataError):
                evaluate(make_baseline("empty", benchmark), benchmark)
        if name in ONE_RECORD or name == "mvbench":
            with pytest.raises(DataError, match="expected records that can be read, got none"):
                opened(scenes, name, quarantine=kept)
        else:
            benchmark = opened(scenes, name, quarantine=kept)
            report = evaluate(make_baseline("oracle", benchmark), benchmark)
            assert report["samples"] == len(benchmark.samples) > 0
        assert Path(file).stem in json.loads(kept.read_text().splitlines()[0])["reason"]
    finally:
        (scenes / file).write_bytes(whole)


def test_what_servers_take_lies_in_the_folder_that_they_expect(scenes, tmp_path):
    for name, folder in (("mevis", ""), ("ref_youtube_vos", "Annotations/")):
        benchmark, path = opened(scenes, name, "mevis"), tmp_path / f"{name}.zip"
        count = write_submission(make_baseline("oracle", benchmark), benchmark, path)
        assert count == check_submission(path, benchmark.samples, folder)
        assert evaluate(Predictions(path), benchmark)["metrics"]["jf"] == 1
        with pytest.raises(DataError, match=r"expected \d+ pictures, got \d+ missing"):
            check_submission(path, benchmark.samples, "elsewhere/")
    other = opened(scenes, "refcoco")
    with pytest.raises(ConfigError, match=r"expected one of mevis, .* got refcoco"):
        write_submission(make_baseline("oracle", other), other, tmp_path / "x.zip")


def test_a_submission_with_a_picture_of_another_size_or_of_colours_is_refused(scenes, tmp_path):
    import zipfile
    from io import BytesIO

    from PIL import Image

    benchmark, path = opened(scenes, "mevis"), tmp_path / "in.zip"
    write_submission(make_baseline("oracle", benchmark), benchmark, path)
    with zipfile.ZipFile(path) as file:
        pictures = {name: file.read(name) for name in file.namelist()}
    first = min(pictures)
    for values in (np.zeros((3, 4), np.uint8), np.zeros((88, 120, 3), np.uint8)):
        content = BytesIO()
        Image.fromarray(values).save(content, "PNG")
        with zipfile.ZipFile(path, "w") as file:
            for name, picture in {**pictures, first: content.getvalue()}.items():
                file.writestr(name, picture)
        with pytest.raises(DataError, match=r"expected one value a pixel and \(88, 120\)"):
            check_submission(path, benchmark.samples)


def test_a_tiny_model_goes_through_every_protocol_of_every_data_set(scenes, reasoner):
    for name, ways in WAYS.items():
        for protocol in ways:
            if name == "video_mme" and not list(scenes.glob("*.parquet")):
                continue
            report = evaluate(reasoner, opened(scenes, name, protocol, count=1))
            assert report["samples"] == 1, (name, protocol)
            values = [v for v in report["metrics"].values() if v is not None]
            assert values, (name, protocol)
            assert np.isfinite(values).all(), (name, protocol)


def test_a_tiny_model_answers_what_readers_without_an_evaluation_ask(scenes, tmp_path, reasoner):
    write_formats(tmp_path)
    names = json.loads((tmp_path / "names.json").read_text())
    (tmp_path / "classes.txt").write_text("\n".join(names))
    files = {"coco": "coco.json", "cvat": "cvat.xml", "label_studio": "studio.json"}
    asked = [open_data(name, scenes)[0] for name in UNSCORED]
    asked += [open_data("grandf", scenes, part)[0] for part in ("ha", "psg", "refcocog", "flickr")]
    asked += [
        open_format(f"{kind}:{tmp_path / files.get(kind, '')}", tmp_path)[0]
        for kind in (*files, "yolo", "masks")
    ]
    answers = [reasoner.answer_batch([blind(sample)])[0] for sample in asked]
    assert len(answers) == len(UNSCORED) + 9
    for sample, answer in zip(asked, answers, strict=True):
        sizes = {mask.size for target in answer.targets for mask in target.masks.values()}
        assert sizes <= {frame.size for frame in sample.images}
