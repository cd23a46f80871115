"""Fills docs/benchmarks.md, metrics.md, pixellm.md and prima.md from the measurements kept beside
them.

    python benchmarks/pages.py

The effects of traps come from docs/traps.json (``python benchmarks/traps.py``), the evaluator's own
cost, the seconds to open files, the speed of metrics and of PixelLM and the answers to the readers'
questions about PRIMA from the JSON of their scripts here.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
HERE = Path(__file__).parent
DOCS = ROOT / "docs"
BENCHMARKS, METRICS = DOCS / "benchmarks.md", DOCS / "metrics.md"
PIXELLM, PRIMA = DOCS / "pixellm.md", DOCS / "prima.md"
TRAPS = ROOT / "docs" / "traps.json"
SPEEDS = ("iou", "boundary", "elsewhere", "rle", "assign")  # benchmarks/metrics_NAME.json
END = "<!-- end of figures -->"
BOTH = ("miou", "image_accuracy")
VARIANTS = ("square", "none", "pooling", "projection", "image_to_image", "concat", "fewer")
SLICES = (
    *(f"images: {count}" for count in (1, 2, 3, 4)),
    *("size: small", "size: middle", "size: large", "parts"),
    *("targets: one", "targets: several", "shown: in one image", "shown: in several images"),
)
KINDS = {  # of benchmarks/opening.py, in words
    "talk": "LLaVA-Instruct, VideoGPT+",
    "regions": "Osprey, Inst-IT",
    "referring": "RefCOCO and its kin (pickle)",
    "general": "gRefCOCO",
    "questions": "MUSE",
    "expressions": "MeViS and its kin",
    "coco": "COCO instances",
    "lines": "our own JSONL",
    "parquet": "parquet",
}


def read(path: Path) -> Any:
    """Return what a script has measured."""
    return json.loads(path.read_text(encoding="utf-8"))


def traps() -> str:
    """Return the table of traps: the same answers scored as published, and without the trap."""
    lines = ["| trap | what the published way does | set, figure, samples | published | without "]
    lines = [f"{lines[0]}| effect |", "|---|---|---|---|---|---|"]
    for row in read(TRAPS)["traps"]:
        difference = 100 * (row["published"] - row["clean"])
        effect = f"{difference:+.2f}" if abs(difference) >= 0.005 else "below 0.01"
        values = f"{100 * row['published']:.2f} | {100 * row['clean']:.2f}"
        where = f"`{row['data']}` {row['figure']}, {row['samples']}"
        lines.append(f"| {row['number']} | {row['what']} | {where} | {values} | {effect} |")
    return "\n".join(lines) + "\n"


def cost() -> str:
    """Return the table of what the evaluator itself costs."""
    lines = ["| data set | samples | seconds of one core per 1,000 samples | peak memory (MiB) |"]
    lines.append("|---|---|---|---|")
    for name, one in read(HERE / "evaluator.json")["sets"].items():
        seconds, peak = one["seconds_per_1000"], one["peak_mib"]
        lines.append(f"| `{name}` | {one['samples']} | {seconds:.1f} | {peak} |")
    return "\n".join(lines) + "\n"


def opening() -> str:
    """Return the table of seconds until the first and the last of 200,000 records are there."""
    lines = ["| file | MiB | seconds of one core | again |", "|---|---|---|---|"]
    for kind, one in read(HERE / "opening.json")["kinds"].items():
        lines.append(f"| {KINDS[kind]} | {one['mib']} | {one['first']:.2f} | {one['again']:.2f} |")
    return "\n".join(lines) + "\n"


def speeds() -> str:
    """Return the table of the metrics' speed, each with its bar."""
    lines = ["| what | figure | bar |", "|---|---|---|"]
    for name in SPEEDS:
        one = read(HERE / f"metrics_{name}.json")
        lines.append(f"| {one['claim']} | {one['figure']:.2f} | {one['bound']} |")
    return "\n".join(lines) + "\n"


def pixellm() -> str:
    """Return the table of PixelLM's answers and of its training step, beside their bars."""
    asked, step = read(HERE / "pixellm.json"), read(HERE / "pixellm_train_step.json")
    lines = ["| what | times its unavoidable parts | times faster than the published procedure |"]
    lines.append("|---|---|---|")
    for name, one in asked.items():
        if not name.startswith("tokens_"):
            continue
        words = f"{one['targets']} targets in {name.removeprefix('tokens_')} tokens"
        parts = f"{one['times_the_parts']:.2f} ({asked['bound'].split()[1]} at most)"
        faster = f"{one['times_faster_than_published']:.1f} ({one['at_least']} at least)"
        lines.append(f"| {words} | {parts} | {faster} |")
    bar = step["bound"].split()[1]
    lines.append(f"| a training step | | {step['figure']:.2f} ({bar} at least) |")
    return "\n".join(lines) + "\n"


def variants() -> str:
    """Return the table of what each way in which images meet is worth."""
    told = [*(("all", one) for one in BOTH), ("images: 1", "miou")]
    told += [(f"kind: {kind}", "image_accuracy") for kind in ("identity", "spatial")]
    told += [("targets: several", "image_accuracy")]
    names = [figure if name == "all" else f"{name}: {figure}" for name, figure in told]
    lines = [f"| variant | {' | '.join(names)} |", "|---" * (1 + len(told)) + "|"]
    for variant in VARIANTS:
        cells = [_over_seeds(variant, *one) for one in told]
        lines.append(f"| `{variant}` | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def slices() -> str:
    """Return the table of how questions of each sort are answered, with and without SQuARE."""
    sides = ("square", "none")
    names = [f"`{side}`: {figure}" for side in sides for figure in BOTH]
    lines = [f"| slice | questions | {' | '.join(names)} |", "|---" * (2 + len(names)) + "|"]
    for name in SLICES:
        count = next(iter(read(HERE / "prima_questions.json").values()))[name]["samples"]
        cells = [_over_seeds(side, name, figure) for side in sides for figure in BOTH]
        lines.append(f"| {name} | {count} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _over_seeds(variant: str, name: str, figure: str) -> str:
    """Return the mean of a figure of a slice and half its range over the seeds of a variant."""
    runs = read(HERE / "prima_questions.json")
    values = [one[name][figure] for key, one in runs.items() if key.split("/")[0] == variant]
    return f"{sum(values) / len(values):.3f} ± {(max(values) - min(values)) / 2:.3f}"


PAGES: Mapping[Path, Mapping[str, Callable[[], str]]] = {
    BENCHMARKS: {"traps": traps, "cost": cost, "opening": opening},
    METRICS: {"speeds": speeds},
    PIXELLM: {"pixellm": pixellm},
    PRIMA: {"variants": variants, "slices": slices},
}


def filled(page: Path) -> str:
    """Return a page with its tables filled."""
    text = page.read_text(encoding="utf-8")
    for name, table in PAGES[page].items():
        before, begin, rest = text.partition(f"<!-- {name} -->\n")
        if begin:
            text = before + begin + table() + END + rest.partition(END)[2]
    return text


def main() -> None:
    """Fill all pages."""
    for page in PAGES:
        page.write_text(filled(page), encoding="utf-8")


if __name__ == "__main__":
    main()
