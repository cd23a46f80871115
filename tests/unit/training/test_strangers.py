"""Pictures that are no scenes: of every kind, different, and the same from the same seed."""

import numpy as np
import pytest
from PIL import Image

from deixis.training import strangers
from deixis.training.strangers import SIDE, WEAR, stranger, worn

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


def test_a_worn_picture_shows_the_same_at_another_size_or_grade():
    random = np.random.default_rng(3)
    picture = (strangers.leaves(np.random.default_rng(4)).clip(0, 1) * 255).astype(np.uint8)
    used = [worn(picture, random) for _ in range(40)]
    assert {p.dtype for p in used} == {np.dtype(np.uint8)}
    assert min(p.shape[0] for p in used) < SIDE < max(p.shape[0] for p in used)
    same = [p for p in used if p.shape == picture.shape]
    assert any(np.array_equal(p, picture) for p in same)
    assert any(not np.array_equal(p, picture) for p in same)
    middle = [p.mean() / picture.mean() for p in used]
    assert 0.5 < min(middle) < max(middle) < 1.5


@pytest.mark.parametrize("name", WEAR)
def test_the_more_a_picture_is_worn_the_farther_it_is_from_itself(name):
    picture = (strangers.leaves(np.random.default_rng(4)).clip(0, 1) * 255).astype(np.uint8)
    size = (picture.shape[1], picture.shape[0])
    far = []
    for much in (0.1, 1.0):
        used = Image.fromarray(WEAR[name](picture, much, np.random.default_rng(1))).resize(size)
        far.append(abs(np.asarray(used).astype(float) - picture).mean())
    assert far[0] > 0
    assert far[0] < far[1] or name == "larger"  # which loses nothing
