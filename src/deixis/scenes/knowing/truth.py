"""The rules by which the truth of a question follows from the facts."""

from collections.abc import Sequence
from dataclasses import replace

from deixis.scenes.knowing.asked import Asked, Hit, Truth
from deixis.scenes.knowing.facts import Facts
from deixis.scenes.knowing.meaning import Appearance, Which, find, lies
from deixis.scenes.knowing.prompted import PROMPTED, Rule
from deixis.structures.numbering import image_name

MOST = 6  # targets of one question


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
    return None if hit is None else Truth(hits=(hit,))


def _each(facts: Facts, asked: Asked) -> Truth | None:
    hits = [_single(facts, asked, which) for which in asked.which]
    if None in hits or len({(hit.thing, hit.part) for hit in hits if hit}) < max(len(hits), 2):
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
    if hit is None:
        return None
    return Truth(hits=(hit,), conclusion=facts.things[hit.thing].category)


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


RULES: dict[str, Rule] = {
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
} | PROMPTED
