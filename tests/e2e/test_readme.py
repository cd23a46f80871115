"""What the README shows works as it stands there."""

import json
import re
import runpy
import shlex
from pathlib import Path

import pytest
from calling import call

from deixis.models.released import open_model

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


@pytest.fixture(autouse=True)
def in_the_repository(monkeypatch):
    monkeypatch.chdir(ROOT)


def test_the_lines_of_python_answer(capsys):
    (code,) = blocks("python")
    exec(compile(code, "README.md", "exec"), {})
    assert "blue mug" in capsys.readouterr().out


def test_the_command_that_asks_writes_pictures_and_an_answer(tmp_path):
    lines = [line for block in blocks("bash") for line in block.splitlines()]
    (asked,) = [line for line in lines if "deixis ask" in line and "--out" in line]
    words = shlex.split(asked)[1:]
    words[words.index("--out") + 1] = str(tmp_path / "answer")
    done = call(*words)
    assert done.code == 0, done.err
    assert len(list((tmp_path / "answer").glob("image_*.png"))) == 3
    assert json.loads((tmp_path / "answer/answer.json").read_text())["model"] == "deixis-tiny"


def test_every_file_that_the_readme_names_is_there():
    named = re.findall(r"\]\(([\w/.]+)\)", README) + re.findall(
        r"python (benchmarks/\w+\.py)", README
    )
    named += re.findall(r"(?:docs/examples|runs)/[\w.]+", README)
    assert len(named) >= 12
    for name in named:
        assert (ROOT / name).exists(), name


def test_every_figure_comes_from_a_report_about_the_weights_that_are_shipped():
    figures = runpy.run_path(str(ROOT / "benchmarks" / "figures.py"))
    found = figures["reports"]()
    assert set(found) == set(figures["QUOTED"])
    for page in (figures["README"], figures["TINY"]):
        text = page.read_text(encoding="utf-8")
        assert figures["END"] in text
        assert figures["filled"](text) == text, f"{page.name}: python benchmarks/figures.py --fill"
    shipped = open_model("deixis-tiny").fingerprint
    changed = json.loads(figures["ROBUSTNESS"].read_text(encoding="utf-8"))
    assert changed["fingerprint"] == shipped
    for rows in found.values():
        assert {row["configuration"]["fingerprint"] for row in rows} == {shipped}
