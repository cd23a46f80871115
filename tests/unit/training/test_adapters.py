"""Low-rank adapters: silent at first, merged equal to applied, on the named layers only."""

import pytest
import torch
from transformers import LlamaConfig, LlamaModel

from deixis.errors import ConfigError
from deixis.training.running.adapters import add_adapters, merge_adapters, rest_idle


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


def adapters_of(decoder):
    return {n: w for n, w in decoder.named_parameters() if "lora_" in n}


def test_adapters_that_do_nothing_rest_until_they_learn_or_change_something(decoder):
    ids = torch.arange(7)[None]
    add_adapters(decoder, rank=3, dropout=0.0)
    layers, calls = 4, []
    for name, part in decoder.named_modules():
        if name.endswith("lora_A.default"):
            part.register_forward_hook(lambda *_: calls.append(1))
    assert rest_idle(decoder) == 0  # they learn
    for weight in adapters_of(decoder).values():
        weight.requires_grad_(False)
    assert rest_idle(decoder) == layers
    before = decoder(ids).last_hidden_state
    assert not calls
    with torch.no_grad():
        decoder.layers[1].self_attn.v_proj.lora_B["default"].weight.fill_(0.2)
    assert rest_idle(decoder) == layers - 1
    assert not any(weight.requires_grad for weight in adapters_of(decoder).values())
    assert not torch.allclose(decoder(ids).last_hidden_state, before)
    assert len(calls) == 1
    for weight in adapters_of(decoder).values():
        weight.requires_grad_(True)
    assert rest_idle(decoder) == 0
    decoder(ids).last_hidden_state.sum().backward()
    assert all(w.grad is not None for w in adapters_of(decoder).values())
