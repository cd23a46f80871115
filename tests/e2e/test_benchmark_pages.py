"""What docs/benchmarks.md and docs/metrics.md say was measured, names and commands that exist."""

import re
import runpy
import sys
from pathlib import Path

import pytest
from calling import call

from deixis.data.catalogue import DATA_SETS
from deixis.evaluation.protocols.published import UNSCORED, WAYS
from deixis.models.released import open_model

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs/benchmarks.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| (`.*)\|$", re.MULTILINE)


@pytest.fixture(scope="module")
def pages():
    return runpy.run_path(str(ROOT / "benchmarks/pages.py"))


def rows() -> list[list[str]]:
    """Return the cells of the table of what can be run."""
    part = TEXT.partition("## What can be run")[2].partition("##")[0]
    return [[cell.strip() for cell in row.split("|")] for row in ROW.findall(part)]


def test_every_table_holds_what_was_measured_last(pages):
    for page, tables in pages["PAGES"].items():
        text = page.read_text(encoding="utf-8")
        assert all(f"<!-- {name} -->\n" in text for name in tables)
        assert pages["filled"](page) == text, f"{page.name}: python benchmarks/pages.py"


def test_traps_were_measured_on_the_weights_that_are_shipped(pages):
    found = pages["read"](pages["TRAPS"])
    shipped = open_model(found["model"]).fingerprint
    assert found["fingerprint"] == shipped, "python benchmarks/traps.py"
    assert {row["number"] for row in found["traps"]} == set(range(2, 21))  # 1 is a matter of names


def test_every_speed_meets_its_bar(pages):
    bars = {"iou": 18, "boundary": 4, "elsewhere": 1, "rle": 1}
    for name in pages["SPEEDS"]:
        one = pages["read"](ROOT / f"benchmarks/metrics_{name}.json")
        assert one["holds"]
        assert one["figure"] >= bars[name] if name in bars else one["figure"] < 0.2
    assert pages["read"](ROOT / "benchmarks/opening.json")["holds"]
    assert pages["read"](ROOT / "benchmarks/evaluator.json")["holds"]


def test_every_data_set_has_its_line_with_its_protocols():
    named = [name for row in rows() for name in re.findall(r"`([^`]+)`", row[0])]
    assert sorted(named) == sorted([*WAYS, "m4seg"])
    assert all(f"`{name}`" in TEXT for name in UNSCORED)
    told: list[str] = []
    for row in rows():
        names = re.findall(r"`([^`]+)`", row[0])
        told = told if row[3] == "as above" else re.findall(r"`([^`]+)`", row[3])
        for name in names:
            if name != "m4seg":
                assert sorted(told) == sorted(WAYS[name]), name


def test_every_command_of_the_table_scores_a_perfect_answer(tmp_path):
    sys.path.insert(0, str(ROOT / "tests/unit/data"))
    from scene_sets import write_scenes

    write_scenes(tmp_path)
    for row in rows():
        (command,) = re.findall(r"`deixis (.+)`", row[4])
        words = command.replace("DATA", str(tmp_path)).split()
        name = words[1]
        if name not in DATA_SETS or name in {"videorefer-d", "grandf", "video_mme"}:
            continue  # these need a judge, a text model, pyarrow
        if "--split" in words:  # of the scenes there is the usual split only
            words = words[: words.index("--split")]
        if "--submission" in words:
            words[words.index("in.zip")] = str(tmp_path / "in.zip")
        done = call(*words, "--baseline", "oracle")
        assert done.code == 0, (command, done.err)
    assert (tmp_path / "in.zip").is_file()


def test_a_wrong_root_is_told_in_one_sentence_for_every_data_set(tmp_path):
    file = tmp_path / "file"
    file.write_text("x")
    (tmp_path / "empty").mkdir()
    for name in [*WAYS, "m4seg"]:
        for root in (tmp_path / "none", file, tmp_path / "empty"):
            for command in (["eval", name, "--baseline", "empty"], ["data", "check", name]):
                done = call(*command, "--root", root)
                assert done.code == 2, (command, root)
                assert len(done.err.splitlines()) == 1, done.err
                assert done.err.startswith("deixis: "), done.err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--protocol", "clean"], "--protocol: expected with a data set of others"),
        (["--judge", "x.jsonl"], "--judge: expected with a data set of others"),
        (["--phrases", "minilm"], "--phrases: expected with a data set of others"),
        (["--quarantine", "x.jsonl"], "--quarantine: expected with a data set of others"),
        (["--submission", "x.zip"], "--submission: expected one of mevis"),
    ],
)
def test_what_only_data_sets_of_others_have_is_refused_with_scenes(options, words):
    done = call("eval", "scenes:refer", "--count", "1", "--baseline", "oracle", *options)
    assert done.code == 2
    assert words in done.err
    assert len(done.err.splitlines()) == 1
