"""M4Seg's figures on small masks, against numbers worked out by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deixis.metrics.m4seg import NAMES, exact_meteor, label, measure, plain, words_alike
from deixis.structures.answers import GroundedAnswer, Target
from deixis.structures.masks import Mask


def strip(start, stop):
    """A mask of one row in which so many of twelve pixels are set."""
    pixels = np.zeros((1, 12), dtype=bool)
    pixels[0, start:stop] = True
    return Mask(pixels)


def answer(*named, text=""):
    """An answer with targets (phrase, image, start, stop)."""
    targets, spans = [], []
    for phrase, image, start, stop in named:
        text = f"{text} {phrase}".strip()
        targets.append(Target(phrase=phrase, masks={image: strip(start, stop)}))
        spans.append((len(text) - len(phrase), len(text)))
    return GroundedAnswer(text=text or "none", targets=tuple(targets), spans=tuple(spans))


def figures(truth, predicted, similarity=words_alike):
    return measure(truth, predicted, similarity=similarity).result()


TRUTH = answer(("red mug", 0, 0, 4), ("kite", 0, 6, 10), ("mug", 1, 0, 6))


def test_whoever_says_the_truth_gets_every_point():
    found = figures(TRUTH, TRUTH)
    assert found.keys() == set(NAMES)
    assert found.pop("meteor") == pytest.approx(1 - 0.5 / 4**3)  # one chunk of four words
    assert set(found.values()) == {1.0}


def test_the_published_mean_forgives_what_is_unmatched_and_the_strict_one_does_not():
    guess = answer(("red mug", 0, 0, 4), ("lamp", 0, 10, 12), ("lamp", 2, 0, 3))
    found = figures(TRUTH, guess)
    assert found["miou"] == pytest.approx((1 + 0) / 2)  # image 1 has one pair, image 2 none
    assert found["miou_strict"] == pytest.approx((1 / 2 + 0 + 0) / 3)  # a mask too many in image 3
    assert found["recall"] == pytest.approx(1 / 3)


def test_recall_stops_at_the_first_pair_that_is_not_good_enough():
    truth = answer(("mug", 0, 0, 4), ("kite", 0, 5, 10))
    guess = answer(("lamp", 0, 0, 4), ("kite", 0, 5, 9))
    found = figures(truth, guess)
    assert found["recall"] == 0.0  # the best pair, lamp on mug, ends the search
    assert found["recall_strict"] == 0.5


def test_phrases_of_masks_that_touch_count_over_all_true_masks():
    guess = answer(("mug", 0, 2, 6), ("big kite", 1, 5, 9))
    found = figures(TRUTH, guess)
    # IoU 2/6 with "red mug" (half its words), 1/9 with "mug" (none); the kite is missed
    assert found["i_siou"] == pytest.approx((1 / 2 + 0 + 0) / 3)
    assert found["i_ss"] == found["i_siou"]
    # by the text alone: mug = mug 1, kite and big kite 1/2, over three true phrases
    assert found["siou"] == pytest.approx((1 + 1 / 2) / 3)


def test_nothing_said_gets_nothing():
    found = figures(TRUTH, GroundedAnswer(text=""))
    assert found.keys() == set(NAMES)
    assert set(found.values()) == {0.0}


def test_a_negative_similarity_takes_no_points_away():
    found = figures(TRUTH, TRUTH, similarity=lambda one, other: -1.0)
    assert found["i_ss"] == found["ss"] == found["recall"] == 0.0


def test_labels_lose_numbers_and_case_but_keep_their_owner():
    assert label("Desk_2's  drawer_1") == "desk's drawer"
    assert plain("A mug_2 (IMAGE1)) and a kite (IMAGE2).") == "A mug and a kite ."


@pytest.mark.parametrize(
    ("true", "predicted", "value"),
    [
        ("the cat sat", "the cat sat", 1 - 0.5 / 27),
        ("the cat sat", "sat the cat", 1 - 0.5 * (2 / 3) ** 3),  # two chunks
        ("a b c d", "a b", (10 * 1 * 0.5 / (0.5 + 9)) * (1 - 0.5 / 8)),
        ("a", "b", 0.0),
        ("", "", 1.0),
    ],
)
def test_exact_meteor_has_its_hand_values(true, predicted, value):
    assert exact_meteor(true, predicted) == pytest.approx(value)


WORDS = st.lists(st.sampled_from("abcd"), max_size=7).map(" ".join)


@given(true=WORDS, predicted=WORDS)
@settings(max_examples=60, deadline=None)
def test_meteor_stays_between_nothing_and_all(true, predicted):
    assert 0 <= exact_meteor(true, predicted) <= 1


NAMED = st.tuples(
    st.sampled_from(["mug", "red mug", "kite"]),
    st.integers(0, 1),
    st.integers(0, 5),
    st.integers(6, 12),
)


@given(true=st.lists(NAMED, min_size=1, max_size=4), said=st.lists(NAMED, max_size=4))
@settings(max_examples=60, deadline=None)
def test_every_figure_is_a_share_and_shards_add_up_in_any_order(true, said):
    one = measure(answer(*true), answer(*said), similarity=words_alike)
    found = one.result()
    assert all(0 <= value <= 1 for value in found.values())
    other = measure(TRUTH, TRUTH, similarity=words_alike)
    assert (one + other).result() == (other + one).result()
