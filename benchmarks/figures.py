"""Measures deixis-tiny on every task with fresh seeds: the reports that the README quotes.

    python benchmarks/figures.py [--seeds 1] [--count 500] [--tasks refer many]

draws seeds, writes docs/reports/TASK-SEED.json with ``deixis eval``, and fills the table of the
README with the means over the seeds. ``--fill`` fills the table from the reports that are there.
``--fixed`` writes what the shipped weights reach on 60 fixed questions a task, below which a test
does not let them fall.
"""

import argparse
import json
import secrets
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
REPORTS = ROOT / "docs" / "reports"
README, TINY = ROOT / "README.md", ROOT / "docs" / "tiny.md"
ROBUSTNESS = ROOT / "benchmarks" / "robustness.json"
WAYS = ROOT / "docs" / "tiny" / "ways.json"
ABLATIONS = ROOT / "docs" / "tiny" / "ablations.json"
END = "<!-- end of figures -->"
QUOTED = {
    "refer": ("giou", "ciou"),
    "many": ("giou",),
    "multi": ("miou", "image_accuracy", "answer_accuracy", "order_agreement"),
    "absent": ("n_acc", "t_acc", "presence_ece"),
    "region": ("answer_accuracy", "giou"),
    "clip": ("jf",),
    "pixelqa": ("j", "answer_accuracy"),
    "plain": ("answer_accuracy",),
    "compose": ("giou",),
}
FIXED = ROOT / "tests" / "e2e" / "fixed_figures.json"
FIXED_COUNT, FIXED_SEED = 60, 60  # questions of the split "val"
KEPT = ("metrics", "by_type", "samples", "counts", "configuration", "versions", "seed",
        "data_hash", "seconds")


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=1, help="how many to draw")
    parser.add_argument("--seed", type=int, help="one that is drawn already, for several processes")
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--tasks", nargs="*", default=list(QUOTED))
    parser.add_argument("--fill", action="store_true")
    parser.add_argument("--fixed", action="store_true")
    arguments = parser.parse_args()
    if arguments.fixed:
        FIXED.write_text(json.dumps(rounded(fixed()), indent=1) + "\n", encoding="utf-8")
        return
    if not arguments.fill:
        for path in REPORTS.glob("*.json"):
            if path.stem.split("-")[0] in arguments.tasks:
                path.unlink()
        for _ in range(arguments.seeds):
            seed = secrets.randbelow(2**63) if arguments.seed is None else arguments.seed
            for task in arguments.tasks:
                measure(task, seed, arguments.count)
    for page in (README, TINY):
        page.write_text(filled(page.read_text(encoding="utf-8")), encoding="utf-8")


def filled(text: str) -> str:
    """Return a page with its tables filled from the reports."""
    tables = {
        "figures": table,
        "kinds": kinds,
        "robustness": robustness,
        "ways": ways,
        "ablations": ablations,
    }
    for name, rows in tables.items():
        before, begin, rest = text.partition(f"<!-- {name} -->\n")
        if begin:
            text = before + begin + rows() + END + rest.partition(END)[2]
    return text


def measure(task: str, seed: int, count: int) -> None:
    """Run ``deixis eval`` and keep of its report what is quoted or needed to repeat it."""
    out = REPORTS / f"{task}-{seed}.json"
    REPORTS.mkdir(exist_ok=True)
    command = ["eval", f"scenes:{task}", "--model", "deixis-tiny", "--split", "test"]
    command += ["--count", str(count), "--seed", str(seed), "--out", str(out)]
    code = "import sys; from deixis.cli import main; sys.exit(main())"
    subprocess.run([sys.executable, "-c", code, *command], check=True)
    for page in (".md", ".html", ".answers.jsonl"):  # made anew by anyone who wants them
        out.with_suffix(page).unlink(missing_ok=True)
    report = json.loads(out.read_text(encoding="utf-8"))
    kept = {key: report[key] for key in KEPT}
    out.write_text(json.dumps(rounded(kept), indent=1) + "\n", encoding="utf-8")


def fixed() -> dict[str, dict[str, float]]:
    """Return the quoted figures of each task on the fixed questions."""
    from deixis import load
    from deixis.evaluation.running.evaluator import evaluate

    reasoner, found = load("deixis-tiny"), {}
    for task, names in QUOTED.items():
        report = evaluate(
            reasoner, f"scenes:{task}", count=FIXED_COUNT, seed=FIXED_SEED, split="val",
            reorder=False,
        )
        metrics = report["metrics"]
        found[task] = {name: metrics[name] for name in names if name in metrics}
    return found


