"""What is true of a thing among others: "the second mug from the left", "left of the tree".

What an image token shows of its own thing is soon learned; to compare it with all others is not,
as long as only answers ask for it. So the vision parts are told such sayings too, of all things.
"""

from collections import defaultdict
from collections.abc import Iterator
from itertools import permutations, product

import numpy as np

from deixis.scenes.catalogue import CATEGORIES, COLOURS
from deixis.scenes.knowing.facts import RATIO, USES, Facts
from deixis.scenes.knowing.meaning import ENDS, SIDES, SIZES, Which, lies

FARTHEST = 3  # "the third from the left" is the last that is told
LIKE = ((), ("category",), ("colour",), ("category", "colour"))  # what "among its like" may mean
PLACES = [*product(SIDES, range(FARTHEST)), *SIZES]
Saying = tuple[object, ...]

# Kinds of sayings; a description uses one of each at most.
SAYINGS: dict[str, list[Saying]] = {
    "rank": list(product(LIKE, PLACES)),
    "beside category": list(product(SIDES, [one.name for one in CATEGORIES])),
    "beside colour": list(product(SIDES, COLOURS)),
    "use": [(use,) for use in sorted({*USES.values()})],
}
COLUMNS = {
    key: number
    for number, key in enumerate((kind, *say) for kind, said in SAYINGS.items() for say in said)
}


def sayings_of(facts: Facts) -> np.ndarray:
    """Return (ids, S): 1 for all that is true of each thing of one image."""
    table = np.zeros((1 + max(facts.things, default=0), len(COLUMNS)), np.float32)
    for thing, key in (*_ranks(facts), *_neighbours(facts), *_uses(facts)):
        table[thing, COLUMNS[key]] = 1
    return table


def _ranks(facts: Facts) -> Iterator[tuple[int, Saying]]:
    for likeness in LIKE:
        groups = defaultdict(list)
        for thing in facts.shown((0,)):
            groups[tuple(getattr(facts.things[thing], name) for name in likeness)].append(thing)
        for things in groups.values():
            if len(things) > 1:
                for thing, place in _places(facts, things):
                    yield thing, ("rank", likeness, place)


def _places(facts: Facts, things: list[int]) -> Iterator[tuple[int, object]]:
    """Yield where things stand among each other."""
    for side, (dx, dy) in SIDES.items():
        along = {thing: np.dot(facts.centre(thing, 0), (dx, dy)) for thing in things}
        ordered = sorted(things, key=lambda one: -along[one])
        yield from ((thing, (side, number)) for number, thing in enumerate(ordered[:FARTHEST]))
    ordered = sorted(things, key=lambda one: -facts.area(one, 0))
    for size, (one, other) in zip(SIZES, (ordered[:2], ordered[:-3:-1]), strict=True):
        small, large = sorted(facts.area(thing, 0) ** 0.5 for thing in (one, other))
        if large >= RATIO * small:
            yield one, size


def _neighbours(facts: Facts) -> Iterator[tuple[int, Saying]]:
    for thing, other in permutations(facts.shown((0,)), 2):
        for side in SIDES:
            if lies(facts, thing, side, other, 0):
                yield thing, ("beside category", side, facts.things[other].category)
                yield thing, ("beside colour", side, facts.things[other].colour)


def _uses(facts: Facts) -> Iterator[tuple[int, Saying]]:
    for thing in facts.shown((0,)):
        yield thing, ("use", USES[facts.things[thing].category])


def asked_sayings(which: Which) -> list[int]:
    """Return for each kind 1 + index of the saying that a description uses; 0: none, or none that
    things are told."""
    said = which.described
    likeness = tuple(name for name in ("category", "colour") if getattr(said, name))
    keys: dict[str, Saying] = {"use": (said.use,)}
    if not (said.pattern or said.accent or said.use):
        keys["rank"] = (likeness, _asked_place(which))
    if which.relation:
        side, other = which.relation
        keys |= {"beside category": (side, other.category), "beside colour": (side, other.colour)}
    return [
        1 + SAYINGS[kind].index(keys[kind]) if keys.get(kind) in SAYINGS[kind] else 0
        for kind in SAYINGS
    ]


def _asked_place(which: Which) -> object:
    if which.extreme in SIZES or not which.extreme:
        return which.extreme or (which.ordinal and (which.ordinal[1], which.ordinal[0] - 1))
    return (ENDS[which.extreme], 0)
