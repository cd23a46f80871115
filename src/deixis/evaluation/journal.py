"""Keeps what a run has done so far on disk, so that a killed run goes on where it stopped.

One JSON line per finished question. A line that was cut by the kill is dropped.
"""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from deixis.errors import ConfigError, DataError

Row = dict[str, Any]


class Journal:
    """Lines beside a report that is not finished yet; without a path nothing is kept.

    Raises:
        ConfigError: the file belongs to another run.
        DataError: a line in its middle is broken.
    """

    def __init__(self, path: Path | None, header: Mapping[str, Any]) -> None:
        self.path = path
        self.rows: dict[str, Row] = {}
        if path is None:
            return
        kept = _whole_lines(path)
        if kept:
            _check_header(path, kept[0], header)
            self.rows = {row["key"]: row for row in kept[1:]}
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._write([dict(header)])

    def append(self, rows: Sequence[Row]) -> None:
        """Add finished rows; when this returns they are on the disk."""
        if self.path is not None:
            self._write(rows)
        self.rows.update((row["key"], row) for row in rows)

    def finish(self, out: Path, report: Mapping[str, Any]) -> None:
        """Write the report whole or not at all, then remove the journal."""
        write_json(out, report)
        if self.path is not None:
            self.path.unlink(missing_ok=True)

    def _write(self, rows: Sequence[Row]) -> None:
        assert self.path is not None
        with self.path.open("a", encoding="utf-8") as file:
            file.writelines(json.dumps(row) + "\n" for row in rows)
            file.flush()
            os.fsync(file.fileno())


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write a JSON file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.draft")
    try:
        with draft.open("w", encoding="utf-8") as file:
            json.dump(value, file, indent=2)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)


def _whole_lines(path: Path) -> list[Row]:
    """Return the lines of a journal and cut off a last one that was not finished."""
    if not path.exists():
        return []
    text = path.read_bytes()
    whole = text[: text.rfind(b"\n") + 1]
    if len(whole) < len(text):
        os.truncate(path, len(whole))
    rows = []
    for number, line in enumerate(whole.splitlines(), start=1):
        try:
            rows.append(json.loads(line))
        except ValueError as error:
            raise DataError(
                f"{path}:{number}: expected one JSON value, got {line[:40]!r}. "
                f"Delete the file to start again."
            ) from error
    return rows


def _check_header(path: Path, found: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    for key in sorted({*found, *wanted}):
        if found.get(key) != wanted.get(key):
            raise ConfigError(
                f"{path}: expected the beginnings of this run ({key} {wanted.get(key)!r}), "
                f"got {key} {found.get(key)!r}. Delete the file, or write the report elsewhere."
            )