def rounded(value: object) -> object:
    """Round every number to four places; more is noise and fills the history."""
    if isinstance(value, dict):
        return {key: rounded(one) for key, one in value.items()}
    return round(value, 4) if isinstance(value, float) else value


def reports() -> dict[str, list[dict]]:
    """Return the reports of each task, by seed."""
    found: dict[str, list[dict]] = {}
    for path in sorted(REPORTS.glob("*.json")):
        found.setdefault(path.stem.split("-")[0], []).append(json.loads(path.read_text()))
    return found


def mean(rows: list[dict], name: str) -> float:
    """Return the mean of a metric over reports, weighted by their samples."""
    total = sum(row["samples"] for row in rows)
    return sum(row["metrics"][name] * row["samples"] for row in rows) / total


def table() -> str:
    """Return the table of the README."""
    lines = ["| task | what | figure | samples | command |", "|---|---|---|---|---|"]
    found = reports()
    for task, names in QUOTED.items():
        rows = found.get(task, [])
        if not rows:
            continue
        count, seeds = rows[0]["samples"], ", ".join(str(row["seed"]) for row in rows)
        command = f"`deixis eval scenes:{task} --count {count} --seed {seeds}`"
        for index, name in enumerate(names):
            samples = str(sum(row["samples"] for row in rows))
            who, many, how = (task, samples, command) if index == 0 else ("", "", "")
            lines.append(f"| {who} | {name} | {mean(rows, name):.2f} | {many} | {how} |")
    return "\n".join(lines) + "\n"


def kinds() -> str:
    """Return the table of every kind of question."""
    lines = ["| task | kind | samples | figures |", "|---|---|---|---|"]
    for task, rows in reports().items():
        for kind in sorted({kind for row in rows for kind in row["by_type"]}):
            those = [
                {"metrics": row["by_type"][kind], "samples": row["counts"][kind]}
                for row in rows
                if kind in row["by_type"]
            ]
            names = [n for n in QUOTED[task] if all(n in one["metrics"] for one in those)]
            said = ", ".join(f"{name} {mean(those, name):.2f}" for name in names)
            samples = sum(one["samples"] for one in those)
            lines.append(f"| {task} | {kind} | {samples} | {said} |")
    return "\n".join(lines) + "\n"


def robustness() -> str:
    """Return the table of what changed pictures cost."""
    found = json.loads(ROBUSTNESS.read_text(encoding="utf-8"))
    giou, crowd = found["giou"], found["crowd"]
    lines = ["| pictures | giou | against as drawn |", "|---|---|---|"]
    for name, value in giou.items():
        drawn = crowd["without_distractors"] if name.startswith("ten") else giou["as drawn"]
        lines.append(f"| {name} | {value:.2f} | {value - drawn:+.2f} |")
    return "\n".join(lines) + "\n"


def ways() -> str:
    """Return the table of what else decides how well the same weights answer."""
    found = json.loads(WAYS.read_text(encoding="utf-8"))
    lines = ["| compared | samples | figures |", "|---|---|---|"]
    for images, row in found["images"].items():
        said = ", ".join(f"{name} {row[name]:.2f}" for name in row if name != "samples")
        lines.append(f"| `multi`, {images} images | {row['samples']} | {said} |")
    for name, what in (("passes", "`pixelqa`"), ("turns", "`plain`, which side")):
        row = found[name]
        for way, value in row.items():
            if way != "samples":
                lines.append(f"| {what}: {way} | {row['samples']} | answers right {value:.2f} |")
    return "\n".join(lines) + "\n"


def ablations() -> str:
    """Return the table of the ablations: mean, and how far its seeds lie apart."""
    found = json.loads(ABLATIONS.read_text(encoding="utf-8"))
    names = list(next(iter(next(iter(found.values())).values())))
    lines = [f"| variant | seeds | {' | '.join(names)} |", "|---|---|" + "---|" * len(names)]
    for variant, seeds in found.items():
        columns = [[figures[name] for figures in seeds.values()] for name in names]
        cells = [f"{sum(c) / len(c):.2f} ± {(max(c) - min(c)) / 2:.2f}" for c in columns]
        lines.append(f"| {variant} | {len(seeds)} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
