"""`deixis curate m4seg ...` from scenes to a benchmark, as a person types it."""

import json

import pytest
from typer.testing import CliRunner

from deixis.cli.app import app
from deixis.errors import ConfigError


def typed(*words):
    done = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    path = tmp_path_factory.mktemp("m4seg")
    typed("curate", "m4seg", "scenes", "--out", path, "--split", "test", "--worlds", 4)
    return path


def test_a_data_set_is_made_counted_and_evaluated(root, tmp_path):
    file = root / "8q_test.json"
    words = ("--root", root, "--split", "test")
    report = json.loads(typed("curate", "m4seg", "make", *words, "--sets", 2, "--out", file))
    counted = json.loads(typed("curate", "m4seg", "stats", *words, "--file", file))
    assert counted["samples"] == report["records"] > 0
    assert counted["image_sets"] == 2
    (root / "8q_test.report.json").unlink()
    out = tmp_path / "report.json"
    typed("eval", "m4seg", *words, "--baseline", "shuffle", "--count", 3, "--out", out)
    assert json.loads(out.read_text())["configuration"]["benchmark"] == "m4seg"


def test_an_endpoint_without_a_budget_is_not_asked(root, tmp_path):
    words = ["curate", "m4seg", "make", "--root", root, "--split", "test", "--author", "endpoint"]
    with pytest.raises(ConfigError, match=r"expected --url, --model and --budget"):
        typed(*words, "--out", tmp_path / "out.json")
