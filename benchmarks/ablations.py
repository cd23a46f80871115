"""Does each idea pay? Variants of one run, from the same vision, with one equal budget.

    python benchmarks/ablations.py [--variants square none ...] [--seeds 1 2] [--count 300]
        [--steps 400] [--together 2]

trains what is not trained yet into out/ablations, as many at a time as there are cores with one
core each (which pictures are familiar is taken over with the vision), measures it on fixed `val`
questions, and writes docs/tiny/ablations.json and, with matplotlib, docs/tiny/ablations.png: the
mean over the seeds, and each seed as a point. What is in the file with the same steps and questions
is not measured again; kill it and start it again.
"""

import argparse
import json
import os
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from statistics import mean

import torch
import yaml

from deixis import load
from deixis.evaluation.running.evaluator import evaluate
from deixis.training.calibration import set_threshold
from deixis.training.recipes import deixis_workshop, finish
from deixis.training.running.trainer import train

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
    words = [f"name={name}-{seed}", f"seed={seed}", f"stages.speak.steps={steps}", *overrides]
    workshop = replace(deixis_workshop(), finish=partial(finish, measure=set_threshold))
    return train([RUNS / "base.yaml"], words, OUT, workshop=workshop) / "last"


def figures(name: str, overrides: list[str], seed: int, steps: int, count: int) -> dict[str, float]:
    """Train a variant and measure it on the fixed questions, with one core."""
    torch.set_num_threads(1)
    model = trained(name, overrides, seed, steps)
    reasoner, found = load(str(model)), {}
    for task, names in MEASURED.items():
        report = evaluate(
            reasoner, f"scenes:{task}", count=count, seed=SEED, split="val", reorder=False
        )
        found |= {f"{task} {name}": round(report["metrics"][name], 4) for name in names}
    return {"steps": steps, "count": count, **found}


def draw(results: dict[str, dict[str, dict[str, float]]]) -> None:
    """Draw every figure of every variant: seeds as points, their mean as a bar."""
    try:
        from matplotlib import pyplot
    except ImportError:
        print(f'The figures are in {RESULT}. For the picture: pip install "deixis[report]".')
        return
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
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--together", type=int, default=os.cpu_count())
    arguments = parser.parse_args()
    results = json.loads(RESULT.read_text("utf-8")) if RESULT.is_file() else {}
    os.environ["OMP_NUM_THREADS"] = "1"  # of the processes that begin now
    budget = {"steps": arguments.steps, "count": arguments.count}
    pool = ProcessPoolExecutor(arguments.together, mp_context=get_context("spawn"))
    work = {
        pool.submit(figures, name, variants[name], seed, **budget): (name, str(seed))
        for seed in arguments.seeds
        for name in arguments.variants
        if not budget.items() <= results.get(name, {}).get(str(seed), {}).items()
    }
    for done in as_completed(work):
        name, seed = work[done]
        results.setdefault(name, {})[seed] = done.result()
        print(name, seed, results[name][seed], flush=True)
        ordered = {name: results[name] for name in variants if name in results}
        RESULT.write_text(json.dumps(ordered, indent=1) + "\n", encoding="utf-8")
    draw({name: results[name] for name in variants if name in results})


if __name__ == "__main__":
    main()
