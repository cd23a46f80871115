"""The published training of PixelLM as data: what it reads, what learns, how fast and how long.

arXiv:2312.02228 and the released training command. One stage, from a LLaVA model.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from deixis.config import Optimizer, Source, Stage, Trained
from deixis.training.running.adapters import add_adapters
from deixis.training.running.optimizing import freeze

ADAPTERS = "language.*.lora_?.*"
ALWAYS = ("lm_head.*", "language.embed_tokens.*", "pyramid.*", "codebook.*")
PROJECTORS = ("projector.*", "pixel_projector.*")
NECK = ("neck.*", "prompts.*")  # the paper trains them; the released code never did


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """One published stage.

    Attributes:
        mixture: kind of data -> how often it is drawn, relative to the others.
        sets: kind of data -> its data sets, each drawn as often as the next.
        questions: about one image, each a row of its own.
        targets: of one question; an image gives at most ``questions * targets`` names.
        images: in a step of one device; accumulate: such steps before the weights move.
        positions: that a row may take, all tokens of its image counted.
        lora: arguments of ``add_adapters`` for the language decoder.
        losses: part of the loss -> its weight; refinement is the paper's 2 where it is on.
    """

    mixture: Mapping[str, float]
    sets: Mapping[str, tuple[str, ...]]
    questions: int
    targets: int
    images: int
    accumulate: int
    steps: int
    positions: int
    optimizer: Optimizer
    lora: Mapping[str, Any]
    losses: Mapping[str, float]


PIXELLM = Recipe(
    mixture={"sem_seg": 2, "refer_seg": 9, "vqa": 2, "multi_reason_seg": 4},
    sets={
        "sem_seg": ("ade20k", "cocostuff", "pascal_part", "paco_lvis", "mapillary"),
        "refer_seg": ("refclef", "refcoco", "refcoco+", "refcocog"),
        "vqa": ("llava_instruct_150k",),
        "multi_reason_seg": ("muse",),
    },
    questions=3,
    targets=3,
    images=2,
    accumulate=10,
    steps=5000,  # 10 epochs of 500
    positions=512,
    optimizer=Optimizer(
        lr=3e-4, betas=(0.9, 0.95), weight_decay=0.0, warmup=100, schedule="linear", floor=0.0,
        clip=1.0,
    ),
    lora={"targets": ("q_proj", "v_proj"), "rank": 8, "alpha": 16, "dropout": 0.05},
    losses={"text": 1.0, "bce": 2.0, "dice": 0.5, "refinement": 0.0},
)  # fmt: skip


def published_parts(*, neck: bool = True) -> tuple[Trained, ...]:
    """Return patterns of exactly the parameters that the stage trains.

    Args:
        neck: whether feature neck and prompt codes learn, as the paper's figure says. With False
            they stay as they are, which is what the released code does unawares.
    """
    names = (ADAPTERS, *ALWAYS, *PROJECTORS, *(NECK if neck else ()))
    return tuple(Trained(name=name) for name in names)


def published_stage(*, neck: bool = True, recipe: Recipe = PIXELLM) -> Stage:
    """Return the stage; what one device accumulates over steps is one step of ours."""
    return Stage(
        name="paper",
        objective="paper",
        steps=recipe.steps,
        batch=recipe.images * recipe.accumulate,
        questions=recipe.questions,
        optimizer=recipe.optimizer,
        data=tuple(Source(task=name, weight=share) for name, share in recipe.mixture.items()),
        train=published_parts(neck=neck),
        precision="bf16",
    )


def prepare_published_stage(model: Any, *, neck: bool = True, recipe: Recipe = PIXELLM) -> None:
    """Add LoRA to the language decoder and let only what the stage trains learn."""
    add_adapters(model.language, **recipe.lora)
    freeze(model, published_parts(neck=neck))


def text_room(config: Any, recipe: Recipe = PIXELLM) -> int:
    """Return the tokens of text that a row may have, its image counted as one: 257 as published."""
    return recipe.positions - (int(config.image_grid) ** 2 - 1)


def learning(model: nn.Module) -> set[str]:
    """Return the names of the parameters that learn."""
    return {name for name, weight in model.named_parameters() if weight.requires_grad}
