"""One published layout and what a conversion makes of it, shared by the files beside it."""

from copy import deepcopy
from pathlib import Path

import pytest
from layouts import Layout

from deixis.conversion.convert import convert


@pytest.fixture(scope="session")
def made() -> Layout:
    return Layout()


@pytest.fixture
def layout(made) -> Layout:
    """A copy that may be changed."""
    return deepcopy(made)


@pytest.fixture(scope="session")
def converted(made, tmp_path_factory) -> Path:
    """The published layout with a tower apart, converted."""
    folder = tmp_path_factory.mktemp("converted")
    made.write(folder / "published")
    made.write_tower(folder / "clip")
    convert(str(folder / "published"), folder / "ours", "pixellm", str(folder / "clip"))
    return folder / "ours"
