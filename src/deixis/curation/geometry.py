"""Where things stand to each other, by their boxes, with margins: no claim hangs on a pixel."""

from collections.abc import Sequence

from deixis.curation.sets import Thing

DIRECTIONS = ("left of", "right of", "above", "below")
ENDS = ("to the left", "to the right", "up", "down")
MARGIN = 0.04  # share of the image's side by which the furthest is ahead of all others

_AXIS = {"left of": (0, -1), "right of": (0, 1), "above": (1, -1), "below": (1, 1)}
_TOWARDS = dict(zip(ENDS, _AXIS.values(), strict=True))


def beside(one: Thing, other: Thing, direction: str) -> bool:
    """Tell whether a thing lies in a direction of another, their boxes apart on that axis."""
    if one is other or one.image != other.image:
        return False
    axis, sign = _AXIS[direction]
    a, b = one.entity.box, other.entity.box
    return a[axis + 2] <= b[axis] if sign < 0 else a[axis] >= b[axis + 2]


def furthest(things: Sequence[Thing], end: str, size: tuple[int, int]) -> Thing | None:
    """Return the thing whose middle is ahead of all others towards an end; None if it is close.

    Args:
        things: of one image. size: its (height, width).
    """
    if len(things) < 2:
        return None
    axis, sign = _TOWARDS[end]
    first, second = sorted(things, key=lambda t: -sign * t.entity.centre[axis])[:2]
    ahead = sign * (first.entity.centre[axis] - second.entity.centre[axis])
    return first if ahead >= MARGIN * size[1 - axis] else None
