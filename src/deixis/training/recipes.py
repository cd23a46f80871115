"""What Deixis' own runs are made of: its presets, objectives and scenes, and the words they use."""

import fnmatch
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedModel

from deixis.config import Start, TrainRun, expected_one_of, pick
from deixis.data.mixture import Draw
from deixis.errors import ConfigError
from deixis.models.configs.deixis_config import DeixisConfig
from deixis.models.deixis import PRESETS, DeixisModel
from deixis.models.released import open_model, read_tensors
from deixis.processing.deixis import DeixisProcessor
from deixis.scenes.questions import TASKS, Scene, make_scene
from deixis.scenes.wear import worn_scene
from deixis.scenes.world import WorldKey
from deixis.training.calibration import calibrate
from deixis.training.objective import OBJECTIVES
from deixis.training.running.feeding import Processor, Workshop

ONLY_TESTED = ("compose",)  # what training must never see
READ_SEED = 2**50  # worlds whose words the tokenizer is trained on
READ_SCENES = {"clip": 80, "pixelqa": 80}  # a clip takes as long as five pictures
READ_OTHERS, READ_QUESTIONS = 300, 10


def deixis_workshop() -> Workshop:
    """Return the workshop of the unified family on our own scenes."""
    trained = tuple(task for task in TASKS if task not in ONLY_TESTED)
    return Workshop(
        build=build_model,
        objectives=OBJECTIVES,
        scene=scene_of,
        tasks=trained,
        judged=tuple(TASKS),
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
    if (folder / "last" / "config.json").is_file():
        config = DeixisConfig.from_pretrained(folder / "last")
        return DeixisModel(config), DeixisProcessor.from_pretrained(folder / "last", config)
    if Path(run.model).is_dir():
        if run.model_overrides:
            raise ConfigError(
                f"model_overrides: expected none with the folder {run.model}, "
                f"got {', '.join(run.model_overrides)}. Its weights fit its own config only."
            )
        model = DeixisModel.from_pretrained(run.model)
        return model, DeixisProcessor.from_pretrained(run.model, model.config)
    config = make_config(run.model, run.model_overrides)
    processor = DeixisProcessor.from_texts(config, list(texts()))
    model = DeixisModel(config)
    if run.start is not None:
        take_over(model, run.start)
    return model, processor


def take_over(model: PreTrainedModel, start: Start) -> None:
    """Copy those weights of a trained model into a new one that fit the patterns.

    Raises:
        ConfigError: a pattern that fits nothing, or a weight that is missing or of another shape.
        WeightsError: the folder holds no whole weights.
    """
    theirs, _ = read_tensors(Path(start.model))
    ours = model.state_dict()
    names = {name for one in start.take for name in fnmatch.filter(ours, one)}
    for one in start.take:
        if not fnmatch.filter(ours, one):
            raise ConfigError(
                f'start.take: expected a pattern that fits weights of the model, got "{one}". '
                f"Its parts are {', '.join(f'{part}.*' for part, _ in model.named_children())}."
            )
    for name in sorted(names):
        found = tuple(theirs[name].shape) if name in theirs else "none"
        if found != tuple(ours[name].shape):
            raise ConfigError(
                f"start.model {start.model}: expected {name} of shape {tuple(ours[name].shape)}, "
                f"got {found}. Name fewer weights in start.take, or use the same model_overrides."
            )
    with torch.no_grad():
        for name in sorted(names):
            ours[name].copy_(theirs[name])


def finish(folder: Path, new: Path) -> dict[str, float]:
    """Calibrate the model of a folder and write it into ``new``."""
    opened = open_model(folder)
    found = calibrate(opened.model, opened.processor)
    opened.model.save_pretrained(new)
    return found


def make_config(
    preset: str, overrides: dict[str, Any], presets: Mapping[str, Callable[[], Any]] = PRESETS
) -> Any:
    """Return the config of a preset with some values changed.

    Raises:
        ConfigError: an unknown preset or key.
    """
    config = pick(presets, preset, "model")()
    values = config.to_dict()
    _override(values, overrides, "model_overrides")
    return type(config).from_dict(values)


def texts() -> Iterator[str]:
    """Yield questions and answers of every task that is trained, the same ones for every run."""
    for task in TASKS:
        for index in range(0 if task in ONLY_TESTED else READ_SCENES.get(task, READ_OTHERS)):
            key = WorldKey(split="train", task=task, seed=READ_SEED, index=index)
            for sample in make_scene(key, questions=READ_QUESTIONS).samples:
                yield sample.question.text
                if sample.answer is not None:
                    yield sample.answer.text


def _override(values: dict[str, Any], changes: dict[str, Any], where: str) -> None:
    for key, value in changes.items():
        if key not in values:
            raise ConfigError(f"{where}.{key}: unknown key: {expected_one_of(values, key)}")
        if isinstance(values[key], dict) and isinstance(value, dict):
            _override(values[key], value, f"{where}.{key}")
        else:
            values[key] = value
