"""A file imports only from floors below its own, and never from another room of its floor."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "src" / "deixis"

FLOORS = [  # ground first; the names are the package's folders and top-level files
    {"errors"},
    {"extras"},
    {"config", "structures", "nn"},
    {"scenes", "data", "metrics", "viz"}
    | {"processing", "relation", "prompting", "language", "decoding"},
    {"models"},
    {"reasoning", "training"},
    {"evaluation", "curation", "serving", "conversion"},
    {"cli"},
]
FLOOR = {room: i for i, rooms in enumerate(FLOORS) for room in rooms}
TORCH_FREE = {"errors", "extras", "config", "structures", "scenes", "data", "metrics", "viz"}
STATIONS = {"nn", "relation", "prompting", "language", "decoding"}  # these know tensors only
LONGEST_FILE = 420


def imports(path: Path) -> set[str]:
    """Dotted names that a file imports, wherever in the file the import stands."""
    nodes = list(ast.walk(ast.parse(path.read_text())))
    plain = {alias.name for n in nodes if isinstance(n, ast.Import) for alias in n.names}
    return plain | {
        "." * n.level + (n.module or "")
        for n in nodes
        if isinstance(n, ast.ImportFrom) and [a.name for a in n.names] != ["__version__"]
    }


FILES = [p for p in ROOT.rglob("*.py") if p.parent != ROOT or p.stem != "__init__"]
each_file = pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))


@each_file
def test_imports_only_from_below(path):
    room = path.relative_to(ROOT).parts[0].removesuffix(".py")
    for name in imports(path):
        assert not name.startswith("."), f"{room}: write absolute imports"
        assert name != "deixis", f"{room}: import the file, not the package's face"
        if name.startswith("deixis."):
            other = name.split(".")[1]
            assert other == room or FLOOR[other] < FLOOR[room], f"{room} may not import {other}"
            assert room not in STATIONS or other != "structures", f"{room} knows tensors only"
        heavy = name.split(".")[0] in {"torch", "transformers"}
        assert room not in TORCH_FREE or not heavy, f"{room} is torch-free"
        assert name.split(".")[0] != "torchvision", "never torchvision: house section 8"


@each_file
def test_a_file_fits_its_page(path):
    assert len(path.read_text().splitlines()) <= LONGEST_FILE


@pytest.mark.parametrize("path", sorted(ROOT.rglob("__init__.py")), ids=lambda p: p.parent.name)
def test_faces_of_rooms_are_empty(path):
    has_face = {ROOT, ROOT / "cli"}  # the public names, and the door that pyproject.toml opens
    assert path.parent in has_face or not path.read_text()


def test_the_nouns_are_lent_without_torch():
    code = (
        "import sys, deixis; deixis.ImageSet, deixis.Point, deixis.Sample, deixis.GroundedAnswer;"
        "print(sorted({'torch', 'transformers', 'pydantic', 'scipy', 'PIL', 'pycocotools'} "
        "& set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_no_file_imports_itself_on_any_way_round():
    """Imports inside functions count as well: a circle of files is one file in pieces."""
    named = {"deixis." + ".".join(p.relative_to(ROOT).with_suffix("").parts): p for p in FILES}
    below = {name: imports(path) & named.keys() for name, path in named.items()}
    while ends := {name for name, others in below.items() if not others & below.keys()}:
        below = {name: others for name, others in below.items() if name not in ends}
    assert not below, f"these import each other in a circle, or such files: {sorted(below)}"
