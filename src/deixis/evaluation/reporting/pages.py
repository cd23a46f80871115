"""A report as one HTML page without any other file: figures, a histogram, a curve, worst cases."""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from deixis.evaluation.reporting.tables import markdown_rows
from deixis.structures.files import write_whole

BINS = 20
WORST = 25
WIDTH, HEIGHT, EDGE = 420, 160, 24  # of a drawing, in pixels
STYLE = """body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;
color:#1b1f24}table{border-collapse:collapse;margin:1rem 0}td,th{border-bottom:1px solid #d5d9de;
padding:.25rem .75rem;text-align:left}td.n{text-align:right;font-variant-numeric:tabular-nums}
figure{display:inline-block;margin:0 1.5rem 1rem 0}figcaption{color:#57606a;font-size:13px}"""


def page(report: Mapping[str, Any], pictures: Sequence[Path] = ()) -> str:
    """Return a report as HTML; ``pictures`` (PNG) of worst and best cases become part of it."""
    setting = report["configuration"]
    title = escape(f"{setting['model']} on {setting['benchmark']}")
    scores = np.array([case["score"] for case in report["cases"]], dtype=np.float64)
    top = 1.0 if not scores.size or scores.max() <= 1 else 100.0
    parts = [f"<h1>{title}</h1>"]
    for name, rows in markdown_rows(report):
        parts += [f"<h2>{escape(name)}</h2>", table(rows)]
    parts += ["<h2>Scores of samples</h2>", _histogram(scores, top), _curve(scores, top)]
    for name, values in by_figure(report).items():
        most = max(1.0, float(np.ceil(values.max())))
        parts += [f"<h3>{escape(name)}</h3>", _histogram(values, most), _curve(values, most)]
    parts += ["<h2>Worst cases</h2>", _worst(report["cases"])]
    parts += [_drawn(path) for path in sorted(pictures, key=lambda p: (p.stem[0] == "b", p.stem))]
    head = f'<meta charset="utf-8"><title>{title}</title><style>{STYLE}</style>'
    return f'<!doctype html><html lang="en"><head>{head}</head><body>{"".join(parts)}</body></html>'


def write_page(path: Path, report: Mapping[str, Any], pictures: Sequence[Path] = ()) -> None:
    """Write a report's page, whole or not at all."""
    write_whole(path, page(report, pictures))


def by_figure(report: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Return the values (N,) of each figure that single samples have: quotients of their sums."""
    found: dict[str, list[float]] = {}
    for case in report["cases"]:
        for name, (top, bottom) in case["sums"].items():
            if bottom and name in report["metrics"]:
                found.setdefault(name, []).append(top / bottom)
    return {name: np.array(values) for name, values in sorted(found.items())}


def _drawn(path: Path) -> str:
    """Return a picture of a case as a figure; its name says whether it is a worst or a best one."""
    text = b64encode(path.read_bytes()).decode("ascii")
    name = path.stem.replace("_", " ")
    return (
        f'<figure><img alt="{name}" style="max-width:100%" src="data:image/png;base64,{text}">'
        f"<figcaption>{name}</figcaption></figure>"
    )


def table(rows: Sequence[Sequence[str]]) -> str:
    """Return rows, the first of which is the head, as HTML."""
    head, *rest = rows
    lines = ["<tr>" + "".join(f"<th>{escape(cell)}</th>" for cell in head) + "</tr>"]
    for row in rest:
        cells = (f'<td class="{"n" if i else "t"}">{escape(c)}</td>' for i, c in enumerate(row))
        lines.append(f"<tr>{''.join(cells)}</tr>")
    return f"<table>{''.join(lines)}</table>"


def _histogram(scores: np.ndarray, top: float) -> str:
    counts, _ = np.histogram(scores, bins=BINS, range=(0, top))
    most, step = max(int(counts.max()), 1), (WIDTH - 2 * EDGE) / BINS
    bars = []
    for i, count in enumerate(counts.tolist()):
        high = (HEIGHT - 2 * EDGE) * count / most
        bars.append(
            f'<rect x="{EDGE + i * step:.1f}" y="{HEIGHT - EDGE - high:.1f}" '
            f'width="{step - 1:.1f}" height="{high:.1f}" fill="#3b6ea5">'
            f"<title>{count}</title></rect>"
        )
    return _drawing("".join(bars), top, f"How many samples have which score; at most {most}.")


def _curve(scores: np.ndarray, top: float) -> str:
    """Draw the share of samples whose score is at least x."""
    at = np.linspace(0, top, 101)
    shares = [float((scores >= x).mean()) if scores.size else 0.0 for x in at]
    points = " ".join(
        f"{EDGE + (WIDTH - 2 * EDGE) * x / top:.1f},"
        f"{HEIGHT - EDGE - (HEIGHT - 2 * EDGE) * share:.1f}"
        for x, share in zip(at.tolist(), shares, strict=True)
    )
    line = f'<polyline points="{points}" fill="none" stroke="#b3471d" stroke-width="2"/>'
    says = f"Share of samples whose score is at least so much, from 0 to {top:g}."
    return _drawing(line, top, says)


def _drawing(inside: str, top: float, caption: str) -> str:
    low = HEIGHT - EDGE
    axis = f'<path d="M{EDGE} {EDGE}V{low}H{WIDTH - EDGE}" fill="none" stroke="#57606a"/>'
    ends = (
        f'<text x="{EDGE}" y="{HEIGHT - 6}" font-size="11">0</text>'
        f'<text x="{WIDTH - EDGE}" y="{HEIGHT - 6}" font-size="11" text-anchor="end">{top:g}</text>'
    )
    box = f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" role="img">'
    return f"<figure>{box}{inside}{axis}{ends}</svg><figcaption>{caption}</figcaption></figure>"


def _worst(cases: Sequence[Mapping[str, Any]]) -> str:
    found = sorted(cases, key=lambda case: case["score"])[:WORST]
    rows = [("sample", "kind", "score")]
    rows += [(str(c["id"]), str(c["type"]), f"{c['score']:.4f}") for c in found]
    return table(rows)
