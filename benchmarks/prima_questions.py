"""What readers of the paper asked, by our own runs: each variant changes one thing of one stage.

    deixis train runs/prima_tiny.yaml
    deixis train runs/prima_base.yaml
    python benchmarks/prima_questions.py [--variants square aligned ...] [--seeds 1 2]

All begin with the stage 0 of ``--base`` and are trained with one core each, as many at a time as
there are. Writes ``prima_questions.json`` beside this file and the tables, mean and half the range
over seeds, to stdout. What is finished is not done again.
"""

import argparse
import json
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch

from deixis.config import load_run
from deixis.evaluation.running.benchmarks import open_benchmark
from deixis.evaluation.running.slices import evaluate_slices
from deixis.models.prima import PRESETS
from deixis.reasoning.reasoner import load
from deixis.training.prima.prima_objective import published_parts
from deixis.training.running.beginning import make_config
from deixis.training.running.checkpoints import DONE, read_json
from deixis.training.running.trainer import train

HOME = Path(__file__).parent
RUN = HOME.parent / "runs" / "prima_question.yaml"
VARIANTS: dict[str, list[str]] = {  # name -> what is written over in the run file
    "square": [],
    "none": ["model_overrides.relation=none"],
    "pooling": ["model_overrides.relation=pooling"],
    "projection": ["model_overrides.relation=projection"],
    "concat": ["model_overrides.relation=concat"],
    "image_to_image": ["model_overrides.relation=image_to_image"],
    "aligned": ["stages.published.loss_weights.alignment=0.1"],
    "aligned_phrase": [
        "stages.published.loss_weights.alignment=0.1",
        "model_overrides.alignment_by=phrase",
    ],
    "named_first": ["model_overrides.image_name=before"],
    "fewer": ["stages.published.data=[{task: multi, pool: 200}]"],  # image sets, again and again
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base", type=Path, default=Path("out/prima_base/last"))
    parser.add_argument("--variants", nargs="*", default=list(VARIANTS), choices=list(VARIANTS))
    parser.add_argument("--seeds", nargs="*", type=int, default=[1, 2])
    parser.add_argument("--steps", type=int, default=960)
    parser.add_argument("--count", type=int, default=400)
    parser.add_argument("--together", type=int, default=os.cpu_count())
    parser.add_argument("--out", type=Path, default=Path("out"))
    parser.add_argument("--report", type=Path, default=HOME / "prima_questions.json")
    options = parser.parse_args()
    found: dict[str, Any] = {}
    if options.report.exists():
        found = json.loads(options.report.read_text())
    os.environ["OMP_NUM_THREADS"] = "1"  # of the processes that begin now
    pool = ProcessPoolExecutor(options.together, mp_context=get_context("spawn"))
    work = {
        pool.submit(run, variant, seed, options): key
        for seed in options.seeds
        for variant in options.variants
        if (key := f"{variant}/{seed}/{options.steps}/{options.count}") not in found
    }
    for done in as_completed(work):
        found[work[done]] = done.result()
        options.report.write_text(json.dumps(dict(sorted(found.items())), indent=1) + "\n")
    print(table(found, options.variants))


def run(variant: str, seed: int, options: argparse.Namespace) -> dict[str, Any]:
    """Train one variant from one seed with one core, and return its minutes of training and the
    figures of every slice."""
    torch.set_num_threads(1)
    changes = [
        *VARIANTS[variant],
        f"name=prima_question_{variant}_{seed}",
        f"seed={seed}",
        f"start.model={options.base}",
        f"stages.published.steps={options.steps}",
    ]
    made = load_run(RUN, changes)
    config = make_config(made.model, made.model_overrides, PRESETS)
    names = json.dumps([part.name for part in published_parts(config)])
    folder = train([RUN], [*changes, f"stages.published.train={names}"], options.out)
    seconds = sum(read_json(done)["seconds"] for done in folder.glob(f"*/{DONE}"))
    reasoner = load(folder / "last")
    sets, alone = (
        evaluate_slices(reasoner, open_benchmark(task, count=count, seed=7).samples)
        for task, count in (("multi-words", options.count), ("refer", options.count // 4))
    )
    return {"minutes": round(seconds / 60, 2), **sets, "images: 1": alone["all"]}


def table(found: dict[str, Any], variants: Sequence[str]) -> str:
    """Return miou / image accuracy of every slice as Markdown, mean +- half the range."""
    runs = {v: [one for key, one in found.items() if key.split("/")[0] == v] for v in variants}
    named = {name for group in runs.values() for one in group for name in one}
    slices = sorted(named - {"minutes"})
    lines = [f"| slice | {' | '.join(variants)} |", "|---" * (1 + len(variants)) + "|"]
    for name in slices:
        cells = []
        for variant in variants:
            pairs = [
                spread([one[name][metric] for one in runs[variant] if metric in one.get(name, {})])
                for metric in ("miou", "image_accuracy")
            ]
            cells.append(" / ".join(pairs))
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def spread(values: Sequence[float]) -> str:
    """Return the mean and half the range of some values."""
    if not values:
        return "-"
    return f"{sum(values) / len(values):.3f} +- {(max(values) - min(values)) / 2:.3f}"


if __name__ == "__main__":
    main()
