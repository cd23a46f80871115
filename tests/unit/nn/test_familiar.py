"""What was learned is familiar; another texture, other colours, or no texture at all is strange."""

import pytest
import torch

from deixis.nn.familiar import (
    LEAST_SIDE,
    NUM_STATISTICS,
    STRANGE_CLEAN,
    STRANGE_WORN,
    Familiar,
    describe,
    trained,
)


def smooth(count: int, seed: int, grain: float = 0.05) -> torch.Tensor:
    """Return pictures (F, 3, 40, 56) of slow gradients with a little grain."""
    random = torch.Generator().manual_seed(seed)
    across = torch.linspace(0, 1, 56) * torch.rand(count, 3, 1, 1, generator=random)
    rough = grain * torch.rand(count, 3, 40, 56, generator=random)
    base = torch.rand(count, 3, 1, 1, generator=random)
    return ((0.6 * across + 0.3 * base + rough) * 255).to(torch.uint8)


def checked(count: int, seed: int) -> torch.Tensor:
    """Return pictures (F, 3, 40, 56) of large squares."""
    random = torch.Generator().manual_seed(seed)
    squares = torch.randint(0, 256, (count, 3, 5, 7), generator=random)
    return squares.repeat_interleave(8, 2).repeat_interleave(8, 3).to(torch.uint8)


@pytest.fixture(scope="module")
def familiar() -> Familiar:
    """Judges that know smooth pictures, and have been shown squares as strange."""
    familiar = Familiar()
    familiar.learn(describe(smooth(200, 0)), describe(checked(200, 0)), seed=1)
    familiar.limit(describe(smooth(200, 1)), [describe(smooth(200, 2, grain=0.08))])
    return familiar


@pytest.mark.parametrize("value", [0, 255])
def test_a_description_is_finite_and_of_the_stated_width(value):
    described = describe(torch.full((2, 3, LEAST_SIDE, 56), value, dtype=torch.uint8))
    assert described.shape == (2, NUM_STATISTICS)
    assert described.isfinite().all()


def test_a_description_does_not_depend_on_what_stands_beside_it():
    pictures = torch.cat([smooth(2, 3), checked(2, 3)])
    alone = torch.cat([describe(picture[None]) for picture in pictures])
    torch.testing.assert_close(describe(pictures), alone)


def test_every_statistic_tells_some_pictures_apart():
    kinds = [smooth(9, 4), checked(9, 4), torch.randint(0, 256, (9, 3, 40, 56), dtype=torch.uint8)]
    assert (describe(torch.cat(kinds)).std(0) > 0).float().mean() > 0.9


def test_pictures_like_the_learned_ones_are_familiar(familiar):
    assert (familiar(smooth(100, 5)) > 0).float().mean() <= 0.05


def test_pictures_like_those_that_were_shown_as_strange_are_strange(familiar):
    assert (familiar(checked(50, 6)) > 0).all()


def test_what_is_far_from_all_that_was_shown_is_strange_too(familiar):
    noise = torch.randint(0, 256, (4, 3, 40, 56), dtype=torch.uint8)
    assert (familiar(noise) > 0).all()


def test_either_judge_alone_suffices(familiar):
    described = describe(torch.cat([smooth(20, 7), checked(20, 7)]))
    far = familiar.judged(described) - familiar.limits
    torch.testing.assert_close(familiar.strangeness(described), torch.maximum(*far.unbind(1)))


def test_the_limits_leave_the_stated_shares_beyond_them():
    familiar, known = Familiar(), describe(smooth(400, 8))
    familiar.learn(known, describe(checked(100, 8)), seed=1)
    assert not (familiar.strangeness(describe(checked(9, 9))) > 0).any()  # no limits yet
    worn = [describe(smooth(200, 9, grain=grain)) for grain in (0.1, 0.2)]
    share = familiar.limit(known, worn)
    assert share == pytest.approx(float((familiar.strangeness(known) > 0).float().mean()))
    shares = [(familiar.strangeness(rows) > 0).float().mean() for rows in (known, *worn)]
    assert shares[0] <= 2 * STRANGE_CLEAN + 1 / 400
    assert 0 < max(shares[1:]) <= 2 * STRANGE_WORN + 1 / 200


def test_a_picture_too_thin_for_texture_is_strange(familiar):
    thin = torch.zeros(1, 3, LEAST_SIDE - 1, 56, dtype=torch.uint8)
    assert familiar(thin).isinf().all()


def test_the_same_seed_learns_the_same():
    near, far = torch.randn(30, 5), torch.randn(30, 5) + 1
    first, second = (trained(near, far, torch.Generator().manual_seed(4)) for _ in "12")
    torch.testing.assert_close(first, second, rtol=0, atol=0)


def test_what_was_learned_is_saved_and_has_one_axis(familiar):
    other = Familiar()
    other.load_state_dict(familiar.state_dict())
    torch.testing.assert_close(other(smooth(3, 2)), familiar(smooth(3, 2)))
    assert {value.dim() for value in familiar.state_dict().values()} == {1}
