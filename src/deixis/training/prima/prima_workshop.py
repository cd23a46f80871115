"""What PRIMA's runs on our scenes are made of: a stage 0 that stands in for pre-trained bases,
and the published stage after it.

Stage 0 first teaches EVA, SAM and the Q-Former apart what images show (``prima_looking``,
``prima_scanning``, ``prima_sketching``, ``prima_gathering``), then lets everything learn from
answers (``prima_speaking``); LoRA and the dense heads are there from the start and leave the
published model: the first merged, the second dropped.
"""

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel

from deixis.config import TrainRun
from deixis.models.prima import PRESETS, PrimaConfig, PrimaModel
from deixis.nn.nearby import look_nearby
from deixis.nn.starting import (
    begin_audibly,
    let_neighbours_agree,
    let_words_be_heard,
    look_where_asked,
)
from deixis.processing.prima import PrimaProcessor
from deixis.training.prima.prima_bases import PrimaLooking, PrimaScanning, PrimaSketching, Teaching
from deixis.training.prima.prima_objective import PrimaObjective, prepare_published_stage
from deixis.training.prima.prima_reading import PrimaGathering, PrimaSpeaking
from deixis.training.recipes import READ_QUESTIONS, scene_of, scene_texts
from deixis.training.running.adapters import merge_adapters
from deixis.training.running.beginning import begin, from_nothing
from deixis.training.running.feeding import Workshop
from deixis.training.seeking import pass_on_what_is_found, seek_words

TAUGHT = ("refer", "many", "multi", "absent", "plain")  # tasks without prompts and clips
JUDGED = ("refer", "many", "multi-words", "absent", "plain", "compose")
READ_SCENES = 80  # of each task, whose words the tokenizers are trained on


def prima_workshop() -> Workshop:
    """Return the workshop of PRIMA on our own scenes."""
    return Workshop(
        build=build_model,
        objectives={
            "prima": PrimaObjective,
            "prima_looking": PrimaLooking,
            "prima_scanning": PrimaScanning,
            "prima_sketching": PrimaSketching,
            "prima_gathering": PrimaGathering,
            "prima_speaking": PrimaSpeaking,
        },
        scene=scene_of,
        tasks=TAUGHT,
        judged=JUDGED,
        publish=publish,
    )


def build_model(run: TrainRun, folder: Path) -> tuple[PrimaModel, PrimaProcessor]:
    """Build the preset that a run names, or open the folder of a PRIMA, and make it ready to
    learn: LoRA beside q and v, dense heads beside both encoders.

    Raises:
        ConfigError: an unknown preset or config key, or overrides of a folder's config.
    """
    model, processor = begin(run, folder / "last", "prima", PRESETS, texts)
    if from_nothing(run):
        begin_audibly(model.vision.eva)
        begin_audibly(model.decoding.sam.vision_encoder)
        begin_audibly(model.decoding.sam.mask_decoder)
        let_neighbours_agree(model.decoding.sam)
        look_where_asked(model.decoding.sam.mask_decoder.transformer)
        if model.qformer is not None:
            begin_audibly(model.qformer)
        let_words_be_heard(model.language.get_input_embeddings())
        seek_words(model.language.model, processor.words.vocabulary.encode)
        pass_on_what_is_found(model.language.model)
        look_nearby(model.vision.eva)
        look_nearby(model.decoding.sam.vision_encoder)
    return ready(model), processor


def ready(model: PrimaModel) -> PrimaModel:
    """Add what only training needs: LoRA and the dense heads."""
    prepare_published_stage(model)
    config: Any = model.config
    model.teaching = Teaching(config)
    return model


def texts(config: PrimaConfig) -> Iterator[str]:
    """Yield questions and answers of every task that is taught, the same ones for every run."""
    for task in TAUGHT:
        yield from scene_texts(task, READ_SCENES, READ_QUESTIONS)


def publish(model: PreTrainedModel, folder: Path) -> None:
    """Write the model as it is used, LoRA merged and dense heads gone; the given one stays."""
    used: Any = copy.deepcopy(model)
    merge_adapters(used.language.model)
    used.teaching = None
    used.save_pretrained(folder)
