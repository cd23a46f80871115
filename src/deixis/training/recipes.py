"""What Deixis' own runs are made of: its presets, objectives and scenes, and the words they use."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from deixis.config import TrainRun
from deixis.data.mixture import Draw
from deixis.models.configs.deixis_config import DeixisConfig
from deixis.models.deixis import PRESETS, DeixisModel
from deixis.models.released import open_model
from deixis.scenes.questions import TASKS, Scene, make_scene
from deixis.scenes.wear import worn_scene
from deixis.scenes.world import WorldKey
from deixis.training.calibration import calibrate
from deixis.training.objective import OBJECTIVES
from deixis.training.running.beginning import begin
from deixis.training.running.feeding import Processor, Workshop

ONLY_TESTED = ("compose",)  # what training must never see
READ_SEED = 2**50  # worlds whose words the tokenizer is trained on
READ_SCENES = {"clip": 80, "pixelqa": 80}  # a clip takes as long as five pictures
READ_OTHERS, READ_QUESTIONS = 300, 10
COSTS = {"plain": 1.5, "region": 1.5, "many": 1.5, "multi": 2, "clip": 3, "pixelqa": 4}  # measured


def deixis_workshop() -> Workshop:
    """Return the workshop of the unified family on our own scenes."""
    trained = tuple(task for task in TASKS if task not in ONLY_TESTED)
    return Workshop(
        build=build_model,
        objectives=OBJECTIVES,
        scene=scene_of,
        tasks=trained,
        judged=tuple(TASKS),
        costs=COSTS,
        finish=finish,
    )


def scene_of(draw: Draw) -> Scene:
    """Draw the image set and the questions of a mixture's draw, worn or as drawn."""
    key = WorldKey(split=draw.split, task=draw.task, seed=draw.seed, index=draw.index)
    scene = make_scene(key, questions=draw.questions, draw=draw.salt, kinds=dict(draw.kinds))
    random = np.random.default_rng((draw.seed, draw.index, draw.salt))
    return worn_scene(scene, random) if random.random() < draw.worn else scene


def build_model(run: TrainRun, folder: Path) -> tuple[DeixisModel, Processor]:
    """Build the preset that a run names, or open the folder of a model.

    A run that goes on takes config and words from its own ``last/``.

    Raises:
        ConfigError: an unknown preset or config key, overrides of a folder's config, or weights
            to start from that do not fit.
    """
    return begin(run, folder / "last", "deixis", PRESETS, texts)


def finish(
    folder: Path, new: Path, measure: Callable[[Any, Any], dict[str, float]] = calibrate
) -> dict[str, float]:
    """Calibrate the model of a folder, or ``measure`` less of it, and write it into ``new``."""
    opened = open_model(folder)
    found = measure(opened.model, opened.processor)
    opened.model.save_pretrained(new)
    return found


def texts(config: DeixisConfig) -> Iterator[str]:
    """Yield questions and answers of every task that is trained, the same ones for every run."""
    for task in TASKS:
        if task not in ONLY_TESTED:
            yield from scene_texts(task, READ_SCENES.get(task, READ_OTHERS), READ_QUESTIONS)


def scene_texts(task: str, worlds: int, questions: int) -> Iterator[str]:
    """Yield the questions and answers about some worlds of a task, whose words are learned."""
    for index in range(worlds):
        key = WorldKey(split="train", task=task, seed=READ_SEED, index=index)
        for sample in make_scene(key, questions=questions).samples:
            yield sample.question.text
            if sample.answer is not None:
                yield sample.answer.text
