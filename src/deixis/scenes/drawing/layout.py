"""Where things stand in a picture: beside each other, some of them partly behind another."""

from collections.abc import Sequence
from math import hypot, pi

import numpy as np

from deixis.scenes.drawing.dice import Dice
from deixis.scenes.drawing.shapes import paint, shape_of
from deixis.scenes.things import Placed, Thing

SMALL = (27.0, 32.0)  # nominal diameters at a shorter side of 128 px
LARGE = (43.0, 52.0)
BEHIND = 0.56  # how often a thing is put close to one that stands already
ATTEMPTS = 12
LEAST_SHARE = 0.5  # of every thing that must be visible
LEAST_PART = 10.0  # visible pixels of every part, at a shorter side of 128 px


def draw_size(dice: Dice, large: bool, shorter: int) -> float:
    """Return a nominal diameter in pixels; small and large ones never meet."""
    low, high = LARGE if large else SMALL
    return dice.between(low, high) * shorter / 128


def snapped(value: float) -> float:
    """Return a coordinate that mirroring changes and restores without rounding."""
    return round(value * 64) / 64


def draw_tilt(dice: Dice) -> float:
    """Return a tilt: mostly slight, now and then any."""
    return dice.between(-pi, pi) if dice.chance(0.12) else dice.between(-0.45, 0.45)


def arrange(
    dice: Dice, things: Sequence[Thing], sizes: Sequence[bool], height: int, width: int
) -> tuple[Placed, ...]:
    """Place things, back to front, so that each is clearly visible.

    Args:
        sizes: for each thing, whether it is large.
    """
    best: tuple[Placed, ...] = ()
    best_score = -1.0
    for attempt in range(ATTEMPTS):
        behind = BEHIND * (1 - attempt / ATTEMPTS)
        placed = _attempt(dice, things, sizes, height, width, behind)
        score = _clarity(placed, height, width)
        if score >= 1:
            return placed
        if score > best_score:
            best, best_score = placed, score
    return best


def _attempt(
    dice: Dice,
    things: Sequence[Thing],
    sizes: Sequence[bool],
    height: int,
    width: int,
    behind: float,
) -> tuple[Placed, ...]:
    order = sorted(range(len(things)), key=lambda i: (not sizes[i], dice.number()))
    standing: list[Placed] = []
    for i in order:
        size = draw_size(dice, sizes[i], min(height, width))
        x, y = _spot(dice, standing, size, height, width, dice.chance(behind))
        standing.append(
            Placed(
                thing=things[i],
                x=snapped(x),
                y=snapped(y),
                size=size,
                large=sizes[i],
                tilt=draw_tilt(dice),
                mirrored=dice.chance(0.5),
            )
        )
    return tuple(standing)


def _spot(
    dice: Dice, standing: Sequence[Placed], size: float, height: int, width: int, behind: bool
) -> tuple[float, float]:
    """Return a centre: close before a thing that stands if ``behind``, else where most is free."""
    margin = 0.53 * size
    best, best_gap = (width / 2, height / 2), -1e9
    for _ in range(10):
        x, y = dice.between(margin, width - margin), dice.between(margin, height - margin)
        gaps = [hypot(x - p.x, y - p.y) / (p.size + size) for p in standing]
        gap = min(gaps, default=1.0)
        if behind and standing:
            gap = -abs(gap - 0.36)
        elif gap > 0.56:
            return x, y
        if gap > best_gap:
            best, best_gap = (x, y), gap
    return best


def visible_areas(placed: Sequence[Placed], height: int, width: int) -> np.ndarray:
    """Return the visible pixels of each thing's layers (things, 8)."""
    codes = paint(placed, height, width) & 63
    return np.bincount(codes.ravel(), minlength=64)[8:].reshape(-1, 8)[: len(placed)]


def visible_share(item: Placed, visible: float) -> float:
    """Return the share of a thing that ``visible`` pixels are."""
    return visible / (shape_of(item.thing.category, item.thing.parts).area * item.size**2)


def _clarity(placed: Sequence[Placed], height: int, width: int) -> float:
    """Return 1 or more if all things and their parts are clearly visible, else how nearly."""
    least_part = LEAST_PART * (min(height, width) / 128) ** 2
    score = 2.0
    for item, areas in zip(placed, visible_areas(placed, height, width), strict=True):
        score = min(score, visible_share(item, float(areas.sum())) / LEAST_SHARE)
        seen: dict[str, float] = {}
        for layer, area in zip(
            shape_of(item.thing.category, item.thing.parts).layers, areas, strict=False
        ):
            seen[layer.part] = seen.get(layer.part, 0.0) + float(area)
        score = min(score, min(seen.values()) / least_part)
    return score
