"""A question's meaning (``Asked``) and the rules by which its truth follows from the facts."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from deixis.scenes.facts import Facts
from deixis.scenes.meaning import (
    Appearance,
    Described,
    Which,
    find,
    larger,
    lies,
    matches,
)
from deixis.scenes.motion import motion_holds
from deixis.structures.masks import Mask
from deixis.structures.numbering import image_name
from deixis.structures.prompts import Box, Point, Prompt, Region

MOST = 6  # targets of one question


@dataclass(frozen=True, slots=True, kw_only=True)
class Pointed:
    """A prompt and what lies under it."""

    prompt: Prompt
    thing: int
    part: str | None = None

    @property
    def frame(self) -> int:
        """Flat index of the frame that the prompt lies on."""
        return self.prompt.image

    @property
    def drawn(self) -> bool:
        """Say whether a person would want an outline: not of what comes as a mask."""
        return not isinstance(self.prompt, Region)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a question asks, without its words.

    Attributes:
        rule: how the truth follows, a key of ``RULES``.
        kind: the sample's type.
        which: what is described.
        frames: the flat frames that the question covers.
        pointed: what is pointed at, by object id.
        about: index into ``pointed`` of what the conclusion is about.
        detail: a word that the rule needs: a side, a motion, a colour.
        named: the question names the covered image, one of several.
        silent: only the conclusion is wanted, nothing outlined.
    """

    rule: str
    kind: str
    which: tuple[Which, ...] = ()
    frames: tuple[int, ...] = ()
    pointed: tuple[Pointed, ...] = ()
    about: int = 0
    detail: str = ""
    named: bool = False
    silent: bool = False

    def mirrored(self, facts: Facts) -> "Asked":
        """Return the same question about the mirrored world."""
        from deixis.scenes.meaning import MIRRORED

        widths = [view.width for view in facts.world.views]
        return replace(
            self,
            which=tuple(which.mirrored() for which in self.which),
            pointed=tuple(
                replace(p, prompt=_mirrored(p.prompt, widths[p.frame])) for p in self.pointed
            ),
            detail=MIRRORED.get(self.detail, self.detail),
        )

    def permuted(self, order: Sequence[int]) -> "Asked":
        """Return the same question about a set of pictures in another order."""
        place = {old: new for new, old in enumerate(order)}
        return replace(
            self,
            frames=tuple(sorted(place[frame] for frame in self.frames)),
            pointed=tuple(
                replace(p, prompt=replace(p.prompt, image=place[p.frame])) for p in self.pointed
            ),
        )


