"""Does each idea pay? Variants of one run, from the same vision, with one equal budget.

    python benchmarks/ablations.py [--variants square none ...] [--seeds 1 2] [--count 300]
        [--steps 500]

trains what is not trained yet (some eight minutes each on two idle cores) into out/ablations,
measures it on fixed `val` questions, and writes docs/tiny/ablations.json and, with matplotlib,
docs/tiny/ablations.png: the mean over the seeds, and each seed as a point.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from statistics import mean

import yaml

from deixis import load
from deixis.evaluation.running.evaluator import evaluate

ROOT = Path(__file__).parents[1]
RUNS, OUT = ROOT / "runs" / "ablations", ROOT / "out" / "ablations"
RESULT = ROOT / "docs" / "tiny" / "ablations.json"
SEED = 500  # of the questions
MEASURED = {
    "refer": ("giou",),
    "many": ("giou",),
    "multi": ("miou", "answer_accuracy"),
    "absent": ("n_acc",),
    "plain": ("answer_accuracy",),
}


def trained(name: str, overrides: list[str], seed: int, steps: int) -> Path:
    """Train a variant where that was not done yet; return the folder of its last model."""
    run = f"{name}-{seed}"
    words = ["train", str(RUNS / "base.yaml"), f"name={run}", f"seed={seed}"]
    words += [f"stages.speak.steps={steps}", *overrides, "--out", str(OUT)]
    code = "import sys; from deixis.cli import main; sys.exit(main())"
    subprocess.run([sys.executable, "-c", code, *words], check=True, cwd=ROOT)
    return OUT / run / "last"


def figures(model: Path, count: int) -> dict[str, float]:
    """Measure a model on the fixed questions."""
    reasoner, found = load(str(model)), {}
    for task, names in MEASURED.items():
        report = evaluate(
            reasoner, f"scenes:{task}", count=count, seed=SEED, split="val", reorder=False
        )
        found |= {f"{task} {name}": round(report["metrics"][name], 4) for name in names}
    return found


def draw(results: dict[str, dict[str, dict[str, float]]]) -> None:
    """Draw every figure of every variant: seeds as points, their mean as a bar."""
    from matplotlib import pyplot

    names = list(results)
    measures = [f"{task} {name}" for task, names in MEASURED.items() for name in names]
    figure, axes = pyplot.subplots(
        1, len(measures), figsize=(17, 1 + 0.35 * len(names)), sharey=True, layout="constrained"
    )
    for axis, measure in zip(axes, measures, strict=True):
        for row, name in enumerate(names):
            values = [one[measure] for one in results[name].values()]
            axis.plot(values, [row] * len(values), "o", color="tab:blue", alpha=0.6)
            axis.plot([mean(values)], [row], "|", color="black", markersize=16)
        axis.set(title=measure, yticks=range(len(names)), yticklabels=names)
        axis.grid(alpha=0.3)
    axes[0].invert_yaxis()
    figure.savefig(RESULT.with_suffix(".png"), dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    variants = yaml.safe_load((RUNS / "variants.yaml").read_text(encoding="utf-8"))
    parser.add_argument("--variants", nargs="*", default=list(variants), choices=list(variants))
    parser.add_argument("--seeds", nargs="*", type=int, default=[1, 2])
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--steps", type=int, default=500)
    arguments = parser.parse_args()
    results = json.loads(RESULT.read_text("utf-8")) if RESULT.is_file() else {}
    for seed in arguments.seeds:
        for name in arguments.variants:
            model = trained(name, variants[name], seed, arguments.steps)
            results.setdefault(name, {})[str(seed)] = figures(model, arguments.count)
            print(name, seed, results[name][str(seed)], flush=True)
            RESULT.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    draw(results)


if __name__ == "__main__":
    main()
