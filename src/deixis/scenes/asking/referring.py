"""Questions that describe things of one image, or ask whether they are there: refer, many, absent,
compose."""

from dataclasses import replace
from functools import partial
from random import Random

from deixis.scenes.asking.proposing import (
    Kind,
    few_words,
    near_miss,
    own_words,
    pick_part,
    pick_thing,
    plain_words,
    words,
)
from deixis.scenes.catalogue import BY_NAME, HELD_OUT_COLOURS
from deixis.scenes.knowing.asked import Asked
from deixis.scenes.knowing.facts import USES, Facts
from deixis.scenes.knowing.meaning import ENDS, SIDES, SIZES, Described, Which, lies, shares

# -- descriptions of one thing -------------------------------------------------------------------


def by_attribute(facts: Facts, rng: Random, frames: tuple[int, ...]) -> Which:
    """Describe a thing by what it looks like."""
    return Which(described=words(facts, rng, pick_thing(facts, rng, frames)))


def by_relation(facts: Facts, rng: Random, frames: tuple[int, ...]) -> Which:
    """Describe a thing by where it stands beside another."""
    which = Which()
    for _ in range(6):
        frame = rng.choice(frames)
        thing, other = (pick_thing(facts, rng, (frame,)) for _ in range(2))
        sides = [side for side in SIDES if lies(facts, thing, side, other, frame)]
        of = own_words(facts, rng, other, (frame,), terse=True) if sides else None
        if of is not None:
            which = Which(described=few_words(facts, rng, thing), relation=(rng.choice(sides), of))
            break
    return which


def by_extreme(facts: Facts, rng: Random, frames: tuple[int, ...]) -> Which:
    """Describe a thing as the largest, the leftmost, ..."""
    described = few_words(facts, rng, pick_thing(facts, rng, frames))
    return Which(described=described, extreme=rng.choice((*ENDS, *SIZES, *SIZES)))


def by_ordinal(facts: Facts, rng: Random, frames: tuple[int, ...]) -> Which:
    """Describe a thing as the second from the left, ..."""
    described = few_words(facts, rng, pick_thing(facts, rng, frames))
    side = rng.choice(("left", "right", *SIDES))
    return Which(described=described, ordinal=(rng.choice((2, 2, 2, 3)), side))


def by_use(facts: Facts, rng: Random, frames: tuple[int, ...]) -> Which:
    """Describe a thing by its use and one thing more."""
    drawn = facts.things[pick_thing(facts, rng, frames)]
    use = USES[drawn.category]
    if rng.random() < 0.7:
        return Which(described=Described(use=use, colour=drawn.colour))
    if rng.random() < 0.5:
        return Which(described=Described(use=use, pattern=drawn.pattern))
    return Which(described=Described(use=use), extreme=rng.choice((*ENDS, *SIZES)))


WAYS = {
    "attribute": by_attribute,
    "relation": by_relation,
    "superlative": by_extreme,
    "ordinal": by_ordinal,
    "use": by_use,
}


def _one(kind: str, *, asked_kind: str | None = None):
    def offer(facts: Facts, rng: Random) -> Asked | None:
        frames = tuple(facts.frames)
        which = WAYS[kind](facts, rng, frames)
        return Asked(rule="one", kind=asked_kind or kind, which=(which,), frames=frames)

    return offer


def _part_of(facts: Facts, rng: Random) -> Asked | None:
    """A part of a thing that is described in one of the ways above."""
    frames = tuple(facts.frames)
    way = rng.choice((by_attribute, by_attribute, by_relation, by_extreme, by_ordinal))
    which = way(facts, rng, frames)
    fits = [t for t in facts.things if which.described.fits(facts.things[t])]
    part = pick_part(facts, rng, rng.choice(fits))
    return Asked(rule="one", kind="part", which=(replace(which, part=part),), frames=frames)


REFER = {
    "attribute": Kind(offer=_one("attribute"), weight=0.2, shared=True, wordy=True),
    "relation": Kind(offer=_one("relation"), weight=0.18, shared=True, wordy=True),
    "superlative": Kind(offer=_one("superlative"), weight=0.17, shared=True, wordy=True),
    "ordinal": Kind(offer=_one("ordinal"), weight=0.1, shared=True, wordy=True),
    "use": Kind(offer=_one("use"), weight=0.1, shared=True),
    "part": Kind(offer=_part_of, weight=0.25, shared=True, wordy=True),
}

# -- several targets -----------------------------------------------------------------------------


def _list(facts: Facts, rng: Random) -> Asked | None:
    """Several phrases, each for one thing, now and then for a part of it."""
    frames = tuple(facts.frames)
    things = list(facts.shown(frames))
    if len(things) < 2:
        return None
    number = rng.choice((2, 2, 3, 3, 4, 4, 5))
    which = []
    for thing in rng.sample(things, len(things)):
        described = own_words(facts, rng, thing, frames)
        part = pick_part(facts, rng, thing) if number < 3 and rng.random() < 0.15 else None
        if described is None or (number > 3 and not _is_short(described)):
            continue
        if shares(facts, thing, frames):
            which.append(Which(described=described, part=part))
    return Asked(rule="each", kind="list", which=tuple(which[:number]), frames=frames)


def _is_short(described: Described) -> bool:
    """Say whether a long list can bear it: two words."""
    told = (described.category, described.colour, described.pattern, described.accent)
    return described.accent is None and told.count(None) >= 2


