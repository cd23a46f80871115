"""Calls the command line, here or in a process of its own, and says how it ended."""

import io
import subprocess
import sys
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import pytest

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
