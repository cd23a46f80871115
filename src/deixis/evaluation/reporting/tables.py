"""A report as Markdown: what was measured, and beside it what papers have published.

Published numbers are of specs and papers as named; they are never mixed with measured ones.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from deixis.evaluation.reporting.figures_published import PUBLISHED, Figure
from deixis.structures.files import write_whole

SAID = (  # of a report's configuration
    *("split", "protocol", "says", "asked", "similarity", "logits", "judge", "METEOR and CIDEr"),
    *("fingerprint", "deixis"),
)


def markdown_rows(report: Mapping[str, Any]) -> list[tuple[str, list[tuple[str, ...]]]]:
    """Return a report's tables by title: setting, measured, kinds, failures, published."""
    setting = report["configuration"]
    said = [("setting", "value")]
    said += [(name, str(setting[name])) for name in SAID if setting.get(name)]
    said.append(("samples", str(report["samples"])))
    measured: list[tuple[str, ...]] = [("figure", "value", "95 % interval")]
    for name, value in report["metrics"].items():
        ends = report["intervals"].get(name)
        between = f"{ends[0]:.4f} to {ends[1]:.4f}" if ends else ""
        measured.append((name, f"{value:.4f}", between))
    tables: list[tuple[str, list[tuple[str, ...]]]] = [("Setting", [*said]), ("Measured", measured)]
    if len(report["by_type"]) > 1:
        kinds: list[tuple[str, ...]] = [("kind", "samples", "figures")]
        for kind, values in report["by_type"].items():
            figures = ", ".join(f"{name} {value:.4f}" for name, value in values.items())
            kinds.append((kind, str(report["counts"][kind]), figures))
        tables.append(("By kind", kinds))
    if report["failures"]:
        counted = [(name, str(count)) for name, count in report["failures"].items()]
        tables.append(("Failures of the published code", [("failure", "samples"), *counted]))
    found = PUBLISHED.get((setting["benchmark"], setting["split"]))
    if found is not None:
        unit = "of 5" if setting["benchmark"] == "videorefer-d" else "in percent"
        tables.append((f"Published ({unit}; not measured here)", _published(found)))
    return tables


def _published(found: Sequence[Figure]) -> list[tuple[str, ...]]:
    """Return a row for each system, a column for each figure that any of them has."""
    figures = list(dict.fromkeys(one.figure for one in found))
    rows: dict[tuple[str, str], dict[str, str]] = {}
    for one in found:
        rows.setdefault((one.system, one.source), {})[one.figure] = f"{one.value:g}"
    return [("system", *figures, "read in")] + [
        (system, *(values.get(figure, "") for figure in figures), source)
        for (system, source), values in rows.items()
    ]


def markdown(report: Mapping[str, Any]) -> str:
    """Return a report as Markdown: setting, figures with intervals, kinds, published numbers."""
    setting = report["configuration"]
    lines = [f"# {setting['model']} on {setting['benchmark']}"]
    for title, (head, *rows) in markdown_rows(report):
        lines += ["", f"## {title}", "", f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
        lines += [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join(lines) + "\n"


def write_markdown(path: Path, report: Mapping[str, Any]) -> None:
    """Write a report's Markdown, whole or not at all."""
    write_whole(path, markdown(report))