def _all(facts: Facts, rng: Random) -> Asked | None:
    """Everything of a category, a colour, a pattern, or beside something."""
    frames = tuple(facts.frames)
    drawn = facts.things[pick_thing(facts, rng, frames)]
    choices = [
        Which(described=Described(category=drawn.category)),
        Which(described=Described(colour=drawn.colour)),
        Which(described=Described(pattern=drawn.pattern)),
        Which(described=Described(colour=drawn.colour, pattern=drawn.pattern)),
        Which(described=Described(category=drawn.category, pattern=drawn.pattern)),
        replace(by_relation(facts, rng, frames), described=Described()),
        Which(described=Described(use=USES[drawn.category])),
    ]
    which = rng.choices(choices, weights=(4, 4, 1, 1, 1, 2, 1))[0]
    return Asked(rule="all", kind="all", which=(which,), frames=frames)


def _parts(facts: Facts, rng: Random) -> Asked | None:
    """Every part of one thing, or one part of all things of a category."""
    frames = tuple(facts.frames)
    thing = pick_thing(facts, rng, frames)
    if rng.random() < 0.6:
        which = Which(described=own_words(facts, rng, thing, frames) or Described())
        return Asked(rule="parts", kind="parts", which=(which,), frames=frames)
    else:
        described = Described(category=facts.things[thing].category)
        which = Which(described=described, part=pick_part(facts, rng, thing))
        return Asked(rule="all", kind="parts", which=(which,), frames=frames)


MANY = {
    "list": Kind(offer=_list, weight=0.4, shared=True),
    "all": Kind(offer=_all, weight=0.4, shared=True),
    "parts": Kind(offer=_parts, weight=0.2, shared=True),
}

# -- what may not be there -----------------------------------------------------------------------


def _wanted(facts: Facts, rng: Random) -> Described:
    """Describe anything of the world by colour and category, at times with its pattern."""
    thing = rng.choice(list(facts.things))
    described = plain_words(facts, thing)
    if rng.random() < 0.2:
        described = replace(described, pattern=facts.things[thing].pattern)
    return described


def _scope(facts: Facts, rng: Random, where: str) -> tuple[int, ...]:
    return (rng.choice(facts.frames),) if where == "one" else tuple(facts.frames)


def _possible(facts: Facts, where: str) -> bool:
    return (len(facts.spans) == 1) == (where == "image")


def _missing(where: str):
    """Ask for a near miss, or for what is only in another image."""

    def offer(facts: Facts, rng: Random) -> Asked | None:
        if not _possible(facts, where):
            return None
        described = _wanted(facts, rng)
        if where != "one" or rng.random() < 0.4:
            described = near_miss(rng, described)
        return Asked(
            rule="nothing",
            kind=f"absent:{where}",
            which=(_perhaps_part(rng, described),),
            frames=_scope(facts, rng, where),
            named=where == "one",
        )

    return offer


def _there(where: str):
    """Ask for what is there, in the same words."""

    def offer(facts: Facts, rng: Random) -> Asked | None:
        if not _possible(facts, where):
            return None
        return Asked(
            rule="one",
            kind=f"present:{where}",
            which=(_perhaps_part(rng, _wanted(facts, rng)),),
            frames=_scope(facts, rng, where),
            named=where == "one",
        )

    return offer


def _perhaps_part(rng: Random, described: Described) -> Which:
    if rng.random() < 0.85 or described.category is None:
        return Which(described=described)
    return Which(described=described, part=rng.choice(BY_NAME[described.category].parts))


ABSENT = {
    f"{verdict}:{where}": Kind(
        offer=offer(where), weight=weight, ready=partial(_possible, where=where)
    )
    for verdict, offer in (("absent", _missing), ("present", _there))
    for where, weight in (("image", 1.0), ("one", 0.5), ("any", 0.5))
}

# -- what training never draws nor asks ----------------------------------------------------------


def _new_part(facts: Facts, rng: Random) -> Asked | None:
    frames = tuple(facts.frames)
    owners = [t for t in facts.things.values() if BY_NAME[t.category].extra in t.parts]
    if not owners:
        return None
    drawn = rng.choice(owners)
    described = own_words(facts, rng, drawn.id, frames, terse=True) or Described()
    described = replace(described, category=drawn.category)
    which = Which(described=described, part=BY_NAME[drawn.category].extra)
    return Asked(rule="one", kind="part", which=(which,), frames=frames)


def _new_form(facts: Facts, rng: Random) -> Asked | None:
    frames = tuple(facts.frames)
    which = rng.choice((by_attribute, by_attribute, by_relation))(facts, rng, frames)
    return Asked(rule="one", kind="form", which=(which,), frames=frames)


def _new_colour(facts: Facts, rng: Random) -> Asked | None:
    frames = tuple(facts.frames)
    which = rng.choice((by_attribute, by_attribute, by_relation, by_extreme))(facts, rng, frames)
    return Asked(rule="one", kind="colour", which=(which,), frames=frames)


def _has_new_colour(facts: Facts) -> bool:
    return any((t.category, t.colour) in HELD_OUT_COLOURS for t in facts.things.values())


def _has_new_part(facts: Facts) -> bool:
    return any(BY_NAME[t.category].extra in t.parts for t in facts.things.values())


COMPOSE = {
    "colour": Kind(offer=_new_colour, weight=0.4, shared=True, novel=True, ready=_has_new_colour),
    "part": Kind(offer=_new_part, weight=0.4, novel=True, ready=_has_new_part),
    "form": Kind(offer=_new_form, weight=0.2, shared=True, wordy=True, novel=False),
}
