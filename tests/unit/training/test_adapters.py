"""Low-rank adapters: silent at first, merged equal to applied, on the named layers only."""

import pytest
import torch
from transformers import LlamaConfig, LlamaModel

from deixis.errors import ConfigError
from deixis.training.running.adapters import add_adapters, merge_adapters


@pytest.fixture
def decoder():
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=30, hidden_size=16, intermediate_size=24, num_hidden_layers=2,
        num_attention_heads=4,
    )  # fmt: skip
    return LlamaModel(config).eval()


def test_adapters_begin_as_no_change_and_merged_are_what_they_were(decoder):
    ids = torch.arange(7)[None]
    before, names = decoder(ids).last_hidden_state, list(decoder.state_dict())
    weight = decoder.layers[0].self_attn.q_proj.weight.clone()
    add_adapters(decoder, rank=3, alpha=6)
    torch.testing.assert_close(decoder(ids).last_hidden_state, before)
    with torch.no_grad():
        for name, value in decoder.named_parameters():
            if "lora_" in name:
                value.normal_(std=0.3)
    applied = decoder(ids).last_hidden_state
    assert not torch.allclose(applied, before)
    part = decoder.layers[0].self_attn.q_proj
    up, down = part.lora_B["default"].weight, part.lora_A["default"].weight
    expected = weight + 6 / 3 * up @ down
    assert merge_adapters(decoder) == 4
    torch.testing.assert_close(decoder(ids).last_hidden_state, applied)
    torch.testing.assert_close(decoder.layers[0].self_attn.q_proj.weight, expected)
    assert list(decoder.state_dict()) == names


def test_a_name_that_no_layer_has_is_refused(decoder):
    with pytest.raises(ConfigError, match=r"adapters: expected names .* got w_proj"):
        add_adapters(decoder, targets=("q_proj", "w_proj"))
