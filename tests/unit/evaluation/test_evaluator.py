"""Reports: what they hold, that nothing leaks, and that a killed run goes on."""

import json
from dataclasses import replace

import pytest
from rich.console import Console

from deixis.errors import ConfigError, DataError
from deixis.evaluation.running.benchmarks import open_benchmark
from deixis.evaluation.running.evaluator import evaluate, report_table, sample_digest
from deixis.evaluation.running.journal import write_json
from deixis.scenes.questions import TASKS
from deixis.structures.answers import GroundedAnswer
from deixis.structures.wire import ReportJson, read_json

DEFINED = {  # without presence_ece and order_agreement, which the truth does not have
    "refer": {"giou", "ciou", "recall"},
    "many": {"giou", "ciou", "miou", "recall"},
    "multi": {"giou", "ciou", "miou", "recall", "image_accuracy", "answer_accuracy"},
    "absent": {"giou", "ciou", "recall", "n_acc", "t_acc"},
    "region": {"answer_accuracy", "giou", "ciou", "recall"},
    "clip": {"j", "f", "jf"},
    "pixelqa": {"j", "f", "jf", "answer_accuracy"},
    "plain": {"answer_accuracy"},
    "compose": {"giou", "ciou", "recall"},
}


def figures(report) -> str:
    """All that must not change when a run was killed and resumed, byte by byte."""
    changing = ("seconds",)
    return json.dumps({key: value for key, value in report.items() if key not in changing})


def test_whoever_finds_every_blob_gets_every_point(looker, benchmark):
    report = evaluate(looker(), benchmark)
    assert set(report["metrics"].values()) == {1.0}
    assert "order_agreement" in report["metrics"]
    assert report["samples"] == report["configuration"]["reordered_samples"] == 10
    assert report["by_type"] == {"even": report["metrics"], "odd": report["metrics"]}
    assert report["counts"] == {"even": 5, "odd": 5}
    assert report["seed"] == 3
    assert report["versions"]["python"].startswith("3.")
    assert [case["score"] for case in report["cases"]] == [1.0] * 10
    read_json(ReportJson, json.dumps(report), "report")


def test_the_reasoner_sees_neither_the_answer_nor_the_kind(looker, benchmark):
    reasoner = looker()
    evaluate(reasoner, benchmark)
    assert len(reasoner.asked) == 20
    assert all(s.answer is None and s.type == s.source == "" for s in reasoner.asked)


def test_exchanging_all_truths_leaves_the_predictions_unchanged(looker, benchmark, exchanged):
    honest, again = looker(), looker()
    right, wrong = evaluate(honest, benchmark), evaluate(again, exchanged)
    assert honest.said == again.said
    assert wrong["metrics"]["giou"] < 0.5 < right["metrics"]["giou"]
    assert wrong["data_hash"] != right["data_hash"]


