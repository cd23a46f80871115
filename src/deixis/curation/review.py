"""Records for a person to accept or reject: one static page with pictures, masks and questions.

The page keeps decisions in the browser and hands them out as ``decisions.json``; ``accepted``
writes the records that were accepted, or that nobody has rejected.
"""

import base64
import html
import io
import json
import os
from pathlib import Path
from typing import Any

from deixis.config import expected_one_of
from deixis.data.m4seg import Owners, open_m4seg, picture_path
from deixis.errors import DataError
from deixis.structures.files import whole_file, write_whole
from deixis.structures.samples import Sample
from deixis.structures.wire import sample_to_json, to_line
from deixis.viz.overlay import card

DECISIONS = ("accept", "reject")
QUALITY = 80  # of the page's pictures
PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>M4Seg review</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; margin: 1.5rem auto; max-width: 70rem;
  padding: 0 1rem; color: #1c1e26; background: #eef0f4 }}
article {{ background: #fff; border-radius: 10px; margin: 1rem 0; padding: 1rem }}
article.accept {{ outline: 3px solid #2a9d58 }} article.reject {{ outline: 3px solid #c0392b }}
img {{ max-width: 100% }} button {{ font: inherit; padding: .3rem 1rem; margin-right: .5rem }}
</style></head><body><h1>M4Seg review</h1>
<p><button id="save">Save decisions</button> <span id="count"></span></p>
{articles}
<script>
const key = "m4seg:" + {name};
const made = JSON.parse(localStorage.getItem(key) || "{{}}");
function show() {{
  for (const one of document.querySelectorAll("article")) one.className = made[one.id] || "";
  document.getElementById("count").textContent = Object.keys(made).length + " decided";
  localStorage.setItem(key, JSON.stringify(made));
}}
document.body.addEventListener("click", event => {{
  const choice = event.target.dataset.choice;
  if (choice) {{ made[event.target.closest("article").id] = choice; show(); }}
}});
document.getElementById("save").addEventListener("click", () => {{
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([JSON.stringify(made)], {{type: "application/json"}}));
  link.download = "decisions.json"; link.click();
}});
show();
</script></body></html>
"""


def write_page(root: Path, split: str, file: Path, out: Path, *, count: int) -> int:
    """Write the page of the first records; return how many it shows.

    Raises:
        DataError: no records, or an image is missing.
    """
    data = open_m4seg(root, split, file=file)
    if data.rejected:  # numbers on the page are places in the file
        raise DataError(f"{file}: expected whole records only, got {data.rejected[0]}")
    shown = min(count, len(data.samples))
    articles = "\n".join(_article(number, data.samples[number]) for number in range(shown))
    write_whole(out, PAGE.format(articles=articles, name=json.dumps(file.name)))
    return shown


def accepted(file: Path, decisions: Path, out: Path) -> tuple[int, int]:
    """Write the records that nobody has rejected; return how many stay and how many go.

    Raises:
        DataError: a file is broken, or a decision about a record that is not there.
    """
    records, made = _read(file, list), _read(decisions, dict)
    for number, choice in made.items():
        if not number.isdecimal() or int(number) >= len(records):
            raise DataError(
                f"{decisions}: expected records 0 to {len(records) - 1}, got {number!r}. "
                f"Are these decisions about {file.name}?"
            )
        if choice not in DECISIONS:
            raise DataError(f"{decisions}: {number}: {expected_one_of(DECISIONS, str(choice))}")
    kept = [r for number, r in enumerate(records) if made.get(str(number)) != "reject"]
    write_whole(out, "[\n" + ",\n".join(json.dumps(record) for record in kept) + "\n]\n")
    return len(kept), len(records) - len(kept)


def write_jsonl(root: Path, split: str, file: Path, out: Path) -> int:
    """Write the records as our own samples, images named relative to ``out``; return how many.

    Raises:
        DataError: no records, or an image is missing.
    """
    data, owners = open_m4seg(root, split, file=file), Owners(root, split)
    with whole_file(out) as lines:
        for number, record in enumerate(data.records):
            names = [owners.file(record.source, image) for image in record.images]
            paths = [picture_path(root, record.source, name) for name in names]
            relative = [os.path.relpath(path, out.parent) for path in paths]
            line = sample_to_json(data.samples[number], relative)
            lines.write(to_line(line) + "\n")
    return len(data.samples)


def _article(number: int, sample: Sample) -> str:
    """Return the piece of the page about one record."""
    assert sample.answer is not None
    buffer = io.BytesIO()
    card(sample, sample.answer).convert("RGB").save(buffer, "JPEG", quality=QUALITY)
    picture = base64.b64encode(buffer.getvalue()).decode()
    buttons = "".join(f'<button data-choice="{d}">{d.title()}</button>' for d in DECISIONS)
    said = html.escape(sample.question.text)
    return (
        f'<article id="{number}"><h2>{number}. {said}</h2>'
        f'<img alt="{said}" src="data:image/jpeg;base64,{picture}">'
        f"<p>{html.escape(sample.answer.text)}</p><p>{buttons}</p></article>"
    )


def _read(path: Path, kind: type) -> Any:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: expected JSON, got: {error}. Check the path.") from error
    if not isinstance(value, kind):
        raise DataError(f"{path}: expected a {kind.__name__}, got a {type(value).__name__}.")
    return value
