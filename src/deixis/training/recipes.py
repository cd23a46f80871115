"""What Deixis' own runs are made of: its presets, objectives and scenes."""

from pathlib import Path
from typing import Any

from transformers import PreTrainedModel

from deixis.config import TrainRun, expected_one_of, pick
from deixis.data.mixture import Draw
from deixis.errors import ConfigError
from deixis.models.deixis import PRESETS, DeixisModel
from deixis.processing.deixis import DeixisProcessor
from deixis.scenes.questions import TASKS, Scene, make_scene
from deixis.scenes.world import WorldKey
from deixis.training.feeding import Processor, Workshop
from deixis.training.objective import OBJECTIVES

ONLY_TESTED = ("compose",)  # what training must never see


def deixis_workshop() -> Workshop:
    """Return the workshop of the unified family on our own scenes."""
    return Workshop(
        build=build_model,
        objectives=OBJECTIVES,
        scene=scene_of,
        tasks=tuple(task for task in TASKS if task not in ONLY_TESTED),
        judged=tuple(TASKS),
    )


def scene_of(draw: Draw) -> Scene:
    """Draw the image set and the questions of a mixture's draw."""
    key = WorldKey(split=draw.split, task=draw.task, seed=draw.seed, index=draw.index)
    return make_scene(key, questions=draw.questions, draw=draw.salt)


def build_model(run: TrainRun) -> tuple[PreTrainedModel, Processor]:
    """Build the preset that a run names, or open the folder of a model.

    Raises:
        ConfigError: an unknown preset or config key, or overrides of a folder's config.
    """
    if Path(run.model).is_dir():
        if run.model_overrides:
            raise ConfigError(
                f"model_overrides: expected none with the folder {run.model}, "
                f"got {', '.join(run.model_overrides)}. Its weights fit its own config only."
            )
        model = DeixisModel.from_pretrained(run.model)
        return model, DeixisProcessor.from_pretrained(run.model)
    config = pick(PRESETS, run.model, "model")()
    values = config.to_dict()
    _override(values, run.model_overrides, "model_overrides")
    config = type(config).from_dict(values)
    return DeixisModel(config), DeixisProcessor.for_config(config)


def _override(values: dict[str, Any], changes: dict[str, Any], where: str) -> None:
    for key, value in changes.items():
        if key not in values:
            raise ConfigError(f"{where}.{key}: unknown key: {expected_one_of(values, key)}")
        if isinstance(values[key], dict) and isinstance(value, dict):
            _override(values[key], value, f"{where}.{key}")
        else:
            values[key] = value
