"""Keeps what a run has done so far on disk, so that a killed run goes on where it stopped.

One JSON line per finished question. A line that was cut by the kill is dropped.
"""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, TextIO

from deixis.errors import ConfigError, DataError
from deixis.structures.answers import GroundedAnswer
from deixis.structures.logits import MaskLogits
from deixis.structures.samples import Sample
from deixis.structures.wire import answer_from_json, answer_to_json

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
        """Write the report and, beside it, all answers, each whole or not at all.

        Answers are lines as `deixis ask --batch` writes them, with the sample's index and id. Then
        the journal is removed.
        """
        assert self.path is not None
        names = [case["id"] for case in report["cases"]]
        with self.path.open(encoding="utf-8") as file, drafting(answers_beside(out)) as answers:
            next(file)  # the header
            for line in file:
                row = json.loads(line)
                if row["key"].isdigit():  # not one that was asked again in another order
                    index = int(row["key"])
                    said = {"index": index, "id": names[index], **row["answer"]["said"]}
                    answers.write(json.dumps(said) + "\n")
        write_json(out, report)
        self.path.unlink(missing_ok=True)

    def _write(self, rows: Sequence[Row]) -> None:
        assert self.path is not None
        with self.path.open("a", encoding="utf-8") as file:
            file.writelines(json.dumps(row) + "\n" for row in rows)
            file.flush()
            os.fsync(file.fileno())


def to_row(answer: GroundedAnswer, sample: Sample) -> Row:
    """Return an answer as it is kept: as JSON, and what was drawn where that is known."""
    row: Row = {"said": answer_to_json(answer, sample.images)}
    if answer.drawn is not None:
        row["drawn"] = list(answer.drawn)
    if answer.logits is not None:
        row["logits"] = [one.to_json() for one in answer.logits]
    return row


def from_row(row: Row, sample: Sample) -> GroundedAnswer:
    """Read what `to_row` wrote.

    Raises:
        DataError: it is something else, or about other images.
    """
    if not isinstance(row, dict) or "said" not in row:
        raise DataError("a kept answer: expected what was said, got other JSON. Delete the file.")
    answer = answer_from_json(row["said"], sample.images)
    if row.get("drawn") is not None:
        answer = replace(answer, drawn=tuple(map(bool, row["drawn"])))
    if row.get("logits") is None:
        return answer
    return replace(answer, logits=tuple(MaskLogits.from_json(one) for one in row["logits"]))


def answers_beside(report: Path) -> Path:
    """Return where the answers of a report are."""
    return report.with_name(f"{report.stem}.answers.jsonl")


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write a JSON file whole or not at all."""
    with drafting(path) as file:
        json.dump(value, file, indent=2)
        file.write("\n")


@contextmanager
def drafting(path: Path) -> Iterator[TextIO]:
    """Lend a file that becomes ``path`` when all is written to it, and nothing if that fails."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.draft")
    try:
        with draft.open("w", encoding="utf-8") as file:
            yield file
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
