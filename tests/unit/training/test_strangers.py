"""Pictures that are no scenes: of every kind, different, and the same from the same seed."""

import numpy as np
import pytest

from deixis.training import strangers
from deixis.training.strangers import SIDE, stranger

MAKERS = ("fog", "leaves", "cut", "page", "screen", "cartoon", "flat", "static")


@pytest.mark.parametrize("name", MAKERS)
def test_each_kind_of_picture_is_whole_and_never_twice_the_same(name):
    random = np.random.default_rng(1)
    first, second = (getattr(strangers, name)(random) for _ in "12")
    assert first.shape == second.shape == (SIDE, SIDE, 3)
    assert np.isfinite(first).all()
    assert not np.array_equal(first, second)


def test_strangers_are_pictures_and_the_same_seed_draws_the_same():
    first, second = ([stranger(np.random.default_rng(s)) for s in range(12)] for _ in "12")
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))
    assert {p.dtype for p in first} == {np.dtype(np.uint8)}
    assert len({p.tobytes() for p in first}) == 12


def test_the_spectrum_of_fog_falls_as_that_of_photographs():
    fields = [strangers._field(np.random.default_rng(s), 1.0) for s in range(20)]
    power = np.mean([abs(np.fft.rfft2(field)) ** 2 for field in fields], axis=0)
    assert power[2, 0] / power[16, 0] == pytest.approx(64, rel=0.8)  # (16 / 2) ** 2
