"""A toy that trains in no time: a model of a few weights, an objective and scenes of numbers."""

import json
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from torch import nn
from transformers import PreTrainedConfig, PreTrainedModel

from deixis.training.running.feeding import Workshop

RUN = """
name: toy
model: toy
seed: 5
stages:
  - name: see
    objective: toy
    steps: 12
    batch: 3
    questions: 2
    optimizer: {lr: 2e-2, warmup: 3}
    data: [{task: refer, weight: 2}, {task: many}]
    train: [body.*]
    log_every: 5
    save_every: 4
    judge_every: 4
    judge: {tasks: [refer], count: 3}
  - name: speak
    objective: toy
    steps: 8
    optimizer: {lr: 1e-2, warmup: 0, schedule: constant_then_linear}
    data: [{task: many, pool: 4}]
    train: [{name: body.*, lr_factor: 0.1}, head.*]
    precision: fp32
    log_every: 4
    save_every: 3
"""


class ToyConfig(PreTrainedConfig):
    model_type = "deixis-toy"

    def __init__(self, width: int = 6, drop: float = 0.3, **rest):
        self.width = width
        self.drop = drop
        super().__init__(**rest)


class ToyModel(PreTrainedModel):
    config_class = ToyConfig

    def __init__(self, config: ToyConfig):
        super().__init__(config)
        self.body = nn.Sequential(nn.Linear(4, config.width), nn.LayerNorm(config.width))
        self.body.append(nn.Dropout(config.drop))  # a resumed training must draw the same
        self.head = nn.Linear(config.width, 2)
        self.post_init()

    def forward(self, inputs):
        return self.head(self.body(inputs))


class ToyProcessor:
    def save_pretrained(self, folder):
        (Path(folder) / "processor.json").write_text("{}")


@dataclass
class ToyBatch:
    inputs: torch.Tensor
    wanted: torch.Tensor

    def to(self, device):
        return ToyBatch(self.inputs.to(device), self.wanted.to(device))


class ToyObjective:
    weights = {"sum": 1.0, "size": 0.1}  # noqa: RUF012

    def __init__(self, processor):
        self.dtypes = set()

    def collate(self, scenes):
        inputs = torch.tensor(np.stack([scene.renderings[0].pixels for scene in scenes]))
        return ToyBatch(inputs, inputs.sum(1))

    def __call__(self, model, batch):
        guess = model(batch.inputs)
        self.dtypes.add(guess.dtype)
        guess = guess.float()
        return {
            "sum": self.weights["sum"] * nn.functional.mse_loss(guess[:, 0], batch.wanted),
            "size": self.weights["size"] * guess.square().mean(),
        }


def toy_scene(draw):
    random = np.random.default_rng((draw.seed, draw.index, draw.salt))
    sample = SimpleNamespace(question=SimpleNamespace(text="?"), answer=SimpleNamespace(text="!"))
    pixels = random.standard_normal(4).astype(np.float32)
    return SimpleNamespace(
        renderings=[SimpleNamespace(pixels=pixels)], samples=[sample] * draw.questions
    )


def toy_build(run, folder):
    return ToyModel(ToyConfig(**run.model_overrides)), ToyProcessor()


def toy_workshop(objective=ToyObjective, scene=toy_scene, finish=None):
    return Workshop(
        build=toy_build,
        objectives={"toy": objective},
        scene=scene,
        tasks=("refer", "many"),
        judged=("refer", "many", "compose"),
        finish=finish,
    )


def curve(folder: Path) -> list[dict]:
    """The journal without what a clock says."""
    lines = [json.loads(text) for text in (folder / "metrics.jsonl").read_text().splitlines()]
    clock = {"seconds", "questions_per_second"}
    return [{key: value for key, value in line.items() if key not in clock} for line in lines]


def weights(folder: Path) -> bytes:
    return (folder / "model.safetensors").read_bytes()
