"""The command line, here or in a process of its own, and a small untrained model for it."""

import io
import subprocess
import sys
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import pytest
from PIL import Image

from deixis.scenes.questions import make_sample

# runs the command and says on the last line of stderr whether torch was imported for it
RUNNER = """
import sys
from deixis.cli import main
try:
    main()
finally:
    sys.stderr.write(f"\\ntorch={'torch' in sys.modules}")
"""


@dataclass(frozen=True)
class Run:
    """How a command ended."""

    code: int
    out: str
    err: str
    torch: bool


def run(*arguments: str | bytes | Path, prepare: Callable[[], None] | None = None, **how) -> Run:
    """Run `deixis` with these arguments; ``prepare`` is called in the new process."""
    words = [one if isinstance(one, bytes) else str(one) for one in arguments]
    done = subprocess.run(
        [sys.executable, "-B", "-c", RUNNER, *words],
        capture_output=True,
        text=True,
        preexec_fn=prepare,
        timeout=300,
        **how,
    )
    said, _, loaded = done.stderr.rpartition("\ntorch=")
    return Run(done.returncode, done.stdout, said, loaded == "True")


def call(*arguments: str | Path, said: str = "") -> Run:
    """Run `deixis` with these arguments in this process, where torch is loaded already."""
    from deixis.cli import main

    out, err, words = io.StringIO(), io.StringIO(), ["deixis", *map(str, arguments)]
    with patch.object(sys, "argv", words), patch.object(sys, "stdin", io.StringIO(said)):
        with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as leaving:
            main()
        return Run(int(leaving.value.code or 0), out.getvalue(), err.getvalue(), True)


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory) -> Path:
    """The folder of an untrained `deixis_tiny`."""
    import torch

    from deixis.models.deixis import DeixisModel
    from deixis.models.deixis_config import deixis_tiny
    from deixis.processing.deixis import DeixisProcessor

    folder = tmp_path_factory.mktemp("tiny")
    samples = [make_sample("train", task, 0, i) for task in ("refer", "multi") for i in range(20)]
    texts = [text for s in samples for text in (s.question.text, s.answer.text)]
    torch.manual_seed(0)
    config = deixis_tiny()
    processor = DeixisProcessor.from_texts(config, texts)
    DeixisModel(config).save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def picture(tmp_path_factory) -> Path:
    """A picture of a scene, 128 px."""
    path = tmp_path_factory.mktemp("picture") / "scene.png"
    Image.fromarray(make_sample("test", "refer", 3, 0).images[0].pixels).save(path)
    return path


@pytest.fixture(scope="session")
def clip(tmp_path_factory) -> Path:
    """A GIF of a clip of a scene."""
    path = tmp_path_factory.mktemp("clip") / "clip.gif"
    frames = [Image.fromarray(f.pixels) for f in make_sample("test", "clip", 3, 0).images]
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=100)
    return path
