"""Worlds: the same from the same key, never shared by splits, and of the promised make-up."""

from dataclasses import replace
from functools import cache

import pytest

from deixis.errors import DataError
from deixis.scenes.catalogue import HELD_OUT_COLOURS, HELD_OUT_PARTS
from deixis.scenes.drawing.dice import Dice
from deixis.scenes.drawing.shapes import paint
from deixis.scenes.world import (
    SPLITS,
    Thing,
    View,
    World,
    WorldKey,
    draw_world,
    mirrored,
    permuted,
)

TASKS = ("refer", "many", "multi", "absent", "region", "clip", "pixelqa", "plain", "compose")
STILLS = ("refer", "many", "multi", "absent", "region", "plain")


@cache
def worlds(task: str, count: int, split: str = "val", seed: int = 11) -> tuple[World, ...]:
    keys = [WorldKey(split=split, task=task, seed=seed, index=i) for i in range(count)]
    return tuple(draw_world(key) for key in keys)


def things_of(world: World) -> dict[int, Thing]:
    return {item.thing.id: item.thing for view in world.views for item in view.placed}


def shares(view: View) -> list[float]:
    """Return the visible share of each thing, against the thing painted alone."""
    codes = paint(view.placed, view.height, view.width)
    return [
        int(((codes & 63) >> 3 == place).sum())
        / int((paint([item], view.height, view.width) > 0).sum())
        for place, item in enumerate(view.placed, 1)
    ]


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("seed", [0, 2**32 + 5, 2**63 - 1])
def test_a_key_draws_the_same_world_again(task, seed):
    key = WorldKey(split="test", task=task, seed=seed, index=3)
    assert draw_world(key) == draw_world(key)


def test_neighbouring_keys_draw_different_worlds():
    key = WorldKey(split="train", task="refer", seed=1, index=1)
    others = [
        replace(key, index=2),
        replace(key, seed=2),
        replace(key, seed=1 + 2**32),
        replace(key, task="many"),
        replace(key, split="val"),
    ]
    noises = {draw_world(other).noise for other in (key, *others)}
    assert len(noises) == 6


@pytest.mark.parametrize("split", SPLITS)
def test_a_world_and_each_of_its_views_tell_their_split(split):
    for task in ("refer", "multi", "clip"):
        for world in worlds(task, 12, split):
            noises = {world.noise, *(view.noise for view in world.views)}
            assert {noise % 3 for noise in noises} == {SPLITS.index(split)}


@pytest.mark.parametrize("task", STILLS)
def test_images_hold_three_to_six_things_and_four_and_a_half_on_average(task):
    counts = [len(view.placed) for world in worlds(task, 150) for view in world.views]
    assert min(counts) >= 3
    assert max(counts) <= 6
    assert sum(counts) / len(counts) >= 4.5


@pytest.mark.parametrize("task", ["refer", "many", "multi"])
def test_a_quarter_of_the_things_is_partly_covered_and_none_mostly(task):
    seen = [s for world in worlds(task, 150) for view in world.views for s in shares(view)]
    covered = sum(share < 0.98 for share in seen) / len(seen)
    assert 0.22 <= covered <= 0.4
    assert min(seen) >= 0.4


@pytest.mark.parametrize("task", ["refer", "many", "multi"])
def test_categories_and_colours_repeat_inside_a_set(task):
    for world in worlds(task, 100):
        things = things_of(world).values()
        assert len({thing.category for thing in things}) < len(things)
        assert len({thing.colour for thing in things}) < len(things)


@pytest.mark.parametrize("task", TASKS)
def test_no_two_things_of_a_world_look_entirely_alike(task):
    for world in worlds(task, 40):
        things = things_of(world)
        looks = {(t.category, t.colour, t.pattern, t.accent) for t in things.values()}
        assert len(looks) == len(things)


def test_about_one_thing_in_three_has_an_accent():
    things = [t for world in worlds("refer", 150) for t in things_of(world).values()]
    assert 0.25 <= sum(t.accent is not None for t in things) / len(things) <= 0.42
    assert all(t.accent is None or t.accent[1] != t.colour for t in things)


def test_a_third_of_multi_worlds_shows_a_thing_again_elsewhere():
    again = 0
    for world in worlds("multi", 200):
        ids = [[item.thing.id for item in view.placed] for view in world.views]
        assert all(len(set(image)) == len(image) for image in ids)
        again += sum(map(len, ids)) > len(things_of(world))
    assert 0.27 <= again / 200 <= 0.43


def test_a_thing_seen_again_is_the_same_thing_in_another_pose():
    for world in worlds("multi", 60):
        seen = {}
        for view in world.views:
            for item in view.placed:
                before = seen.setdefault(item.thing.id, item)
                assert before.thing == item.thing
                assert before is item or (before.x, before.y, before.tilt) != (
                    item.x,
                    item.y,
                    item.tilt,
                )


