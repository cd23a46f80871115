"""Draws what docs/tiny.md shows: a sample of each task, the course of learning, the worst answers.

    python benchmarks/tiny_pictures.py [samples] [curve] [failures]

The curve needs matplotlib: pip install "deixis[report]".
"""

import json
import sys
from collections.abc import Iterator
from importlib.resources import files
from itertools import groupby
from pathlib import Path

import yaml

from deixis import load
from deixis.evaluation.running.evaluator import Answerer, evaluate
from deixis.scenes.questions import TASKS, make_sample
from deixis.structures.samples import Sample
from deixis.training.objective import OBJECTIVES
from deixis.viz.overlay import contact_sheet

FOLDER = Path(__file__).parents[1] / "docs" / "tiny"
SEED, COUNT, WORST = 2412, 150, 24
SAMPLED = {"many": 3, "absent": 5}  # an index that shows more than the first one
COLOURS = 192  # of a palette: a third of the bytes, and hardly another picture
WINDOW = 10  # logged steps that a point of the curve is the mean of
DENSE = ("category", "part", "pattern")
SPOKEN = ("existence", "words", "dice")


def draw_samples() -> None:
    """Draw one sample of each task with its true answer."""
    samples = [make_sample("val", task, SEED, SAMPLED.get(task, 0)) for task in TASKS]
    truths = [sample.answer for sample in samples if sample.answer is not None]
    sheet = contact_sheet(samples, truths, columns=3, titles=TASKS, width=380)
    sheet.quantize(COLOURS).save(FOLDER / "samples.png")


def draw_curve() -> None:
    """Draw the losses of the shipped run over all of its stages."""
    from matplotlib import pyplot

    rows = [json.loads(line) for line in paper("metrics.jsonl").splitlines() if line]
    stages = {stage["name"]: stage for stage in yaml.safe_load(paper("run.yaml"))["stages"]}
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(12, 4.2), layout="constrained")
    for axis, names, title in (
        (left, DENSE, "what every cell shows (cross-entropy)"),
        (right, SPOKEN, "what is meant, said and drawn"),
    ):
        for name in names:
            steps, values = smoothed([r for r in rows if name in r.get("parts", {})], name, stages)
            axis.plot(steps, values, label=name)
        axis.set(title=title, xlabel="steps of these stages", ylabel="loss")
        axis.set_yscale("log")
        axis.grid(alpha=0.3)
        axis.legend(frameon=False)
    figure.savefig(FOLDER / "curve.png", dpi=110)


def paper(name: str) -> str:
    """Return a file that lies beside the shipped weights."""
    return (files("deixis") / "weights" / "deixis-tiny" / name).read_text(encoding="utf-8")


def smoothed(rows: list[dict], name: str, stages: dict[str, dict]) -> tuple[list[int], list[float]]:
    """Return steps, counted over all stages of an objective, and the mean loss of windows; it is
    divided by its weight, so that stages that weigh it otherwise can be compared."""
    steps: list[int] = []
    values: list[float] = []
    before = 0
    for stage, logged in groupby(rows, lambda row: str(row["stage"])):
        mine = list(logged)
        usual = OBJECTIVES[stages[stage]["objective"]].weights[name]
        weight = stages[stage]["loss_weights"].get(name, usual)
        for start in range(0, len(mine), WINDOW):
            some = mine[start : start + WINDOW]
            steps.append(before + some[-1]["step"])
            values.append(sum(row["parts"][name] for row in some) / len(some) / weight)
        before += mine[-1]["step"]
    return steps, values


def draw_failures() -> None:
    """Draw the worst answer of each of the kinds that fare worst, the truth below it."""
    reasoner = load("deixis-tiny")
    worst = sorted(worst_cases(reasoner), key=lambda found: found[0])[:WORST]
    samples = [sample for _, _, sample in worst]
    answers = reasoner.answer_batch([sample.without_answer() for sample in samples])
    titles = [f"{sample.type}: kind {mean:.2f}, here {score:.2f}" for mean, score, sample in worst]
    for part, name in ((slice(0, 12), "failures_1.png"), (slice(12, 24), "failures_2.png")):
        both, said, named = [], [], []
        for start in range(part.start, min(part.stop, len(samples)), 4):
            row = slice(start, min(start + 4, part.stop))
            truths = [sample.answer for sample in samples[row] if sample.answer is not None]
            both += [*samples[row], *samples[row]]
            said += [*answers[row], *truths]
            named += [*titles[row], *["the truth"] * len(truths)]
        contact_sheet(both, said, columns=4, titles=named, width=300).quantize(
            COLOURS
        ).save(FOLDER / name)


def worst_cases(reasoner: Answerer) -> Iterator[tuple[float, float, Sample]]:
    """Yield for each kind of question its mean score, its least score, and that sample."""
    for task in TASKS:
        report = evaluate(
            reasoner, f"scenes:{task}", count=COUNT, seed=SEED, split="val", reorder=False
        )
        kinds: dict[str, list[dict]] = {}
        for case in report["cases"]:
            kinds.setdefault(case["type"], []).append(case)
        for cases in kinds.values():
            least = min(cases, key=lambda case: case["score"])
            mean = sum(case["score"] for case in cases) / len(cases)
            index = int(least["id"].rsplit("-", 1)[1])
            yield mean, least["score"], make_sample("val", task, SEED, index)


DRAWN = {"samples": draw_samples, "curve": draw_curve, "failures": draw_failures}

if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for wanted in sys.argv[1:] or DRAWN:
        DRAWN[wanted]()
