"""What a trained model must know about itself: which pictures are familiar, and how sure is sure.

Both are measured after training, on worlds that training did not draw, and kept with the weights.
A model that has been trained already learns anew which pictures are familiar, and only this, by

    python -m deixis.training.calibration FOLDER NEW
"""

import json
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from deixis.models.configs.deixis_config import DeixisConfig
from deixis.models.deixis import DeixisModel
from deixis.models.released import load_strictly, open_model, read_tensors
from deixis.nn.familiar import describe
from deixis.processing.batch import Batch
from deixis.processing.deixis import DeixisProcessor
from deixis.processing.pixels import place_frame
from deixis.relation.choice import meant_by
from deixis.scenes.questions import make_scene
from deixis.scenes.wear import WEAR, worn
from deixis.scenes.world import WorldKey
from deixis.structures.images import Frame
from deixis.structures.samples import Sample
from deixis.training.running.checkpoints import replacing
from deixis.training.strangers import stranger

SEED = 2**51  # worlds of the split "val" that only calibration draws
FAMILIAR = {"refer": 400, "multi": 200, "clip": 80, "region": 200, "plain": 200, "absent": 200}
STRANGERS = 2500  # pictures that are no scenes
SURE = {"absent": 800, "refer": 200, "multi": 200, "many": 200}
JUDGES = "familiar."  # tensors that say which pictures are familiar
TOGETHER = 32  # questions
THRESHOLDS = [i / 200 for i in range(1, 200)]
FRAMES_PER_CLIP = 4


def calibrate(model: Any, processor: DeixisProcessor) -> dict[str, float]:
    """Set the model's familiar pictures and its presence threshold; return what was found."""
    strange = measure_familiar(model, processor)
    return {"scenes_found_strange": strange, **set_threshold(model, processor)}


def set_threshold(model: Any, processor: DeixisProcessor) -> dict[str, float]:
    """Set the model's presence threshold alone; return it and the share of wrong answers there."""
    model.eval()
    with torch.inference_mode():
        found, absent = rights(model, processor)
    threshold, error = best_threshold(found, absent)
    model.config.presence_threshold = threshold
    return {"presence_threshold": threshold, "presence_error": error}


def samples_of(tasks: Mapping[str, int]) -> Iterator[Sample]:
    """Yield so many questions of each task."""
    for task, count in tasks.items():
        for index in range(count):
            key = WorldKey(split="val", task=task, seed=SEED, index=index)
            yield make_scene(key).samples[0]


def measure_familiar(model: Any, processor: DeixisProcessor) -> float:
    """Let the model's judges of pictures learn scenes and strangers; return the share of other
    scenes, as they are, that they find strange."""
    canvas, random = processor.config.canvas, np.random.default_rng(SEED)
    scenes = [frame.pixels for frame in frames_of(FAMILIAR)]
    learned, held = scenes[::2], scenes[1::2]
    known = [*learned, *(worn(pixels, random) for pixels in learned * 2)]
    strange = [stranger(random) for _ in range(STRANGERS)]
    strange = [worn(pixels, random) for pixels in strange]
    judges = model.familiar.cpu()
    judges.learn(described(known, canvas), described(strange, canvas), seed=SEED)
    clean = described(held, canvas)
    most_worn = [
        described([change(pixels, 1.0, random) for pixels in held], canvas)
        for change in WEAR.values()
    ]
    found = float(judges.limit(clean, most_worn))
    judges.to(model.device)
    return found


