"""M4Seg written by two workers of Ray Data is the one that a single process writes."""

import json

import pytest

from deixis.curation.making import Order, make
from deixis.curation.rules import RuleAuthor
from deixis.curation.scenes import write_source
from deixis.errors import ConfigError

pytest.importorskip("ray.data", reason="Ray Data is not installed: pip install 'deixis[scale]'")


def test_two_workers_write_the_records_of_one_process_and_go_on_where_a_run_stopped(tmp_path):
    write_source(tmp_path / "scenes", "val", worlds=8, seed=3)
    order = Order(root=tmp_path / "scenes", split="val", sets=40, seed=5)
    make(order, tmp_path / "one.json")
    done = []

    def stop(count, _):
        done.append(count)
        if count == 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make(order, tmp_path / "two.json", workers=2, on_ray=True, progress=stop)
    report = make(order, tmp_path / "two.json", workers=2, on_ray=True)
    assert (tmp_path / "two.json").read_text() == (tmp_path / "one.json").read_text()
    assert done == list(range(1, 21))
    assert json.loads(json.dumps(report)) == json.loads((tmp_path / "one.report.json").read_text())


def test_only_rules_are_spread(tmp_path):
    order = Order(root=tmp_path, split="val", sets=1)
    with pytest.raises(ConfigError, match="expected the author rules, got another"):
        make(order, tmp_path / "a.json", RuleAuthor(0), on_ray=True)
