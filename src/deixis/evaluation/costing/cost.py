"""Floating point operations by station, counted by torch on the meta device: no weights, no time.

One question about N images, answered in T tokens of which one per image asks for a mask. Every
model reads the same text: TEXT tokens and NAMED more per image. One multiplication and addition
are two operations. ``glamm`` and ``lisa`` are the multi-image baselines of PRIMA's paper: all
patch tokens of CLIP go to the language decoder, SAM sees each image once.

Shapes: N images, W columns of the prompt, T answer tokens, P patches, C D widths.
"""

import json
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import (
    CLIPVisionConfig,
    CLIPVisionModel,
    LlamaConfig,
    LlamaModel,
)

from deixis.config import expected_one_of
from deixis.decoding.segment_anything import SegHead, SegmentAnything
from deixis.errors import ConfigError
from deixis.evaluation.costing.bill import QUESTION, Bill, meta
from deixis.evaluation.costing.families import deixis_bill, unipixel_bill
from deixis.models.configs.deixis_config import DeixisConfig
from deixis.models.configs.pixellm_config import PixelLMConfig, pixellm_7b, pixellm_13b
from deixis.models.configs.prima_config import VICUNA, PrimaConfig, prima_7b, prima_v1_7b
from deixis.models.configs.unipixel_config import UniPixelConfig, unipixel_3b, unipixel_7b
from deixis.models.deixis import PRESETS as DEIXIS
from deixis.models.parts.pixellm_vision import clip_levels, pooled
from deixis.models.pixellm import Look, PixelLM
from deixis.models.prima import PrimaModel
from deixis.models.released import PACKAGE

CLIP_LARGE: dict[str, Any] = {
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "patch_size": 14,
}


def count_operations(name: str, images: int, answer_tokens: int) -> dict[str, Any]:
    """Count what one question costs a model.

    Args:
        name: one of ``MODELS``, a model of the package, or a folder with a ``config.json``.
        images: N, 1 or more. answer_tokens: T, 1 or more.

    Returns:
        model, images, answer_tokens, stations (TFLOPs by name) and total_tflops.

    Raises:
        ConfigError: an unknown model, or no image or token.
    """
    run = MODELS.get(name) or _of_folder(name)
    for what, value in (("images", images), ("answer tokens", answer_tokens)):
        if value < 1:
            raise ConfigError(f"{what}: expected 1 or more, got {value}.")
    bill = Bill(images=images, answer_tokens=answer_tokens)
    with torch.device("meta"):
        run(bill)
    return bill.report(name)


# -- the models ----------------------------------------------------------------------------------


def prima_bill(bill: Bill, config: PrimaConfig) -> None:
    """Count PRIMA: 32 rows of each image go to the language decoder, or all its patches."""
    for part in (config.vision_config, config.qformer_config, config.text_config):
        part._attn_implementation = "eager"  # so that attention is counted as it is written
    if config.dino_config is not None:
        config.dino_config._attn_implementation = "eager"
    model = PrimaModel(config).eval().requires_grad_(False)
    count, side = bill.images, config.vision_config.image_size
    features = bill.count("vision", lambda: model.vision(meta(count, 3, side, side)))
    _sam_sees(bill, model.decoding)
    rows = bill.count("relation", lambda: _rows(model, features))
    bill.count("relation", lambda: model.projection(rows))
    columns = bill.text + config.rows_per_image * count
    bill.language(model.language.model, model.language.lm_head, columns)
    bill.masks(model.seg_head, model.decoding, config.text_config.hidden_size)


def patches_bill(bill: Bill, side: int, projector: tuple[int, ...]) -> None:
    """Count a model that reads all patch tokens of a CLIP (GLaMM, LISA), with PRIMA's rest."""
    clip = CLIPVisionConfig(**CLIP_LARGE, image_size=side)
    clip._attn_implementation = "eager"
    tower = CLIPVisionModel(clip).eval().requires_grad_(False)
    seen = bill.count(
        "vision", lambda: tower(meta(bill.images, 3, side, side)).last_hidden_state[:, 1:]
    )
    layers = [nn.Linear(a, b) for a, b in pairwise(projector)]
    bill.count("relation", lambda: nn.Sequential(*layers).requires_grad_(False)(seen))
    base = prima_7b()
    sam = SegmentAnything(base.sam_config).eval().requires_grad_(False)
    _sam_sees(bill, sam)
    text = LlamaConfig(**VICUNA)
    text._attn_implementation = "eager"
    decoder = LlamaModel(text).eval().requires_grad_(False)
    head = nn.Linear(text.hidden_size, text.vocab_size, bias=False).requires_grad_(False)
    bill.language(decoder, head, bill.text + seen.shape[1] * bill.images)
    seg_head = SegHead(text.hidden_size, sam.prompt_width).requires_grad_(False)
    bill.masks(seg_head, sam, text.hidden_size)


