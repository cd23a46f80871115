"""How things move in a clip: smooth paths that cross, leave, come back, turn and enter late."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import cos, pi, sin

import numpy as np

from deixis.scenes.drawing.dice import Dice
from deixis.scenes.drawing.layout import draw_size, draw_tilt, snapped, visible_areas, visible_share
from deixis.scenes.drawing.shapes import shape_of
from deixis.scenes.things import Motion, Placed, Thing

KINDS = (
    ("stays", 0.2),
    ("moves", 0.34),
    ("turns back", 0.14),
    ("leaves", 0.1),
    ("leaves and returns", 0.08),
    ("enters late", 0.14),
)
DIRECTIONS = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}
ATTEMPTS = 14
SEEN = 0.4  # share of a thing that counts as seen
GAPS = ("enters late", "leaves and returns")  # not seen at first, or for a while
ENTRANCES = 0.25  # of clips have two or three things that enter late
LARGE_SHARE = 0.3  # of things in clips that are large

Steps = Callable[[float], float]  # progress through the clip -> distance along the path


@dataclass(frozen=True, slots=True)
class _Deed:
    """What a thing is to do, and in which part of the clip it enters if it enters late."""

    kind: str
    enters: tuple[float, float]


@dataclass(frozen=True, slots=True)
class _Course:
    """A thing as it stands at the start, and where each frame moves it."""

    kind: str
    direction: str | None
    start: Placed
    offsets: tuple[tuple[float, float], ...]


def draw_clip(
    dice: Dice, things: Sequence[Thing], frames: int, height: int, width: int
) -> tuple[tuple[tuple[Placed, ...], ...], dict[int, Motion]]:
    """Return what each frame shows, back to front, and what each thing does."""
    best: tuple[tuple[Placed, ...], ...] = ()
    best_motions: dict[int, Motion] = {}
    best_score = -1.0
    for _ in range(ATTEMPTS):
        deeds = _deeds(dice, len(things), frames)
        courses = [
            _course(dice, thing, deed, frames, height, width)
            for thing, deed in zip(things, deeds, strict=True)
        ]
        dice.shuffle(courses)
        shown = tuple(_frame(courses, f, height, width) for f in range(frames))
        shares = _shares(shown, height, width)
        score = min(_legibility(course, shares, frames) for course in courses)
        if score > best_score:
            best, best_score = shown, score
            best_motions = {
                c.start.thing.id: _motion(c, shares, min(height, width)) for c in courses
            }
        if score >= 1:
            break
    return best, best_motions


def _deeds(dice: Dice, count: int, frames: int) -> list[_Deed]:
    """Return what each thing does; now and then two or three enter, clearly one after another."""
    deeds = [_Deed(dice.weighted(KINDS), (1.5 / (frames - 1), 0.55)) for _ in range(count)]
    if dice.chance(ENTRANCES):
        deeds = [replace(deed, kind="moves") if deed.kind in GAPS else deed for deed in deeds]
        entering = dice.whole(2, 3 if frames >= 12 else 2)
        for place in range(entering):
            start = 0.15 + 0.6 * place / entering
            deeds[place] = _Deed("enters late", (start, start + 0.12 / entering))
    return deeds


def _course(dice: Dice, thing: Thing, deed: _Deed, frames: int, height: int, width: int) -> _Course:
    kind, large = deed.kind, dice.chance(LARGE_SHARE)
    size = draw_size(dice, large, min(height, width))
    direction = dice.choice(tuple(DIRECTIONS))
    ahead = DIRECTIONS[direction]
    length = width if ahead[0] else height
    begin, steps = _plan(dice, deed, size, length, frames)
    breadth = height if ahead[0] else width
    aside = dice.between(0.55 * size, breadth - 0.55 * size)
    sway, turns = dice.between(-0.04, 0.04) * breadth, dice.between(0.3, 0.9)
    along = begin if sum(ahead) > 0 else length - begin
    x, y = (along, aside) if ahead[0] else (aside, along)
    start = Placed(
        thing=thing,
        x=snapped(x),
        y=snapped(y),
        size=size,
        large=large,
        tilt=draw_tilt(dice),
        mirrored=dice.chance(0.5),
    )
    offsets = []
    for f in range(frames):
        progress = f / (frames - 1)
        far, off = steps(progress), sway * sin(pi * turns * progress) if kind != "stays" else 0.0
        dx, dy = far * ahead[0] + off * abs(ahead[1]), far * ahead[1] + off * abs(ahead[0])
        offsets.append((snapped(dx), snapped(dy)))
    word = None if kind == "stays" else direction
    return _Course(f"moves {direction}" if kind == "moves" else kind, word, start, tuple(offsets))


def _plan(dice: Dice, deed: _Deed, size: float, length: int, frames: int) -> tuple[float, Steps]:
    """Return where on its axis a thing begins, and how far it has gone at each progress."""
    kind, pause = deed.kind, 1.5 / (frames - 1)
    margin, away = 0.55 * size, 0.8 * size  # inside the image; out of it, whatever the tilt
    if kind == "stays":
        return dice.between(margin, length - margin), lambda progress: 0.0
    if kind == "enters late":
        wait = dice.between(*deed.enters)
        reach = dice.between(0.45, 0.8) * length + away
        return -away, lambda progress: reach * max(0.0, progress - wait) / (1 - wait)
    if kind == "leaves":
        begin, gone = dice.between(0.2, 0.65) * length, dice.between(0.5, 1 - pause)
        reach = length + away - begin
        return begin, lambda progress: reach * min(1.0, progress / gone)
    if kind == "leaves and returns":
        begin = dice.between(0.45, 0.7) * length
        reach = (length + away - begin) * dice.between(1.1, 1.25)
        return begin, lambda progress: reach * sin(pi * progress)
    room = length - 2 * margin
    reach = room * (dice.between(0.5, 0.95) if kind == "moves" else dice.between(0.4, 0.8))
    begin = margin + dice.between(0, room - reach)
    if kind == "turns back":
        return begin, lambda progress: reach * sin(pi * progress)
    ease = dice.number()
    return (
        begin,
        lambda progress: reach * (ease * progress + (1 - ease) * (0.5 - 0.5 * cos(pi * progress))),
    )


def _frame(courses: Sequence[_Course], f: int, height: int, width: int) -> tuple[Placed, ...]:
    """Return the things of a frame; one that is wholly outside is left out."""
    shown = []
    for course in courses:
        dx, dy = course.offsets[f]
        item = replace(course.start, x=course.start.x + dx, y=course.start.y + dy)
        reach = item.size * shape_of(item.thing.category, item.thing.parts).reach
        if -reach < item.x < width + reach and -reach < item.y < height + reach:
            shown.append(item)
    return tuple(shown)


def _shares(
    shown: Sequence[Sequence[Placed]], height: int, width: int
) -> list[Mapping[int, float]]:
    """Return for each frame the visible share of each thing that shows at all."""
    shares: list[Mapping[int, float]] = []
    for placed in shown:
        areas = visible_areas(placed, height, width).sum(1)
        shares.append(
            {
                item.thing.id: visible_share(item, float(area))
                for item, area in zip(placed, areas, strict=True)
                if area
            }
        )
    return shares


def _legibility(course: _Course, shares: Sequence[Mapping[int, float]], frames: int) -> float:
    """Return 1 if the thing does visibly what its kind says, else how nearly."""
    seen = [frame.get(course.start.thing.id, 0.0) for frame in shares]
    first = next((f for f, share in enumerate(seen) if share), frames)
    last = max((f for f, share in enumerate(seen) if share), default=-1)
    gap = any(not share for share in seen[first : last + 1])
    late, early = first > 0, last < frames - 1
    true_to_kind = {
        "enters late": late and not early,
        "leaves": early and not late,
        "leaves and returns": gap and not late and not early,
    }.get(course.kind, not late and not early and not gap)
    clear = sum(share >= SEEN for share in seen) / frames
    wanted = 0.4 if course.kind in ("leaves", "leaves and returns", "enters late") else 0.8
    return min(1.0, clear / wanted) * (1.0 if true_to_kind else 0.3)


def _motion(course: _Course, shares: Sequence[Mapping[int, float]], shorter: int) -> Motion:
    visible = [f for f, frame in enumerate(shares) if course.start.thing.id in frame]
    moves = np.diff(np.array(course.offsets), axis=0)
    return Motion(
        kind=course.kind,
        direction=course.direction,
        first=visible[0] if visible else len(shares),
        last=visible[-1] if visible else -1,
        speed=float(np.hypot(*moves.T).mean()) / shorter,
    )
