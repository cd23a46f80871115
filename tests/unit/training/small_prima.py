"""Tiny PRIMAs that tests of their training share."""

from pathlib import Path

import torch

from deixis.config import TrainRun
from deixis.models.prima import PrimaModel, prima_tiny
from deixis.processing.prima import PrimaProcessor
from deixis.scenes.questions import make_sample, make_scene
from deixis.scenes.world import WorldKey

STAGE = {"batch": 1, "data": [{"task": "multi"}], "precision": "fp32", "log_every": 1}



def make_folder(path: Path) -> Path:
    """Write a tiny PRIMA with random weights as a model folder."""
    samples = [make_sample("train", "multi", 3, index) for index in range(6)]
    config = prima_tiny()
    texts = [text for s in samples for text in (s.question.text, s.answer.text)]
    processor = PrimaProcessor.from_texts(config, texts)
    torch.manual_seed(2)
    PrimaModel(config).save_pretrained(path)
    processor.save_pretrained(path)
    return path


def run_of(folder, **changes):
    stages = [{"name": "published", "objective": "prima", "steps": 1, **STAGE}]
    values = {"name": "tiny", "model": str(folder), "stages": stages, **changes}
    return TrainRun.model_validate(values)


SCENES = [
    make_scene(WorldKey(split="train", task="multi", seed=0, index=index), questions=3)
    for index in range(2)
]


def reached(model, parts):
    """Return the parameters that have a gradient."""
    sum(parts.values()).backward()
    return {name for name, p in model.named_parameters() if p.grad is not None and p.grad.any()}


