"""A small PixelLM for all rooms; every weight is random, yet it writes groups."""

from collections.abc import Callable
from typing import Any

import pytest


@pytest.fixture(scope="session")
def make_pixellm(scene_samples: list[Any]) -> Callable[..., tuple[Any, Any]]:
    """Return a maker of (model, processor) with changes to the config, the same weights each time.

    Each token of a chain asks for the next: a word, a whole group, a word, a whole group, ...;
    with ``ends`` the answer ends after the first group. What a group says depends on image and
    question all the same, for layers mix them into every state.
    """
    import torch
    from transformers import CLIPVisionConfig, LlamaConfig

    from deixis.models.configs.pixellm_config import PixelLMConfig
    from deixis.models.pixellm import PixelLM
    from deixis.processing.pixellm import PixelLMProcessor

    texts = [text for s in scene_samples for text in (s.question.text, s.answer.text)]

    def make(*, ends: bool = False, **changes: Any) -> tuple[Any, Any]:
        levels, tokens = changes.get("levels", 2), changes.get("tokens_per_level", 2)
        vision = CLIPVisionConfig(
            hidden_size=24, intermediate_size=36, num_hidden_layers=5, num_attention_heads=3,
            patch_size=4, image_size=40,
        )  # fmt: skip
        text = LlamaConfig(
            vocab_size=640, hidden_size=64, intermediate_size=52, num_hidden_layers=2,
            num_attention_heads=4, num_key_value_heads=4, max_position_embeddings=420,
            pad_token_id=0, bos_token_id=1, eos_token_id=2,
        )  # fmt: skip
        values = {
            "vision_config": vision, "text_config": text, "tokens_per_level": 2,
            "feature_layers": [-2, *[-4] * (levels - 1)], "decoder_width": 48, "decoder_heads": 2,
            "decoder_mlp_width": 20, "group_tokens": range(600, 600 + levels * tokens),
            "image_start_token": 630, "image_end_token": 631, "most_question": 200,
            "most_answer": 12,
        }  # fmt: skip
        config = PixelLMConfig(**{**values, **changes})
        processor = PixelLMProcessor.from_texts(config, texts)
        with torch.random.fork_rng(), torch.no_grad():
            torch.manual_seed(5)
            model = PixelLM(config)
            for name, weight in model.named_parameters():
                stronger = {"language": 1, "codebook": 8, "pyramid": 2, "neck": 2, "vision": 1}
                gain = stronger.get(name.partition(".")[0], 0)
                spread = weight[0].numel() ** -0.5 if weight.dim() > 1 else 0.2
                weight.add_(gain * spread * torch.randn_like(weight))
            _chain(model, processor, ends=ends)
        return model.eval(), processor

    return make


def _chain(model: Any, processor: Any, *, ends: bool) -> None:
    """Let the last token decide the next."""
    words = processor.vocabulary
    first = processor.question("x")[-1]
    pieces = [i for i in range(words.pieces.get_piece_size()) if i != first]
    one, other = [i for i in pieces if words.pieces.id_to_piece(i)[1:].isalpha()][:2]
    then = words.eos if ends else other
    follows = {first: one, one: words.group[0], other: words.group[0], words.group[-1]: then}
    follows |= dict(zip(words.group[:-1], words.group[1:], strict=True))
    model.language.embed_tokens.weight.normal_()
    model.lm_head.weight.zero_()
    for before, after in follows.items():
        row = model.language.embed_tokens.weight[before]
        model.lm_head.weight[after] += 30 * row / row.norm() ** 2
