"""What is true of a thing among others: "the second mug from the left", "left of the tree".

What an image token shows of its own thing is soon learned; to compare it with all others is not,
as long as only answers ask for it. So the vision parts are told such sayings too, of all things.

Shapes: S sayings, T things, D language width.
"""

from collections import defaultdict
from collections.abc import Iterator
from itertools import permutations, product, repeat

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deixis.scenes.catalogue import CATEGORIES, COLOURS
from deixis.scenes.knowing.asked import Asked
from deixis.scenes.knowing.facts import RATIO, USES, Facts
from deixis.scenes.knowing.meaning import ENDS, SIDES, SIZES, Which, find, lies
from deixis.scenes.knowing.truth import truth_of

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


def sayings_of(facts: Facts, frame: int = 0) -> np.ndarray:
    """Return (ids, S): 1 for all that is true of each thing of one image."""
    table = np.zeros((1 + max(facts.things, default=0), len(COLUMNS)), np.float32)
    for thing, key in (*_ranks(facts, frame), *_neighbours(facts, frame), *_uses(facts, frame)):
        table[thing, COLUMNS[key]] = 1
    return table


def _ranks(facts: Facts, frame: int) -> Iterator[tuple[int, Saying]]:
    for likeness in LIKE:
        groups = defaultdict(list)
        for thing in facts.shown((frame,)):
            groups[tuple(getattr(facts.things[thing], name) for name in likeness)].append(thing)
        for things in groups.values():
            if len(things) > 1:
                for thing, place in _places(facts, things, frame):
                    yield thing, ("rank", likeness, place)


def _places(facts: Facts, things: list[int], frame: int) -> Iterator[tuple[int, object]]:
    """Yield where things stand among each other."""
    for side, (dx, dy) in SIDES.items():
        along = {thing: np.dot(facts.centre(thing, frame), (dx, dy)) for thing in things}
        ordered = sorted(things, key=lambda one: -along[one])
        yield from ((thing, (side, number)) for number, thing in enumerate(ordered[:FARTHEST]))
    ordered = sorted(things, key=lambda one: -facts.area(one, frame))
    for size, (one, other) in zip(SIZES, (ordered[:2], ordered[:-3:-1]), strict=True):
        small, large = sorted(facts.area(thing, frame) ** 0.5 for thing in (one, other))
        if large >= RATIO * small:
            yield one, size


def _neighbours(facts: Facts, frame: int) -> Iterator[tuple[int, Saying]]:
    for thing, other in permutations(facts.shown((frame,)), 2):
        for side in SIDES:
            if lies(facts, thing, side, other, frame):
                yield thing, ("beside category", side, facts.things[other].category)
                yield thing, ("beside colour", side, facts.things[other].colour)


def _uses(facts: Facts, frame: int) -> Iterator[tuple[int, Saying]]:
    for thing in facts.shown((frame,)):
        yield thing, ("use", USES[facts.things[thing].category])


def in_cells(things: np.ndarray, true: np.ndarray, side: int) -> Tensor:
    """Return (side * side, S) how much of each cell of a frame is of things of which each saying is
    true, given the thing that every pixel (H, W) shows and what is true of it (ids, S)."""
    rows, columns = (np.arange(length) * side // length for length in things.shape)
    ids = np.minimum(things.astype(np.int64), len(true) - 1)
    cells = (rows[:, None] * side + columns) * len(true)
    shown = np.bincount((cells + ids).ravel(), minlength=side**2 * len(true))
    counts = shown.reshape(-1, len(true)).astype(np.float32)  # (side * side, ids)
    return torch.from_numpy(counts[:, 1:] / counts.sum(1, keepdims=True) @ true[1:])


def directions_of_sayings(width: int, count: int = len(COLUMNS)) -> Tensor:
    """Return fixed random directions (S, D) of all sayings, or of a number of them."""
    dice = torch.Generator().manual_seed(1)
    rows = nn.init.orthogonal_(torch.empty(count, width), generator=dice)
    return F.normalize(rows, dim=1)


def descriptions(facts: Facts, question: Asked) -> Iterator[Which]:
    """Yield how a question describes what is answered, in that order."""
    if question.rule != "each":
        return repeat(question.which[0] if question.which else Which())
    meant = {}
    for which in question.which:
        found = find(facts, which, question.frames)
        assert found, "it was asked"
        meant[found[0][0], which.part] = which
    truth = truth_of(facts, question)
    assert truth is not None, "it was asked"
    return iter([meant[hit.thing, hit.part] for hit in truth.hits])


def asked_sayings(which: Which) -> list[int]:
    """Return for each kind 1 + index of the saying that a description uses; 0: none, or none that
    things are told."""
    said = which.described
    likeness = likeness_of(which)
    keys: dict[str, Saying] = {"use": (said.use,)}
    if likeness is not None:
        keys["rank"] = (likeness, _asked_place(which))
    if which.relation:
        side, other = which.relation
        keys |= {"beside category": (side, other.category), "beside colour": (side, other.colour)}
    return [
        1 + SAYINGS[kind].index(keys[kind]) if keys.get(kind) in SAYINGS[kind] else 0
        for kind in SAYINGS
    ]


def likeness_of(which: Which) -> tuple[str, ...] | None:
    """Return what a thing is compared by, one of ``LIKE``; None where it is by more than that."""
    said = which.described
    if said.pattern or said.accent or said.use:
        return None
    return tuple(name for name in ("category", "colour") if getattr(said, name))


def _asked_place(which: Which) -> object:
    if which.extreme in SIZES or not which.extreme:
        return which.extreme or (which.ordinal and (which.ordinal[1], which.ordinal[0] - 1))
    return (ENDS[which.extreme], 0)
