"""The published training of UniPixel as data: what each of its three stages trains, reads and how.

arXiv:2509.18094 and its released code (specification section 10). Defects of the released training
are mended here, unless a switch asks for them:

- memory attention's queries learn (``UniPixelConfig.published_rotation`` stops them);
- the checkpoint of a stage carries the random matrices of prompts, so that the next stage
  understands what the last one learned: ``stage_tensors`` and ``take_stage``;
- <mem> tokens can be pooled under the mask itself (``UniPixelConfig.aligned_pooling``).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from deixis.config import Optimizer, Trained, pick
from deixis.errors import WeightsError
from deixis.models.unipixel_keys import BUFFERS
from deixis.training.adapters import add_adapters
from deixis.training.optimizing import freeze

POINTING = ("prompting.point.*", "prompting.box.*", "prompting.project.*")
TIMING = ("prompting.clock_kind.*", "prompting.time.*")
WORDS = ("language.embed_tokens.*", "lm_head.*")
ADAPTERS = ("language.*.lora_?.*", "vision.*.lora_?.*")
SAM = "tracker.*"


@dataclass(frozen=True, kw_only=True, slots=True)
class Lora:
    """Adapters of a stage: beside which linear layers of which decoder, and how large."""

    language: tuple[str, ...] = ("q_proj", "k_proj", "v_proj", "o_proj")
    vision: tuple[str, ...] = ("qkv", "proj")
    rank: int = 128
    alpha: int = 256
    dropout: float = 0.1


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """One published stage.

    Attributes:
        train: what learns, by our names; the factor is of ``optimizer.lr``.
        batch: samples of a step, over all devices.
        warmup: share of the steps.
        mixture: data set -> how often its samples are repeated.
        draws: whether masks are learned.
        boxes: share of the prompts that are boxes; the others are points.
        frames: of a clip that are read. objects: of a sample that are learned at most.
        turns, positions, words: of a sample at most.
    """

    train: tuple[Trained, ...]
    optimizer: Optimizer
    batch: int
    mixture: Mapping[str, int]
    draws: bool
    warmup: float = 0.03
    boxes: float = 0.5
    frames: int = 8
    objects: int = 5
    turns: int = 3
    positions: int = 40960
    words: int = 200
    lora: Lora | None = None
    box_noise: tuple[float, int] = (0.1, 20)  # of its side, and pixels at most, at each edge
    schedule: str = "cosine"  # as published; ours falls straight


def _optimizer(lr: float) -> Optimizer:
    return Optimizer(lr=lr, betas=(0.9, 0.999), weight_decay=0.0, floor=0.0, clip=1.0)


def _trained(*names: str) -> tuple[Trained, ...]:
    return tuple(Trained(name=name) for name in names)


REFER = ("refcoco", "refcoco+", "refcocog", "refclef")
STAGES: dict[str, Recipe] = {
    "pointing": Recipe(
        train=_trained(*POINTING, *TIMING),
        optimizer=_optimizer(1e-3),
        batch=256,
        mixture={"videorefer_short_caption": 1, "inst_it_image_short_caption": 1},
        draws=False,
    ),
    "drawing": Recipe(
        train=_trained("seg_head.*"),
        optimizer=_optimizer(1e-3),
        batch=256,
        mixture={**dict.fromkeys(REFER, 5), "ref_youtube_vos": 3},
        draws=True,
    ),
    "whole": Recipe(
        train=(
            *_trained(*ADAPTERS, *WORDS, "prompting.*", "regions.*", "seg_head.*"),
            Trained(name=SAM, lr_factor=0.25),
        ),
        optimizer=_optimizer(2e-5),
        batch=32,
        mixture={
            **dict.fromkeys(REFER, 10),
            **dict.fromkeys(("revos", "mevis", "ref_youtube_vos"), 5),
            **dict.fromkeys(("ref_davis17", "reason_seg"), 10),
            **dict.fromkeys(("lvvis", "ref_sav", "groundmore", "vicas"), 3),
            **dict.fromkeys(("ade20k", "cocostuff", "mapillary", "paco_lvis", "pascal_part"), 3),
            **dict.fromkeys(("videorefer_detailed_caption", "videorefer_qa"), 5),
            **dict.fromkeys(("inst_it_video_qa_raw", "osprey_conversation"), 5),
            **dict.fromkeys(("osprey_detail_description", "osprey_pos_neg"), 5),
            **dict.fromkeys(("videorefer_qa_mem", "inst_it_video_qa_raw_mem"), 3),
            "llava_665k_videogpt_plus_576k": 1,
        },
        draws=True,
        lora=Lora(),
    ),
}


def published_parts(stage: str, *, tied: bool) -> tuple[Trained, ...]:
    """Return patterns of exactly the parameters that a stage trains.

    Args:
        stage: "pointing", "drawing" or "whole", in this order.
        tied: whether the output words are the input words, so that they are trained once.

    Raises:
        ConfigError: another stage.
    """
    parts = pick(STAGES, stage, "stage").train
    return tuple(part for part in parts if not (tied and part.name == "lm_head.*"))


def prepare_stage(model: Any, stage: str) -> dict[str, float]:
    """Add the adapters of a stage, let exactly its parts learn, and return their shares of the
    rate by name.

    Raises:
        ConfigError: another stage.
        MissingExtra: peft is not installed.
    """
    lora = pick(STAGES, stage, "stage").lora
    if lora is not None:
        for part, targets in ((model.language, lora.language), (model.vision.blocks, lora.vision)):
            add_adapters(
                part, targets=targets, rank=lora.rank, alpha=lora.alpha, dropout=lora.dropout
            )
    return freeze(model, published_parts(stage, tied=model.lm_head is None))


def stage_tensors(model: nn.Module, stage: str) -> dict[str, Tensor]:
    """Return what the checkpoint of a stage holds: what it trained, and the random matrices.

    Raises:
        ConfigError: another stage.
    """
    learned = {name for name, weight in model.named_parameters() if weight.requires_grad}
    pick(STAGES, stage, "stage")
    tensors = model.state_dict()
    return {name: tensors[name] for name in tensors if name in learned or name in BUFFERS}


def take_stage(model: nn.Module, tensors: Mapping[str, Tensor], where: str) -> None:
    """Give a model what an earlier stage learned.

    Args:
        tensors: as ``stage_tensors`` returned them; where: names them in errors.

    Raises:
        WeightsError: without the random matrices around which it was learned, as the published
            stage checkpoints are, or with tensors that the model has not.
    """
    if lost := [name for name in BUFFERS if name not in tensors]:
        raise WeightsError(
            f"{where}: expected the random matrices of prompts beside what was learned around "
            f"them, got none for {', '.join(lost)}. Train that stage again, or find its matrices."
        )
    ours = model.state_dict()
    for name, tensor in tensors.items():
        found = tuple(ours[name].shape) if name in ours else "none"
        if found != tuple(tensor.shape):
            raise WeightsError(
                f"{where}: expected tensors of this model, got {name} of shape "
                f"{tuple(tensor.shape)} where it has {found}. Use one config for all stages."
            )
    with torch.no_grad():
        for name, tensor in tensors.items():
            ours[name].copy_(tensor)
