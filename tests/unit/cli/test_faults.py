"""Errors become one sentence; faults of our own keep their traceback."""

import errno

import pytest

from deixis.cli.faults import describe, explained
from deixis.errors import DataError


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (DataError("x: expected 1, got 2.\nDo 3."), "x: expected 1, got 2. Do 3."),
        (OSError(errno.ENOSPC, "No space", "out/a.png"), "out/a.png: expected room to write"),
        (OSError(errno.EFBIG, "File too large"), "output: expected room to write"),
        (PermissionError(errno.EACCES, "Denied", "/x"), "/x: expected a place that may be"),
        (FileNotFoundError(errno.ENOENT, "No such file", "m"), "m: expected a path that can"),
        (MemoryError(), "memory: expected enough for these images"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), "memory: expected enough"),
    ],
)
def test_an_error_is_said_in_one_line(error, words, capsys):
    with pytest.raises(SystemExit) as leaving, explained():
        raise error
    said = capsys.readouterr().err
    assert leaving.value.code == 2
    assert said.startswith(f"deixis: {words}")
    assert said.count("\n") == 1


def test_a_fault_of_our_own_keeps_its_traceback():
    assert describe(RuntimeError("index out of range")) is None
    with pytest.raises(ZeroDivisionError), explained():
        raise ZeroDivisionError
