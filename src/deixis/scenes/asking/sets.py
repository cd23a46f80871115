"""Questions about several images together: multi; and those that want a word only: plain."""

from dataclasses import replace
from random import Random

from deixis.scenes.asking.pointing import draw_prompt
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
from deixis.scenes.asking.referring import by_relation
from deixis.scenes.knowing.asked import Asked, Pointed
from deixis.scenes.knowing.facts import USES, Facts
from deixis.scenes.knowing.meaning import ENDS, SIDES, SIZES, Described, Which

NOUGHT = 0.012  # how often a count is of nothing; most other tries fail, so it is asked more often


def _functional(facts: Facts, rng: Random) -> Asked | None:
    """Which image shows something to drink from."""
    frames = tuple(facts.frames)
    drawn = facts.things[pick_thing(facts, rng, frames)]
    described = Described(use=USES[drawn.category])
    if rng.random() < 0.4:
        described = replace(described, colour=drawn.colour)
    if rng.random() < 0.6:
        rule, which = "which image", Which(described=described)
    else:
        rule, which = "category", Which(described=Described(use=described.use))
    return Asked(rule=rule, kind="functional", which=(which,), frames=frames)


def _spatial(facts: Facts, rng: Random) -> Asked | None:
    """In which image something stands beside something else; or what stands there in image 2."""
    frames = tuple(facts.frames)
    frame = rng.choice(frames)
    which = by_relation(facts, rng, (frame,))
    if rng.random() < 0.6:
        return Asked(rule="which image", kind="spatial", which=(which,), frames=frames)
    if rng.random() < 0.4:
        which = replace(which, relation=None, extreme=rng.choice(tuple(ENDS)))
    rule = rng.choice(("colour", "category"))
    lacking = {"colour": "colour", "category": "category"}[rule]
    which = replace(which, described=replace(which.described, **{lacking: None}))
    return Asked(rule=rule, kind="spatial", which=(which,), frames=(frame,), named=True)


def _kinds_of_things(facts: Facts, rng: Random) -> Described:
    """Return a category, a colour, or both; now and then of nothing that is there."""
    drawn = facts.things[pick_thing(facts, rng, tuple(facts.frames))]
    choices = (
        Described(category=drawn.category),
        Described(colour=drawn.colour),
        Described(category=drawn.category, colour=drawn.colour),
        Described(pattern=drawn.pattern),
    )
    return rng.choices(choices, weights=(4, 4, 2, 1))[0]


def _numerical(facts: Facts, rng: Random) -> Asked | None:
    """How many over all images; which image has more; in how many images."""
    frames = tuple(facts.frames)
    described = _kinds_of_things(facts, rng)
    rule = rng.choices(("count", "more", "images"), weights=(5, 3, 2))[0]
    if rng.random() < NOUGHT:
        rule, described = "count", near_miss(rng, described)
    return Asked(rule=rule, kind="numerical", which=(Which(described=described),), frames=frames)


def _open(facts: Facts, rng: Random) -> Asked | None:
    """The largest over all images, everything of a colour, what it is, what colour it has."""
    frames = tuple(facts.frames)
    thing = pick_thing(facts, rng, frames)
    size = Which(described=few_words(facts, rng, thing, least=1), extreme=rng.choice(SIZES))
    part = Which(described=plain_words(facts, thing), part=pick_part(facts, rng, thing))
    offers = (
        ("which image", size),
        ("one", size),
        ("colour", replace(size, described=replace(size.described, colour=None))),
        ("one", Which(described=words(facts, rng, thing))),
        ("which image", Which(described=words(facts, rng, thing))),
        ("one", part),
        ("colour", part),
        ("all", Which(described=_kinds_of_things(facts, rng))),
    )
    rule, which = rng.choices(offers, weights=(3, 2, 2, 2, 3, 2, 1, 3))[0]
    return Asked(rule=rule, kind="open", which=(which,), frames=frames)


def _identity(facts: Facts, rng: Random) -> Asked | None:
    """The same thing in the other images, named in words or by a prompt."""
    frames = tuple(facts.frames)
    shared = [(thing, shown) for thing, shown in facts.shown(frames).items() if len(shown) > 1]
    if not shared:
        return None
    thing, shown = rng.choice(shared)
    home = rng.choice(shown)
    detail = rng.choices(("", "which", "number"), weights=(3, 2, 1))[0]
    asked = Asked(rule="again", kind="identity", detail=detail, frames=(home,))
    if rng.random() < 0.35:
        prompt = draw_prompt(facts, rng, thing, home, how=rng.choice(("point", "box")))
        if prompt is None:
            return None
        return replace(asked, pointed=(Pointed(prompt=prompt, thing=thing),))
    described = own_words(facts, rng, thing, (home,)) or Described()
    return replace(asked, which=(Which(described=described),))


