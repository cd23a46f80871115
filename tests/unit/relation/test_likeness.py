"""Sightings are alike by their words, and by the colours of the parts that both show."""

import numpy as np
import pytest

from deixis.relation.likeness import LEAST_SHARE, Likeness

WORDS = {
    "category": ["mug", "kite"],
    "colour": ["red", "blue", "green"],
    "pattern": ["plain", "dotted"],
    "part": ["body", "handle"],
    "size": ["small", "large"],
}
LIKENESS = Likeness.of(4, WORDS)


def sighting(category=0, colour=0, pattern=0, parts=((0.7, 0), (0.3, 0)), looks=0) -> np.ndarray:
    """Parts are (share, colour) of body and handle."""
    pairs = np.zeros((2, 3))
    for part, (share, its) in enumerate(parts):
        pairs[part, its] = share
    rows = [np.eye(4)[looks], np.eye(2)[category], np.eye(3)[colour], np.eye(2)[pattern]]
    return np.concatenate([*rows, [share for share, _ in parts], pairs.ravel()])[None]


def alike(one: np.ndarray, other: np.ndarray) -> float:
    return float(LIKENESS(one, other)[0, 0])


def test_the_same_sighting_is_as_alike_as_can_be():
    assert alike(sighting(), sighting()) == pytest.approx(1)


@pytest.mark.parametrize("change", ["category", "colour", "pattern", "looks"])
def test_one_word_that_differs_is_enough(change):
    assert alike(sighting(), sighting(**{change: 1})) == pytest.approx(0)


def test_one_part_of_another_colour_is_enough_however_small_it_is():
    accent = sighting(parts=((0.9, 0), (0.1, 2)))
    assert alike(sighting(parts=((0.9, 0), (0.1, 0))), accent) == pytest.approx(0)


def test_a_part_that_one_of_them_hides_tells_nothing():
    hidden = sighting(parts=((0.99, 0), (LEAST_SHARE / 2, 2)))
    assert alike(sighting(), hidden) == pytest.approx(1)


def test_many_are_compared_with_many_and_none_with_none():
    several = np.concatenate([sighting(), sighting(colour=1), sighting(category=1)])
    assert LIKENESS(several, several).round(6).tolist() == np.eye(3).tolist()
    assert LIKENESS(several, several[:0]).shape == (3, 0)


def test_a_word_half_sure_counts_half():
    unsure = sighting()
    unsure[0, 4:6] = 0.5  # mug or kite
    assert 0.6 < alike(sighting(), unsure) < 0.8
