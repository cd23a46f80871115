"""The rooms without torch run on the other Pythons that are declared, where these are present."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NEEDED = ("numpy", "scipy", "pillow", "pycocotools", "pydantic", "PyYAML", "safetensors", "rich")
TOUR = """
import importlib, pathlib, sys, tempfile

import deixis
from deixis.data.reader import JsonlReader
from deixis.metrics.tally import measure
from deixis.scenes.questions import TASKS
from deixis.scenes.writing import make_dataset
from deixis.viz.overlay import contact_sheet

root = pathlib.Path(deixis.__file__).parent
for room in ("structures", "scenes", "data", "metrics", "viz", "config.py", "extras.py"):
    for path in sorted((root / room).rglob("*.py")) or [root / room]:
        name = ".".join(path.relative_to(root).with_suffix("").parts)
        importlib.import_module("deixis." + name.removesuffix(".__init__"))
with tempfile.TemporaryDirectory() as folder:
    for task in TASKS:
        out = pathlib.Path(folder) / task
        make_dataset(task, 2, 7, "test", out)
        samples = list(JsonlReader(out / "samples.jsonl"))
        for one in samples:
            found = measure(one.images, one.answer, one.answer, ["giou", "j"]).result()
            assert found["giou"] == 1, (task, found)
        contact_sheet(samples, [one.answer for one in samples]).save(out / "sheet.png")
assert not {"torch", "transformers"} & set(sys.modules)
print("toured", sys.version_info[:2])
"""


def interpreter(version: str) -> str | None:
    """Return a Python of this version that starts, on the path or where pyenv keeps its own."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    kept = sorted(pyenv.glob(f"versions/{version}.*/bin/python"))
    for candidate in filter(None, [shutil.which(f"python{version}"), *map(str, kept)]):
        if subprocess.run([candidate, "-c", ""], capture_output=True, check=False).returncode == 0:
            return candidate
    return None


@pytest.mark.parametrize("version", ["3.12", "3.13"])
def test_the_rooms_without_torch_run_on(version, tmp_path):
    python = interpreter(version)
    if python is None:
        pytest.skip(f"Python {version} is not here")
    subprocess.run([python, "-m", "venv", str(tmp_path / "venv")], check=True)
    python = str(tmp_path / "venv" / "bin" / "python")
    install = ["-m", "pip", "install", "-q", "--only-binary", ":all:"]
    pins = ["-c", str(ROOT / "constraints.txt")]
    got = subprocess.run([python, *install, *pins, *NEEDED], capture_output=True, text=True)
    if got.returncode:
        pytest.skip(f"its packages cannot be had: {got.stderr.strip().splitlines()[-1]}")
    tour = subprocess.run(
        [python, "-c", TOUR],
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
    )
    assert tour.returncode == 0, tour.stderr
    assert tour.stdout.startswith("toured")
