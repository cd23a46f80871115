"""The unified family beside a GLaMM-shaped opponent: what an answer about three images costs, at
no worse quality after the same minutes of training.

    python benchmarks/opponent.py [--minutes 20] [--answers 300] [--out out/opponent] [--together]

The opponent reads all patches of every image and has no relation (``runs/opponent_glamm.yaml``);
ours is the small preset (``runs/opponent_deixis.yaml``). Both learn from the same kinds of scenes,
two fifths of the minutes to see and the rest to speak; steps are set by how long twenty of them
take, so nothing else should run. Quality is miou on fresh ``scenes:multi-words``, which asks
nothing that points. Cost is counted on the meta device, as ``deixis flops`` does. Twice the
minutes, and a little for the answers; with ``--together`` both learn at once, with one core each.
"""

import argparse
import os
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from results import record

from deixis.evaluation.costing.cost import count_operations
from deixis.evaluation.running.evaluator import evaluate
from deixis.reasoning.reasoner import load
from deixis.training.running.checkpoints import DONE, read_json
from deixis.training.running.trainer import train

RUNS = Path(__file__).parents[1] / "runs"
SIDES = {"deixis": RUNS / "opponent_deixis.yaml", "glamm": RUNS / "opponent_glamm.yaml"}
SHARES = {  # of the minutes
    "deixis": {"see": 0.4, "speak": 0.6},
    "glamm": {
        "look": 0.18, "scan": 0.07, "sketch": 0.08, "gather": 0.1, "speak": 0.5, "join": 0.07
    },
}
PROBED = 20  # steps
IMAGES, TOKENS = 3, 32
FRESH_SEED = 2**42  # worlds that neither side has seen
TIMES = 2  # as dear at least


def seconds_of(folder: Path) -> dict[str, float]:
    """Return how long each stage of a run took."""
    return {done.parent.name: read_json(done)["seconds"] for done in folder.glob(f"*/{DONE}")}


def steps_for(run: Path, shares: dict[str, float], minutes: float) -> list[str]:
    """Return the overrides that make a run take so many minutes, by how long some steps take."""
    probe = [f"stages.{stage}.steps={PROBED}" for stage in shares]
    with TemporaryDirectory() as name:
        taken = seconds_of(train([run], probe, Path(name)))
    steps = {stage: share * minutes * 60 * PROBED / taken[stage] for stage, share in shares.items()}
    return [f"stages.{stage}.steps={max(1, int(count))}" for stage, count in steps.items()]


def side(options: argparse.Namespace, name: str) -> dict[str, Any]:
    """Train one side; return its minutes, quality and cost."""
    if options.together:
        torch.set_num_threads(1)
    run = SIDES[name]
    folder = options.out / run.stem
    shares = SHARES[name]
    if not seconds_of(folder).keys() >= shares.keys():  # else it was trained before
        folder = train([run], steps_for(run, shares, options.minutes), options.out)
    report = evaluate(
        load(folder / "last"), "scenes:multi-words", count=options.answers, seed=FRESH_SEED
    )
    cost = count_operations(str(folder / "last"), IMAGES, TOKENS)
    return {
        "minutes": round(sum(seconds_of(folder).values()) / 60, 2),
        "metrics": report["metrics"],
        "gigaflops": {k: round(1e3 * v, 4) for k, v in cost["stations"].items()},
        "gigaflops_in_all": round(1e3 * cost["total_tflops"], 4),
    }


def main() -> None:
    """Train both, and say how much dearer the opponent is if ours is no worse."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--answers", type=int, default=300)
    parser.add_argument("--out", type=Path, default=Path("out/opponent"))
    parser.add_argument("--together", action="store_true")
    options = parser.parse_args()
    if options.together:
        os.environ["OMP_NUM_THREADS"] = "1"  # of the processes that begin now
        with ProcessPoolExecutor(len(SIDES), mp_context=get_context("spawn")) as pool:
            found = dict(zip(SIDES, pool.map(partial(side, options), SIDES), strict=True))
    else:
        found = {name: side(options, name) for name in SIDES}
    ours, theirs = found["deixis"], found["glamm"]
    no_worse = ours["metrics"]["miou"] >= theirs["metrics"]["miou"]
    times = theirs["gigaflops_in_all"] / ours["gigaflops_in_all"]
    record(
        __file__,
        "operations of a GLaMM-shaped opponent of no better quality, over the unified family's",
        times if no_worse else 0.0,
        f">= {TIMES}",
        images=IMAGES,
        answer_tokens=TOKENS,
        cores_each=1 if options.together else os.cpu_count(),
        **found,
    )


if __name__ == "__main__":
    main()
