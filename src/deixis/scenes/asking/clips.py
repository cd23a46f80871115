"""Questions about one thing of a clip, by what it looks like and by what it does."""

from dataclasses import replace
from random import Random

from deixis.scenes.asking.proposing import Kind, pick_part, pick_thing, words
from deixis.scenes.knowing.asked import Asked
from deixis.scenes.knowing.facts import Facts
from deixis.scenes.knowing.meaning import Described, Which
from deixis.scenes.knowing.motion import MOTIONS, motion_holds


def _appearance(facts: Facts, rng: Random) -> Asked | None:
    frames = tuple(facts.frames)
    thing = pick_thing(facts, rng, frames)
    which = Which(described=words(facts, rng, thing))
    if rng.random() < 0.1:
        which = replace(which, part=pick_part(facts, rng, thing))
    return Asked(rule="one", kind="appearance", which=(which,), frames=frames)


def _motion(facts: Facts, rng: Random) -> Asked | None:
    """The one that turns back; the mug that moves left; the red thing that enters second."""
    frames = tuple(facts.frames)
    drawn = facts.things[pick_thing(facts, rng, frames)]
    true = [m for m in MOTIONS if motion_holds(facts, drawn.id, m)]
    described = rng.choice(
        (
            Described(),
            Described(),
            Described(category=drawn.category),
            Described(colour=drawn.colour),
        )
    )
    motion = rng.choice(true) if true else rng.choice(MOTIONS)
    which = Which(described=described, motion=motion)
    return Asked(rule="one", kind="motion", which=(which,), frames=frames)


CLIP = {
    "appearance": Kind(offer=_appearance, weight=0.4),
    "motion": Kind(offer=_motion, weight=0.6),
}
