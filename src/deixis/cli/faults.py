"""What goes wrong on the command line: one sentence on stderr and an exit code, no traceback."""

import errno
import io
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from deixis.errors import DeixisError

BAD = 2  # what a person can put right
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
LOCKED = (errno.EACCES, errno.EPERM, errno.EROFS)


def run(command: Callable[[], object]) -> None:
    """Call a command and leave the program with its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    code: object = 0
    try:
        with explained():
            try:
                command()
            except SystemExit as leaving:
                code = leaving.code
            sys.stdout.flush()
    except SystemExit as leaving:
        code = leaving.code
        _drop_stdout()
    sys.exit(code)  # type: ignore[arg-type]


@contextmanager
def explained() -> Iterator[None]:
    """Turn errors that a person can do something about into a sentence and exit code 2."""
    try:
        yield
    except BrokenPipeError:
        sys.exit(1)
    except (DeixisError, OSError, MemoryError, RuntimeError) as error:
        sentence = describe(error)
        if sentence is None:
            raise
        say(sentence)
        sys.exit(BAD)


def describe(error: BaseException) -> str | None:
    """Return what a person should read about an error; None: it is a fault of our own."""
    if isinstance(error, DeixisError):
        return " ".join(str(error).split())
    if isinstance(error, MemoryError) or _is_memory(error):
        return (
            "memory: expected enough for these images, got none left. "
            "Ask about fewer or smaller images, or close other programs."
        )
    if isinstance(error, OSError):
        return _describe_file(error)
    return None


def say(sentence: str) -> None:
    """Write one line to stderr."""
    print(f"deixis: {sentence}", file=sys.stderr, flush=True)


def _describe_file(error: OSError) -> str:
    place = error.filename if isinstance(error.filename, str) else "output"
    if error.errno in FULL:
        return (
            f"{place}: expected room to write, got a full disk (or a limit on file sizes). "
            f"Free some space and run it again; nothing half-written was kept."
        )
    if error.errno in LOCKED:
        return (
            f"{place}: expected a place that may be written and read, got no permission. "
            f"Choose another one."
        )
    reason = error.strerror or str(error) or type(error).__name__
    return f"{place}: expected a path that can be read and written, got: {reason}. Check the path."


def _is_memory(error: BaseException) -> bool:
    """Say whether torch has run out of memory; known without importing torch."""
    text = str(error)
    return type(error).__name__ == "OutOfMemoryError" or "can't allocate memory" in text


def _drop_stdout() -> None:
    """Send what could not be written nowhere, so that leaving does not fail once more."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
