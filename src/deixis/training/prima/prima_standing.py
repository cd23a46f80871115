"""What is true of a thing among others, in its image and in all images of its set.

The relation between images (SQuARE) can only show in answers what it has seen: which thing is the
largest of all images, and which one another image shows again. Its rows are told both.

Shapes: S sayings.
"""

from collections import defaultdict
from collections.abc import Iterator
from itertools import product

import numpy as np

from deixis.scenes.knowing.asked import Asked
from deixis.scenes.knowing.facts import RATIO, Facts
from deixis.scenes.knowing.meaning import SIZES, Appearance, Which
from deixis.training.standing import (
    LIKE,
    SAYINGS,
    Saying,
    asked_sayings,
    likeness_of,
    sayings_of,
)

IN_SET: dict[str, list[Saying]] = {
    "size in the set": list(product(LIKE, SIZES)),
    "again": [("again",)],
}
COLUMNS = {
    key: number
    for number, key in enumerate((kind, *say) for kind, said in IN_SET.items() for say in said)
}
ALL = {**SAYINGS, **IN_SET}
COUNT = sum(map(len, ALL.values()))


def true_of(facts: Facts, frame: int) -> np.ndarray:
    """Return (ids, S): 1 for all that is true of each thing of an image."""
    alone = sayings_of(facts, frame)
    table = np.zeros((len(alone), len(COLUMNS)), np.float32)
    for (thing, where), key in (*_sizes(facts), *_again(facts)):
        if where == frame:
            table[thing, COLUMNS[key]] = 1
    return np.concatenate([alone, table], 1)


def asked_of(question: Asked, which: Which) -> list[int]:
    """Return for each kind 1 + index of the saying that a description of a question uses, 0 for
    none; a size over all images is one of the set."""
    found = asked_sayings(which)
    likeness, size = likeness_of(which), 0
    if which.extreme in SIZES and len(question.frames) > 1:
        found[0] = 0
        if likeness is not None:
            size = 1 + IN_SET["size in the set"].index((likeness, which.extreme))
    return [*found, size, int(question.rule == "again")]


def _sizes(facts: Facts) -> Iterator[tuple[Appearance, Saying]]:
    """Yield what is clearly the largest and the smallest of its like in all images; what shows
    twice is not compared."""
    for likeness in LIKE:
        groups = defaultdict[tuple[str, ...], list[Appearance]](list)
        for thing, frames in facts.shown(facts.frames).items():
            alike = tuple(getattr(facts.things[thing], name) for name in likeness)
            groups[alike] += [(thing, frame) for frame in frames]
        for found in groups.values():
            if len({thing for thing, _ in found}) < max(len(found), 2):
                continue
            ordered = sorted(found, key=lambda one: -facts.area(*one))
            for size, (one, other) in zip(SIZES, (ordered[:2], ordered[:-3:-1]), strict=True):
                small, large = sorted(facts.area(*each) ** 0.5 for each in (one, other))
                if large >= RATIO * small:
                    yield one, ("size in the set", likeness, size)


def _again(facts: Facts) -> Iterator[tuple[Appearance, Saying]]:
    """Yield what another image shows too."""
    for thing, frames in facts.shown(facts.frames).items():
        if len(frames) > 1:
            yield from (((thing, frame), ("again", "again")) for frame in frames)
