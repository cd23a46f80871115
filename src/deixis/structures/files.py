"""Writes files so that nobody ever finds a half-written one."""

import os
from contextlib import suppress
from pathlib import Path

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
