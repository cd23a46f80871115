"""CodebookFusion against a slow loop, and the promises that its docstring makes."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from deixis.decoding.codebook import CodebookConfig, CodebookFusion
from deixis.errors import ConfigError, ShapeError

TINY = CodebookConfig(levels=2, tokens_per_level=3, language_width=8, decoder_width=4)
RELEASED = CodebookConfig(
    levels=2, tokens_per_level=3, language_width=8, decoder_width=4, learnable_weights=False
)


@pytest.fixture
def fusion() -> CodebookFusion:
    torch.manual_seed(0)
    fusion = CodebookFusion(TINY).double()
    torch.nn.init.normal_(fusion.weight)  # equal starting weights would hide a forgotten one
    return fusion


def test_matches_a_loop_over_targets_levels_and_tokens(fusion):
    hidden = torch.randn(5 * 2 * 3, 8, dtype=torch.double)
    expected = torch.zeros(5, 2, 4, dtype=torch.double)
    for i, token in enumerate(hidden):
        target, level, k = i // 6, i // 3 % 2, i % 3
        expected[target, level] += fusion.weight[k] * fusion.project(token)
    torch.testing.assert_close(fusion(hidden), expected)


@given(order=st.permutations(range(4)))
@settings(max_examples=20, deadline=None)
def test_reordering_targets_reorders_queries(order):
    fusion = CodebookFusion(TINY).double()
    hidden = torch.randn(4, 6, 8, dtype=torch.double)
    shuffled = fusion(hidden[list(order)].flatten(0, 1))
    torch.testing.assert_close(shuffled, fusion(hidden.flatten(0, 1))[list(order)])


def test_every_weight_is_saved_and_learns(fusion):
    assert "weight" in fusion.state_dict()
    fusion(torch.randn(6, 8, dtype=torch.double)).sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in fusion.parameters())


def test_released_weights_are_half_the_mean_and_no_part_of_the_state():
    fusion = CodebookFusion(RELEASED)
    hidden = torch.randn(2 * 3, 8)
    expected = fusion.project(hidden).unflatten(0, (1, 2, 3)).mean(2) / 2
    torch.testing.assert_close(fusion(hidden), expected)
    assert set(fusion.state_dict()) == {
        f"project.{i}.{n}" for i in (0, 2) for n in ("weight", "bias")
    }


def test_a_single_released_token_per_level_is_not_scaled():
    config = CodebookConfig(
        levels=2, tokens_per_level=1, language_width=8, decoder_width=4, learnable_weights=False
    )
    fusion, hidden = CodebookFusion(config), torch.randn(2, 8)
    torch.testing.assert_close(fusion(hidden)[0], fusion.project(hidden))


def test_no_targets_gives_no_queries(fusion):
    assert fusion(torch.empty(0, 8, dtype=torch.double)).shape == (0, 2, 4)


def test_a_target_cut_short_is_an_error_that_says_what_to_do(fusion):
    with pytest.raises(ShapeError, match=r"multiple of 6 .* got 7\. Drop unfinished targets"):
        fusion(torch.randn(7, 8, dtype=torch.double))


def test_hidden_states_of_another_width_are_refused(fusion):
    with pytest.raises(ShapeError, match=r"expected shape \(any, 8\), got \(6, 7\)"):
        fusion(torch.randn(6, 7, dtype=torch.double))


def test_a_config_without_levels_is_refused():
    with pytest.raises(ConfigError, match="levels: expected at least 1, got 0"):
        CodebookConfig(levels=0)
