"""A report as Markdown: what was measured, and beside it what papers have published.

Published numbers are of specs and papers as named; they are never mixed with measured ones.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deixis.structures.files import write_whole

SAID = (  # of a report's configuration
    *("split", "protocol", "says", "similarity", "logits", "judge", "METEOR and CIDEr"),
    *("fingerprint", "deixis"),
)
# benchmark/split: figure, and (system, percent, where it was read); U: UniPixel's README (3B, 7B),
# S1-S3: Sa2VA's paper and model cards, V: VisionReasoner's paper, RV: ReVSeg's, G: GroundMoRe's,
# T and F: summaries of SAMTok and FCLM, VR: VideoRefer's README, VL: VideoLISA's paper
PUBLISHED: Mapping[str, tuple[str, tuple[tuple[str, float, str], ...]]] = {
    "refcoco/val": (
        "ciou",
        (
            ("LISA-7B", 74.1, "S1, V"),
            ("GLaMM-7B", 79.5, "S1"),
            ("Sa2VA-8B", 81.6, "S1"),
            ("UniPixel-3B", 80.5, "U"),
            ("UniPixel-7B", 80.8, "U"),
        ),
    ),
    "refcoco/testA": ("ciou", (("UniPixel-3B", 82.6, "U"), ("UniPixel-7B", 83.0, "U"))),
    "refcoco/testB": ("ciou", (("UniPixel-3B", 76.9, "U"), ("UniPixel-7B", 77.4, "U"))),
    "refcoco+/val": (
        "ciou",
        (
            ("PixelLM-7B", 66.3, "S1, V"),
            ("LISA-7B", 62.4, "S1, V"),
            ("GLaMM-7B", 72.6, "S1"),
            ("Sa2VA-8B", 76.2, "S1"),
            ("UniPixel-3B", 74.3, "U"),
            ("UniPixel-7B", 75.3, "U"),
        ),
    ),
    "refcoco+/testA": ("ciou", (("UniPixel-3B", 78.9, "U"), ("UniPixel-7B", 80.1, "U"))),
    "refcoco+/testB": ("ciou", (("UniPixel-3B", 68.4, "U"), ("UniPixel-7B", 70.0, "U"))),
    "refcocog/val": (
        "ciou",
        (
            ("PixelLM-7B", 69.3, "S1, V"),
            ("LISA-7B", 66.4, "S1, V"),
            ("GLaMM-7B", 74.2, "S1"),
            ("UniPixel-3B", 76.3, "U"),
            ("UniPixel-7B", 76.4, "U"),
        ),
    ),
    "refcocog/test": (
        "ciou",
        (
            ("PixelLM-7B", 70.5, "S1, V"),
            ("UniPixel-3B", 77.0, "U"),
            ("UniPixel-7B", 77.1, "U"),
        ),
    ),
    "reason_seg/val": (
        "giou",
        (
            ("LISA-7B", 44.4, "V"),
            ("Seg-Zero-7B", 62.6, "V"),
            ("UniPixel-3B", 64.0, "U"),
            ("UniPixel-7B", 60.5, "U"),
            ("VisionReasoner-7B", 66.3, "V"),
        ),
    ),
    "reason_seg/test": (
        "giou",
        (("LISA-7B", 36.8, "V"), ("Seg-Zero-7B", 57.5, "V"), ("VisionReasoner-7B", 63.6, "V")),
    ),
    "grandf/val": (
        "miou",
        (("GLaMM", 66.3, "F, T"), ("Sa2VA-8B", 67.7, "T, S1"), ("SAMTok-3B", 73.5, "T")),
    ),
    "mevis/valid": (
        "jf",
        (("LISA-7B", 37.2, "RV"), ("UniPixel-3B", 53.1, "U"), ("UniPixel-7B", 55.8, "U")),
    ),
    "mevis/valid_u": ("jf", (("Sa2VA-8B", 58.9, "S2"), ("Sa2VA-26B", 61.8, "S2"))),
    "ref_youtube_vos/valid": (
        "jf",
        (("LISA-7B", 53.9, "RV"), ("UniPixel-3B", 70.5, "U"), ("UniPixel-7B", 71.0, "U")),
    ),
    "ref_davis17/valid": (
        "jf",
        (("LISA-7B", 64.8, "RV"), ("UniPixel-3B", 74.2, "U"), ("UniPixel-7B", 76.4, "U")),
    ),
    "revos/valid": (
        "overall/jf",
        (
            ("LISA-7B", 40.9, "RV"),
            ("VISA-13B", 50.9, "RV"),
            ("UniPixel-3B", 62.1, "U"),
            ("UniPixel-7B", 63.7, "U"),
        ),
    ),
    "ref_sav/valid": (
        "jf",
        (("Sa2VA-8B", 50.0, "S1, tuned"), ("UniPixel-3B", 67.2, "U"), ("UniPixel-7B", 69.0, "U")),
    ),
    "groundmore/test_v2": (
        "jf",
        (
            ("LISA-7B", 6.11, "G"),
            ("PixelLM-7B", 9.96, "G"),
            ("MoRA, tuned", 27.15, "G"),
            ("UniPixel-3B", 37.4, "U"),
            ("UniPixel-7B", 37.8, "U"),
        ),
    ),
    "videorefer-q/all": (
        "accuracy",
        (("GPT-4o", 71.3, "VR"), ("VideoRefer-7B", 71.9, "VR"), ("UniPixel-3B", 72.2, "U")),
    ),
    "mvbench/all": ("accuracy", (("UniPixel-3B", 62.5, "U"), ("UniPixel-7B", 64.3, "U"))),
    "pixelqa-point/all": ("jf", (("UniPixel-3B", 57.2, "U"), ("UniPixel-7B", 42.3, "U"))),
}


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
    found = PUBLISHED.get(f"{setting['benchmark']}/{setting['split']}")
    if found is not None:
        figure, rows = found
        listed = [(system, f"{value:g}", source) for system, value, source in rows]
        title = f"Published ({figure}, in percent; not measured here)"
        tables.append((title, [("system", "value", "source"), *listed]))
    return tables


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