def frames_of(tasks: Mapping[str, int]) -> Iterator[Frame]:
    """Yield frames of so many questions of each task, of a clip some."""
    for sample in samples_of(tasks):
        yield from sample.images[:: max(1, len(sample.images) // FRAMES_PER_CLIP)]


def described(pictures: Sequence[np.ndarray], canvas: tuple[int, int]) -> Tensor:
    """Return the statistics (N, K) of pictures (H, W, 3) as they lie on a canvas."""
    rows = []
    for pixels in pictures:
        placed, placement = place_frame(Frame.from_array(pixels), canvas)
        height, width = placement.resized
        rows.append(describe(placed[None, :, :height, :width]))
    return torch.cat(rows)


def rights(model: Any, processor: DeixisProcessor) -> tuple[Tensor, Tensor]:
    """Return by threshold (T, N) how right questions would be answered: those whose targets are
    there, and those whose target is not."""
    found: list[Tensor] = []
    absent: list[Tensor] = []
    samples = samples_of(SURE)
    while batch := list(islice(samples, TOGETHER)):
        encoded = processor.encode(batch, with_truth=True).to(model.device)
        for sample, right in zip(batch, right_at(model, encoded).cpu().T, strict=True):
            if sample.answer is not None:
                (found if sample.answer.targets else absent).append(right)
    return torch.stack(found, 1), torch.stack(absent, 1)


def right_at(model: Any, batch: Batch) -> Tensor:
    """Return (T, B) in [0, 1]: at which thresholds it is known whether anything that a question
    means is there (half), and exactly what it means counts as there (the other half); without
    object tokens, at which the targets of the true answer do where, and only where, they show."""
    assert batch.truth is not None
    seen = model.see(batch)
    choice = model.true_choice(batch, seen)
    if model.config.object_tokens:
        states, _ = model.read_prefix(seen)
        sure = model.exist(states, seen).sigmoid()
        meant, able = meant_by(choice, seen.objects, seen.set_of_row)
        each = torch.arange(len(choice.row), device=sure.device)
        unseen = torch.isin(each, batch.truth.target) & ~choice.tokens.any(1)
        hopeless = torch.isin(torch.arange(len(sure), device=sure.device), choice.row[unseen])
        there = (meant.bool() & able).flatten(1).any(1) | hopeless
        exact = [(((sure > t) == meant.bool()) | ~able).flatten(1).all(1) for t in THRESHOLDS]
        anything = [((sure > t) & able).flatten(1).any(1) == there for t in THRESHOLDS]
        return ((torch.stack(exact) & ~hopeless).float() + torch.stack(anything).float()) / 2
    hidden, _ = model.read(seen, batch.truth.tokens, choice)
    slots = model.slots(hidden, seen, choice, batch.truth.tokens)
    sure = model.presence(slots, seen, hidden).sigmoid().amax(1)
    shows = torch.isin(torch.arange(len(sure), device=sure.device), batch.truth.target)
    wrong = torch.zeros(len(THRESHOLDS), len(batch.question), device=sure.device)
    missed = torch.stack([(sure > t) != shows for t in THRESHOLDS]).float()
    return (wrong.index_add(1, choice.row, missed) == 0).float()


def best_threshold(found: Tensor, absent: Tensor) -> tuple[float, float]:
    """Return the threshold at which most answers are right, those with targets and those without
    weighing the same, and the share of the others; (T, N) are ``THRESHOLDS`` by questions."""
    right = (found.float().mean(1) + absent.float().mean(1)) / 2
    best = right >= right.max() - 1e-6
    return float(torch.tensor(THRESHOLDS)[best].mean()), float(1 - right.max())


def renew(folder: Path, new: Path) -> float:
    """Write a trained model anew with judges of pictures that have learned anew.

    All its other tensors stay as they are, to the last bit; it may have been trained when the
    judges were others.

    Returns:
        The share of scenes that they find strange.

    Raises:
        WeightsError: no model there, or tensors that do not fit its config.
    """
    tensors, _ = read_tensors(folder)
    config = DeixisConfig.from_dict(json.loads((folder / "config.json").read_text("utf-8")))
    model = DeixisModel(config)
    judges = {k: v for k, v in model.state_dict().items() if k.startswith(JUDGES)}
    kept = {k: v for k, v in tensors.items() if not k.startswith(JUDGES)}
    load_strictly(model, {**kept, **judges}, folder)
    strange = measure_familiar(model, DeixisProcessor.from_pretrained(folder, config))
    judges = {k: v for k, v in model.state_dict().items() if k.startswith(JUDGES)}
    with replacing(new) as place:
        shutil.copytree(
            folder, place, ignore=shutil.ignore_patterns("*.safetensors*"), dirs_exist_ok=True
        )
        save_file({**kept, **judges}, place / "model.safetensors")
        open_model(place)
    return strange


if __name__ == "__main__":
    print(f"scenes found strange: {renew(Path(sys.argv[1]), Path(sys.argv[2])):.4f}")
