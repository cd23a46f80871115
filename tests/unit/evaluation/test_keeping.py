"""Kept answers, what is handed in, and a judge: each does its work once."""

import json
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from deixis.errors import ConfigError, DataError
from deixis.evaluation.answering.baselines import Oracle, make_baseline
from deixis.evaluation.answering.keeping import (
    Kept,
    answer_share,
    check_submission,
    write_submission,
)
from deixis.evaluation.answering.predictions import Predictions
from deixis.evaluation.protocols.judging import Judge
from deixis.evaluation.protocols.published import open_published
from deixis.evaluation.running.evaluator import evaluate

REPLY = "\n".join(
    f"{i}. {name}: {i}"
    for i, name in enumerate(
        [
            "Subject Correspondence",
            "Appearance Description",
            "Temporal Description",
            "Hallucination Detection",
        ],
        start=1,
    )
)


class Counted(Oracle):
    """An oracle that counts what it is asked."""

    fingerprint = "f"
    asked = 0

    def answer_batch(self, samples):
        self.asked += len(samples)
        return super().answer_batch(samples)


def test_a_second_metric_asks_nothing_again(root, tmp_path):
    first = open_published("refcoco", root, protocol="lisa")
    reasoner = Counted(first)
    kept = Kept(reasoner, tmp_path)
    evaluate(kept, first)
    assert reasoner.asked == 2
    second = open_published("refcoco", root, protocol="clean")
    assert evaluate(kept, second)["metrics"] == {"giou": 1, "ciou": 1}
    assert reasoner.asked == 2
    next(tmp_path.glob("*/*.json")).write_text("broken")
    evaluate(kept, second)
    assert reasoner.asked == 3
    with pytest.raises(ConfigError, match="expected a model with a fingerprint, got none"):
        Kept(make_baseline("empty", first), tmp_path)


def test_shares_answered_apart_give_the_report_of_one_process(root, tmp_path):
    benchmark = open_published("ref_davis17", root)
    whole = evaluate(Counted(benchmark), benchmark)
    for share, count in (("1/2", 1), ("2/2", 1)):
        assert answer_share(Kept(Counted(benchmark), tmp_path), benchmark, share) == count
    last = Counted(benchmark)
    report = evaluate(Kept(last, tmp_path), benchmark)
    assert last.asked == 0
    assert {**report, "seconds": 0} == {**whole, "seconds": 0}
    with pytest.raises(ConfigError, match="expected one such as"):
        answer_share(Kept(last, tmp_path), benchmark, "3/2")


def test_what_is_handed_in_has_every_picture_and_scores_as_it_was_drawn(root, tmp_path):
    benchmark = open_published("mevis", root)
    path = tmp_path / "in.zip"
    assert write_submission(make_baseline("oracle", benchmark), benchmark, path) == 2
    assert evaluate(Predictions(path), benchmark)["metrics"]["jf"] == 1
    with zipfile.ZipFile(path, "a") as file:
        file.writestr("v/0/9.png", b"")
    with pytest.raises(DataError, match=r"expected 2 pictures, got 1 surplus, such as v/0/9\.png"):
        check_submission(path, benchmark.samples)


@pytest.fixture
def endpoint():
    seen = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            seen.append(asked)
            names = "brackets" in asked["messages"][0]["content"]
            said = "1: yes\n2: no" if names else REPLY
            body = json.dumps({"choices": [{"message": {"content": said}}]}).encode()
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/v1", seen
    server.shutdown()
    server.server_close()


def test_a_judge_is_asked_once_and_replayed(root, tmp_path, endpoint):
    address, seen = endpoint
    kept = tmp_path / "said.jsonl"
    for where in (address, None):
        benchmark = open_published("videorefer-d", root)
        benchmark.task.counts.use(Judge(kept, where, "small"))
        report = evaluate(make_baseline("oracle", benchmark), benchmark)
        assert report["metrics"]["All"] == 2.5
        assert "not comparable" in report["configuration"]["judge"]
    assert len(seen) == 1
    assert seen[0]["model"] == "small"
    assert "A cup." in seen[0]["messages"][1]["content"]
    with pytest.raises(DataError, match="expected a judgement of every description"):
        Judge(kept, None, "other").ask("a", "b")
    kept.write_text("{")
    with pytest.raises(DataError, match=r"said\.jsonl:1: expected a judgement"):
        Judge(kept)
    with pytest.raises(ConfigError, match="expected an address that starts with http"):
        Judge(kept, "ftp://x")


def test_a_judge_of_names_voids_matches_whose_words_do_not_fit(root, tmp_path, endpoint):
    address, seen = endpoint
    benchmark = open_published("muse", root)
    benchmark.task.counts.use(Judge(tmp_path / "said.jsonl", address))
    report = evaluate(make_baseline("oracle", benchmark), benchmark)
    prompt = seen[0]["messages"][1]["content"]
    answer = benchmark.samples[0].answer
    for number, target in enumerate(answer.targets, start=1):
        box = ", ".join(map(str, target.masks[0].box))
        assert f"{target.phrase} ({number}: {target.phrase} [{box}])" in prompt
    metrics = report["metrics"]
    assert metrics["fit"] == 0.5
    assert metrics["giou"] == pytest.approx(1, abs=1e-4)
    assert metrics["giou_judged"] == pytest.approx(0.5, abs=1e-4)
    areas = [target.masks[0].area for target in answer.targets]
    assert metrics["ciou_judged"] == pytest.approx(areas[0] / sum(areas), abs=1e-6)
    assert "our reading of an unpublished step" in report["configuration"]["judge"]
    clean = open_published("muse", root, protocol="clean")
    with pytest.raises(ConfigError, match="expected the published protocol of muse"):
        clean.task.counts.use(Judge(tmp_path / "said.jsonl", address))
