"""The published training of UniPixel as data: what each of its three stages trains, reads and how.

arXiv:2509.18094 and its released code (specification section 10). Defects of the released training
are mended here, unless a switch asks for them:

- memory attention's queries learn (``UniPixelConfig.published_rotation`` stops them);
- checkpoints carry the random matrices of prompts, so that a stage understands what the last one
  learned; ``take_over_whole`` refuses one part without the other;
- <mem> tokens can be pooled under the mask itself (``UniPixelConfig.aligned_pooling``).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from torch import nn

from deixis.config import Optimizer, Source, Stage, Start, Trained, pick
from deixis.errors import ConfigError
from deixis.models.published.unipixel_keys import BUFFERS
from deixis.training.running.adapters import add_adapters
from deixis.training.running.beginning import take_over

POINTING = ("prompting.point.*", "prompting.box.*", "prompting.project.*")
TIMING = ("prompting.clock_kind.*", "prompting.time.*")
WORDS = ("language.embed_tokens.*", "lm_head.*")
ADAPTERS = ("language.*.lora_?.*", "vision.*.lora_?.*")
SAM = "tracker.*"
LEARNED_AROUND = {"prompting.": BUFFERS[1:], "tracker.": BUFFERS[:1], "seg_head.": BUFFERS[:1]}


@dataclass(frozen=True, kw_only=True, slots=True)
class Lora:
    """Adapters of the last stage: beside which linear layers of which decoder, and how large.

    Attributes:
        rank: at most; a smaller language decoder gets a sixteenth of its width, as the published
            3B has.
        alpha: times the rank.
    """

    language: tuple[str, ...] = ("q_proj", "k_proj", "v_proj", "o_proj")
    vision: tuple[str, ...] = ("qkv", "proj")
    rank: int = 128
    alpha: int = 2
    dropout: float = 0.1


@dataclass(frozen=True, kw_only=True, slots=True)
class Lessons:
    """How samples become what is read and learned; see ``unipixel_lessons``.

    Attributes:
        ways: way of asking -> how often, relative to the others that a sample allows.
        boxes: share of the prompts that are boxes; the others are points.
        box_noise: at each edge, as a share of its side, and in pixels at most.
        one_frame: share of the regions in clips that keep one of their frames only.
        onward: share of the questions in words that are drawn from where something shows first.
        frames: of a clip that are read.
        sampled: more of them that are chosen, of which those read follow each other, as near as
            where all are read.
        objects: of a sample that are learned at most.
        drawn: frames of a clip that are drawn at most; all that are read if not given.
        turns, positions, words: of a sample at most.
    """

    ways: Mapping[str, float]
    boxes: float = 0.5
    box_noise: tuple[float, int] = (0.1, 20)
    one_frame: float = 0.5
    onward: float = 0.5
    frames: int = 8
    sampled: int = 0
    drawn: int | None = None
    objects: int = 5
    turns: int = 3
    positions: int = 40960
    words: int = 200


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """One published stage.

    Attributes:
        train: what learns, by our names; the factor is of ``optimizer.lr``.
        batch: samples of a step, over all devices; steps: of one epoch, about.
        mixture: data set -> how often its samples are repeated.
    """

    train: tuple[Trained, ...]
    optimizer: Optimizer
    batch: int
    steps: int
    mixture: Mapping[str, int]
    lessons: Lessons


def _optimizer(lr: float, steps: int) -> Optimizer:
    """AdamW without decay; 3 percent of the steps warm up, then a cosine."""
    return Optimizer(
        lr=lr, betas=(0.9, 0.999), weight_decay=0.0, warmup=round(0.03 * steps),
        schedule="cosine", floor=0.0, clip=1.0,
    )  # fmt: skip


def _trained(*names: str) -> tuple[Trained, ...]:
    return tuple(Trained(name=name) for name in names)


REFER = ("refcoco", "refcoco+", "refcocog", "refclef")
EVERYTHING = Lessons(ways={"draw": 3, "tell": 3, "find": 2, "name": 1})
STAGES: dict[str, Recipe] = {
    "pointing": Recipe(
        train=_trained(*POINTING, *TIMING),
        optimizer=_optimizer(1e-3, 3300),
        batch=256,
        steps=3300,
        mixture={"videorefer_short_caption": 1, "inst_it_image_short_caption": 1},
        lessons=Lessons(ways={"name": 1}),
    ),
    "drawing": Recipe(
        train=_trained("seg_head.*"),
        optimizer=_optimizer(1e-3, 340),
        batch=256,
        steps=340,
        mixture={**dict.fromkeys(REFER, 5), "ref_youtube_vos": 3},
        lessons=Lessons(ways={"draw": 1}),
    ),
    "whole": Recipe(
        train=(
            *_trained(*ADAPTERS, *WORDS, "prompting.*", "regions.*", "seg_head.*"),
            Trained(name=SAM, lr_factor=0.25),
        ),
        optimizer=_optimizer(2e-5, 62500),
        batch=32,
        steps=62500,
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
        lessons=EVERYTHING,
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


def published_stage(stage: str) -> Stage:
    """Return a stage as a run has it; its one task is its mixture (see ``unipixel_data``).

    Raises:
        ConfigError: another stage.
    """
    recipe = pick(STAGES, stage, "stage")
    return Stage(
        name=stage,
        objective=stage,
        steps=recipe.steps,
        batch=recipe.batch,
        questions=recipe.lessons.turns,
        optimizer=recipe.optimizer,
        data=(Source(task=stage),),
        train=published_parts(stage, tied=False),
        precision="bf16",
    )


def check_published_parts(model: Any, stage: str) -> None:
    """Check that exactly the parts of a published stage learn.

    Raises:
        ConfigError: names a parameter that learns and should not, or the other way round.
    """
    parts = published_parts(stage, tied=model.lm_head is None)
    named = dict(model.named_parameters())
    wanted = {n for n in named if any(fnmatchcase(n, part.name) for part in parts)}
    own = {name for name, weight in named.items() if weight.requires_grad}
    if own == wanted:
        return
    surplus, missing = sorted(own - wanted), sorted(wanted - own)
    said = f"{surplus[0]} learning too" if surplus else f"{missing[0]} frozen"
    raise ConfigError(
        f'train: expected exactly the {len(wanted)} parameters of the published stage "{stage}" '
        f"to learn, got {len(own)}, {said}. Name {', '.join(part.name for part in parts)}."
    )


def add_published_adapters(model: Any, lora: Lora | None = None) -> None:
    """Put the adapters of the last stage beside both decoders; they begin as no change at all.

    Raises:
        MissingExtra: peft is not installed.
    """
    lora = lora or Lora()
    rank = min(lora.rank, model.config.text_config.hidden_size // 16)
    for part, targets in ((model.language, lora.language), (model.vision.blocks, lora.vision)):
        add_adapters(
            part, targets=targets, rank=rank, alpha=lora.alpha * rank, dropout=lora.dropout
        )


def take_over_whole(model: nn.Module, start: Start) -> None:
    """Take weights of an earlier stage over, and with them the matrices they were learned around.

    Raises:
        ConfigError: patterns that take what was learned without its random matrices, as the
            published stage checkpoints are, or that do not fit.
        WeightsError: the folder holds no whole weights.
    """
    names = {n for n in model.state_dict() if any(fnmatchcase(n, one) for one in start.take)}
    for part, matrices in LEARNED_AROUND.items():
        lost = [name for name in matrices if name not in names]
        if lost and any(name.startswith(part) and name not in BUFFERS for name in names):
            raise ConfigError(
                f"start.take: expected the random matrices around which {part}* was learned, got "
                f"none for {', '.join(lost)}. Take prompting.codes.*, prompting.clock.* and "
                f"tracker.sam.prompts.* as well."
            )
    take_over(model, start)
