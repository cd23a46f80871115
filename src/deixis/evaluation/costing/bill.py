"""The bill of a question: operations by station, counted while parts of a model run on meta.

Shapes: W columns of the prompt, T answer tokens, C D widths.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode
from transformers import DynamicCache, PreTrainedModel

from deixis.decoding.segment_anything import SegmentAnything

TEXT, NAMED = 80, 8  # tokens of the prompt beside images; of "<im_start>", "(IMAGE1), " and so on
QUESTION = 20  # of them, the question that a Q-Former reads
STATIONS = ("vision", "relation", "language_prefill", "language_steps", "decoding")
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
        self.count("language_prefill", lambda: read(decoder, head, columns, 0, width))
        first, last = (Bill(images=0, answer_tokens=0) for _ in range(2))
        for bill, before in ((first, columns), (last, columns + self.answer_tokens - 1)):
            bill.count("language_steps", partial(read, decoder, head, 1, before, width))
        both = first.operations["language_steps"] + last.operations["language_steps"]
        self.operations["language_steps"] += both * self.answer_tokens // 2

    def masks(self, head: nn.Module, sam: SegmentAnything, width: int) -> None:
        """Add one mask in every image."""
        prompts = self.count("decoding", lambda: head(meta(1, width)))
        self.operations["decoding"] *= self.images
        one = Bill(images=1, answer_tokens=0)
        one.count("decoding", lambda: draw(sam, prompts))
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


def meta(*shape: int) -> Tensor:
    return torch.empty(shape, device="meta")


def read(
    decoder: PreTrainedModel, head: nn.Module, columns: int, before: int, width: int
) -> Tensor:
    """Read columns after some that are remembered, and say the next token."""
    config = decoder.config
    cache = DynamicCache(config=config)
    inner = config.hidden_size // config.num_attention_heads
    if before:
        for layer in range(config.num_hidden_layers):
            shape = (1, config.num_key_value_heads, before, inner)
            cache.update(meta(*shape), meta(*shape), layer)
    states = decoder(
        inputs_embeds=meta(1, columns, width), past_key_values=cache, use_cache=True
    ).last_hidden_state
    words: Tensor = head(states[:, -1])
    return words


def draw(sam: SegmentAnything, prompts: Tensor) -> Tensor:
    """Draw one prompt in one image."""
    inner: Any = sam.sam.config.prompt_encoder_config
    grid, width = inner.image_embedding_size, inner.hidden_size
    masks, _ = sam.sam.mask_decoder(
        image_embeddings=meta(1, width, grid, grid),
        image_positional_embeddings=meta(1, width, grid, grid),
        sparse_prompt_embeddings=prompts[:, None, None],
        dense_prompt_embeddings=meta(1, width, grid, grid),
        multimask_output=False,
    )
    drawn: Tensor = masks
    return drawn
