"""Parts that are lent: seen exactly where they are, the same everywhere, never what is held out."""

import numpy as np
import pytest

from deixis.config import Stage, validate
from deixis.data.mixture import Draw
from deixis.errors import ConfigError
from deixis.scenes.catalogue import HELD_OUT_PARTS, PART_NAMES
from deixis.scenes.drawing.shapes import MOST_LAYERS, shape_of
from deixis.scenes.lending import OWNERS, lent_scene
from deixis.scenes.questions import make_scene
from deixis.scenes.world import WorldKey
from deixis.training.recipes import scene_of

WORLDS = 40


@pytest.fixture(scope="module")
def scenes():
    """Scenes of several images, as they are and with lent parts."""
    keys = [WorldKey(split="train", task="multi", seed=3, index=i) for i in range(WORLDS)]
    plain = [make_scene(key) for key in keys]
    return plain, [lent_scene(one, np.random.default_rng(i)) for i, one in enumerate(plain)]


def things_of(scene):
    return {one.thing.id: one.thing for view in scene.world.views for one in view.placed}


def test_most_things_are_lent_something_and_stay_what_they_are(scenes):
    richer = 0
    for before, after in zip(*scenes, strict=True):
        old, new = things_of(before), things_of(after)
        assert old.keys() == new.keys()
        for number, thing in new.items():
            richer += bool(thing.lent)
            assert (thing.category, thing.parts) == (old[number].category, old[number].parts)
            assert len(shape_of(thing).layers) <= MOST_LAYERS
    total = sum(len(things_of(one)) for one in scenes[0])
    assert 0.4 < richer / total < 0.75


def test_lent_parts_show_on_their_thing_alone(scenes):
    shown = 0
    for scene in scenes[1]:
        things = things_of(scene)
        for drawn in scene.renderings:
            for number, thing in things.items():
                own = {*thing.parts, *(one.part for one in thing.lent)}
                parts = {PART_NAMES[i - 1] for i in np.unique(drawn.parts[drawn.things == number])}
                assert parts <= own
                shown += bool(parts - set(thing.parts))
            assert ((drawn.parts > 0) == (drawn.things > 0)).all()
    assert shown > WORLDS / 2


def test_a_thing_is_lent_the_same_in_all_images(scenes):
    for scene in scenes[1]:
        for view in scene.world.views:
            for one in view.placed:
                assert one.thing == things_of(scene)[one.thing.id]


def test_what_training_must_not_see_is_never_lent(scenes):
    lent = {
        (one.part, thing.category)
        for scene in scenes[1]
        for thing in things_of(scene).values()
        for one in thing.lent
    }
    assert lent
    assert not lent & HELD_OUT_PARTS
    assert all(OWNERS[part] for part, _ in lent)


def test_a_mixture_lends_as_often_as_it_says():
    draws = [
        Draw(split="train", task="refer", seed=1, index=i, questions=1, lent=0.5) for i in range(60)
    ]
    lent = sum(any(t.lent for t in things_of(scene_of(draw)).values()) for draw in draws)
    assert 15 < lent < 45
    never = Draw(split="train", task="refer", seed=1, index=1, questions=1)
    assert not any(thing.lent for thing in things_of(scene_of(never)).values())


def test_questions_are_not_asked_about_things_with_lent_parts():
    stage = {"name": "a", "objective": "answer", "steps": 1, "data": [{"task": "refer"}]}
    with pytest.raises(ConfigError, match="lent: expected 0 with the objective answer"):
        validate(Stage, stage | {"lent": 0.5}, "a.yaml")