@pytest.mark.parametrize("asked_before", [4, 8, 14])  # 10 questions, then 10 in another order
def test_a_killed_run_goes_on_and_ends_with_the_same_report(
    looker, benchmark, tmp_path, asked_before
):
    whole = evaluate(looker(), benchmark, out=tmp_path / "whole.json", batch_size=2)
    out = tmp_path / "killed.json"
    with pytest.raises(KeyboardInterrupt):
        evaluate(looker(stop_after=asked_before), benchmark, out=out, batch_size=2)
    assert not out.exists()
    second = looker()
    resumed = evaluate(second, benchmark, out=out, batch_size=3)
    assert len(second.asked) == 20 - asked_before
    assert figures(resumed) == figures(whole)
    assert json.loads(out.read_text()) == resumed
    names = ["killed.answers.jsonl", "killed.json", "whole.answers.jsonl", "whole.json"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    texts = [(tmp_path / name).read_text() for name in (names[0], names[2])]
    assert texts[0] == texts[1]


def killed(looker, benchmark, tmp_path):
    out = tmp_path / "report.json"
    with pytest.raises(KeyboardInterrupt):
        evaluate(looker(stop_after=4), benchmark, out=out, batch_size=2)
    return out, tmp_path / "report.json.partial.jsonl"


def test_a_line_that_the_kill_cut_is_asked_again(looker, benchmark, tmp_path):
    out, partial = killed(looker, benchmark, tmp_path)
    partial.write_bytes(partial.read_bytes()[:-30])
    second = looker()
    resumed = evaluate(second, benchmark, out=out)
    assert len(second.asked) == 20 - 3
    assert figures(resumed) == figures(evaluate(looker(), benchmark))


def test_a_broken_line_in_the_middle_is_refused_by_its_number(looker, benchmark, tmp_path):
    out, partial = killed(looker, benchmark, tmp_path)
    lines = partial.read_text().splitlines(keepends=True)
    partial.write_text("".join([lines[0], "{broken\n", *lines[2:]]))
    with pytest.raises(DataError, match=r"partial\.jsonl:2: expected one JSON value"):
        evaluate(looker(), benchmark, out=out)


def test_the_beginnings_of_another_run_are_refused(looker, benchmark, tmp_path):
    out, _ = killed(looker, benchmark, tmp_path)
    with pytest.raises(ConfigError, match=r"\(seed 4\), got seed 3\. Delete the file"):
        evaluate(looker(), replace(benchmark, seed=4), out=out)


def test_other_data_under_the_same_name_is_refused(looker, benchmark, exchanged, tmp_path):
    out, _ = killed(looker, benchmark, tmp_path)
    with pytest.raises(DataError, match="expected sample 0 as the run knew it"):
        evaluate(looker(), exchanged, out=out)


def test_who_always_says_image_1_does_not_follow_the_images(looker, benchmark):
    class Stubborn(looker):
        def look(self, sample):
            return GroundedAnswer(text="Image 1.", conclusion="image 1")

    report = evaluate(Stubborn(), benchmark)
    assert report["metrics"]["order_agreement"] == 0.0
    assert report["metrics"]["giou"] == 0.0


def test_the_worst_and_the_best_are_drawn_beside_the_report(looker, benchmark, tmp_path):
    for number in (3, 2):
        evaluate(looker(), benchmark, out=tmp_path / "report.json", pictures=number)
    names = sorted(path.name for path in (tmp_path / "report_pictures").iterdir())
    assert names == ["best_01.png", "best_02.png", "worst_01.png", "worst_02.png"]
    with pytest.raises(ConfigError, match="expected a report beside which they go"):
        evaluate(looker(), benchmark, pictures=2)


def test_progress_counts_up_to_all(looker, benchmark):
    seen = []
    evaluate(looker(), benchmark, batch_size=4, progress=lambda *done: seen.append(done))
    assert seen == [(4, 10), (8, 10), (10, 10)] * 2  # once in each order


def test_asking_in_another_order_can_be_left_out(looker, benchmark):
    reasoner = looker()
    report = evaluate(reasoner, benchmark, reorder=False)
    assert len(reasoner.asked) == 10
    assert "order_agreement" not in report["metrics"]


def test_a_folder_is_no_report(looker, benchmark, tmp_path):
    with pytest.raises(ConfigError, match="expected a file for the report, got a folder"):
        evaluate(looker(), benchmark, out=tmp_path)


def test_a_report_that_cannot_be_written_leaves_nothing_half_written(tmp_path):
    path = tmp_path / "report.json"
    path.write_text("old")
    with pytest.raises(TypeError):
        write_json(path, {"metrics": object()})
    assert path.read_text() == "old"
    assert [one.name for one in tmp_path.iterdir()] == ["report.json"]


def test_a_missing_answer_or_truth_is_an_error(looker, benchmark):
    class Silent(looker):
        def answer_batch(self, samples):
            return []

    with pytest.raises(DataError, match="looker: expected 10 answers, got 0"):
        evaluate(Silent(), benchmark)
    unknown = replace(benchmark, samples=[benchmark.samples[0].without_answer()])
    with pytest.raises(DataError, match="sample painted-0: expected a true answer"):
        evaluate(looker(), unknown)


def test_the_table_has_a_row_for_each_kind(looker, benchmark):
    console = Console(width=150, record=True)
    console.print(report_table(evaluate(looker(), benchmark)))
    text = console.export_text()
    assert all(word in text for word in ("looker on painted", "all", "even", "odd", "1.000"))


def test_the_hash_covers_pixels_question_and_truth(benchmark):
    one, other = benchmark.samples[:2]
    variants = [
        one,
        replace(one, images=other.images),
        replace(one, answer=other.answer),
        replace(one, question=replace(one.question, text="What?")),
    ]
    assert len({sample_digest(sample) for sample in variants}) == 4


@pytest.mark.parametrize("task", TASKS)
def test_the_truth_of_real_scenes_gets_every_point_that_its_task_defines(task):
    benchmark = open_benchmark(task, count=6, seed=77)
    truths = {sample.id: sample.answer for sample in benchmark.samples}

    class Knowing:
        name = "knowing"

        def answer_batch(self, samples):
            return [truths[sample.id] for sample in samples]

    metrics = evaluate(Knowing(), benchmark, reorder=False)["metrics"]
    assert metrics == dict.fromkeys(metrics, 1.0)
    assert set(metrics) == DEFINED[task]
