"""Floating point operations by station, counted by torch on the meta device: no weights, no time.

One question about N images, answered in T tokens of which one per image asks for a mask. Every
model reads the same text: TEXT tokens and NAMED more per image. One multiplication and addition
are two operations. ``glamm`` and ``lisa`` are the multi-image baselines of PRIMA's paper: all
patch tokens of CLIP go to the language decoder, SAM sees each image once.

Shapes: N images, W columns of the prompt, T answer tokens, P patches, C D widths.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode
from transformers import (
    CLIPVisionConfig,
    CLIPVisionModel,
    DynamicCache,
    LlamaConfig,
    LlamaModel,
    PreTrainedModel,
)

from deixis.config import expected_one_of
from deixis.decoding.segment_anything import SegHead, SegmentAnything
from deixis.errors import ConfigError
from deixis.models.pixellm import Look, PixelLM
from deixis.models.pixellm_config import PixelLMConfig, pixellm_7b, pixellm_13b
from deixis.models.pixellm_vision import clip_levels, pooled
from deixis.models.prima import PrimaModel
from deixis.models.prima_config import VICUNA, PrimaConfig, prima_7b, prima_v1_7b

TEXT, NAMED = 80, 8  # tokens of the prompt beside images; of "<im_start>", "(IMAGE1), " and so on
QUESTION = 20  # of them, the question that a Q-Former reads
STATIONS = ("vision", "relation", "language_prefill", "language_steps", "decoding")
CLIP_LARGE: dict[str, Any] = {
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "patch_size": 14,
}
TERA = 1e12


@dataclass(kw_only=True, slots=True)
class Bill:
    """Operations by station."""

    images: int
    answer_tokens: int
    operations: dict[str, int] = field(default_factory=lambda: dict.fromkeys(STATIONS, 0))

    @property
    def text(self) -> int:
        """Tokens of the prompt that are not images."""
        return TEXT + NAMED * self.images

    def count(self, station: str, run: Callable[[], Any]) -> Any:
        """Run something on the meta device, add its operations to a station, return its result."""
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            result = run()
        self.operations[station] += counter.get_total_flops()
        return result

    def language(self, decoder: PreTrainedModel, head: nn.Module, columns: int) -> None:
        """Add the reading of a prompt and the writing of the answer, keys and values kept.

        A step costs an affine function of what was read before, so that the first and the last
        give the sum of all exactly.
        """
        width = decoder.config.hidden_size
        self.count("language_prefill", lambda: _read(decoder, head, columns, 0, width))
        first, last = (Bill(images=0, answer_tokens=0) for _ in range(2))
        for bill, before in ((first, columns), (last, columns + self.answer_tokens - 1)):
            bill.count("language_steps", partial(_read, decoder, head, 1, before, width))
        both = first.operations["language_steps"] + last.operations["language_steps"]
        self.operations["language_steps"] += both * self.answer_tokens // 2

    def masks(self, head: nn.Module, sam: SegmentAnything, width: int) -> None:
        """Add one mask in every image."""
        prompts = self.count("decoding", lambda: head(_meta(1, width)))
        self.operations["decoding"] *= self.images
        one = Bill(images=1, answer_tokens=0)
        one.count("decoding", lambda: _draw(sam, prompts))
        self.operations["decoding"] += self.images * one.operations["decoding"]

    def report(self, name: str) -> dict[str, Any]:
        """Return the JSON of this bill."""
        stations = {station: n / TERA for station, n in self.operations.items()}
        return {
            "model": name,
            "images": self.images,
            "answer_tokens": self.answer_tokens,
            "stations": stations,
            "total_tflops": sum(stations.values()),
        }


def count_operations(name: str, images: int, answer_tokens: int) -> dict[str, Any]:
    """Count what one question costs a model.

    Args:
        name: one of ``MODELS``, or the folder of a PRIMA.
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
    """Count PRIMA: 32 rows of each image go to the language decoder."""
    for part in (config.vision_config, config.qformer_config, config.text_config):
        part._attn_implementation = "eager"  # so that attention is counted as it is written
    if config.dino_config is not None:
        config.dino_config._attn_implementation = "eager"
    model = PrimaModel(config).eval().requires_grad_(False)
    count, side = bill.images, config.vision_config.image_size
    features = bill.count("vision", lambda: model.vision(_meta(count, 3, side, side)))
    _sam_sees(bill, model.decoding)
    there = torch.ones(1, count, dtype=torch.bool)
    queries = bill.count("relation", lambda: model.relation.relate(features[None], there))
    rows = bill.count("relation", lambda: _ask(model, queries, features))
    bill.count("relation", lambda: model.projection(rows))
    columns = bill.text + config.num_queries * count
    bill.language(model.language.model, model.language.lm_head, columns)
    bill.masks(model.seg_head, model.decoding, config.text_config.hidden_size)


