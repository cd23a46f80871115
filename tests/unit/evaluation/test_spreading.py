"""An evaluation spread over two workers of Ray is that of one process."""

import json
from functools import partial

import pytest

from deixis.errors import ConfigError, DataError
from deixis.evaluation.answering.keeping import Kept
from deixis.evaluation.answering.predictions import Predictions
from deixis.evaluation.answering.spreading import Spread
from deixis.evaluation.protocols.published import open_published
from deixis.evaluation.running.evaluator import evaluate
from deixis.extras import start_ray
from deixis.structures.answers import GroundedAnswer, Target
from deixis.structures.masks import Mask
from deixis.structures.wire import answer_to_json

pytest.importorskip("ray", reason="Ray is not installed: pip install 'deixis[scale]'")


@pytest.fixture(scope="module")
def predictions(root):
    """What another system drew: a part of each true mask."""
    rows = []
    for sample in open_published("refcoco", root).samples:
        pixels = sample.answer.targets[0].masks[0].pixels
        pixels[: pixels.shape[0] // 4] = False
        target = Target(phrase="it", masks={0: Mask(pixels)})
        answer = GroundedAnswer(text="it", targets=(target,), spans=((0, 2),))
        rows.append(json.dumps({"id": sample.id, **answer_to_json(answer, sample.images)}))
    path = root / "said.jsonl"
    path.write_text("\n".join(rows))
    return path


@pytest.fixture(scope="module")
def cluster():
    """Ray, started once: that takes its seconds."""
    ray, _ = start_ray(3)
    yield
    ray.shutdown()


@pytest.fixture(scope="module")
def spread(predictions, cluster):
    one = Spread(partial(Predictions, predictions), workers=2, batch_size=1)
    yield one
    one.close()


def test_the_report_of_two_workers_is_that_of_one_process(root, predictions, spread, tmp_path):
    benchmark = open_published("refcoco", root)
    alone = evaluate(Predictions(predictions), benchmark, batch_size=1)
    both = evaluate(spread, benchmark, batch_size=spread.together)
    for name in ("metrics", "intervals", "by_type", "cases", "data_hash", "configuration"):
        assert both[name] == alone[name], name
    assert 0 < both["metrics"]["giou"] < 1
    kept = Kept(spread, tmp_path)
    assert evaluate(kept, benchmark)["metrics"] == alone["metrics"]
    assert list(tmp_path.rglob("*.json"))


def test_a_fault_in_a_worker_is_the_same_error_here(root, tmp_path, cluster):
    path = tmp_path / "broken.jsonl"
    path.write_text('{"id": "0/0", "text": 3}\n')
    one = Spread(partial(Predictions, path), workers=1, batch_size=1)
    try:
        with pytest.raises(DataError, match=r"broken\.jsonl:1"):
            evaluate(one, open_published("refcoco", root))
    finally:
        one.close()


def test_no_worker_is_refused():
    with pytest.raises(ConfigError, match="expected at least 1, got 0"):
        Spread(partial(Predictions, "x"), workers=0, batch_size=1)
