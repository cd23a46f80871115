"""Things with parts of others stuck on: so that a part is known by its look and not by its owner.

Only the training of vision draws them: what pixels show stays exact, questions know nothing of it.
"""

from dataclasses import replace

import numpy as np

from deixis.scenes.catalogue import CATEGORIES, HELD_OUT_PARTS
from deixis.scenes.drawing.render import render
from deixis.scenes.drawing.shapes import MOST_LAYERS, shape_of
from deixis.scenes.questions import Scene
from deixis.scenes.things import Lent, Thing

OFTEN = 0.6  # how often a thing is lent anything
TURN = 0.4  # radians that a part may be turned by, to either side
OWNERS: dict[str, tuple[str, ...]] = {
    part: tuple(
        category.name for category in CATEGORIES if part in (*category.parts, *category.at_times)
    )
    for part in sorted({part for category in CATEGORIES for part in category.at_times})
}
"""Part that comes and goes -> the categories that it is taken from."""


def lent_scene(scene: Scene, random: np.random.Generator) -> Scene:
    """Return a scene some of whose things have parts of others, the same in all of its pictures.

    A part is never lent to a category on which training must not see it.
    """
    things = {placed.thing.id: placed.thing for view in scene.world.views for placed in view.placed}
    richer = {number: _richer(thing, random) for number, thing in sorted(things.items())}
    views = tuple(
        replace(
            view, placed=tuple(replace(one, thing=richer[one.thing.id]) for one in view.placed)
        )
        for view in scene.world.views
    )
    world = replace(scene.world, views=views)
    return replace(scene, world=world, renderings=tuple(render(view) for view in views))


def _richer(thing: Thing, random: np.random.Generator) -> Thing:
    shape = shape_of(thing)
    room = min(2, MOST_LAYERS - len(shape.layers))
    if room < 1 or random.random() > OFTEN:
        return thing
    parts = [part for part in OWNERS if (part, thing.category) not in HELD_OUT_PARTS]
    chosen = random.choice(parts, size=random.integers(1, room + 1))
    return replace(thing, lent=tuple(_lent(str(part), shape.vertices, random) for part in chosen))


def _lent(part: str, corners: np.ndarray, random: np.random.Generator) -> Lent:
    x, y = corners[random.integers(len(corners))] * random.uniform(0, 1.05)
    return Lent(
        part=part,
        owner=str(random.choice(OWNERS[part])),
        x=float(x),
        y=float(y),
        turn=float(random.uniform(-TURN, TURN)),
        behind=bool(random.random() < 0.3),
    )
