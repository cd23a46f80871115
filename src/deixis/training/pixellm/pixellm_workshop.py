"""What runs of PixelLM on our own scenes are made of (a run whose ``model`` is a PixelLM's).

Low-rank adapters stand beside the language decoder from the first step on and learn in the paper's
stage only; a model that is published has them merged.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from deixis.config import TrainRun
from deixis.errors import ConfigError
from deixis.models.configs.pixellm_config import PixelLMConfig
from deixis.models.pixellm import PRESETS, PixelLM
from deixis.models.released import load_strictly, read_tensors
from deixis.processing.lessons.pixellm_templates import template_texts
from deixis.processing.pixellm import PixelLMProcessor
from deixis.scenes.questions import make_scene
from deixis.scenes.world import WorldKey
from deixis.training.pixellm.pixellm_grounding import GroundingObjective
from deixis.training.pixellm.pixellm_recipe import PIXELLM
from deixis.training.pixellm.pixellm_stages import OBJECTIVES
from deixis.training.recipes import READ_SEED, make_config, scene_of, take_over
from deixis.training.running.adapters import add_adapters, merged_tensors
from deixis.training.running.checkpoints import read_json
from deixis.training.running.feeding import Processor, Workshop

TASKS = ("refer", "many", "absent")  # one image, and nothing is pointed at
READ_SCENES, READ_QUESTIONS = 200, 6  # worlds of each task whose words the tokenizer learns


def makes(model: str) -> bool:
    """Tell whether a preset's name or a folder is a PixelLM's."""
    path = Path(model) / "config.json"
    if not path.is_file():
        return model.startswith("pixellm")
    return read_json(path).get("model_type") == PixelLMConfig.model_type


def pixellm_workshop() -> Workshop:
    """Return the workshop of PixelLM on our own scenes."""
    return Workshop(
        build=build_model,
        objectives={**OBJECTIVES, "grounding": GroundingObjective},
        scene=scene_of,
        tasks=TASKS,
        judged=(*TASKS, "compose"),
        publish=publish,
    )


def build_model(run: TrainRun, folder: Path) -> tuple[PixelLM, Processor]:
    """Build the preset that a run names, or open the folder of a PixelLM; adapters are added.

    A run that goes on takes config and words from its own ``last/``.

    Raises:
        ConfigError: an unknown preset or config key, or overrides of a folder's config.
        WeightsError: a folder that holds no whole PixelLM.
    """
    model, processor = _begun(run, folder / "last")
    add_adapters(model.language, **PIXELLM.lora)
    return model, processor


def _begun(run: TrainRun, last: Path) -> tuple[PixelLM, Processor]:
    if (last / "config.json").is_file():
        config = PixelLMConfig.from_pretrained(last)
        return PixelLM(config), PixelLMProcessor.from_pretrained(last, config)
    source = Path(run.model)
    if source.is_dir():
        if run.model_overrides:
            raise ConfigError(
                f"model_overrides: expected none with the folder {run.model}, "
                f"got {', '.join(run.model_overrides)}. Its weights fit its own config only."
            )
        config = PixelLMConfig.from_pretrained(source)
        model = PixelLM(config)
        load_strictly(model, read_tensors(source)[0], source)
        return model, PixelLMProcessor.from_pretrained(source, config)
    config = make_config(run.model, run.model_overrides, PRESETS)
    processor = PixelLMProcessor.from_texts(config, list(texts()))
    model = PixelLM(config)
    if run.start is not None:
        take_over(model, run.start)
    return model, processor


def publish(model: Any, folder: Path) -> None:
    """Write a model's folder with its adapters merged, so that it opens like any other."""
    model.save_pretrained(folder, state_dict=merged_tensors(model))


def texts() -> Iterator[str]:
    """Yield questions and answers of every task, and the templates; the same for every run."""
    yield from template_texts()
    for task in TASKS:
        for index in range(READ_SCENES):
            key = WorldKey(split="train", task=task, seed=READ_SEED, index=index)
            for sample in make_scene(key, questions=READ_QUESTIONS).samples:
                yield sample.question.text
                if sample.answer is not None:
                    yield sample.answer.text
