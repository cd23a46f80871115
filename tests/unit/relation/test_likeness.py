"""Sightings are alike by their words, by the colours of the parts that both show, and by having
the same parts."""

import numpy as np
import pytest

from deixis.relation.likeness import CLEAR_SHARE, LACKING, LEAST_SHARE, TRACE, Likeness

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


def test_the_colour_of_a_part_that_one_of_them_nearly_hides_tells_nothing():
    hidden = sighting(parts=((0.985, 0), (LEAST_SHARE * 0.75, 2)))
    assert alike(sighting(), hidden) == pytest.approx(1)


def test_a_part_that_shows_clearly_on_one_alone_speaks_against_them():
    without = sighting(parts=((1, 0), (0, 0)))
    assert alike(sighting(), without) == pytest.approx(LACKING)
    little = sighting(parts=((0.97, 0), (CLEAR_SHARE / 2, 0)))  # as little as an error of reading
    assert alike(little, without) == pytest.approx(1)
    traces = [TRACE * share for share in (0, 0.5, 1, 1.5)]
    found = [alike(sighting(), sighting(parts=((1 - t, 0), (t, 0)))) for t in traces]
    assert found == sorted(found)
    assert found[1] == pytest.approx(LACKING)
    assert found[-1] == pytest.approx(1)


def test_in_a_clip_a_part_may_hide():
    one, without = sighting(), np.concatenate([sighting(parts=((1, 0), (0, 0)))] * 2)
    found = LIKENESS(one, without, np.array([True, False]))
    assert found[0].tolist() == pytest.approx([LACKING, 1])


def test_many_are_compared_with_many_and_none_with_none():
    several = np.concatenate([sighting(), sighting(colour=1), sighting(category=1)])
    assert LIKENESS(several, several).round(6).tolist() == np.eye(3).tolist()
    assert LIKENESS(several, several[:0]).shape == (3, 0)


def test_a_word_half_sure_counts_half():
    unsure = sighting()
    unsure[0, 4:6] = 0.5  # mug or kite
    assert 0.6 < alike(sighting(), unsure) < 0.8