@pytest.mark.parametrize("task", TASKS[:-1])
def test_held_out_combinations_are_never_drawn_outside_compose(task):
    for split in SPLITS:
        for world in worlds(task, 60, split):
            for thing in things_of(world).values():
                colours = {thing.colour, thing.accent[1] if thing.accent else thing.colour}
                assert not {(thing.category, colour) for colour in colours} & HELD_OUT_COLOURS
                assert not {(part, thing.category) for part in thing.parts} & HELD_OUT_PARTS


def test_compose_always_draws_a_held_out_combination():
    for world in worlds("compose", 80):
        assert any(
            (thing.category, thing.colour) in HELD_OUT_COLOURS
            or {(part, thing.category) for part in thing.parts} & HELD_OUT_PARTS
            for thing in things_of(world).values()
        )


@pytest.mark.parametrize(
    ("task", "most"), [("refer", 1), ("multi", 4), ("absent", 3), ("plain", 4)]
)
def test_a_task_has_its_number_of_images(task, most):
    numbers = {len(world.lengths) for world in worlds(task, 80)}
    assert numbers == set(range(2 if task == "multi" else 1, most + 1))


@pytest.mark.parametrize("task", ["clip", "pixelqa"])
def test_a_clip_has_8_to_32_frames_and_rising_times(task):
    for world in worlds(task, 40):
        (frames,), (times,) = world.lengths, world.times
        assert 8 <= frames <= 32
        assert len(world.views) == frames == len(times)
        assert list(times) == sorted(set(times))


def test_things_in_clips_do_what_their_motion_says():
    kinds = set()
    for world in worlds("clip", 60):
        end = len(world.views) - 1
        for motion in world.motions.values():
            kinds.add(motion.kind)
            assert (motion.first > 0) == (motion.kind == "enters late")
            assert (motion.last < end) == (motion.kind == "leaves")
            assert (motion.direction is None) == (motion.kind == "stays") == (motion.speed == 0)
    assert len(kinds) == 9


def test_paths_are_smooth():
    for world in worlds("clip", 20):
        for view, following in zip(world.views, world.views[1:], strict=False):
            before = {item.thing.id: item for item in view.placed}
            for item in following.placed:
                if item.thing.id in before:
                    start = before[item.thing.id]
                    assert abs(item.x - start.x) + abs(item.y - start.y) < 60


def test_mirroring_twice_gives_the_world_back():
    for task in ("multi", "clip"):
        for world in worlds(task, 8):
            assert mirrored(world) != world
            assert mirrored(mirrored(world)) == world


def test_permuting_moves_images_as_told():
    world = next(w for w in worlds("multi", 20) if len(w.views) == 3)
    moved = permuted(world, (2, 0, 1))
    assert moved.views == (world.views[2], world.views[0], world.views[1])


def test_permuting_refuses_an_order_that_misses_an_image():
    world = worlds("refer", 1)[0]
    with pytest.raises(DataError, match=r"each image of 0 to 0 once, .* got \[0, 0\]\."):
        permuted(world, (0, 0))


@pytest.mark.parametrize("size", [(64, 64), (96, 200), (256, 192)])
def test_everything_scales_with_the_size_of_the_view(size):
    key = WorldKey(split="val", task="refer", seed=2, index=0)
    (view,) = draw_world(key, size).views
    assert (view.height, view.width) == size
    for item in view.placed:
        assert 0.2 < item.size / min(size) < 0.42
        assert 0 < item.x < view.width
        assert 0 < item.y < view.height


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"split": "tset"}, r'split: expected one of train, val, test, got "tset"\. Did .* "test"'),
        ({"task": "referr"}, r'task: expected one of .*, got "referr"\. Did you mean "refer"\?'),
        ({"seed": 2**63}, r"seed: expected a whole number .*, got 9223372036854775808\. Choose"),
        ({"index": -1}, r"index: expected a whole number from 0 to 2\*\*63 - 1, got -1\. Choose"),
        ({"task": "compose", "split": "train"}, r'split: expected "val" or "test" for compose'),
    ],
)
def test_a_key_out_of_range_is_an_error_that_says_what_to_do(wrong, message):
    key = WorldKey(**{"split": "val", "task": "refer", "seed": 0, "index": 0, **wrong})
    with pytest.raises(DataError, match=message):
        draw_world(key)


def test_dice_repeat_themselves_and_keep_to_their_bounds():
    throws = [Dice(5, 2**63 - 1).whole(2, 4) for _ in range(3)]
    assert len(set(throws)) == 1
    dice = Dice(1)
    assert {dice.whole(2, 4) for _ in range(200)} == {2, 3, 4}
    assert sorted(dice.sample("abcdef", 6)) == list("abcdef")
    assert {dice.weighted((("never", 0.0), ("always", 1.0))) for _ in range(50)} == {"always"}
