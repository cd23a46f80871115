"""Pictures that come again with look-alikes: the same things, some of them with another accent."""

from dataclasses import replace

import numpy as np
import pytest

from deixis.config import Stage, validate
from deixis.data.mixture import Draw
from deixis.errors import ConfigError
from deixis.scenes.catalogue import HELD_OUT_COLOURS
from deixis.scenes.doubling import doubled
from deixis.scenes.drawing.dice import Dice
from deixis.scenes.questions import make_scene
from deixis.scenes.world import WorldKey
from deixis.training.objective import dense_batch
from deixis.training.recipes import scene_of

WORLDS = 40


@pytest.fixture(scope="module")
def pairs():
    """Things of the first picture and of the second, by place in the cast."""
    found = []
    for index in range(WORLDS):
        key = WorldKey(split="train", task="refer", seed=3, index=index)
        scene = doubled(make_scene(key), Dice(index))
        assert [len(scene.world.views), len(scene.renderings)] == [2, 2]
        found.append(scene)
    return found


def things_of(view):
    return {placed.thing.id: placed.thing for placed in view.placed}


def test_about_half_come_again_as_they_are_and_the_others_with_another_accent(pairs):
    same = others = 0
    for scene in pairs:
        first, second = map(things_of, scene.world.views)
        assert len(first) == len(second)
        for number, thing in second.items():
            if number in first:
                assert thing == first[number]
                same += 1
            else:
                plain = [replace(one, id=number, accent=None) for one in first.values()]
                assert replace(thing, accent=None) in plain
                assert thing.accent is not None
                assert (thing.category, thing.accent[1]) not in HELD_OUT_COLOURS
                others += 1
    assert 0.4 < others / (same + others) < 0.6


def test_they_stand_elsewhere_in_another_picture(pairs):
    for scene in pairs:
        one, other = (rendering.pixels for rendering in scene.renderings)
        assert one.shape == other.shape
        assert (one != other).mean() > 0.5


def test_labels_tell_look_alikes_apart(pairs):
    new = changed = 0
    for scene in pairs:
        first, second = map(things_of, scene.world.views)
        labels = dense_batch([scene], ["category"]).looks.numpy()
        before, after = ({int(number) for number in np.unique(image)} for image in labels)
        assert len(after - before) <= len(second.keys() - first.keys())
        new, changed = new + len(after - before), changed + len(second.keys() - first.keys())
    assert new > 0.9 * changed  # now and then two take each other's accent


def test_image_sets_and_clips_stay_as_they_are():
    for task in ("multi", "clip"):
        scene = make_scene(WorldKey(split="train", task=task, seed=3, index=0))
        assert doubled(scene, Dice(1)) is scene


def test_a_mixture_doubles_as_often_as_it_says():
    def views(share):
        draws = [
            Draw(split="train", task="refer", seed=1, index=i, questions=1, doubled=share)
            for i in range(60)
        ]
        return sum(len(scene_of(draw).renderings) - 1 for draw in draws)

    assert views(0.0) == 0
    assert 15 < views(0.5) < 45
    assert views(1.0) == 60


def test_questions_are_not_asked_about_pictures_that_come_again():
    stage = {"name": "a", "objective": "answer", "steps": 1, "data": [{"task": "refer"}]}
    with pytest.raises(ConfigError, match="doubled: expected 0 with the objective answer"):
        validate(Stage, stage | {"doubled": 0.5}, "a.yaml")
