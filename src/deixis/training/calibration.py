"""What a trained model must know about itself: which pictures are familiar, and how sure is sure.

Both are measured after training, on worlds that training did not draw, and kept with the weights.
"""

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

import torch
from torch import Tensor

from deixis.language.generate import read_prefix
from deixis.nn.familiar import describe
from deixis.processing.batch import Batch
from deixis.processing.deixis import DeixisProcessor
from deixis.scenes.questions import make_scene
from deixis.scenes.world import WorldKey
from deixis.structures.samples import Sample

SEED = 2**51  # worlds of the split "val" that only calibration draws
FAMILIAR = {"refer": 300, "multi": 150, "clip": 60, "region": 150, "plain": 150}
SURE = {"absent": 600, "refer": 200, "multi": 100, "many": 100}
TOGETHER = 32  # questions
FRAMES_PER_CLIP = 4
MARGIN = 2.5  # most photographs lie far beyond; see docs/roadmap.md


def calibrate(model: Any, processor: DeixisProcessor) -> dict[str, float]:
    """Set the model's familiar pictures and its presence threshold; return what was found."""
    model.eval()
    with torch.inference_mode():
        limit = measure_familiar(model, processor)
        found, absent = presences(model, processor)
    threshold, error = best_threshold(found, absent)
    model.config.presence_threshold = threshold
    return {"familiar_limit": limit, "presence_threshold": threshold, "presence_error": error}


def samples_of(tasks: Mapping[str, int]) -> Iterator[Sample]:
    """Yield so many questions of each task."""
    for task, count in tasks.items():
        for index in range(count):
            key = WorldKey(split="val", task=task, seed=SEED, index=index)
            yield make_scene(key).samples[0]


def measure_familiar(model: Any, processor: DeixisProcessor) -> float:
    """Keep what frames of our scenes look like, and how strange the strangest in a thousand is."""
    rows = []
    for sample in samples_of(FAMILIAR):
        pixels = processor.encode([sample]).pixels
        rows.append(describe(pixels[:: max(1, len(pixels) // FRAMES_PER_CLIP)]))
    return float(model.familiar.learn(torch.cat(rows).to(model.device), MARGIN))


def presences(model: Any, processor: DeixisProcessor) -> tuple[Tensor, Tensor]:
    """Return the largest presence in questions whose target is there, and where it is not."""
    found: list[float] = []
    absent: list[float] = []
    samples = samples_of(SURE)
    while batch := list(islice(samples, TOGETHER)):
        encoded = processor.encode(batch, with_truth=not model.config.object_tokens)
        largest = largest_presence(model, encoded.to(model.device)).tolist()
        for sample, presence in zip(batch, largest, strict=True):
            if sample.answer is not None:
                (found if sample.answer.targets else absent).append(presence)
    return torch.tensor(found), torch.tensor(absent)


def largest_presence(model: Any, batch: Batch) -> Tensor:
    """Return (B,): the largest existence of an object, or, without object tokens, the largest
    presence of a target of the true answer."""
    seen = model.see(batch)
    if model.config.object_tokens:
        states, _ = read_prefix(model.speech.decoder, seen.prefix, seen.held, seen.positions)
        return model.exist(states, seen).sigmoid().flatten(1).amax(1)
    assert batch.truth is not None
    choice = model.true_choice(batch, seen)
    hidden = model.read(seen, batch.truth.tokens, choice)
    presence = model.presence(model.slots(hidden, seen, choice), seen, hidden).sigmoid()
    nothing = torch.zeros(len(batch.question), device=presence.device)
    return nothing.scatter_reduce(0, choice.row, presence.float().amax(1), "amax")


def best_threshold(found: Tensor, absent: Tensor) -> tuple[float, float]:
    """Return the presence that parts found from absent best, and the larger of both errors."""
    steps = torch.linspace(0, 1, 201)[1:-1]
    missed = (found[None] <= steps[:, None]).float().mean(1)
    invented = (absent[None] > steps[:, None]).float().mean(1)
    worse = torch.maximum(missed, invented)
    return float(steps[worse == worse.min()].mean()), float(worse.min())
