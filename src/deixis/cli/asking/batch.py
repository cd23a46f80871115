"""`deixis ask --batch`: a file of requests -> a file of answers, resumable line by line."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deixis.cli.asking.arguments import Asked, check_settings
from deixis.cli.asking.telling import Settings, document_of, load_reasoner, stdout_kept
from deixis.cli.faults import BAD, say
from deixis.errors import ConfigError, DataError
from deixis.structures.numbering import ordinal

if TYPE_CHECKING:
    from deixis.data.reader import JsonlReader
    from deixis.reasoning.reasoner import Reasoner
    from deixis.structures.samples import Sample

TOGETHER = 8  # requests that run as one batch


def answer_file(requests: Path, asked: Asked, settings: Settings) -> None:
    """Answer every request of a file that has no answer yet.

    Answers go to ``OUT/answers.jsonl``, or beside the file; a request that cannot be used gets a
    line with its error, and the exit code says so at the end.

    Raises:
        ConfigError: other images or prompts beside the file.
        DataError: a file that is missing, or answers of another model.
    """
    if asked.inputs or asked.points or asked.boxes or asked.masks:
        raise ConfigError(
            "--batch: expected images and prompts in the file only, got some as arguments. "
            "Leave them out."
        )
    from deixis.data.reader import JsonlReader

    reader = JsonlReader(requests)
    place = _answers_file(requests, settings.out)
    check_settings(settings.device, settings.dtype, place.parent)
    settings.check()
    names = list(_names(requests))
    done = _done(place)
    waiting = [(i, name) for i, name in enumerate(names) if name not in done]
    failed = 0
    if waiting:
        with stdout_kept():
            reasoner = load_reasoner(settings)
        _check_model_name(place, done, reasoner.name)
        failed = _answer_all(reasoner, reader, waiting, place)
    failed += sum("error" in row for row in done.values())
    print(place)
    if failed:
        say(
            f"{requests}: expected {len(names)} answers, got {failed} errors among them. "
            f"See {place}."
        )
        sys.exit(BAD)


def _answer_all(
    reasoner: Reasoner,
    reader: JsonlReader,
    waiting: Sequence[tuple[int, str]],
    place: Path,
) -> int:
    """Append one line per request; return how many of them are errors."""
    failed = answered = 0
    queue = iter(waiting)
    with place.open("a", encoding="utf-8") as file:
        while chunk := list(islice(queue, TOGETHER)):
            rows = _answer_chunk(reasoner, reader, chunk)
            file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
            file.flush()
            failed += sum("error" in row for row in rows)
            answered += len(rows)
            print(f"\r{answered} of {len(waiting)}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return failed


def _answer_chunk(
    reasoner: Reasoner, reader: JsonlReader, chunk: Sequence[tuple[int, str]]
) -> list[dict[str, Any]]:
    """Return a row for each request, in order: its answer, or why there is none."""
    rows: dict[str, dict[str, Any]] = {}
    samples: dict[str, Sample] = {}
    for index, name in chunk:
        try:
            samples[name] = reader[index].without_answer()
        except DataError as error:
            rows[name] = {"id": name, "error": str(error)}
    with stdout_kept():
        answers = reasoner.answer_batch(list(samples.values())) if samples else []
    for (name, sample), answer in zip(samples.items(), answers, strict=True):
        rows[name] = {"id": name, **document_of(answer, sample.images, reasoner.name)}
    return [rows[name] for _, name in chunk]


def _answers_file(requests: Path, out: Path | None) -> Path:
    if out is None:
        return requests.with_name(f"{requests.stem}.answers.jsonl")
    out.mkdir(parents=True, exist_ok=True)
    return out / "answers.jsonl"


def _names(requests: Path) -> Iterator[str]:
    """Yield the id of every request, or the number of its line where it has none.

    Raises:
        DataError: two requests of one name, which could not be told apart when resuming.
    """
    seen: set[str] = set()
    with requests.open("rb") as file:
        for line, text in enumerate(file):
            if not text.strip():
                continue
            try:
                row = json.loads(text)
            except ValueError:
                row = None
            given = row.get("id") if isinstance(row, dict) else None
            name = str(given or f"line {ordinal(line)}")
            if name in seen:
                raise DataError(
                    f"{requests}:{ordinal(line)}: id: expected one that no other line has, "
                    f'got "{name}" again. Change or leave out the id.'
                )
            seen.add(name)
            yield name


def _done(place: Path) -> dict[str, dict[str, Any]]:
    """Return the answers that are there, and cut off a last line that a kill left unfinished."""
    if not place.exists():
        return {}
    content = place.read_bytes()
    whole = content[: content.rfind(b"\n") + len(b"\n")]
    if whole != content:
        place.write_bytes(whole)
    try:
        rows = [json.loads(line) for line in whole.splitlines() if line.strip()]
        return {row["id"]: row for row in rows}
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{place}: expected answers of an earlier run, got something else. "
            f"Move it away, or choose another --out."
        ) from error


def _check_model_name(place: Path, done: dict[str, dict[str, Any]], name: str) -> None:
    others = {row["model"] for row in done.values() if row.get("model") not in (None, name)}
    if others:
        raise DataError(
            f"{place}: expected answers of {name}, got some of {', '.join(sorted(others))}. "
            f"Choose another --out, or move the file away."
        )
