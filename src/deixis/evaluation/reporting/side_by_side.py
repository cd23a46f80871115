"""What changed between two reports as one HTML page: figures, and answers drawn side by side."""

import base64
import json
from collections.abc import Mapping, Sequence
from html import escape
from io import BytesIO
from pathlib import Path
from typing import Any

from deixis.errors import DataError
from deixis.evaluation.answering.predictions import LISTED
from deixis.evaluation.reporting.pages import STYLE, table
from deixis.evaluation.running.journal import answers_beside
from deixis.structures.answers import GroundedAnswer
from deixis.structures.files import write_whole
from deixis.structures.samples import Sample
from deixis.structures.wire import answer_from_json

QUALITY = 88  # of the pictures, JPEG


def write_side_by_side(
    out: Path,
    found: Mapping[str, Any],
    reports: Sequence[Path],
    samples: Sequence[Sample],
) -> None:
    """Write the page of a comparison, whole or not at all.

    Args:
        out: the page.
        found: what `deixis.evaluation.reporting.comparing.compare` returned.
        reports: the two reports; their answers stand beside them.
        samples: what was asked.

    Raises:
        DataError: answers are missing, or of other samples.
    """
    rows = found["changed"]
    indices = {row["index"] for row in rows}
    said = [_answers(answers_beside(Path(path)), indices) for path in reports]
    parts = [f"<h1>{escape(' and '.join(found['models']))}</h1>", "<h2>Figures</h2>"]
    parts.append(table(_figures(found)))
    parts.append(f"<h2>What changed most ({len(rows)} samples)</h2>")
    for row in rows:
        sample = _sample(samples, row, reports[0])
        answers = [_answer(one, row, sample, path) for one, path in zip(said, reports, strict=True)]
        parts += [f"<h3>{escape(str(row['id']))}</h3>", _pictures(sample, answers, row, found)]
    head = f'<meta charset="utf-8"><title>Compared</title><style>{STYLE}img{{max-width:100%}}'
    body = "".join(parts)
    write_whole(
        out, f'<!doctype html><html lang="en"><head>{head}</style></head><body>{body}</body></html>'
    )


def _figures(found: Mapping[str, Any]) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = [("figure", *found["models"], "difference", "95 % interval", "")]
    for name, one in found["figures"].items():
        low, high = one["interval"]
        values = [f"{one[key]:.4f}" for key in ("first", "second", "difference")]
        word = "differs" if one["differs"] else ""
        rows.append((name, *values, f"{low:.4f} to {high:.4f}", word))
    return rows


def _pictures(
    sample: Sample,
    answers: Sequence[GroundedAnswer],
    row: Mapping[str, Any],
    found: Mapping[str, Any],
) -> str:
    """Return both answers and the truth, drawn beside each other."""
    from deixis.viz.overlay import contact_sheet

    shown, titles = list(answers), []
    for model, key in zip(found["models"], ("first", "second"), strict=True):
        titles.append(f"{model}: {row[key]:.2f}")
    if sample.answer is not None:
        shown.append(sample.answer)
        titles.append("truth")
    sheet = contact_sheet([sample] * len(shown), shown, columns=len(shown), titles=titles)
    content = BytesIO()
    sheet.convert("RGB").save(content, "JPEG", quality=QUALITY)
    text = base64.b64encode(content.getvalue()).decode("ascii")
    return f'<img alt="{escape(", ".join(titles))}" src="data:image/jpeg;base64,{text}">'


def _answers(path: Path, indices: set[int]) -> dict[int, tuple[int, dict[str, Any]]]:
    """Return the lines of some answers by the index of their sample."""
    if not path.is_file():
        raise DataError(
            f"{path}: expected the answers that are written beside a report, got none. "
            f"Evaluate again with --out, or leave out --out here."
        )
    found = {}
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            try:
                row = json.loads(line)
                if row["index"] in indices:
                    found[int(row["index"])] = (number, row)
            except (ValueError, LookupError, TypeError, RecursionError) as error:
                raise DataError(
                    f"{path}:{number}: expected an answer, got {line[:40]!r}."
                ) from error
    return found


def _answer(
    lines: Mapping[int, tuple[int, dict[str, Any]]],
    row: Mapping[str, Any],
    sample: Sample,
    report: Path,
) -> GroundedAnswer:
    where = answers_beside(Path(report))
    if row["index"] not in lines:
        raise DataError(f"{where}: expected an answer to {row['id']}, got none. Evaluate again.")
    number, said = lines[row["index"]]
    value = {key: part for key, part in said.items() if key not in LISTED}
    return answer_from_json(value, sample.images, where=f"{where}:{number}")


def _sample(samples: Sequence[Sample], row: Mapping[str, Any], report: Path) -> Sample:
    sample = samples[row["index"]] if row["index"] < len(samples) else None
    if sample is None or sample.id != row["id"]:
        raise DataError(
            f"{report}: expected sample {row['index']} to be {row['id']}, got "
            f"{sample.id if sample else 'none'}. Give the data that was evaluated."
        )
    return sample
