"""How the truth of a question about points, boxes and masks follows from the facts."""

from collections.abc import Callable

from deixis.scenes.knowing.asked import Asked, Hit, Pointed, Truth
from deixis.scenes.knowing.facts import Facts
from deixis.scenes.knowing.meaning import SIDES, Described, larger, lies, matches
from deixis.scenes.knowing.motion import DIRECTIONS, motion_holds

Rule = Callable[[Facts, Asked], Truth | None]
CLEARER = 2  # times as far along one axis as along the other, to say "left" without more


def _outlined(facts: Facts, asked: Asked) -> tuple[Hit, ...]:
    """One target for each point or box."""
    return tuple(
        Hit(
            thing=p.thing,
            part=p.part,
            frames=tuple(facts.frames) if facts.is_clip else (p.frame,),
            object_id=p.prompt.object_id,
        )
        for p in asked.pointed
        if p.drawn
    )


def _prompted(conclude: Callable[[Facts, Asked], str | None]) -> Rule:
    def rule(facts: Facts, asked: Asked) -> Truth | None:
        conclusion = conclude(facts, asked)
        if conclusion is None:
            return None
        return Truth(hits=_outlined(facts, asked), conclusion=conclusion)

    return rule


def _yes(holds: bool | None) -> str | None:
    return None if holds is None else "yes" if holds else "no"


def _told_category(facts: Facts, asked: Asked) -> str:
    return facts.things[asked.pointed[asked.about].thing].category


def _told_colour(facts: Facts, asked: Asked) -> str:
    about = asked.pointed[asked.about]
    if about.part is not None:
        return facts.colour(about.thing, about.part)
    return facts.things[about.thing].colour


def _told_part(facts: Facts, asked: Asked) -> str | None:
    return asked.pointed[asked.about].part


def _two(asked: Asked) -> tuple[Pointed, Pointed]:
    other = next(i for i in range(len(asked.pointed)) if i != asked.about)
    return asked.pointed[asked.about], asked.pointed[other]


def _told_where(facts: Facts, asked: Asked) -> str | None:
    """The one side on which it stands."""
    a, b = _two(asked)
    sides = [side for side in SIDES if lies(facts, a.thing, side, b.thing, a.frame)]
    (x, y), (u, v) = facts.centre(a.thing, a.frame), facts.centre(b.thing, b.frame)
    apart = sorted((abs(x - u), abs(y - v)))
    clear = apart[1] >= CLEARER * apart[0]
    return sides[0] if len(sides) == 1 and clear else None


def _told_side(facts: Facts, asked: Asked) -> str | None:
    a, b = _two(asked)
    return _yes(lies(facts, a.thing, asked.detail, b.thing, a.frame))


def _told_alike(facts: Facts, asked: Asked) -> str | None:
    a, b = (facts.things[p.thing] for p in _two(asked))
    return _yes(getattr(a, asked.detail) == getattr(b, asked.detail))


def _told_larger(facts: Facts, asked: Asked) -> str | None:
    a, b = _two(asked)
    return _yes(larger(facts, (a.thing, a.frame), (b.thing, b.frame)))


def _told_motion(facts: Facts, asked: Asked) -> str | None:
    return _yes(motion_holds(facts, asked.pointed[asked.about].thing, asked.detail))


def _told_direction(facts: Facts, asked: Asked) -> str | None:
    thing = asked.pointed[asked.about].thing
    ways = [d for d in DIRECTIONS if motion_holds(facts, thing, f"moves {d}")]
    return ways[0] if len(ways) == 1 else None


def _told_number(facts: Facts, asked: Asked) -> str | None:
    """How many things of the pointed thing's colour or category there are, itself included."""
    thing = facts.things[asked.pointed[asked.about].thing]
    if asked.detail == "colour":
        alike = Described(colour=thing.colour)
    else:
        alike = Described(category=thing.category)
    found = matches(facts, alike, asked.frames)
    return None if found is None else str(len(found))


def _outline(facts: Facts, asked: Asked) -> Truth | None:
    hits = _outlined(facts, asked)
    return Truth(hits=hits) if hits else None


PROMPTED: dict[str, Rule] = {
    "outline": _outline,
    "told category": _prompted(_told_category),
    "told colour": _prompted(_told_colour),
    "told part": _prompted(_told_part),
    "told where": _prompted(_told_where),
    "told side": _prompted(_told_side),
    "told alike": _prompted(_told_alike),
    "told larger": _prompted(_told_larger),
    "told motion": _prompted(_told_motion),
    "told direction": _prompted(_told_direction),
    "told number": _prompted(_told_number),
}
