"""A language decoder small enough to be called many times, with weights that say something."""

import torch
from torch import Tensor
from transformers import LlamaConfig, LlamaModel

from deixis.nn.attention import PLAIN

WIDTH, VOCABULARY = 24, 17
ATTENTIONS = ["sdpa", "eager", PLAIN]


def small_decoder() -> LlamaModel:
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=WIDTH,
        intermediate_size=36,
        num_hidden_layers=2,
        num_attention_heads=3,
        num_key_value_heads=3,
        max_position_embeddings=64,
        pad_token_id=0,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        decoder = LlamaModel(config).double().eval()
        for weight in decoder.parameters():
            torch.nn.init.normal_(weight, std=0.4)
    return decoder


def speak(decoder: LlamaModel):
    """The words' own embeddings judge, as in the models."""

    def logits(states: Tensor) -> Tensor:
        return states @ decoder.get_input_embeddings().weight.T

    return logits


def ragged(rows: int, prefix: int, after: int, seed: int = 1):
    """Embeddings (B, W + T, D), held and positions: prefixes with holes, answers of all lengths."""
    random = torch.Generator().manual_seed(seed)
    embedded = torch.randn(rows, prefix + after, WIDTH, generator=random, dtype=torch.double)
    held = torch.rand(rows, prefix + after, generator=random) > 0.3
    held[:, prefix - 1] = True  # the column that says what comes next
    lengths = torch.randint(0, after + 1, (rows,), generator=random)
    held[:, prefix:] = torch.arange(after) < lengths[:, None]
    positions = torch.randint(0, 9, (rows, prefix), generator=random)
    steps = positions[:, -1:] + 1 + torch.arange(after)
    return embedded, held, torch.cat([positions, steps], 1)


def plainly(decoder: LlamaModel, embedded: Tensor, held: Tensor, positions: Tensor, prefix: int):
    """One call for all rows: every column sees the prefix, and what was written before it."""
    index = torch.arange(embedded.shape[1])
    seen = (index[None] <= index[:, None]) | (index[None] < prefix)
    attention = decoder.config._attn_implementation
    decoder.config._attn_implementation = "sdpa"  # which takes booleans
    states = decoder(
        inputs_embeds=embedded,
        attention_mask=(seen & held[:, None])[:, None],
        position_ids=positions,
        use_cache=False,
    ).last_hidden_state
    decoder.config._attn_implementation = attention
    return states


def small_decoders(attention: str) -> LlamaModel:
    """The same decoder, attending in one of the ways that transformers knows."""
    decoder = small_decoder()
    decoder.config._attn_implementation = attention
    return decoder


def near(decoder: LlamaModel) -> dict[str, float]:
    """How near states must be: transformers' "eager" takes its softmax in float32."""
    eager = decoder.config._attn_implementation == "eager"
    return {"atol": 1e-5, "rtol": 1e-5} if eager else {}
