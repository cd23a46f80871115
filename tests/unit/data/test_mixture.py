"""A mixture's laws: a step's draws hang on nothing but seed and step, in the shares asked for."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deixis.data.mixture import Mixture, Share, stage_seed
from deixis.errors import ConfigError

SHARES = (Share(task="refer", weight=3, questions=4), Share(task="clip"), Share(task="many"))
SEEDS = st.integers(0, 2**63 - 1)


@given(seed=SEEDS, stop=st.integers(0, 9))
@settings(max_examples=30, deadline=None)
def test_a_mixture_that_is_resumed_equals_the_one_run_through(seed, stop):
    through = [Mixture(SHARES, seed=seed, sets_per_step=5).draws(step) for step in range(10)]
    resumed = Mixture(SHARES, seed=seed, sets_per_step=5)
    assert [resumed.draws(step) for step in range(stop, 10)] == through[stop:]


@given(seed=SEEDS, order=st.permutations(range(6)))
@settings(max_examples=20, deadline=None)
def test_the_order_in_which_steps_are_read_changes_nothing(seed, order):
    mixture = Mixture(SHARES, seed=seed, sets_per_step=3)
    read = {step: mixture.draws(step) for step in order}
    assert read == {step: mixture.draws(step) for step in range(6)}


@given(seed=SEEDS, step=st.integers(0, 10**6), sets=st.integers(1, 40))
@settings(max_examples=50, deadline=None)
def test_within_every_step_the_shares_hold_up_to_one_set(seed, step, sets):
    draws = Mixture(SHARES, seed=seed, sets_per_step=sets).draws(step)
    counts = Counter(draw.task for draw in draws)
    assert len(draws) == sets
    for task, share in {"refer": 0.6, "clip": 0.2, "many": 0.2}.items():
        assert abs(counts[task] - share * sets) <= 1 + 1e-9


def test_over_many_steps_of_one_set_the_shares_hold_too():
    mixture = Mixture(SHARES, seed=1, sets_per_step=1)
    counts = Counter(mixture.draws(step)[0].task for step in range(3000))
    assert counts["refer"] / 3000 == pytest.approx(0.6, abs=0.03)
    assert counts["clip"] / 3000 == pytest.approx(0.2, abs=0.03)


def test_without_a_pool_no_world_returns():
    mixture = Mixture(SHARES, seed=1, sets_per_step=7)
    draws = [draw for step in range(50) for draw in mixture.draws(step)]
    assert len({draw.index for draw in draws}) == len(draws)
    assert {draw.salt for draw in draws} == {0}


def test_a_pool_brings_its_worlds_back_with_other_questions():
    mixture = Mixture([Share(task="refer", pool=10)], seed=1, sets_per_step=8)
    draws = [draw for step in range(50) for draw in mixture.draws(step)]
    assert {draw.index for draw in draws} == set(range(10))
    assert len({draw.salt for draw in draws}) == len(draws)


def test_a_draw_carries_split_seed_and_the_number_of_questions():
    draws = Mixture(SHARES, seed=5, sets_per_step=9, split="val").draws(2)
    assert {(draw.split, draw.seed) for draw in draws} == {("val", 5)}
    assert {draw.task: draw.questions for draw in draws} == {"refer": 4, "clip": 1, "many": 1}


@given(seed=SEEDS)
@settings(deadline=None)
def test_stages_have_seeds_of_their_own(seed):
    assert 0 <= stage_seed(seed, "see") < 2**63
    assert stage_seed(seed, "see") != stage_seed(seed, "speak")


def test_other_seeds_and_other_steps_draw_otherwise():
    tasks = {
        (seed, step): [
            draw.task for draw in Mixture(SHARES, seed=seed, sets_per_step=40).draws(step)
        ]
        for seed in (0, 2**32, 2**62 + 1)
        for step in (0, 1)
    }
    assert len({tuple(order) for order in tasks.values()}) == len(tasks)


@pytest.mark.parametrize(
    ("shares", "sets", "words"),
    [
        ((), 1, "at least one task and one set per step, got 0 and 1"),
        (SHARES, 0, "got 3 and 0"),
        ((Share(task="refer", weight=0),), 1, "a positive weight of refer, got 0"),
    ],
)
def test_a_mixture_of_nothing_is_refused(shares, sets, words):
    with pytest.raises(ConfigError, match=words):
        Mixture(shares, seed=0, sets_per_step=sets)