def pixellm_bill(bill: Bill, config: PixelLMConfig) -> None:
    """Count PixelLM, which was made for one image, with N in its prompt; one target in each."""
    for part in (config.vision_config, config.text_config):
        part._attn_implementation = "eager"
    model = PixelLM(config).eval().requires_grad_(False)
    count, side, grid = bill.images, config.canvas, config.grid
    whole = torch.ones(count, grid, grid, dtype=torch.bool, device="cpu")
    layers = config.feature_layers
    features = bill.count(
        "vision", lambda: clip_levels(model.vision, meta(count, 3, side, side), whole, layers)
    )
    small = bill.count("relation", lambda: pooled(features[0], grid, config.image_grid))
    bill.count("relation", lambda: model.projector(small))
    bill.language(model.language, model.lm_head, bill.text + small.shape[1] * count)
    states = meta(1, config.group_size, config.text_config.hidden_size)
    look = Look(features=features[:, :1], rows=small[:1], read=whole[:1].flatten(1))
    one = Bill(images=1, answer_tokens=0)
    one.count("decoding", lambda: _draw_pyramid(model, states, look))
    bill.operations["decoding"] += count * one.operations["decoding"]


def _draw_pyramid(model: PixelLM, states: Tensor, look: Look) -> Tensor:
    """Draw one target of PixelLM in one image."""
    queries = model.queries(states)
    index = torch.zeros(1, dtype=torch.long, device="meta")
    features = model.pixel_features(look).unbind(0)
    levels = model.pyramid.draw(queries, features, index, model.prompts)
    return model.pyramid.fuse([level.logits for level in levels])


def _deixis_preset(preset: Callable[[], Any], bill: Bill) -> None:
    deixis_bill(bill, preset())


MODELS: dict[str, Callable[[Bill], None]] = {
    "prima": lambda bill: prima_bill(bill, prima_7b()),
    "prima_v1": lambda bill: prima_bill(bill, prima_v1_7b()),
    "glamm": lambda bill: patches_bill(bill, 336, (1024, 4096, 4096)),
    "lisa": lambda bill: patches_bill(bill, 224, (1024, 4096)),
    "pixellm_7b": lambda bill: pixellm_bill(bill, pixellm_7b()),
    "pixellm_13b": lambda bill: pixellm_bill(bill, pixellm_13b()),
    "unipixel_3b": lambda bill: unipixel_bill(bill, unipixel_3b()),
    "unipixel_7b": lambda bill: unipixel_bill(bill, unipixel_7b()),
    **{name: partial(_deixis_preset, preset) for name, preset in DEIXIS.items()},
}


FAMILIES: dict[str, tuple[Any, Callable[[Bill, Any], None]]] = {
    PrimaConfig.model_type: (PrimaConfig, prima_bill),
    PixelLMConfig.model_type: (PixelLMConfig, pixellm_bill),
    UniPixelConfig.model_type: (UniPixelConfig, unipixel_bill),
    DeixisConfig.model_type: (DeixisConfig, deixis_bill),
}


def _of_folder(name: str) -> Callable[[Bill], None]:
    """Return how the model in a folder, or one of the package, is counted.

    Raises:
        ConfigError: no folder, one without a config, or one with a model of another family.
    """
    places = (Path(name), PACKAGE / name)
    path = next((p / "config.json" for p in places if (p / "config.json").is_file()), None)
    if path is None:
        raise ConfigError(f"model: {expected_one_of(MODELS, name)} The folder of a model will do.")
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        family = str(values.get("model_type"))
    except (OSError, ValueError, AttributeError) as error:
        raise ConfigError(f"{path}: expected JSON, got: {error}. Copy the file again.") from error
    if family not in FAMILIES:
        raise ConfigError(
            f'{path}: expected a model of {", ".join(FAMILIES)}, got "{family}". '
            f"A published checkpoint is converted first: deixis models {path.parent}."
        )
    config_class, counted = FAMILIES[family]
    config = config_class.from_dict(values)
    return lambda bill: counted(bill, config)


# -- what is run ---------------------------------------------------------------------------------


def _rows(model: PrimaModel, features: Tensor) -> Tensor:
    """Let the Q-Former look into every image of a set with the question; the rows of its queries.
    Without one, the patches."""
    if model.relation is None or model.qformer is None:
        return features[:, 1:]
    count = len(features)
    there = torch.ones(1, count, dtype=torch.bool)
    queries = model.relation.relate(features[None], there)
    known = model.relation.exchange(features[None], there)[0]
    rows = queries.shape[1]
    out = model.qformer(
        input_ids=torch.zeros(count, QUESTION, dtype=torch.long, device="meta"),
        query_embeds=queries.expand(count, -1, -1),
        encoder_hidden_states=known,
    ).last_hidden_state
    read: Tensor = out[:, :rows]
    return read


def _sam_sees(bill: Bill, sam: SegmentAnything) -> None:
    """Add SAM's encoder, once per image."""
    inner: Any = sam.sam.config.vision_config
    side = inner.image_size
    one = Bill(images=1, answer_tokens=0)
    one.count("vision", lambda: sam.look(meta(1, 3, side, side)))
    bill.operations["vision"] += bill.images * one.operations["vision"]
