"""Renderings: maps of visible pixels that agree with each other, with the world and in a mirror."""

from dataclasses import replace
from time import process_time

import numpy as np
import pytest

from deixis.scenes.catalogue import CATEGORIES, COLOURS, PART_NAMES
from deixis.scenes.drawing.render import render
from deixis.scenes.world import (
    Background,
    Placed,
    Thing,
    View,
    WorldKey,
    draw_world,
    mirrored,
)

GREY = Background(kind="gradient", near=(90, 90, 90), far=(120, 120, 120), angle=0.3, scale=0.3)


def views(task: str, count: int, size: tuple[int, int] = (128, 128)) -> list[View]:
    keys = [WorldKey(split="val", task=task, seed=4, index=i) for i in range(count)]
    return [view for key in keys for view in draw_world(key, size).views]


def alone(category: str, size: float, tilt: float = 0.0, **looks) -> View:
    parts = next(c.parts for c in CATEGORIES if c.name == category)
    look = {"colour": "blue", "pattern": "plain", "accent": None, **looks}
    thing = Thing(id=7, category=category, parts=parts, **look)
    placed = Placed(thing=thing, x=64, y=64, size=size, large=False, tilt=tilt, mirrored=False)
    return View(placed=(placed,), height=128, width=128, background=GREY, noise=12345, light=1.0)


def test_rendering_a_view_twice_gives_the_same_pixels():
    (view,) = views("refer", 1)
    np.testing.assert_array_equal(render(view).pixels, render(view).pixels)


@pytest.mark.parametrize("size", [(128, 128), (70, 150), (530, 600)])
def test_all_maps_have_the_size_of_the_view(size):
    drawn = render(views("refer", 1, size)[0])
    assert drawn.pixels.shape == (*size, 3)
    assert drawn.things.shape == drawn.parts.shape == drawn.colours.shape == size
    assert {m.dtype for m in (drawn.pixels, drawn.things, drawn.parts, drawn.colours)} == {
        np.dtype("uint8")
    }


def test_parts_and_colours_cover_exactly_the_things():
    for view in views("multi", 20):
        drawn = render(view)
        np.testing.assert_array_equal(drawn.things > 0, drawn.parts > 0)
        np.testing.assert_array_equal(drawn.things > 0, drawn.colours > 0)


def test_every_thing_shows_only_its_own_parts_in_their_own_colours():
    names, colours = (None, *PART_NAMES), (None, *COLOURS)
    for view in views("refer", 30):
        drawn = render(view)
        for item in view.placed:
            thing, mine = item.thing, drawn.things == item.thing.id
            assert {names[p] for p in np.unique(drawn.parts[mine])} == set(thing.parts)
            accent, accent_colour = thing.accent or (None, None)
            for part in thing.parts:
                here = mine & (drawn.parts == names.index(part))
                expected = accent_colour if part == accent else thing.colour
                assert {colours[c] for c in np.unique(drawn.colours[here])} == {expected}


def test_a_thing_in_front_hides_what_is_behind_it():
    behind = alone("house", 50)
    front = replace(behind.placed[0], thing=replace(behind.placed[0].thing, id=9), x=80.0)
    before, after = render(behind), render(replace(behind, placed=(*behind.placed, front)))
    in_front = after.things == 9
    np.testing.assert_array_equal(after.things == 7, (before.things == 7) & ~in_front)
    assert (in_front & (before.things == 7)).any()


@pytest.mark.parametrize("category", [category.name for category in CATEGORIES])
@pytest.mark.parametrize("tilt", [0.0, 0.4])
def test_every_part_covers_25_pixels_of_a_small_thing(category, tilt):
    drawn = render(alone(category, 30, tilt))
    _, areas = np.unique(drawn.parts[drawn.parts > 0], return_counts=True)
    assert areas.min() >= 25


@pytest.mark.parametrize("pattern", ["plain", "striped", "dotted"])
@pytest.mark.parametrize("colour", list(COLOURS))
def test_the_nominal_colour_is_the_nearest_hue_under_any_pattern(colour, pattern):
    drawn = render(alone("mug", 48, colour=colour, pattern=pattern))
    inside = drawn.parts == 1 + PART_NAMES.index("body")
    mean = drawn.pixels[inside].astype(float).mean(0)
    directions = {name: np.array(rgb) / np.linalg.norm(rgb) for name, rgb in COLOURS.items()}
    nearest = max(directions, key=lambda name: directions[name] @ mean / np.linalg.norm(mean))
    assert nearest == colour


@pytest.mark.parametrize("pattern", ["striped", "dotted"])
def test_a_pattern_is_seen_in_lightness(pattern):
    plain = render(alone("mug", 48)).pixels.astype(float)
    patterned = render(alone("mug", 48, pattern=pattern)).pixels.astype(float)
    changed = np.abs(plain - patterned).max(-1) > 30
    assert 150 < changed.sum() < 900


@pytest.mark.parametrize("task", ["refer", "clip"])
def test_a_mirrored_view_renders_as_the_mirrored_picture(task):
    world = draw_world(WorldKey(split="val", task=task, seed=6, index=0))
    for view, other in zip(world.views, mirrored(world).views, strict=True):
        ours, theirs = render(view), render(other)
        np.testing.assert_array_equal(ours.pixels[:, ::-1], theirs.pixels)
        np.testing.assert_array_equal(ours.things[:, ::-1], theirs.things)
        np.testing.assert_array_equal(ours.parts[:, ::-1], theirs.parts)


def test_mirrored_places_mean_what_they_say_when_drawn_anew():
    for view in views("refer", 10):
        world = draw_world(WorldKey(split="val", task="refer", seed=4, index=0))
        flipped = mirrored(replace(world, views=(view,))).views[0]
        anew = render(replace(flipped, flipped=False))
        assert (anew.things == render(view).things[:, ::-1]).mean() >= 0.99


def test_the_frames_a_motion_names_are_the_first_and_last_with_pixels():
    for index in range(8):
        world = draw_world(WorldKey(split="val", task="clip", seed=6, index=index))
        shown = [set(np.unique(render(view).things).tolist()) for view in world.views]
        for thing, motion in world.motions.items():
            frames = [f for f, ids in enumerate(shown) if thing in ids]
            assert (motion.first, motion.last) == (frames[0], frames[-1])


def test_200_images_a_second_are_drawn_and_rendered_on_one_core():
    views("refer", 3)
    best = 0.0
    for _ in range(3):
        start = process_time()
        count = sum(render(view).pixels.size > 0 for view in views("refer", 40))
        best = max(best, count / (process_time() - start))
    assert best >= 200
