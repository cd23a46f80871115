"""Intervals of figures, from samples drawn again."""

import numpy as np
import pytest

from deixis.metrics.bootstrap import as_sums, differences, from_sums, intervals
from deixis.metrics.images import classes
from deixis.metrics.sums import FAILED, Tally


def tallies(values: np.ndarray) -> list[Tally]:
    return [Tally.of([("j", float(v), 1), (f"{FAILED}x", 1, 0)]) for v in values]


def test_an_interval_is_that_of_the_mean():
    values = np.random.default_rng(3).normal(0.5, 0.1, 400)
    low, high = intervals(tallies(values), Tally.result)["j"]
    assert (high - low) == pytest.approx(2 * 1.96 * values.std() / 20, rel=0.15)
    assert low < values.mean() < high


def test_pairs_are_drawn_together_so_that_a_constant_difference_is_sure():
    values = np.random.default_rng(4).random(50)
    found = differences(tallies(values + 0.25), tallies(values), Tally.result)
    assert found["j"] == pytest.approx([0.25, 0.25])


def test_sums_are_written_and_read_back():
    tally = Tally.of([("ciou", 12, 40), ("giou", 0.3, 1), (f"{FAILED}x", 1, 0)])
    assert from_sums(as_sums(tally)) == tally


def test_the_same_samples_give_the_same_interval():
    one = tallies(np.random.default_rng(5).random(20))
    assert intervals(one, Tally.result) == intervals(one, Tally.result)


def test_classes_that_never_show_count_as_published_or_not_at_all():
    true = np.array([[0, 0, 1, 255]], dtype=np.uint8)
    found = np.array([[0, 1, 1, 2]], dtype=np.uint8)
    tally = classes.measure(true, found, 4) + classes.measure(true, true, 4)
    expected = (3 / 4 + 2 / 3) / 2
    assert classes.result_clean(tally)["miou"] == pytest.approx(expected)
    assert classes.result(tally)["miou"] == pytest.approx(expected / 2)
