"""A training step of PixelLM encodes each image once; and what the tiny run reaches in 30 minutes.

    python benchmarks/pixellm_train.py step [rounds, 5]
    python benchmarks/pixellm_train.py run [answers, 200] [folder, out]

``step``: the mid-size model of ``benchmarks/pixellm.py``, 2 images of 480 x 640, 3 questions about
each, 3 targets in each answer, the parts and the optimiser of the published stage. Beside it takes
turns the same step in which every question brings an image of its own, as the published code
encodes them. Some 8 GB of memory.

``run``: trains ``runs/pixellm_tiny.yaml`` from nothing and measures giou on ``scenes:refer``; the
figure counts only if the stages together took no longer than the minutes that are allowed.
"""

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from random import Random
from time import perf_counter
from typing import Any

import numpy as np
import torch
from pixellm import SIZE, WORDS, mid_size
from results import middle, record, seconds

from deixis.evaluation.running.evaluator import evaluate
from deixis.models.pixellm import PixelLM
from deixis.processing.batches.pixellm_batch import PixelLMBatch
from deixis.processing.lessons.pixellm_lessons import Lesson, teach
from deixis.processing.lessons.pixellm_templates import named_turn
from deixis.processing.pixellm import PixelLMProcessor
from deixis.reasoning.reasoner import load
from deixis.structures.images import Frame, ImageSet
from deixis.training.pixellm.pixellm_objective import PixelLMObjective
from deixis.training.pixellm.pixellm_recipe import (
    prepare_published_stage,
    published_stage,
    text_room,
)
from deixis.training.running.checkpoints import DONE, read_json
from deixis.training.running.optimizing import make_optimizer
from deixis.training.running.trainer import train

IMAGES, QUESTIONS, TARGETS = 2, 3, 3
AT_LEAST_TIMES = 1.5
RUN = Path(__file__).parents[1] / "runs" / "pixellm_tiny.yaml"
AT_LEAST_GIOU, MINUTES = 0.5, 30
FRESH_SEED = 2**41  # worlds that neither the training nor its judge has seen


def lessons(processor: PixelLMProcessor) -> list[Lesson]:
    """Return the rows of a step; those about one image share it."""
    dice, random = np.random.default_rng(0), Random(0)
    made = []
    for _ in range(IMAGES):
        frame = Frame.from_array(dice.integers(0, 256, (*SIZE, 3), dtype=np.uint8))
        images = ImageSet.pictures([frame])
        for _ in range(QUESTIONS):
            names = random.sample(WORDS.split(), TARGETS)
            row = processor.conversation([named_turn(names, processor.group_text, random)])
            masks = tuple(torch.from_numpy(dice.random(SIZE) > 0.5) for _ in names)
            made.append(Lesson(images=images, row=row, masks=masks))
    return made


def batches(processor: PixelLMProcessor) -> tuple[PixelLMBatch, PixelLMBatch]:
    """Return a step as we encode it, and with an image for every question."""
    shared, most = lessons(processor), text_room(processor.config)
    alone = [replace(one, images=ImageSet.pictures([one.images[0]])) for one in shared]
    return teach(processor, shared, most=most), teach(processor, alone, most=most)


def stepping(model: PixelLM) -> Callable[[PixelLMBatch], float]:
    """Return a whole step: forward, losses, backward, clipping, AdamW; it gives its loss."""
    settings = published_stage().optimizer
    factors = {name: 1.0 for name, weight in model.named_parameters() if weight.requires_grad}
    optimizer = make_optimizer(model, settings, factors)
    objective = PixelLMObjective()

    def step(batch: PixelLMBatch) -> float:
        loss = torch.stack([*objective(model(batch), batch).values()]).sum()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), settings.clip or 1.0)
        optimizer.step()
        optimizer.zero_grad()
        return loss.item()

    return step


def measure_step(rounds: int) -> None:
    """Let both sides take turns."""
    model, processor = mid_size()
    prepare_published_stage(model)
    model.train()
    shared, repeated = batches(processor)
    assert (len(shared.pixels), len(repeated.pixels)) == (IMAGES, IMAGES * QUESTIONS)
    assert len(shared.slots.row) == IMAGES * QUESTIONS * TARGETS
    same_loss(model, shared, repeated)
    step = stepping(model)
    step(shared)  # warm
    turns = [
        [*seconds(lambda: step(shared), 1), *seconds(lambda: step(repeated), 1)]
        for _ in range(rounds)
    ]
    sides: dict[str, Any] = {
        "images": IMAGES, "questions": QUESTIONS, "targets": TARGETS,
        "seconds_ours_repeated": turns, "threads": torch.get_num_threads(),
    }  # fmt: skip
    claim = "a training step of PixelLM, times faster than with repeated encodings"
    times = middle([slow / ours for ours, slow in turns])
    record(_beside("step"), claim, times, f">= {AT_LEAST_TIMES}", **sides)


@torch.no_grad()
def same_loss(model: PixelLM, shared: PixelLMBatch, repeated: PixelLMBatch) -> None:
    """Make sure that both sides minimise the same; dropout is off for this once."""
    model.eval()
    objective = PixelLMObjective()
    ours, slow = ([float(p) for p in objective(model(b), b).values()] for b in (shared, repeated))
    np.testing.assert_allclose(ours, slow, rtol=1e-3)
    model.train()


def measure_run(answers: int, out: Path) -> None:
    """Train from nothing, then answer fresh questions."""
    begun = perf_counter()
    folder = train([RUN], out=out)
    wall = perf_counter() - begun
    spent = {done.parent.name: read_json(done)["seconds"] for done in folder.glob(f"*/{DONE}")}
    minutes = sum(spent.values()) / 60
    report = evaluate(load(folder / "last"), "refer", count=answers, seed=FRESH_SEED, split="test")
    sides = {
        "answers": answers, "minutes": round(minutes, 2), "seconds_of_stages": spent,
        "wall_seconds_of_this_call": round(wall, 1), "metrics": report["metrics"],
    }  # fmt: skip
    claim = f"giou of the tiny PixelLM on refer after {MINUTES} minutes"
    figure = report["metrics"]["giou"] if minutes <= MINUTES else 0.0
    record(_beside("run"), claim, figure, f">= {AT_LEAST_GIOU}", **sides)


def _beside(part: str) -> str:
    return str(Path(__file__).with_stem(f"pixellm_train_{part}"))


def main() -> None:
    """Measure what is named first."""
    part, *rest = sys.argv[1:] or ["step"]
    if part not in ("step", "run"):
        raise SystemExit(f'expected "step" or "run", got "{part}". See the top of this file.')
    if part == "run":
        measure_run(int(rest[0]) if rest else 200, Path(rest[1] if len(rest) > 1 else "out"))
    else:
        measure_step(int(rest[0]) if rest else 5)


if __name__ == "__main__":
    main()
