"""A picture's things once more, some as they are and some as look-alikes: so that an embedding
learns to tell things apart that differ in their accent alone.

Only the training of vision draws them: what pixels show stays exact, questions know nothing of it.
"""

from dataclasses import replace

from deixis.scenes.drawing.dice import Dice
from deixis.scenes.drawing.layout import arrange
from deixis.scenes.drawing.render import render
from deixis.scenes.questions import Scene
from deixis.scenes.things import Thing, View
from deixis.scenes.world import draw_accent, draw_sizes, draw_view

OFTEN = 0.5  # how often a thing comes again as a look-alike


def doubled(scene: Scene, dice: Dice) -> Scene:
    """Return a scene of one picture with a second one: its things stand elsewhere, and some of
    them have another accent. Image sets and clips stay as they are."""
    if len(scene.world.views) > 1:
        return scene
    (first,) = scene.world.views
    second = _again(dice, first)
    world = replace(
        scene.world,
        views=(first, second),
        lengths=(*scene.world.lengths, 1),
        times=(*scene.world.times, None),
    )
    return replace(scene, world=world, renderings=(*scene.renderings, render(second)))


def _again(dice: Dice, view: View) -> View:
    size = view.height, view.width
    things = [placed.thing for placed in view.placed]
    last = max(thing.id for thing in things)
    things = [_maybe_alike(dice, thing, last + 1 + place) for place, thing in enumerate(things)]
    placed = arrange(dice, things, draw_sizes(dice, things), *size)
    return draw_view(dice, placed, view.noise + 3, size)


def _maybe_alike(dice: Dice, thing: Thing, number: int) -> Thing:
    """Return a thing as it is, or a new one that differs in its accent only."""
    accent = draw_accent(dice, thing) if dice.chance(OFTEN) else thing.accent
    return thing if accent == thing.accent else replace(thing, id=number, accent=accent)
