"""Pairs of true and predicted targets on small strips, chosen by hand."""

import numpy as np
import pytest

from deixis.metrics.matching import match
from deixis.structures.answers import GroundedAnswer, Target
from deixis.structures.masks import Mask


def strip(start: int, stop: int, image: int = 0) -> Target:
    pixels = np.zeros((1, 30), dtype=bool)
    pixels[:, start:stop] = True
    return Target(phrase=f"{start}-{stop}", masks={image: Mask(pixels)})


def answer(*targets: Target) -> GroundedAnswer:
    return GroundedAnswer(text="x", targets=targets, spans=((0, 1),) * len(targets))


def names(pairs) -> set[tuple[str | None, str | None]]:
    return {(p.true and p.true.phrase, p.predicted and p.predicted.phrase) for p in pairs}


def test_the_best_sum_wins_over_the_best_single_pair():
    # greedy would take (0-10, 1-11) = 9/11 and leave 0-4 with nothing; the sum prefers otherwise
    true, guesses = answer(strip(0, 10), strip(2, 12)), answer(strip(1, 11), strip(0, 8))
    assert names(match(true, guesses)) == {("0-10", "0-8"), ("2-12", "1-11")}


def test_surplus_and_missing_targets_stand_alone_with_their_area():
    pairs = match(answer(strip(0, 10)), answer(strip(20, 23), strip(0, 5)))
    assert names(pairs) == {("0-10", "0-5"), (None, "20-23")}
    assert [(p.intersection, p.union, p.iou) for p in pairs] == [(5, 10, 0.5), (0, 3, 0.0)]
    (missed,) = match(answer(strip(0, 10)), answer())
    assert (missed.matched, missed.union, missed.iou) == (False, 10, 0.0)


def test_no_targets_make_no_pairs():
    assert match(answer(), answer()) == ()


def test_of_equally_bad_partners_the_one_in_the_same_image_is_taken():
    true = answer(strip(0, 5, image=0), strip(0, 5, image=1))
    guesses = answer(strip(10, 12, image=1), strip(10, 12, image=0))
    assert [p.iou for p in match(true, guesses)] == [0.0, 0.0]
    assert all(set(p.true.masks) == set(p.predicted.masks) for p in match(true, guesses))


@pytest.mark.parametrize("count", [1, 3, 6])
def test_targets_in_another_order_find_the_same_partners(count):
    targets = [strip(4 * i, 4 * i + 3) for i in range(count)]
    pairs = match(answer(*targets), answer(*reversed(targets)))
    assert names(pairs) == {(t.phrase, t.phrase) for t in targets}
