"""Writes files so that nobody ever finds a half-written one."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from deixis.errors import DataError


def write_whole(path: Path | str, content: str | bytes) -> None:
    """Write a file beside its place and move it there, so that it is whole or as it was.

    Raises:
        DataError: the folder is missing or not writable, or the disk is full.
    """
    path = Path(path)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        draft.write_bytes(content.encode() if isinstance(content, str) else content)
        draft.replace(path)
    except OSError as error:
        with suppress(OSError):
            draft.unlink()
        raise DataError(
            f"{path}: expected a place that can be written to, got: {error.strerror}. "
            f"Choose another folder, or make room."
        ) from error


@contextmanager
def whole_file(path: Path | str) -> Iterator[TextIO]:
    """Lend a text file that is moved to its place at the end, or is gone if anything goes wrong.

    Raises:
        DataError: the folder is missing or not writable, or the disk is full.
    """
    path = Path(path)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with draft.open("w", encoding="utf-8") as file:
            yield file
        draft.replace(path)
    except OSError as error:
        raise DataError(
            f"{path}: expected a place that can be written to, got: {error.strerror}. "
            f"Choose another folder, or make room."
        ) from error
    finally:
        with suppress(OSError):
            draft.unlink()
