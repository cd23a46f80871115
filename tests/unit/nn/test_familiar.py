"""What was learned is familiar; another texture, or no texture at all, is strange."""

import pytest
import torch

from deixis.nn.familiar import LEAST_SIDE, NUM_STATISTICS, Familiar, describe


def smooth(count: int, seed: int) -> torch.Tensor:
    """Return pictures (F, 3, 40, 56) of slow gradients with a little grain."""
    random = torch.Generator().manual_seed(seed)
    across = torch.linspace(0, 1, 56) * torch.rand(count, 3, 1, 1, generator=random)
    grain = 0.05 * torch.rand(count, 3, 40, 56, generator=random)
    base = torch.rand(count, 3, 1, 1, generator=random)
    return ((0.6 * across + 0.3 * base + grain) * 255).to(torch.uint8)


@pytest.fixture(scope="module")
def familiar() -> Familiar:
    familiar = Familiar()
    familiar.learn(describe(smooth(300, 0)), margin=2.0)
    return familiar


def test_a_description_is_finite_and_of_the_stated_width():
    described = describe(torch.zeros(2, 3, 40, 56, dtype=torch.uint8))
    assert described.shape == (2, NUM_STATISTICS)
    assert described.isfinite().all()


def test_pictures_like_the_learned_ones_are_within_the_limit(familiar):
    assert (familiar(smooth(50, 1)) <= familiar.limit).all()


def test_another_texture_is_beyond_the_limit(familiar):
    noise = torch.randint(0, 256, (4, 3, 40, 56), dtype=torch.uint8)
    assert (familiar(noise) > familiar.limit).all()


def test_a_picture_too_thin_for_texture_is_strange(familiar):
    thin = torch.zeros(1, 3, LEAST_SIDE - 1, 56, dtype=torch.uint8)
    assert familiar(thin).isinf().all()


def test_what_was_learned_is_saved(familiar):
    other = Familiar()
    other.load_state_dict(familiar.state_dict())
    torch.testing.assert_close(other(smooth(3, 2)), familiar(smooth(3, 2)))
