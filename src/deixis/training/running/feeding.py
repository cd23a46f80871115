"""Feeds a training: what runs are made of, and a mixture whose element is the batch of a step."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor
from torch.utils.data import DataLoader, Dataset, SequentialSampler
from transformers import PreTrainedModel

from deixis.config import Stage, TrainRun, pick
from deixis.data.mixture import Draw, Mixture, Share, stage_seed
from deixis.training.running.processes import our_share

HASHED_SETS = 32  # image sets whose pixels and words stand for the data of a stage


class Objective(Protocol):
    """What a stage minimises.

    ``collate`` runs in a worker and must depend on the scenes alone; the parts of the loss come
    weighted, and the loss is their sum.

    Attributes:
        weights: part of the loss -> its weight.
    """

    weights: Mapping[str, float]

    def collate(self, scenes: list[Any]) -> Any: ...

    def __call__(self, model: Any, batch: Any) -> dict[str, Tensor]: ...


class Processor(Protocol):
    """The words and pixels of a model; saved beside its weights."""

    def save_pretrained(self, folder: Path, /) -> Any: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Workshop:
    """What runs are made of; hand in another one to train a model of your own.

    Attributes:
        build: the model that a run in a folder begins with (already seeded), and its processor.
        objectives: name -> how an objective is made for a processor.
        scene: the image set of a draw, with its questions.
        tasks: what a mixture may name.
        judged: what a judge may name.
        costs: task -> about how much time a set of it takes, beside others (1 if not given), by
            which the sets of a step are dealt to several processes.
        finish: writes a trained model folder anew, with what it must know about itself.
        publish: writes the model as it is used, where it trains with parts that only training
            needs; ``save_pretrained`` if not given.
    """

    build: Callable[[TrainRun, Path], tuple[PreTrainedModel, Processor]]
    objectives: Mapping[str, Callable[[Any], Objective]]
    scene: Callable[[Draw], Any]
    tasks: tuple[str, ...]
    judged: tuple[str, ...]
    costs: Mapping[str, float] = field(default_factory=dict)
    finish: Callable[[Path, Path], Mapping[str, float]] | None = None
    publish: Callable[[PreTrainedModel, Path], None] | None = None


class Steps(Dataset):
    """The scenes of every step of a stage; of several processes each has its share of them."""

    def __init__(
        self,
        mixture: Mixture,
        scene: Callable[[Draw], Any],
        steps: int,
        costs: Mapping[str, float] | None = None,
    ) -> None:
        self.mixture = mixture
        self.scene = scene
        self.steps = steps
        self.costs = costs or {}

    def __len__(self) -> int:
        return self.steps

    def __getitem__(self, step: int) -> list[Any]:
        draws = self.mixture.draws(step)
        costs = [self.costs.get(draw.task, 1.0) for draw in draws]
        return [self.scene(draw) for draw in our_share(draws, costs)]


class Collate:
    """Hands the scenes of one step to the objective and counts their questions."""

    def __init__(self, objective: Objective) -> None:
        self.objective = objective

    def __call__(self, steps: Sequence[list[Any]]) -> dict[str, Any]:
        (scenes,) = steps  # an element is a whole step
        questions = sum(len(scene.samples) for scene in scenes)
        return {
            "batch": self.objective.collate(scenes),
            "questions": questions,
            "sets": len(scenes),
        }


def weighted(objective: Objective, stage: Stage) -> Objective:
    """Return the objective with the weights that a stage changes.

    Raises:
        ConfigError: the objective has no part of that name.
    """
    for name in stage.loss_weights:
        pick(objective.weights, name, "part of the loss")
    objective.weights = {**objective.weights, **stage.loss_weights}
    return objective


def make_mixture(stage: Stage, seed: int) -> Mixture:
    """Return the training mixture of a stage of a run with this seed."""
    shares = [
        Share(
            task=source.task,
            weight=source.weight,
            questions=source.questions or stage.questions,
            pool=source.pool,
            kinds=tuple(sorted(source.kinds.items())),
            worn=stage.worn,
        )
        for source in stage.data
    ]
    return Mixture(shares, seed=stage_seed(seed, stage.name), sets_per_step=stage.batch)


def make_loader(steps: Steps, objective: Objective, workers: int) -> DataLoader:
    """Return the loader of a stage; its batches are the same with any number of workers."""
    return DataLoader(
        steps,
        batch_size=1,
        sampler=SequentialSampler(steps),
        collate_fn=Collate(objective),
        num_workers=workers,
    )


def hash_data(steps: Steps) -> str:
    """Return a hash over the pixels, questions and answers with which a stage begins."""
    digest = hashlib.sha256()
    draws = (draw for step in range(len(steps)) for draw in steps.mixture.draws(step))
    for _, draw in zip(range(HASHED_SETS), draws, strict=False):
        scene = steps.scene(draw)
        digest.update(repr(draw).encode())
        for rendering in scene.renderings:
            digest.update(rendering.pixels.tobytes())
        for sample in scene.samples:
            digest.update(f"{sample.question.text}\n{sample.answer.text}\n".encode())
    return digest.hexdigest()
