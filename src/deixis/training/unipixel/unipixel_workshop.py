"""What runs of UniPixel on our own scenes are made of (a run whose ``model`` is a UniPixel's).

The adapters of the last stage and the heads of dense teaching are there from the first step on; a
model that is published has the first merged and the second taken away.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from deixis.config import TrainRun
from deixis.decoding.frame_attention import axial_rates
from deixis.models.configs.unipixel_config import UniPixelConfig
from deixis.models.unipixel import PRESETS, UniPixelModel
from deixis.nn.nearby import look_nearby_turning, look_where_it_was
from deixis.nn.starting import begin_audibly, look_where_asked
from deixis.processing.words.unipixel_text import localize, prefilled, region_prefix
from deixis.training.directions import WORDS
from deixis.training.recipes import scene_of, scene_texts
from deixis.training.running.adapters import merged_tensors
from deixis.training.running.beginning import begin, from_nothing
from deixis.training.running.feeding import Processor, Workshop
from deixis.training.seeking import pass_on_what_is_found, seek_words
from deixis.training.unipixel.unipixel_bases import Teaching
from deixis.training.unipixel.unipixel_lessons import FINDING, NAMING
from deixis.training.unipixel.unipixel_recipe import add_published_adapters, take_over_whole
from deixis.training.unipixel.unipixel_stages import OBJECTIVES

TASKS = ("refer", "many", "absent", "region", "clip", "pixelqa")  # one picture or clip each
READ_SCENES, READ_QUESTIONS = {"clip": 50, "pixelqa": 50}, 6  # worlds whose words are read
READ_OTHERS = 150
SHOWN_OFTEN = 20  # times that fixed texts are read, so that they take few tokens


def unipixel_workshop() -> Workshop:
    """Return the workshop of UniPixel on our own scenes."""
    return Workshop(
        build=build_model,
        objectives=OBJECTIVES,
        scene=scene_of,
        tasks=TASKS,
        judged=(*TASKS, "compose"),
        publish=publish,
    )


def build_model(run: TrainRun, folder: Path) -> tuple[UniPixelModel, Processor]:
    """Build the preset that a run names, or open the folder of a UniPixel, ready to learn.

    A run that goes on takes config and words from its own ``last/``.

    Raises:
        ConfigError: an unknown preset or config key, overrides of a folder's config, or weights
            to start from that do not fit.
        WeightsError: a folder that holds no whole UniPixel.
    """
    model, processor = begin(
        run, folder / "last", "unipixel", PRESETS, texts, take=take_over_whole
    )
    if from_nothing(run):  # see the recipe
        model.prompting.codes.load_state_dict(model.tracker.sam.prompts.state_dict())
        begin_audibly(model.vision.blocks)
        begin_audibly(model.tracker.sam.vision.backbone)
        begin_audibly(model.tracker.sam.mask_decoder)
        begin_audibly(model.tracker.memory_encoder)
        begin_audibly(model.tracker.memory_attention)
        memory = model.tracker.memory_attention
        look_where_it_was(memory.layers, axial_rates(memory.head_width, memory.theta))
        look_where_asked(model.tracker.sam.mask_decoder.transformer)
        look_nearby_turning(model.vision.blocks, model.vision.rotary_pos_emb.inv_freq)
        seek_words(model.language, processor.vocabulary.encode)
        pass_on_what_is_found(model.language)
    add_published_adapters(model)
    config: Any = model.config
    model.teaching = Teaching(config)
    return model, processor


def publish(model: Any, folder: Path) -> None:
    """Write a model's folder as it is used, so that it opens like any other."""
    tensors = {
        name: tensor
        for name, tensor in merged_tensors(model).items()
        if not name.startswith("teaching.")
    }
    model.save_pretrained(folder, state_dict=tensors)


def texts(config: UniPixelConfig) -> Iterator[str]:
    """Yield questions and answers of every task, and what is written around them."""
    frames = config.read_frames
    pairs = (frames + 1) // 2
    shown = {number: [True] * pairs for number in (1, 2, 3)}
    asked = [one.format(it="[1]") for one in (*NAMING, *FINDING)]
    fixed = [region_prefix(shown, frames), region_prefix({1: [True]}, 1), prefilled((1, 2, 3))]
    fixed += [f"The {' '.join(words)}." for words in WORDS.values()]
    for _ in range(SHOWN_OFTEN):
        yield from (*fixed, *asked, *(localize(one) for one in asked))
    for task in TASKS:
        yield from scene_texts(task, READ_SCENES.get(task, READ_OTHERS), READ_QUESTIONS)