def patches_bill(bill: Bill, side: int, projector: tuple[int, ...]) -> None:
    """Count a model that reads all patch tokens of a CLIP (GLaMM, LISA), with PRIMA's rest."""
    clip = CLIPVisionConfig(**CLIP_LARGE, image_size=side)
    clip._attn_implementation = "eager"
    tower = CLIPVisionModel(clip).eval().requires_grad_(False)
    seen = bill.count(
        "vision", lambda: tower(_meta(bill.images, 3, side, side)).last_hidden_state[:, 1:]
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
        "vision", lambda: clip_levels(model.vision, _meta(count, 3, side, side), whole, layers)
    )
    small = bill.count("relation", lambda: pooled(features[0], grid, config.image_grid))
    bill.count("relation", lambda: model.projector(small))
    bill.language(model.language, model.lm_head, bill.text + small.shape[1] * count)
    states = _meta(1, config.group_size, config.text_config.hidden_size)
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


MODELS: dict[str, Callable[[Bill], None]] = {
    "prima": lambda bill: prima_bill(bill, prima_7b()),
    "prima_v1": lambda bill: prima_bill(bill, prima_v1_7b()),
    "glamm": lambda bill: patches_bill(bill, 336, (1024, 4096, 4096)),
    "lisa": lambda bill: patches_bill(bill, 224, (1024, 4096)),
    "pixellm_7b": lambda bill: pixellm_bill(bill, pixellm_7b()),
    "pixellm_13b": lambda bill: pixellm_bill(bill, pixellm_13b()),
}


def _of_folder(name: str) -> Callable[[Bill], None]:
    """Return how the model in a folder is counted.

    Raises:
        ConfigError: no folder, or one with a model of another family.
    """
    path = Path(name) / "config.json"
    if not path.is_file():
        raise ConfigError(f"model: {expected_one_of(MODELS, name)} A folder with a PRIMA will do.")
    values = json.loads(path.read_text(encoding="utf-8"))
    if values.get("model_type") != PrimaConfig.model_type:
        raise ConfigError(
            f'{path}: expected a model of "prima", got "{values.get("model_type")}". '
            f"Of other families, presets are counted: {', '.join(MODELS)}."
        )
    config = PrimaConfig.from_dict(values)
    return lambda bill: prima_bill(bill, config)


# -- what is run ---------------------------------------------------------------------------------


def _meta(*shape: int) -> Tensor:
    return torch.empty(shape, device="meta")


def _read(
    decoder: PreTrainedModel, head: nn.Module, columns: int, before: int, width: int
) -> Tensor:
    """Read columns after some that are remembered, and say the next token."""
    config = decoder.config
    cache = DynamicCache(config=config)
    inner = config.hidden_size // config.num_attention_heads
    if before:
        for layer in range(config.num_hidden_layers):
            shape = (1, config.num_key_value_heads, before, inner)
            cache.update(_meta(*shape), _meta(*shape), layer)
    states = decoder(
        inputs_embeds=_meta(1, columns, width), past_key_values=cache, use_cache=True
    ).last_hidden_state
    words: Tensor = head(states[:, -1])
    return words


def _ask(model: PrimaModel, queries: Tensor, features: Tensor) -> Tensor:
    """Let the Q-Former look into every image with the question; the rows of its queries."""
    count, rows = len(features), queries.shape[1]
    out = model.qformer(
        input_ids=torch.zeros(count, QUESTION, dtype=torch.long, device="meta"),
        query_embeds=queries.expand(count, -1, -1),
        encoder_hidden_states=features,
    ).last_hidden_state
    read: Tensor = out[:, :rows]
    return read


def _sam_sees(bill: Bill, sam: SegmentAnything) -> None:
    """Add SAM's encoder, once per image."""
    inner: Any = sam.sam.config.vision_config
    side = inner.image_size
    one = Bill(images=1, answer_tokens=0)
    one.count("vision", lambda: sam.look(_meta(1, 3, side, side)))
    bill.operations["vision"] += bill.images * one.operations["vision"]


def _draw(sam: SegmentAnything, prompts: Tensor) -> Tensor:
    """Draw one prompt in one image."""
    inner: Any = sam.sam.config.prompt_encoder_config
    grid, width = inner.image_embedding_size, inner.hidden_size
    masks, _ = sam.sam.mask_decoder(
        image_embeddings=_meta(1, width, grid, grid),
        image_positional_embeddings=_meta(1, width, grid, grid),
        sparse_prompt_embeddings=prompts[:, None, None],
        dense_prompt_embeddings=_meta(1, width, grid, grid),
        multimask_output=False,
    )
    drawn: Tensor = masks
    return drawn