def _repeats(facts: Facts) -> bool:
    return any(len(shown) > 1 for shown in facts.shown(facts.frames).values())


MULTI = {
    "functional": Kind(offer=_functional, weight=0.2, shared=True),
    "spatial": Kind(offer=_spatial, weight=0.2, shared=True, wordy=True),
    "numerical": Kind(offer=_numerical, weight=0.2, shared=True),
    "open": Kind(offer=_open, weight=0.2, shared=True),
    "identity": Kind(offer=_identity, weight=0.9, shared=True, ready=_repeats),
}

# -- a word only ---------------------------------------------------------------------------------


def _silent(facts: Facts, rng: Random, kind: str) -> Asked:
    """Begin a question for a word only, about all frames or about one that is named."""
    asked = Asked(rule="count", kind=kind, frames=tuple(facts.frames), silent=True)
    if len(facts.frames) == 1 or rng.random() < 0.5:
        return asked
    return replace(asked, frames=(rng.choice(facts.frames),), named=True)


def _silent_count(facts: Facts, rng: Random) -> Asked | None:
    described = _kinds_of_things(facts, rng)
    roll = rng.random()
    if roll < 0.1:
        described = near_miss(rng, described)
    elif roll < 0.2:
        described = Described()
    return replace(_silent(facts, rng, "count"), which=(Which(described=described),))


def _silent_colour(facts: Facts, rng: Random) -> Asked | None:
    """What colour the only mug, the largest mug or its handle has."""
    asked = _silent(facts, rng, "colour")
    drawn = facts.things[pick_thing(facts, rng, asked.frames)]
    which = Which(described=Described(category=drawn.category))
    roll = rng.random()
    if roll < 0.3:
        which = replace(which, extreme=rng.choice((*ENDS, *SIZES)))
    elif roll < 0.45:
        which = replace(which, described=Described(), extreme=rng.choice((*ENDS, *SIZES)))
    elif roll < 0.7:
        which = replace(which, part=pick_part(facts, rng, drawn.id))
    return replace(asked, rule="colour", which=(which,))


def _silent_yesno(facts: Facts, rng: Random) -> Asked | None:
    """Is there one; is it left of the other. The near misses make for as many no as yes."""
    asked = replace(_silent(facts, rng, "yesno"), rule="exists")
    thing = rng.choice(list(facts.things))
    if len(asked.frames) == 1 and rng.random() < 0.4:
        other = pick_thing(facts, rng, asked.frames)
        pair = tuple(Which(described=few_words(facts, rng, t, least=1)) for t in (thing, other))
        return replace(asked, rule="side", which=pair, detail=rng.choice(list(SIDES)))
    described = few_words(facts, rng, thing, least=1)
    if rng.random() < 0.5:
        described = near_miss(rng, described)
    return replace(asked, which=(Which(described=described),))


def _silent_which(facts: Facts, rng: Random) -> Asked | None:
    """Which image shows it or has more; in a single image: what is leftmost."""
    if len(facts.frames) > 1 and rng.random() < 0.8:
        rule = rng.choice(("which image", "which image", "more"))
        described = _kinds_of_things(facts, rng)
        if rule == "which image" and rng.random() < 0.3:
            drawn = facts.things[pick_thing(facts, rng, facts.frames)]
            described = Described(use=USES[drawn.category])
        which = Which(described=described)
        frames = tuple(facts.frames)
        return Asked(rule=rule, kind="which", which=(which,), frames=frames, silent=True)
    asked = _silent(facts, rng, "which")
    thing, other = (pick_thing(facts, rng, asked.frames) for _ in range(2))
    colour = facts.things[thing].colour if rng.random() < 0.5 else None
    which = Which(described=Described(colour=colour), extreme=rng.choice((*ENDS, *SIZES)))
    if rng.random() < 0.3:
        relation = (rng.choice(list(SIDES)), plain_words(facts, other))
        which = Which(described=Described(colour=colour), relation=relation)
    return replace(asked, rule="category", which=(which,))


PLAIN = {
    "count": Kind(offer=_silent_count, weight=0.3),
    "colour": Kind(offer=_silent_colour, weight=0.25),
    "yesno": Kind(offer=_silent_yesno, weight=0.25),
    "which": Kind(offer=_silent_which, weight=0.2),
}
