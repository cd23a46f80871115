"""What a thing does in a clip, in the words that questions use; None where it could be disputed."""

from itertools import pairwise

import numpy as np

from deixis.scenes.knowing.facts import RATIO, Facts

DIRECTIONS = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}
STRAIGHT = tuple(f"moves {direction}" for direction in DIRECTIONS)
ENTERS = {"enters first": 0, "enters second": 1, "enters third": 2}
MOTIONS = (
    *STRAIGHT,
    "stays",
    "turns back",
    "leaves",
    "leaves and returns",
    "enters late",
    "moves fastest",
    *ENTERS,
)
FAR = 0.12  # of the image's shorter side: clearly moved
NEAR = 0.06  # hardly moved
APART = 2  # frames between two entrances


def motion_holds(facts: Facts, thing: int, motion: str) -> bool | None:
    """Say whether a thing of a clip does something."""
    kind = facts.world.motions[thing].kind
    if motion in STRAIGHT:
        return _straight(facts, thing, motion.removeprefix("moves "))
    if motion in ENTERS:
        return _enters(facts, thing, ENTERS[motion])
    if motion == "moves fastest":
        return _fastest(facts, thing)
    if motion == kind:
        return True
    if kind == "leaves and returns" and motion in ("leaves", "turns back", "enters late"):
        return None
    return False


def _straight(facts: Facts, thing: int, direction: str) -> bool | None:
    """Judge by the path: far enough, and mostly along the direction."""
    motion = facts.world.motions[thing]
    if motion.kind in ("turns back", "leaves and returns"):
        return None if _axis(motion.direction) == _axis(direction) else False
    path = facts.paths[thing]
    path = path[~np.isnan(path[:, 0])]
    side = min(facts.world.views[0].height, facts.world.views[0].width)
    dx, dy = (path[-1] - path[0]) / side if len(path) else (0.0, 0.0)
    u, v = DIRECTIONS[direction]
    along, across = dx * u + dy * v, abs(dx * v) + abs(dy * u)
    if motion.kind != "stays" and along >= FAR and along >= 2 * across:
        return True
    return False if along <= NEAR else None


def _axis(direction: str | None) -> str:
    return "across" if direction in ("left", "right") else "upright"


def _enters(facts: Facts, thing: int, place: int) -> bool | None:
    """Judge by the first frames; only those that come in after the clip began are counted."""
    motions = facts.world.motions
    late = {t: m.first for t, m in motions.items() if m.kind == "enters late"}
    others = [m for t, m in motions.items() if t not in late]
    if any(m.first > 0 or m.kind == "leaves and returns" for m in others):
        return None
    order = sorted(late, key=late.__getitem__)
    firsts = [late[t] for t in order]
    if any(b - a < APART for a, b in pairwise(firsts)):
        return None
    return len(order) > place and order[place] == thing


def _fastest(facts: Facts, thing: int) -> bool | None:
    """Judge by mean speeds; the fastest must be clearly ahead."""
    speeds = {t: m.speed for t, m in facts.world.motions.items()}
    best, *others = sorted(speeds, key=lambda t: -speeds[t])
    if not others or speeds[best] < RATIO * speeds[others[0]]:
        return None
    return thing == best
