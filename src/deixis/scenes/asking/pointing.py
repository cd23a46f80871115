"""Questions about what a person points at, in images (region) and in clips (pixelqa)."""

from dataclasses import replace
from random import Random

import numpy as np

from deixis.scenes.asking.proposing import Kind, Offer
from deixis.scenes.knowing.asked import Asked, Pointed
from deixis.scenes.knowing.facts import CLEAR_PART, CLEAR_THING, Facts
from deixis.scenes.knowing.meaning import SIDES
from deixis.scenes.knowing.motion import ENTERS, MOTIONS, motion_holds
from deixis.structures.masks import Mask
from deixis.structures.prompts import Box, Point, Prompt, Region

JITTER = 2  # pixels by which a drawn box may be off
STILL = ("point", "box", "mask")
MOVING = ("point", "box")


def draw_prompt(
    facts: Facts, rng: Random, thing: int, frame: int, *, part: str | None = None, how: str
) -> Prompt | None:
    """Draw a point, box or mask for a thing or a part of it; None if too little of it shows."""
    if facts.area(thing, frame) < CLEAR_THING:
        return None
    if part is not None and facts.area(thing, frame, part) < CLEAR_PART:
        return None
    inside = facts.pixels(thing, frame, part)
    if how == "mask":
        return Region(image=frame, mask=Mask(inside), object_id=1)
    if how == "point":
        rows, columns = _core(inside).nonzero()
        i = rng.randrange(len(rows))
        return Point(image=frame, x=float(columns[i]) + 0.5, y=float(rows[i]) + 0.5, object_id=1)
    height, width = inside.shape
    rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
    off = [rng.randint(-JITTER, JITTER) for _ in range(4)]
    x0, y0 = max(0, int(columns[0]) + off[0]), max(0, int(rows[0]) + off[1])
    x1, y1 = min(width, int(columns[-1]) + 1 + off[2]), min(height, int(rows[-1]) + 1 + off[3])
    if x1 - x0 < 2 or y1 - y0 < 2:
        return None
    return Box(image=frame, x0=x0, y0=y0, x1=x1, y1=y1, object_id=1)


def _core(inside: np.ndarray) -> np.ndarray:
    """Take the outermost pixels away as long as any others remain."""
    core = inside
    for _ in range(2):
        padded = np.pad(core, 1)
        less = core & padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
        if not less.any():
            break
        core = less
    return core


def _pointed(
    facts: Facts, rng: Random, number: int, hows: tuple[str, ...], *, parts: bool = False
) -> tuple[Pointed, ...]:
    """Point at several different things of one frame; fewer if there are fewer."""
    frame = rng.choice(facts.frames)
    things = [t for t in facts.things if facts.area(t, frame) >= CLEAR_THING]
    pointed: list[Pointed] = []
    for thing in rng.sample(things, min(number, len(things))):
        part = rng.choice(facts.things[thing].parts) if parts else None
        how = rng.choice(hows)
        prompt = draw_prompt(facts, rng, thing, frame, part=part, how=how)
        if prompt is not None:
            numbered = replace(prompt, object_id=len(pointed) + 1)
            pointed.append(Pointed(prompt=numbered, thing=thing, part=part))
    return tuple(pointed)


def _offer(
    kind: str,
    rule: str,
    hows: tuple[str, ...],
    *,
    numbers: tuple[int, ...] = (1, 1, 1, 2, 2, 3, 3),
    least: int = 1,
    parts: bool = False,
    details: tuple[str, ...] = ("",),
) -> Offer:
    """Offer questions of one rule about one to three prompts."""

    def offer(facts: Facts, rng: Random) -> Asked | None:
        pointed = _pointed(facts, rng, rng.choice(numbers), hows, parts=parts)
        if len(pointed) < least:
            return None
        return Asked(
            rule=rule,
            kind=kind,
            pointed=pointed,
            about=rng.randrange(len(pointed)),
            detail=rng.choice(details),
            frames=tuple(facts.frames) if facts.is_clip else (pointed[0].frame,),
        )

    return offer


def _mixed(*offers: Offer) -> Offer:
    """Offer from one of several sources, chosen by chance."""

    def offer(facts: Facts, rng: Random) -> Asked | None:
        return rng.choice(offers)(facts, rng)

    return offer


def _pair(kind: str, rule: str, details: tuple[str, ...] = ("",)) -> Offer:
    return _offer(kind, rule, STILL, numbers=(2,), least=2, details=details)


REGION = {
    "what": Kind(offer=_offer("what", "told category", STILL), weight=0.2),
    "colour": Kind(offer=_offer("colour", "told colour", STILL), weight=0.2),
    "part": Kind(offer=_offer("part", "told part", STILL, numbers=(1,), parts=True), weight=0.2),
    "relation": Kind(
        offer=_mixed(
            _pair("relation", "told where"),
            _pair("relation", "told side", tuple(SIDES)),
            _pair("relation", "told alike", ("category", "colour")),
            _pair("relation", "told larger"),
        ),
        weight=0.2,
    ),
    "outline": Kind(offer=_offer("outline", "outline", STILL), weight=0.2),
}

PLAIN_MOTIONS = tuple(motion for motion in MOTIONS if motion not in ENTERS)


def _does(facts: Facts, rng: Random) -> Asked | None:
    """Whether the pointed thing does something: as often true as not."""
    asked = _offer("motion", "told motion", MOVING)(facts, rng)
    if asked is None:
        return None
    thing, wanted = asked.pointed[asked.about].thing, rng.random() < 0.5
    fit = [m for m in PLAIN_MOTIONS if motion_holds(facts, thing, m) is wanted]
    return replace(asked, detail=rng.choice(fit)) if fit else None


PIXELQA = {
    "what": Kind(offer=_offer("what", "told category", MOVING), weight=0.25),
    "colour": Kind(offer=_offer("colour", "told colour", MOVING), weight=0.25),
    "count": Kind(
        offer=_offer("count", "told number", MOVING, details=("category", "colour")), weight=0.2
    ),
    "motion": Kind(
        offer=_mixed(
            _offer("motion", "told direction", MOVING),
            _offer("motion", "told direction", MOVING),
            _does,
        ),
        weight=0.3,
    ),
}
