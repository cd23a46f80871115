"""What a description means: which things of a world it picks, or that this cannot be proved.

A question is kept as its meaning (``Asked``), so that its truth can be worked out again on a
mirrored or re-ordered world. Nothing here knows words.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from deixis.scenes.knowing.facts import RATIO, STEP, USES, Facts
from deixis.scenes.knowing.motion import motion_holds
from deixis.scenes.world import Thing

SIDES = {"left": (-1, 0), "right": (1, 0), "above": (0, -1), "below": (0, 1)}
ENDS = {"leftmost": "left", "rightmost": "right", "highest": "above", "lowest": "below"}
SIZES = ("largest", "smallest")
MIRRORED = {"left": "right", "leftmost": "rightmost", "moves left": "moves right"}
MIRRORED |= {b: a for a, b in MIRRORED.items()}

Appearance = tuple[int, int]  # thing id, flat frame index


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """What a thing is like; None says nothing about it."""

    category: str | None = None
    colour: str | None = None
    pattern: str | None = None
    accent: tuple[str, str] | None = None
    use: str | None = None

    def fits(self, thing: Thing) -> bool:
        """Say whether a thing is like this."""
        return (
            self.category in (None, thing.category)
            and self.colour in (None, thing.colour)
            and self.pattern in (None, thing.pattern)
            and self.accent in (None, thing.accent)
            and self.use in (None, USES[thing.category])
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Which:
    """A description in its world: what the thing is like, and where, how large, how it moves."""

    described: Described = Described()
    relation: tuple[str, Described] | None = None  # (side, of what)
    extreme: str | None = None  # one of ENDS or SIZES
    ordinal: tuple[int, str] | None = None  # (2, "left") = second from the left
    motion: str | None = None
    part: str | None = None  # only this part of it is meant

    def mirrored(self) -> "Which":
        """Return the same meaning in a world whose left and right are swapped."""
        return replace(
            self,
            relation=self.relation and (_swap(self.relation[0]), self.relation[1]),
            extreme=self.extreme and _swap(self.extreme),
            ordinal=self.ordinal and (self.ordinal[0], _swap(self.ordinal[1])),
            motion=self.motion and _swap(self.motion),
        )

    def looser(self) -> list["Which"]:
        """Return the descriptions that say one thing less; the part stays."""
        unsaid: dict[str, Any]
        fewer = []
        for name in ("category", "colour", "pattern", "accent", "use"):
            if getattr(self.described, name) is not None:
                unsaid = {name: None}
                fewer.append(replace(self, described=replace(self.described, **unsaid)))
        for name in ("relation", "extreme", "ordinal", "motion"):
            if getattr(self, name) is not None:
                unsaid = {name: None}
                fewer.append(replace(self, **unsaid))
        return fewer


def _swap(word: str) -> str:
    return MIRRORED.get(word, word)


def lies(facts: Facts, thing: int, side: str, other: int, frame: int) -> bool | None:
    """Say whether a thing lies on a side of another; None where this could be disputed."""
    (x, y), (u, v) = facts.centre(thing, frame), facts.centre(other, frame)
    dx, dy = SIDES[side]
    along = (x - u) * dx + (y - v) * dy
    across = abs((x - u) * dy) + abs((y - v) * dx)
    if along >= STEP and along >= 0.6 * across:
        return True
    return False if along <= -STEP else None


def larger(facts: Facts, a: Appearance, b: Appearance) -> bool | None:
    """Say whether the first looks larger than the second; None where this could be disputed."""
    sizes = [facts.placed[frame][thing].size for thing, frame in (a, b)]
    roots = [facts.area(*appearance) ** 0.5 for appearance in (a, b)]
    if sizes[0] > sizes[1] and roots[0] >= RATIO * roots[1]:
        return True
    return False if sizes[0] < sizes[1] and roots[1] >= RATIO * roots[0] else None


def matches(facts: Facts, described: Described, frames: Sequence[int]) -> list[Appearance] | None:
    """Return every appearance of what is like this; None if one of them hardly shows."""
    found = []
    for thing, shown in facts.shown(frames).items():
        if described.fits(facts.things[thing]):
            if not facts.clear(thing, frames):
                return None
            found += [(thing, frame) for frame in (shown[:1] if facts.is_clip else shown)]
    return found


def find(facts: Facts, which: Which, frames: Sequence[int]) -> list[Appearance] | None:
    """Return every appearance that a description picks; None where this cannot be proved."""
    found = matches(facts, which.described, frames)
    if found and which.relation:
        found = _related(facts, found, *which.relation)
    if found and which.motion:
        holds = [motion_holds(facts, thing, which.motion) for thing, _ in found]
        found = None if None in holds else [a for a, h in zip(found, holds, strict=True) if h]
    if found and which.extreme:
        found = _extreme(facts, found, which.extreme)
    if found and which.ordinal:
        found = _ordinal(facts, found, *which.ordinal)
    if found and which.part:
        found = _with_part(facts, found, which.part)
    return found


def _related(
    facts: Facts, found: list[Appearance], side: str, of: Described
) -> list[Appearance] | None:
    """Keep what lies on a side of the only thing that is like ``of`` in the same image."""
    kept = []
    for thing, frame in found:
        others = matches(facts, of, (frame,))
        if others is None:
            return None
        if len(others) > 1:
            return None
        if not others or others[0][0] == thing:
            continue
        holds = lies(facts, thing, side, others[0][0], frame)
        if holds is None:
            return None
        if holds:
            kept.append((thing, frame))
    return kept


def _extreme(facts: Facts, found: list[Appearance], extreme: str) -> list[Appearance] | None:
    """Keep the one that is clearly ahead of all others; there must be others."""
    if len(found) < 2 or len({thing for thing, _ in found}) < len(found):
        return None
    if extreme in SIZES:
        for best in found:
            verdicts = [larger(facts, best, other) for other in found if other != best]
            if all(v is (extreme == "largest") for v in verdicts):
                return [best]
        return None
    ordered = _in_order(facts, found, ENDS[extreme])
    return ordered[:1] if ordered and _gaps(facts, ordered[:2], ENDS[extreme]) else None


def _ordinal(
    facts: Facts, found: list[Appearance], number: int, side: str
) -> list[Appearance] | None:
    """Keep the ``number``-th from a side; all must stand clearly apart."""
    ordered = _in_order(facts, found, side)
    if not ordered or len(ordered) < max(number, 2) or not _gaps(facts, ordered, side):
        return None
    return [ordered[number - 1]]


def _in_order(facts: Facts, found: list[Appearance], side: str) -> list[Appearance] | None:
    """Return the appearances of one image, beginning at a side."""
    if len({frame for _, frame in found}) != 1:
        return None
    dx, dy = SIDES[side]
    return sorted(found, key=lambda a: -_along(facts, a, dx, dy))


def _along(facts: Facts, appearance: Appearance, dx: int, dy: int) -> float:
    x, y = facts.centre(*appearance)
    return x * dx + y * dy


def _gaps(facts: Facts, ordered: Sequence[Appearance], side: str) -> bool:
    places = [_along(facts, a, *SIDES[side]) for a in ordered]
    return all(a - b >= STEP for a, b in pairwise(places))


def _with_part(facts: Facts, found: list[Appearance], part: str) -> list[Appearance] | None:
    """Keep all, if each has the part and shows it clearly."""
    if any(part not in facts.things[thing].parts for thing, _ in found):
        return None
    frames = [facts.frames if facts.is_clip else (frame,) for _, frame in found]
    shown = (facts.clear(a[0], where, part) for a, where in zip(found, frames, strict=True))
    return found if all(shown) else None


def shares(facts: Facts, thing: int, frames: Sequence[int]) -> bool:
    """Say whether another thing of these frames has its category or its colour."""
    mine = facts.things[thing]
    others = [facts.things[other] for other in facts.shown(frames) if other != thing]
    return any(o.category == mine.category or o.colour == mine.colour for o in others)


def needs_every_word(facts: Facts, which: Which, frames: Sequence[int]) -> bool:
    """Say whether a description says two things or more and none of them could be left out."""
    looser = which.looser()
    if len(looser) < 2:
        return False
    picked = find(facts, which, frames)
    return all(find(facts, less, frames) != picked for less in looser)
