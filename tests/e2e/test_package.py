"""The wheel and the source package build, hold everything, and work outside the repository."""

import json
import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """A folder with the wheel and the source package."""
    out = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return out


def test_the_wheel_holds_every_file_of_the_package_and_the_licence(built):
    (wheel,) = built.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    tracked = subprocess.run(
        ["git", "ls-files", "src/deixis"], cwd=ROOT, capture_output=True, text=True
    )
    for name in tracked.stdout.splitlines():
        assert name.removeprefix("src/") in names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert any(name.endswith("weights/deixis-tiny/config.json") for name in names)


def test_the_source_package_can_build_and_test_itself(built):
    (source,) = built.glob("*.tar.gz")
    with tarfile.open(source) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    for needed in ("pyproject.toml", "Makefile", "constraints.txt", "tests/test_architecture.py"):
        assert needed in names


def test_the_installed_wheel_answers_outside_the_repository(built, picture, tmp_path):
    (wheel,) = built.glob("*.whl")
    site = tmp_path / "site"
    install = ["-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(site)]
    subprocess.run([sys.executable, *install, str(wheel)], check=True)
    code = "import deixis, sys; print(deixis.__file__); from deixis.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "ask", str(picture), "Where is the red mug?", "--json"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    where, answer = done.stdout.splitlines()
    assert Path(where).is_relative_to(site)
    assert json.loads(answer)["model"] == "deixis-tiny"
