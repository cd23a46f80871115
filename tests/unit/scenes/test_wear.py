"""Worn pictures show the same as before, at the same places, only less clearly."""

import numpy as np
import pytest
from PIL import Image

from deixis.scenes.questions import make_scene
from deixis.scenes.wear import WEAR, worn, worn_scene
from deixis.scenes.world import WorldKey


def scene(task, index=0):
    return make_scene(WorldKey(split="train", task=task, seed=3, index=index))


PICTURE = scene("refer").renderings[0].pixels
SIDE = len(PICTURE)


def test_a_worn_picture_shows_the_same_at_another_size_or_grade():
    random = np.random.default_rng(3)
    picture = PICTURE
    used = [worn(picture, random) for _ in range(40)]
    assert {p.dtype for p in used} == {np.dtype(np.uint8)}
    assert min(p.shape[0] for p in used) < SIDE < max(p.shape[0] for p in used)
    same = [p for p in used if p.shape == picture.shape]
    assert any(np.array_equal(p, picture) for p in same)
    assert any(not np.array_equal(p, picture) for p in same)
    middle = [p.mean() / picture.mean() for p in used]
    assert 0.5 < min(middle) < max(middle) < 1.5


@pytest.mark.parametrize("name", WEAR)
def test_the_more_a_picture_is_worn_the_farther_it_is_from_itself(name):
    picture = PICTURE
    size = (picture.shape[1], picture.shape[0])
    far = []
    for much in (0.1, 1.0):
        used = Image.fromarray(WEAR[name](picture, much, np.random.default_rng(1))).resize(size)
        far.append(abs(np.asarray(used).astype(float) - picture).mean())
    assert far[0] > 0
    assert far[0] < far[1] or name == "larger"  # which loses nothing


@pytest.mark.parametrize("task", ["refer", "multi", "clip"])
def test_a_worn_scene_asks_the_same_of_the_same_places(task):
    changed = 0
    for index in range(6):
        clean = scene(task, index)
        used, again = (worn_scene(clean, np.random.default_rng(index)) for _ in "12")
        for a, b, c in zip(clean.renderings, used.renderings, again.renderings, strict=True):
            assert np.array_equal(b.pixels, c.pixels)
            assert a.pixels.shape == b.pixels.shape
            assert np.array_equal(a.things, b.things)
            changed += not np.array_equal(a.pixels, b.pixels)
        assert [s.question for s in used.samples] == [s.question for s in clean.samples]
        shown = [frame.pixels for frame in used.samples[0].images]
        assert all(map(np.array_equal, shown, [r.pixels for r in used.renderings]))
    assert changed
