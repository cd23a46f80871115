"""MaskLogits: kept to the bit, resized as by hand, broken files refused."""

import numpy as np
import pytest

from deixis.errors import DataError
from deixis.structures.logits import MaskLogits, Step

RANDOM = np.random.default_rng(5)


def by_hand(values, extent, size):
    """Blend the four cells around each place, one pixel at a time."""
    found = np.zeros(size)
    for y in range(size[0]):
        for x in range(size[1]):
            at = [(y + 0.5) * extent[0] / size[0] - 0.5, (x + 0.5) * extent[1] / size[1] - 0.5]
            at = [min(max(a, 0), n - 1) for a, n in zip(at, values.shape, strict=True)]
            top, left = int(at[0]), int(at[1])
            low, right = (min(i + 1, n - 1) for i, n in zip((top, left), values.shape, strict=True))
            dy, dx = at[0] - top, at[1] - left
            found[y, x] = (1 - dy) * ((1 - dx) * values[top, left] + dx * values[top, right])
            found[y, x] += dy * ((1 - dx) * values[low, left] + dx * values[low, right])
    return found


@pytest.mark.parametrize(
    ("extent", "size"), [((6, 8), (13, 9)), ((6, 8), (3, 5)), ((4.5, 7.25), (9, 11))]
)
def test_one_step_is_bilinear(extent, size):
    values = RANDOM.normal(size=(6, 8)).astype(np.float32)
    logits = MaskLogits(values=values, steps=(Step(extent=extent, size=size),))
    np.testing.assert_allclose(logits.whole(), by_hand(values, extent, size), atol=1e-6)


def test_a_cut_ends_the_source_so_that_nothing_behind_shines_in():
    values = RANDOM.normal(size=(6, 8)).astype(np.float32)
    steps = (
        Step(extent=(6, 8), size=(12, 16)),
        Step(extent=(9, 16), size=(5, 7), cut=True),
    )
    large = by_hand(values, (6, 8), (12, 16))
    found = MaskLogits(values=values, steps=steps).whole()
    np.testing.assert_allclose(found, by_hand(large[:9], (9, 16), (5, 7)), atol=1e-6)


def test_what_is_kept_is_read_back_to_the_bit():
    values = RANDOM.normal(size=(7, 3)).astype(np.float32)
    values[0, 0], values[1, 1] = np.inf, -0.0
    first = MaskLogits(values=values, steps=(Step(extent=(6.5, 3), size=(20, 11), cut=True),))
    again = MaskLogits.from_json(first.to_json())
    assert again.values.tobytes() == values.tobytes()
    assert again.steps == first.steps


@pytest.mark.parametrize(
    "change",
    [
        {"size": [7]},
        {"size": [7, 4]},
        {"size": [2**20, 2**20]},
        {"values": "?"},
        {"values": "AAAA"},
        {"steps": [[1, 2]]},
        {"steps": None},
    ],
)
def test_anything_else_is_refused(change):
    good = MaskLogits(values=np.zeros((7, 3), np.float32), steps=()).to_json()
    with pytest.raises(DataError, match="expected a size, values and steps"):
        MaskLogits.from_json({**good, **change})
