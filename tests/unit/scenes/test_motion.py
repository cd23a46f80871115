"""Motion words against the paths that the pictures show."""

from functools import cache
from itertools import pairwise

import numpy as np
import pytest

from deixis.scenes.drawing.render import render
from deixis.scenes.knowing.facts import Facts
from deixis.scenes.knowing.motion import DIRECTIONS, motion_holds
from deixis.scenes.world import WorldKey, draw_world


@cache
def clips(count: int = 30) -> tuple[Facts, ...]:
    worlds = [
        draw_world(WorldKey(split="val", task="clip", seed=3, index=index))
        for index in range(count)
    ]
    return tuple(Facts(world, [render(view) for view in world.views]) for world in worlds)


def things_that(motion: str, verdict: bool | None = True) -> list[tuple[Facts, int]]:
    return [
        (facts, thing)
        for facts in clips()
        for thing in facts.things
        if motion_holds(facts, thing, motion) is verdict
    ]


def shown(facts: Facts, thing: int) -> list[int]:
    return [frame for frame in facts.frames if facts.area(thing, frame)]


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_what_moves_somewhere_ends_there(direction):
    dx, dy = DIRECTIONS[direction]
    found = things_that(f"moves {direction}")
    assert found
    for facts, thing in found:
        seen = [f for f in facts.frames if facts.area(thing, f) > 60]
        if len(seen) > 1:
            (x, y), (u, v) = (facts.centre(thing, f) for f in (seen[0], seen[-1]))
            assert (u - x) * dx + (v - y) * dy > 0


def test_what_stays_keeps_its_place():
    for facts, thing in things_that("stays"):
        path = facts.paths[thing]
        assert np.ptp(path[:, 0]) <= 6
        assert np.ptp(path[:, 1]) <= 6


def test_what_turns_back_goes_out_and_returns():
    found = things_that("turns back")
    assert found
    for facts, thing in found:
        path = facts.paths[thing]
        away = np.linalg.norm(path - path[0], axis=1)
        assert np.nanmax(away) > away[~np.isnan(away)][-1] + 4


def test_what_leaves_is_gone_at_the_end_and_what_enters_late_missing_at_first():
    for facts, thing in things_that("leaves"):
        assert shown(facts, thing)[-1] < facts.frames[-1]
    for facts, thing in things_that("enters late"):
        assert shown(facts, thing)[0] > 0


def test_what_leaves_and_returns_has_a_gap():
    found = things_that("leaves and returns")
    assert found
    for facts, thing in found:
        frames = shown(facts, thing)
        assert any(b - a > 1 for a, b in pairwise(frames))


def test_the_fastest_is_one_and_entrances_have_an_order():
    for facts in clips():
        fastest = [t for t in facts.things if motion_holds(facts, t, "moves fastest")]
        assert len(fastest) <= 1
        places = [
            shown(facts, thing)[0]
            for word in ("enters first", "enters second", "enters third")
            for thing in facts.things
            if motion_holds(facts, thing, word)
        ]
        assert places == sorted(places)


def test_motion_words_refuse_what_could_be_disputed():
    assert things_that("leaves", None)
    assert all(
        facts.world.motions[thing].kind == "leaves and returns"
        for facts, thing in things_that("leaves", None)
    )
