"""Heads that are told where to look pass on what they find."""

import pytest
import torch
from transformers import LlamaConfig, LlamaModel

from deixis.training.seeking import HEADS, pass_on_what_is_found


@pytest.mark.parametrize("heads", [4, 8])
def test_told_heads_begin_by_passing_on_what_they_look_at(heads):
    torch.manual_seed(0)
    width = 64
    language = LlamaModel(
        LlamaConfig(
            vocab_size=50, hidden_size=width, intermediate_size=80, num_hidden_layers=3,
            num_attention_heads=heads, num_key_value_heads=heads,
        )
    )  # fmt: skip
    before = [layer.self_attn.v_proj.weight.clone() for layer in language.layers]
    pass_on_what_is_found(language)
    size = width // heads
    told, shares = HEADS * size, []
    found = torch.randn(5, width)
    for layer, old in zip(language.layers[1:], before[1:], strict=True):
        attention = layer.self_attn
        with torch.no_grad():
            heard = attention.v_proj(found)[:, :told]  # what looks at one token alone
            shares.append(heard @ attention.o_proj.weight[:, :told].T)
        assert torch.equal(attention.v_proj.weight[told:], old[told:])
    assert torch.equal(language.layers[0].self_attn.v_proj.weight, before[0])
    for share in shares:  # a projection: what is passed on is a part of what was found
        of_it, length = (share * found).sum(1), share.square().sum(1)
        torch.testing.assert_close(of_it, length, rtol=1e-4, atol=1e-4)
    together = sum(shares)
    if 2 * told == width:
        torch.testing.assert_close(together, found, rtol=1e-4, atol=1e-4)
    else:
        assert 0.2 < float(together.norm() / found.norm()) < 0.9
