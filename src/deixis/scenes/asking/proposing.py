"""What all kinds of questions share: random descriptions, near misses, and the choice among them.

A kind is a function that offers one meaning (``Asked``) by chance, or None if this try was in
vain; of a bounded number of tries the first whose truth is proved, and that is fair, is taken.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Any

from deixis.scenes.catalogue import (
    CATEGORIES,
    COLOURS,
    HELD_OUT_COLOURS,
    HELD_OUT_PARTS,
    PATTERNS,
)
from deixis.scenes.knowing.asked import Asked, Truth
from deixis.scenes.knowing.facts import Facts
from deixis.scenes.knowing.meaning import Described, Which, matches, needs_every_word, shares
from deixis.scenes.knowing.truth import truth_of

TRIES = 24

Offer = Callable[[Facts, Random], Asked | None]


def always(facts: Facts) -> bool:
    """Every world will do."""
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A kind of question.

    Attributes:
        offer: proposes meanings.
        weight: how often it is drawn.
        shared: every target must share its category or colour with another thing in view.
        wordy: prefer descriptions of which no word could be left out.
        novel: whether a meaning must, must not, or may use held-out pairs.
        ready: says whether a world has what the kind needs; otherwise it is not drawn first.
    """

    offer: Offer
    weight: float = 1.0
    shared: bool = False
    wordy: bool = False
    novel: bool | None = False
    ready: Callable[[Facts], bool] = always


def settle(facts: Facts, kind: Kind, rng: Random) -> tuple[Asked, Truth] | None:
    """Return the first offered meaning that is proved and fair, preferring the wordy."""
    spare = None
    for _ in range(TRIES):
        asked = kind.offer(facts, rng)
        if asked is None or kind.novel not in (None, novel(asked)):
            continue
        truth = truth_of(facts, asked)
        if truth is None or (kind.shared and not _fair(facts, truth)):
            continue
        if not kind.wordy or all(needs_every_word(facts, w, asked.frames) for w in asked.which):
            return asked, truth
        spare = spare or (asked, truth)
    return spare


def _fair(facts: Facts, truth: Truth) -> bool:
    frames = facts.frames
    return all(shares(facts, hit.thing, frames) for hit in truth.hits)


def novel(asked: Asked) -> bool:
    """Say whether a meaning names a pair that training never draws nor asks."""
    described = [d for which in asked.which for d in _all_described(which)]
    owners = [(which.part, which.described.category) for which in asked.which]
    return any((d.category, d.colour) in HELD_OUT_COLOURS for d in described) or any(
        owner in HELD_OUT_PARTS for owner in owners
    )


def _all_described(which: Which) -> list[Described]:
    return [which.described, *([which.relation[1]] if which.relation else [])]


def pick_thing(facts: Facts, rng: Random, frames: Sequence[int]) -> int:
    """Return a thing that shows in the frames."""
    return rng.choice(list(facts.shown(frames)) or list(facts.things))


def plain_words(facts: Facts, thing: int) -> Described:
    """Return the colour and category of a thing."""
    drawn = facts.things[thing]
    return Described(category=drawn.category, colour=drawn.colour)


def words(facts: Facts, rng: Random, thing: int) -> Described:
    """Return two or three true words about a thing, colour and category most often."""
    drawn, roll = facts.things[thing], rng.random()
    if roll < 0.55:
        return plain_words(facts, thing)
    if roll < 0.65:
        return Described(category=drawn.category, pattern=drawn.pattern)
    if roll < 0.72:
        return Described(colour=drawn.colour, pattern=drawn.pattern)
    if roll < 0.87 and drawn.accent:
        return Described(category=drawn.category, accent=drawn.accent)
    return replace(plain_words(facts, thing), pattern=drawn.pattern)


def own_words(
    facts: Facts, rng: Random, thing: int, frames: Sequence[int], *, terse: bool = False
) -> Described | None:
    """Return words that pick this thing alone (terse: one, if it suffices); None if none do."""
    drawn = facts.things[thing]
    plain = plain_words(facts, thing)
    short = [Described(category=drawn.category), Described(colour=drawn.colour)]
    long = [plain, plain, Described(category=drawn.category, pattern=drawn.pattern)]
    if drawn.accent:
        long.append(Described(category=drawn.category, accent=drawn.accent))
    rng.shuffle(short)
    rng.shuffle(long)
    full = replace(plain, pattern=drawn.pattern, accent=drawn.accent)
    if terse:
        long = short + long
    for described in (*long, replace(plain, pattern=drawn.pattern), full):
        found = matches(facts, described, frames)
        if found and all(other == thing for other, _ in found):
            return described
    return None


def few_words(facts: Facts, rng: Random, thing: int, *, least: int = 0) -> Described:
    """Return nought to two true words about a thing, at least ``least``."""
    drawn, roll = facts.things[thing], rng.random()
    if roll < 0.15 and not least:
        return Described()
    if roll < 0.45:
        return Described(category=drawn.category)
    return Described(colour=drawn.colour) if roll < 0.7 else plain_words(facts, thing)


def near_miss(rng: Random, described: Described) -> Described:
    """Change one word."""
    changes = [name for name in ("category", "colour", "pattern") if getattr(described, name)]
    name = rng.choice(changes)
    pool: Sequence[str] = {
        "category": [category.name for category in CATEGORIES],
        "colour": list(COLOURS),
        "pattern": PATTERNS,
    }[name]
    others = [word for word in pool if word != getattr(described, name)]
    changed: dict[str, Any] = {name: rng.choice(others)}
    return replace(described, **changed)


def pick_part(facts: Facts, rng: Random, thing: int) -> str:
    """Return a part of a thing."""
    return rng.choice(facts.things[thing].parts)
