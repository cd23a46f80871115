"""Attention as plain products: what torch's fused attention gives, wherever a model uses that."""

import pytest
import torch
from transformers import CLIPVisionConfig, CLIPVisionModel, LlamaConfig, LlamaModel

from deixis.nn.attention import attending_plainly


def llama() -> LlamaModel:
    torch.manual_seed(0)
    sizes = {"num_attention_heads": 4, "num_key_value_heads": 2, "num_hidden_layers": 2}
    config = LlamaConfig(vocab_size=9, hidden_size=16, intermediate_size=32, **sizes)
    return LlamaModel(config).eval()


@pytest.mark.parametrize("mask", [None, "padded", "own"])
def test_a_decoder_reads_the_same_and_learns_the_same(mask):
    model, seen = llama(), []
    words = torch.randn(3, 6, 16)
    given = {
        None: None,
        "padded": torch.tensor([[1] * 6, [1] * 4 + [0] * 2, [1] * 5 + [0]]),
        "own": None,
    }[mask]
    for plainly in (False, True):
        model.zero_grad()
        if mask == "own":  # as the attention takes it
            sight = torch.ones(6, 6).tril().bool().expand(3, 1, 6, 6)
            given = torch.zeros(sight.shape).masked_fill(~sight, -1e9) if plainly else sight
        ask = {"inputs_embeds": words, "attention_mask": given}
        if plainly:
            with attending_plainly(model):
                states = model(**ask).last_hidden_state
        else:
            states = model(**ask).last_hidden_state
        held = states if mask != "padded" else states[given.bool()]
        held.square().sum().backward()
        seen.append((held.detach(), model.layers[0].self_attn.k_proj.weight.grad.clone()))
    for fused, plain in zip(*seen, strict=True):
        torch.testing.assert_close(plain, fused, atol=1e-4, rtol=1e-4)


def test_an_encoder_sees_the_same():
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2}
    config = CLIPVisionConfig(**sizes, num_attention_heads=2, image_size=16, patch_size=4)
    model, pixels = CLIPVisionModel(config).eval(), torch.randn(2, 3, 16, 16)
    fused = model(pixels).last_hidden_state
    with attending_plainly(model):
        plain = model(pixels).last_hidden_state
        assert model.config._attn_implementation != "sdpa"
    torch.testing.assert_close(plain, fused, atol=1e-5, rtol=1e-4)
    assert not torch.equal(plain, fused)  # another way to the same numbers


def test_afterwards_attention_is_as_before_whatever_happened():
    model = llama()
    with pytest.raises(ZeroDivisionError), attending_plainly(model):
        raise ZeroDivisionError
    assert model.config._attn_implementation == "sdpa"


def test_who_attends_in_another_way_goes_on_doing_so():
    model = llama()
    model.config._attn_implementation = "eager"
    with attending_plainly(model):
        assert model.config._attn_implementation == "eager"
