"""What the words of a question touch on their way to the answer, known exactly in our scenes.

"The second mug from the left" first means all mugs; "the cup beside the fish" also means the
fish. A model that learns to notice these learns the rest sooner; nobody tells it when it is asked.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from deixis.scenes.catalogue import PART_NAMES
from deixis.scenes.knowing.asked import Asked
from deixis.scenes.knowing.facts import Facts
from deixis.scenes.knowing.meaning import Described, find
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
    if asked.rule == "told number":  # all that are like what is pointed at
        word = getattr(facts.things[asked.pointed[asked.about].thing], asked.detail)
        yield from _all(facts, asked, Described(**{asked.detail: word}), FITS)
    for which in asked.which:
        yield from _all(facts, asked, which.described, FITS)
        if which.relation:
            yield from _all(facts, asked, which.relation[1], BESIDE)


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
