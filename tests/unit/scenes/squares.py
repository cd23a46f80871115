"""Hand-made pictures of coloured squares, for tests of what is true of them."""

import numpy as np

from deixis.scenes.catalogue import BY_NAME, PART_NAMES
from deixis.scenes.drawing.render import Rendering
from deixis.scenes.knowing.facts import Facts
from deixis.scenes.world import Background, Placed, Thing, View, World, WorldKey

HEIGHT, WIDTH = 60, 100
GREY = Background(kind="gradient", near=(90, 90, 90), far=(120, 120, 120), angle=0.0, scale=0.3)


def thing(number: int, look: str, accent: tuple[str, str] | None = None) -> Thing:
    *pattern, colour, category = look.split()
    return Thing(
        id=number,
        category=category,
        colour=colour,
        pattern=pattern[0] if pattern else "plain",
        accent=accent,
        parts=BY_NAME[category].parts,
    )


def picture(*squares: tuple[Thing, int, int, int]) -> tuple[View, Rendering]:
    """Squares (thing, x, y, side) by centre; the left half of each is its first part."""
    things, parts = (np.zeros((HEIGHT, WIDTH), np.uint8) for _ in range(2))
    for drawn, x, y, side in squares:
        rows, half = slice(y - side // 2, y + side // 2), side // 2
        things[rows, x - half : x + half] = drawn.id
        parts[rows, x - half : x] = PART_NAMES.index(drawn.parts[0]) + 1
        parts[rows, x : x + half] = PART_NAMES.index(drawn.parts[1]) + 1
    placed = tuple(
        Placed(thing=t, x=x, y=y, size=s, large=s > 20, tilt=0.0, mirrored=False)
        for t, x, y, s in squares
    )
    view = View(placed=placed, height=HEIGHT, width=WIDTH, background=GREY, noise=0, light=1.0)
    pixels = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    return view, Rendering(pixels=pixels, things=things, parts=parts, colours=things)


def facts_of(*pictures: tuple[View, Rendering]) -> Facts:
    world = World(
        key=WorldKey(split="train", task="multi", seed=0, index=0),
        views=tuple(view for view, _ in pictures),
        lengths=(1,) * len(pictures),
        times=(None,) * len(pictures),
        noise=0,
    )
    return Facts(world, [rendering for _, rendering in pictures])
