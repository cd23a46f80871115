"""The light pixel decoder: targets alone and together, the right image, what learns."""

import pytest
import torch

from deixis.decoding.light import Doubling, FeatureNeck, LightConfig, LightPixelDecoder
from deixis.decoding.pyramid import add_levels, mask_gain
from deixis.errors import ShapeError
from deixis.nn.prompt_codes import PromptCodes

SMALL = LightConfig(levels=3, width=24, mlp_width=20, heads=3, mask_tokens=5)


@pytest.fixture(scope="module")
def parts():
    torch.manual_seed(0)
    decoder, prompts = LightPixelDecoder(SMALL), PromptCodes(24, 32)
    for weight in (*decoder.parameters(), *prompts.parameters()):
        torch.nn.init.normal_(weight, std=0.3)
    features = torch.randn(3, 2, 24, 6, 5).unbind(0)  # (L, I, C, h, w)
    return decoder, prompts, features, torch.randn(4, 3, 24), torch.tensor([0, 1, 1, 0])


@torch.no_grad()
def test_each_level_doubles_the_one_before(parts):
    decoder, prompts, features, queries, index = parts
    levels = decoder.draw(queries, features, index, prompts)
    assert [tuple(level.logits.shape) for level in levels] == [
        (4, 12, 10), (4, 24, 20), (4, 48, 40),
    ]  # fmt: skip


@torch.no_grad()
def test_a_target_is_drawn_alone_as_among_others_on_its_own_image(parts):
    decoder, prompts, features, queries, index = parts
    together = decoder(queries, features, index, prompts)
    for target, image in enumerate(index.tolist()):
        own = [level[image : image + 1] for level in features]
        only = queries[target : target + 1]
        alone = decoder(only, own, torch.tensor([0]), prompts)
        torch.testing.assert_close(alone[0], together[target], atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_many_targets_are_drawn_a_few_at_a_time(parts, monkeypatch):
    decoder, prompts, features, queries, index = parts
    together = decoder(queries, features, index, prompts)
    monkeypatch.setattr("deixis.decoding.light.CHUNK", 3)
    few = decoder(queries, features, index, prompts)
    torch.testing.assert_close(few, together, atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_a_level_is_weighed_by_the_one_before(parts):
    decoder, prompts, features, queries, index = parts
    levels = decoder.draw(queries, features, index, prompts)
    for number in (0, 1):
        changed = queries.clone()
        changed[:, number] += 1
        later = decoder.draw(changed, features, index, prompts)[number + 1]
        assert not torch.allclose(later.logits, levels[number + 1].logits, atol=1e-3)


@torch.no_grad()
def test_the_mask_that_is_drawn_is_the_first_candidate(parts):
    decoder, prompts, features, queries, index = parts
    for level in decoder.draw(queries, features, index, prompts):
        masks, overlaps = decoder.candidates(level)
        assert (masks.shape[1], overlaps.shape) == (5, (4, 5))
        torch.testing.assert_close(masks[:, 0], level.logits, atol=1e-4, rtol=1e-4)


def test_the_gain_of_the_paper_and_of_its_code():
    previous = torch.tensor([[[-50.0, 0.0], [0.0, 50.0]]])
    like = torch.zeros(1, 2, 2)
    expected = torch.tensor([[[0, 0.5], [0.5, 1]]])
    torch.testing.assert_close(mask_gain(previous, like, "sigmoid"), expected)
    torch.testing.assert_close(mask_gain(previous, like, "one_plus_sigmoid"), 1 + expected)


def test_levels_are_added_at_the_size_of_the_last():
    levels = [torch.full((1, 2, 2), 3.0), torch.arange(16.0).view(1, 4, 4)]
    fused = add_levels(levels, torch.tensor([2.0, 0.5]))
    torch.testing.assert_close(fused, 6 + levels[1] / 2)


def test_constant_fusion_is_no_part_of_the_state_and_learned_fusion_learns(parts):
    decoder, prompts, features, queries, index = parts
    assert "gamma" not in decoder.state_dict()
    learned = LightPixelDecoder(
        LightConfig(levels=3, width=24, mlp_width=20, heads=3, learnable_fusion=True)
    )
    learned(queries, features, index, prompts).sum().backward()
    assert learned.gamma.grad.abs().min() > 0


def test_the_neck_changes_the_width_only():
    neck = FeatureNeck(7, 24)
    assert neck(torch.randn(2, 7, 6, 5)).shape == (2, 24, 6, 5)
    assert [name for name, _ in neck.named_parameters()] == [
        "0.weight", "1.weight", "1.bias", "2.weight", "3.weight", "3.bias",
    ]  # fmt: skip


@torch.no_grad()
def test_a_doubling_is_a_transposed_convolution_a_norm_and_gelu():
    torch.manual_seed(0)
    doubling, features = Doubling(6, 4), torch.randn(2, 6, 3, 5)
    for weight in doubling.parameters():
        torch.nn.init.normal_(weight)
    plain = torch.nn.Sequential(*doubling)
    torch.testing.assert_close(doubling(features), plain(features), atol=1e-5, rtol=1e-5)


def test_queries_and_index_must_fit(parts):
    decoder, prompts, features, queries, index = parts
    with pytest.raises(ShapeError, match=r"queries: expected shape \(any, 3, 24\), got \(4, 2,"):
        decoder(queries[:, :2], features, index, prompts)
    with pytest.raises(ShapeError, match=r"image index of each query: expected shape \(4,\)"):
        decoder(queries, features, index[:3], prompts)
