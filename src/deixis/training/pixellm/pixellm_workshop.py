"""What runs of PixelLM on our own scenes are made of (a run whose ``model`` is a PixelLM's).

Low-rank adapters stand beside the language decoder from the first step on and learn in the paper's
stage only; a model that is published has them merged.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from transformers import LlamaModel

from deixis.config import TrainRun
from deixis.models.configs.pixellm_config import PixelLMConfig
from deixis.models.pixellm import PRESETS, PixelLM
from deixis.nn.nearby import look_nearby
from deixis.nn.starting import let_words_be_heard
from deixis.processing.lessons.pixellm_templates import template_texts
from deixis.processing.pixellm import PixelLMProcessor
from deixis.scenes.catalogue import CATEGORIES, COLOURS
from deixis.training.pixellm.pixellm_drawing import DrawingObjective
from deixis.training.pixellm.pixellm_grounding import (
    GroundingObjective,
    HearingObjective,
    JoiningObjective,
)
from deixis.training.pixellm.pixellm_knowing import Knowledge
from deixis.training.pixellm.pixellm_patches import PatchObjective
from deixis.training.pixellm.pixellm_recipe import PIXELLM
from deixis.training.pixellm.pixellm_stages import AnswerObjective, PaperObjective
from deixis.training.pixellm.pixellm_telling import Telling
from deixis.training.recipes import scene_of, scene_texts
from deixis.training.running.adapters import add_adapters, merged_tensors
from deixis.training.running.beginning import begin, from_nothing
from deixis.training.running.feeding import Processor, Workshop
from deixis.training.seeking import seek_alike

OBJECTIVES: dict[str, Any] = {
    "patches": PatchObjective,
    "drawing": DrawingObjective,
    "hearing": HearingObjective,
    "grounding": GroundingObjective,
    "joining": JoiningObjective,
    "answer": AnswerObjective,
    "paper": PaperObjective,
}
TASKS = ("refer", "many", "absent")  # one image, and nothing is pointed at
READ_SCENES, READ_QUESTIONS = 200, 6  # worlds of each task whose words the tokenizer learns


def pixellm_workshop() -> Workshop:
    """Return the workshop of PixelLM on our own scenes."""
    return Workshop(
        build=build_model,
        objectives=OBJECTIVES,
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
    model, processor = begin(run, folder / "last", "pixellm", PRESETS, texts)
    if from_nothing(run):
        look_nearby(model.vision)
        look_for_words(model.language, processor)
    add_adapters(model.language, **PIXELLM.lora)
    return model, processor


@torch.no_grad()
def look_for_words(language: LlamaModel, processor: PixelLMProcessor) -> None:
    """Let a new language decoder begin with words that are heard beside what its layers add to
    them, and with heads that look in the picture for words, and for what is true of a thing
    among others."""
    let_words_be_heard(language.embed_tokens)
    table = language.embed_tokens.weight
    telling = Telling(processor, Knowledge(table.shape[1]))
    few = len(CATEGORIES) + len(COLOURS)  # words, as many as a head tells apart
    asked, shown = telling.words(table)[:few], telling.shown()[:few]
    for depth in (-2, -1):
        seek_alike(language, depth, [(asked, shown), (telling.sayings, telling.sayings)])


def publish(model: Any, folder: Path) -> None:
    """Write a model's folder with its adapters merged, so that it opens like any other."""
    model.save_pretrained(folder, state_dict=merged_tensors(model))


def texts(config: PixelLMConfig) -> Iterator[str]:
    """Yield questions and answers of every task, and the templates; the same for every run."""
    yield from template_texts()
    for task in TASKS:
        yield from scene_texts(task, READ_SCENES, READ_QUESTIONS)
