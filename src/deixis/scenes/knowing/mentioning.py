"""What the words of a question touch on their way to the answer, known exactly in our scenes.

"The second mug from the left" first means all mugs; "the cup beside the fish" also means the
fish. A model that learns to notice these learns the rest sooner; nobody tells it when it is asked.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from deixis.scenes.catalogue import PART_NAMES
from deixis.scenes.knowing.asked import Asked
from deixis.scenes.knowing.facts import Facts
from deixis.scenes.knowing.meaning import Appearance, Described, find, larger, lies
from deixis.scenes.knowing.motion import motion_holds
from deixis.scenes.knowing.truth import truth_of

FITS, BESIDE, MEANT = 0, 1, 2


@dataclass(frozen=True, slots=True)
class Mention:
    """A thing in a frame, and how a question touches it.

    Attributes:
        role: ``FITS`` its description; ``BESIDE``: pointed at, or what others stand beside;
            ``MEANT`` by a question that wants a word only, plus 1 + the part's place in
            ``PART_NAMES`` where a part is.
    """

    frame: int
    thing: int
    role: int


def mentions(facts: Facts, asked: Asked) -> list[Mention]:
    """Return what a question touches, each once."""
    found = [*_described(facts, asked), *_pointed(facts, asked)]
    if asked.silent:
        found += _meant(facts, asked)
    return list(dict.fromkeys(found))


def _described(facts: Facts, asked: Asked) -> Iterator[Mention]:
    yield from _fitting(facts, asked)
    for which in asked.which:
        yield from _all(facts, asked, which.described, FITS)
        if which.relation:
            yield from _all(facts, asked, which.relation[1], BESIDE)


def _fitting(facts: Facts, asked: Asked) -> Iterator[Mention]:
    """Whatever what is asked of a pointed-at thing would be true of: all things to the left of
    [2], all that move up, all that are like [1]."""
    about = asked.pointed[asked.about] if asked.pointed else None
    if about is None or asked.rule not in FITTING:
        return
    others = [one for one in asked.pointed if one is not about] or [about]
    fits = FITTING[asked.rule]
    for thing, frames in facts.shown(asked.frames).items():
        if fits(facts, asked, thing, (others[0].thing, about.frame)):
            yield from (Mention(frame, thing, FITS) for frame in frames)


def _alike(facts: Facts, asked: Asked, thing: int, other: int) -> bool:
    one, two = facts.things[thing], facts.things[other]
    return bool(getattr(one, asked.detail) == getattr(two, asked.detail))


FITTING: dict[str, Callable[[Facts, Asked, int, Appearance], bool | None]] = {
    "told side": lambda facts, asked, thing, other: thing != other[0]
    and lies(facts, thing, asked.detail, *other),
    "told larger": lambda facts, asked, thing, other: thing != other[0]
    and larger(facts, (thing, other[1]), other),
    "told alike": lambda facts, asked, thing, other: _alike(facts, asked, thing, other[0]),
    "told motion": lambda facts, asked, thing, other: motion_holds(facts, thing, asked.detail),
    "told number": lambda facts, asked, thing, other: _alike(
        facts, asked, thing, asked.pointed[asked.about].thing
    ),
}


def _all(facts: Facts, asked: Asked, described: Described, role: int) -> Iterator[Mention]:
    for thing, frames in facts.shown(asked.frames).items():
        if described.fits(facts.things[thing]):
            yield from (Mention(frame, thing, role) for frame in frames)


def _pointed(facts: Facts, asked: Asked) -> Iterator[Mention]:
    for pointed in asked.pointed:
        frames = facts.frames if facts.is_clip else (pointed.frame,)
        for frame in facts.shown(frames).get(pointed.thing, ()):
            yield Mention(frame, pointed.thing, BESIDE)


def _meant(facts: Facts, asked: Asked) -> Iterator[Mention]:
    """What would be outlined, had the question not been for a word only."""
    truth = truth_of(facts, replace(asked, silent=False))
    for hit in truth.hits if truth else ():
        part = 0 if hit.part is None else 1 + PART_NAMES.index(hit.part)
        yield from (Mention(frame, hit.thing, MEANT + part) for frame in hit.frames)
    if truth is None or not truth.hits:  # yes or no: all that the question asks for
        for which in asked.which:
            for thing, frame in find(facts, which, asked.frames) or ():
                yield Mention(frame, thing, MEANT)
