"""Writes files so that nobody ever finds a half-written one."""

import os
import tempfile
from contextlib import suppress
from pathlib import Path

from deixis.errors import DataError


def write_whole(path: Path | str, content: str | bytes) -> None:
    """Write a file beside its place and move it there, so that it is whole or as it was.

    Raises:
        DataError: the folder is missing or not writable, or the disk is full.
    """
    path = Path(path)
    data = content.encode() if isinstance(content, str) else content
    unfinished = None
    try:
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".", delete=False) as file:
            unfinished = Path(file.name)
            file.write(data)
        unfinished.chmod(0o666 & ~_umask())
        unfinished.replace(path)
    except OSError as error:
        if unfinished:
            with suppress(OSError):
                unfinished.unlink()
        raise DataError(
            f"{path}: expected a place that can be written to, got: {error.strerror}. "
            f"Choose another folder, or make room."
        ) from error


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