def _mirrored(prompt: Prompt, width: int) -> Prompt:
    if isinstance(prompt, Point):
        return replace(prompt, x=width - prompt.x)
    if isinstance(prompt, Box):
        return replace(prompt, x0=width - prompt.x1, x1=width - prompt.x0)
    return replace(prompt, mask=Mask(prompt.mask.pixels[:, ::-1]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """A thing, or a part of it, in the frames where it is a target."""

    thing: int
    frames: tuple[int, ...]
    part: str | None = None
    object_id: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """What is true: targets, a conclusion, and what was asked for in vain."""

    hits: tuple[Hit, ...] = ()
    conclusion: str | None = None
    absent: tuple[Which, ...] = ()


def truth_of(facts: Facts, asked: Asked) -> Truth | None:
    """Work out the truth; None where it cannot be proved."""
    truth = RULES[asked.rule](facts, asked)
    if truth is None or not all(_clear(facts, hit) for hit in truth.hits):
        return None
    truth = replace(truth, hits=tuple(sorted(truth.hits, key=lambda hit: reading(facts, hit))))
    return replace(truth, hits=()) if asked.silent else truth


def _clear(facts: Facts, hit: Hit) -> bool:
    return facts.clear(hit.thing, hit.frames, hit.part)


def reading(facts: Facts, hit: Hit) -> tuple[float, ...]:
    """Return the key of reading order: by image, then from left to right by centre."""
    frame = next((f for f in hit.frames if facts.area(hit.thing, f, hit.part)), hit.frames[0])
    if hit.part is None:
        return (frame, *facts.centre(hit.thing, frame))
    rows, columns = facts.pixels(hit.thing, frame, hit.part).nonzero()
    return frame, float(columns.mean()), float(rows.mean())


def _hits(found: Sequence[Appearance], asked: Asked, facts: Facts, part: str | None) -> list[Hit]:
    frames: dict[int, list[int]] = {}
    for thing, frame in found:
        frames.setdefault(thing, []).append(frame)
    whole = tuple(facts.frames)
    return [
        Hit(thing=thing, part=part, frames=whole if facts.is_clip else tuple(shown))
        for thing, shown in frames.items()
    ]


def _single(facts: Facts, asked: Asked, which: Which | None = None) -> Hit | None:
    which = which or asked.which[0]
    hits = _hits(find(facts, which, asked.frames) or (), asked, facts, which.part)
    return hits[0] if len(hits) == 1 else None


def _one(facts: Facts, asked: Asked) -> Truth | None:
    hit = _single(facts, asked)
    return hit and Truth(hits=(hit,))


def _each(facts: Facts, asked: Asked) -> Truth | None:
    hits = [_single(facts, asked, which) for which in asked.which]
    if None in hits or len({(hit.thing, hit.part) for hit in hits if hit}) < len(hits):
        return None
    return Truth(hits=tuple(hit for hit in hits if hit))


def _all(facts: Facts, asked: Asked) -> Truth | None:
    """All that fit: two to six, none of them in two images."""
    which = asked.which[0]
    found = find(facts, which, asked.frames) or []
    hits = _hits(found, asked, facts, which.part)
    if not 2 <= len(hits) <= MOST or len(hits) != len(found):
        return None
    return Truth(hits=tuple(hits))


def _parts(facts: Facts, asked: Asked) -> Truth | None:
    hit = _single(facts, asked)
    if hit is None or not 2 <= len(facts.things[hit.thing].parts) <= MOST:
        return None
    return Truth(hits=tuple(replace(hit, part=part) for part in facts.things[hit.thing].parts))


def _nothing(facts: Facts, asked: Asked) -> Truth | None:
    found = find(facts, asked.which[0], asked.frames)
    return Truth(absent=asked.which[:1]) if found == [] else None


def _which_image(facts: Facts, asked: Asked) -> Truth | None:
    """Exactly one image holds exactly one such thing."""
    found = find(facts, asked.which[0], asked.frames) or []
    if len(found) != 1:
        return None
    return Truth(
        hits=tuple(_hits(found, asked, facts, asked.which[0].part)),
        conclusion=image_name(found[0][1]),
    )


def _count(facts: Facts, asked: Asked) -> Truth | None:
    """How many there are, none of them in two images; nought means that it is absent."""
    which = asked.which[0]
    found = find(facts, which, asked.frames)
    if found is None or len({thing for thing, _ in found}) < len(found) or len(found) > MOST:
        return None
    hits = tuple(_hits(found, asked, facts, which.part))
    return Truth(hits=hits, conclusion=str(len(found)), absent=() if hits else (which,))


def _more(facts: Facts, asked: Asked) -> Truth | None:
    """One image holds more of them than every other; all of that image are targets."""
    found = find(facts, asked.which[0], asked.frames) or []
    if not found or len({thing for thing, _ in found}) < len(found) or len(found) > MOST:
        return None
    counts = {frame: sum(f == frame for _, f in found) for frame in asked.frames}
    best = max(counts, key=counts.__getitem__)
    if sum(n == counts[best] for n in counts.values()) > 1:
        return None
    there = [(thing, frame) for thing, frame in found if frame == best]
    return Truth(
        hits=tuple(_hits(there, asked, facts, asked.which[0].part)), conclusion=image_name(best)
    )


def _images(facts: Facts, asked: Asked) -> Truth | None:
    """In how many images such a thing is; every one of them is a target."""
    found = find(facts, asked.which[0], asked.frames) or []
    hits = _hits(found, asked, facts, asked.which[0].part)
    if not 1 <= len(hits) <= MOST:
        return None
    return Truth(hits=tuple(hits), conclusion=str(len({frame for _, frame in found})))


def _category(facts: Facts, asked: Asked) -> Truth | None:
    hit = _single(facts, asked)
    return hit and Truth(hits=(hit,), conclusion=facts.things[hit.thing].category)


def _colour(facts: Facts, asked: Asked) -> Truth | None:
    hit = _single(facts, asked)
    if hit is None:
        return None
    drawn = facts.things[hit.thing]
    colour = drawn.colour if hit.part is None else facts.colour(hit.thing, hit.part)
    return Truth(hits=(hit,), conclusion=colour)


def _exists(facts: Facts, asked: Asked) -> Truth | None:
    found = find(facts, asked.which[0], asked.frames)
    return None if found is None else Truth(conclusion="yes" if found else "no")


def _side(facts: Facts, asked: Asked) -> Truth | None:
    """Whether the first stands on a side of the second, both unique."""
    first, second = (_single(facts, asked, which) for which in asked.which)
    if first is None or second is None or first.thing == second.thing:
        return None
    holds = lies(facts, first.thing, asked.detail, second.thing, asked.frames[0])
    return None if holds is None else Truth(conclusion="yes" if holds else "no")


def _again(facts: Facts, asked: Asked) -> Truth | None:
    """The same thing in the other images."""
    if asked.pointed:
        thing, home = asked.pointed[0].thing, asked.pointed[0].frame
        object_id = asked.pointed[0].prompt.object_id
    else:
        home = asked.frames[0]
        found = find(facts, asked.which[0], (home,)) or []
        if len(found) != 1:
            return None
        thing, object_id = found[0][0], None
    others = tuple(f for f in facts.frames if f != home and facts.area(thing, f))
    if not others or not facts.clear(thing, (*others, home)):
        return None
    hit = Hit(thing=thing, frames=others, object_id=object_id)
    if asked.detail == "which":
        return Truth(hits=(hit,), conclusion=image_name(others[0])) if len(others) == 1 else None
    conclusion = str(len(others)) if asked.detail == "number" else None
    return Truth(hits=(hit,), conclusion=conclusion)


# -- prompts -------------------------------------------------------------------------------------


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


def _prompted(conclude: Callable[[Facts, Asked], str | None]) -> Callable[[Facts, Asked], Truth | None]:
    def rule(facts: Facts, asked: Asked) -> Truth | None:
        conclusion = conclude(facts, asked)
        return conclusion and Truth(hits=_outlined(facts, asked), conclusion=conclusion)

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
    sides = [
        side
        for side in ("left", "right", "above", "below")
        if lies(facts, a.thing, side, b.thing, a.frame)
    ]
    (x, y), (u, v) = facts.centre(a.thing, a.frame), facts.centre(b.thing, b.frame)
    apart = sorted((abs(x - u), abs(y - v)))
    clear = apart[1] >= 2 * apart[0]
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
    ways = [d for d in ("left", "right", "up", "down") if motion_holds(facts, thing, f"moves {d}")]
    return ways[0] if len(ways) == 1 else None


def _told_number(facts: Facts, asked: Asked) -> str | None:
    """How many things of the pointed thing's colour or category there are, itself included."""
    thing = facts.things[asked.pointed[asked.about].thing]
    alike = Described(**{asked.detail: getattr(thing, asked.detail)})
    found = matches(facts, alike, asked.frames)
    return None if found is None else str(len(found))


def _outline(facts: Facts, asked: Asked) -> Truth | None:
    hits = _outlined(facts, asked)
    return Truth(hits=hits) if hits else None


RULES: dict[str, Callable[[Facts, Asked], Truth | None]] = {
    "one": _one,
    "each": _each,
    "all": _all,
    "parts": _parts,
    "nothing": _nothing,
    "which image": _which_image,
    "count": _count,
    "more": _more,
    "images": _images,
    "category": _category,
    "colour": _colour,
    "exists": _exists,
    "side": _side,
    "again": _again,
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
