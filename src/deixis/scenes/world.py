"""Draws worlds from keys: which things there are, and in which images they stand or move.

No pixel is made here; ``scenes/drawing/render.py`` turns a view into pixels and exact masks.
"""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass, replace

from deixis.errors import DataError
from deixis.scenes.catalogue import (
    BY_NAME,
    CATEGORIES,
    COLOURS,
    HELD_OUT_COLOURS,
    HELD_OUT_PARTS,
    PATTERNS,
)
from deixis.scenes.drawing.dice import Dice
from deixis.scenes.drawing.layout import arrange
from deixis.scenes.drawing.paths import draw_clip
from deixis.scenes.drawing.render import flip
from deixis.scenes.things import (
    SPLITS,
    Background,
    Motion,
    Placed,
    Thing,
    View,
    World,
    WorldKey,
)

__all__ = [
    "SPLITS",
    "Background",
    "Motion",
    "Placed",
    "Thing",
    "View",
    "World",
    "WorldKey",
    "draw_world",
    "mirrored",
    "permuted",
]

IMAGES: dict[str, tuple[tuple[int, float], ...]] = {  # task -> (images, weight)
    "refer": ((1, 1.0),),
    "many": ((1, 1.0),),
    "multi": ((2, 0.4), (3, 0.35), (4, 0.25)),
    "absent": ((1, 0.5), (2, 0.3), (3, 0.2)),
    "region": ((1, 1.0),),
    "clip": ((1, 1.0),),
    "pixelqa": ((1, 1.0),),
    "plain": ((1, 0.4), (2, 0.25), (3, 0.2), (4, 0.15)),
    "compose": ((1, 1.0),),
}
CLIPS = frozenset({"clip", "pixelqa"})
COUNTS = ((3, 0.12), (4, 0.26), (5, 0.34), (6, 0.28))  # things of an image
AT_TIMES = 0.55  # of the things that may have a part more do, one of three of them two
IDENTITY = 0.35  # of the worlds of ``multi`` show a thing twice
RATE = 8.0  # frames per second
KINDS = ("gradient", "soft", "stripes", "tiles", "soft", "gradient")
DEFAULT_SIZE = (128, 128)


@dataclass(frozen=True, slots=True)
class _Pool:
    """The few categories and colours of which a world is made, so that they repeat."""

    categories: tuple[str, ...]
    colours: tuple[str, ...]


def draw_world(key: WorldKey, size: tuple[int, int] = DEFAULT_SIZE) -> World:
    """Draw the world of a key, with views of ``size`` (height, width).

    Raises:
        DataError: no such split or task, a number out of range, or ``compose`` for training.
    """
    _check(key)
    split = SPLITS.index(key.split)
    dice = Dice(key.seed, key.index, split, tuple(IMAGES).index(key.task))
    noise = 3 * dice.whole(0, 2**48) + split
    if key.task in CLIPS:
        return _draw_clip_world(key, dice, noise, size)
    images = dice.weighted(IMAGES[key.task])
    views = []
    for number, things in enumerate(_cast(dice, key.task, images)):
        placed = arrange(dice, things, _sizes(dice, things), *size)
        views.append(_view(dice, placed, noise + 3 * number, size))
    return World(
        key=key, views=tuple(views), lengths=(1,) * images, times=(None,) * images, noise=noise
    )


def mirrored(world: World) -> World:
    """Return the world with left and right exchanged."""
    views = tuple(
        replace(
            view,
            placed=tuple(flip(item, view.width) for item in view.placed),
            flipped=not view.flipped,
        )
        for view in world.views
    )
    swap = {"left": "right", "right": "left"}
    motions = {
        thing: replace(
            motion,
            kind=" ".join(swap.get(word, word) for word in motion.kind.split()),
            direction=swap.get(motion.direction or "", motion.direction),
        )
        for thing, motion in world.motions.items()
    }
    return replace(world, views=views, motions=motions)


def permuted(world: World, order: Sequence[int]) -> World:
    """Return the world with its images in another order; image ``i`` was image ``order[i]``.

    Raises:
        DataError: ``order`` does not name each image once, or the world is a clip.
    """
    if sorted(order) != list(range(len(world.lengths))) or world.motions:
        raise DataError(
            f"order: expected each image of 0 to {len(world.lengths) - 1} once, and no clip, "
            f"got {list(order)}. Permute the images of a set only."
        )
    return replace(world, views=tuple(world.views[i] for i in order))


def _check(key: WorldKey) -> None:
    for name, value, known in (
        ("split", key.split, SPLITS),
        ("task", key.task, tuple(IMAGES)),
    ):
        if value not in known:
            near = difflib.get_close_matches(value, known, 1)
            hint = f'Did you mean "{near[0]}"?' if near else "Choose one of these."
            raise DataError(f'{name}: expected one of {", ".join(known)}, got "{value}". {hint}')
    for name, number in (("seed", key.seed), ("index", key.index)):
        if not 0 <= number < 2**63:
            raise DataError(
                f"{name}: expected a whole number from 0 to 2**63 - 1, got {number}. "
                "Choose one in that range."
            )
    if key.task == "compose" and key.split == "train":
        raise DataError(
            'split: expected "val" or "test" for compose, got "train". '
            "Its combinations are kept from training; train on refer."
        )


def _draw_clip_world(key: WorldKey, dice: Dice, noise: int, size: tuple[int, int]) -> World:
    frames = dice.whole(8, 16) if dice.chance(0.88) else dice.whole(17, 32)
    things = _cast(dice, key.task, 1)[0]
    shown, motions = draw_clip(dice, things, frames, *size)
    first = _view(dice, shown[0], noise, size)
    return World(
        key=key,
        views=tuple(replace(first, placed=placed) for placed in shown),
        lengths=(frames,),
        times=(tuple(f / RATE for f in range(frames)),),
        noise=noise,
        motions=motions,
    )


def _cast(dice: Dice, task: str, images: int) -> list[list[Thing]]:
    """Return the things of each image."""
    pool = _draw_pool(dice, images)
    cast: list[Thing] = []
    counts = [dice.weighted(COUNTS) for _ in range(images)]
    sets: list[list[Thing]] = [[] for _ in counts]
    if task == "multi" and dice.chance(IDENTITY):
        _repeat(dice, cast, sets, pool)
    for things, count in zip(sets, counts, strict=True):
        if task == "compose":
            things.append(_draw_held_out(dice, cast))
        while len(things) < count:
            model = things[0] if things and len(things) < 3 else None
            things.append(_draw_thing(dice, cast, pool, model, same_kind=len(things) == 1))
        dice.shuffle(things)
    return sets


def _repeat(dice: Dice, cast: list[Thing], sets: list[list[Thing]], pool: _Pool) -> None:
    """Put one or two things into several images; a look-alike may stand in one of them."""
    for _ in range(dice.whole(1, 2)):
        thing = _draw_thing(dice, cast, pool, None, same_kind=False)
        shown = dice.sample(range(len(sets)), dice.whole(2, len(sets)))
        for image in shown:
            sets[image].append(thing)
        if dice.chance(0.4):
            twin = _look_alike(dice, cast, thing)
            if twin is not None:
                sets[dice.whole(0, len(sets) - 1)].append(twin)


def _look_alike(dice: Dice, cast: list[Thing], thing: Thing) -> Thing | None:
    """Return a new thing that differs in its accent only, if there is such a one."""
    for _ in range(8):
        twin = replace(thing, id=len(cast) + 1, accent=_draw_accent(dice, thing))
        if _is_new(cast, twin):
            cast.append(twin)
            return twin
    return None


def _draw_pool(dice: Dice, images: int) -> _Pool:
    kinds = dice.sample([category.name for category in CATEGORIES], dice.whole(2, 3) + images // 2)
    colours = dice.sample(tuple(COLOURS), dice.whole(2, 3) + images // 2)
    return _Pool(tuple(kinds), tuple(colours))


def _draw_thing(
    dice: Dice, cast: list[Thing], pool: _Pool, model: Thing | None, *, same_kind: bool
) -> Thing:
    """Return a new thing of the pool; like ``model`` in category (``same_kind``) or colour."""
    attempt = 0
    while True:
        wide = attempt > 20 or dice.chance(0.12)
        category = dice.choice(tuple(BY_NAME) if wide else pool.categories)
        colour = dice.choice(tuple(COLOURS) if wide else pool.colours)
        if model is not None and attempt < 10:
            category = model.category if same_kind else category
            colour = colour if same_kind else model.colour
        attempt += 1
        if (category, colour) in HELD_OUT_COLOURS:
            continue
        thing = _dress(dice, len(cast) + 1, category, colour, _draw_parts(dice, category))
        if _is_new(cast, thing):
            cast.append(thing)
            return thing


def _draw_held_out(dice: Dice, cast: list[Thing]) -> Thing:
    """Return a thing with a colour or a part that training never shows on its category."""
    while True:
        if dice.chance(0.6):
            category, colour = dice.choice(sorted(HELD_OUT_COLOURS))
            parts = _draw_parts(dice, category)
        else:
            extra, category = dice.choice(sorted(HELD_OUT_PARTS))
            colour, parts = dice.choice(tuple(COLOURS)), (*BY_NAME[category].parts, extra)
        thing = _dress(dice, len(cast) + 1, category, colour, parts)
        if _is_new(cast, thing):
            cast.append(thing)
            return thing


def _draw_parts(dice: Dice, category: str) -> tuple[str, ...]:
    """Return the parts of a new thing: those of all its kind, now and then one or two more."""
    kind = BY_NAME[category]
    if not kind.at_times or not dice.chance(AT_TIMES):
        return kind.parts
    count = 2 if len(kind.at_times) > 1 and dice.chance(1 / 3) else 1
    return (*kind.parts, *dice.sample(kind.at_times, count))


def _dress(dice: Dice, number: int, category: str, colour: str, parts: tuple[str, ...]) -> Thing:
    pattern = PATTERNS[0] if dice.chance(0.6) else dice.choice(PATTERNS[1:])
    thing = Thing(
        id=number, category=category, colour=colour, pattern=pattern, accent=None, parts=parts
    )
    return replace(thing, accent=_draw_accent(dice, thing)) if dice.chance(1 / 3) else thing


def _draw_accent(dice: Dice, thing: Thing) -> tuple[str, str]:
    """Return a part and a colour for it that the category may have in training.

    Never the main part: nobody would call a kite with a yellow body purple.
    """
    main = "top" if "top" in thing.parts else thing.parts[0]
    colours = [
        colour
        for colour in COLOURS
        if colour != thing.colour and (thing.category, colour) not in HELD_OUT_COLOURS
    ]
    minor = tuple(part for part in thing.parts if part != main)
    return dice.choice(minor), dice.choice(colours)


def _is_new(cast: Sequence[Thing], thing: Thing) -> bool:
    look = (thing.category, thing.colour, thing.pattern, thing.accent)
    return all(look != (t.category, t.colour, t.pattern, t.accent) for t in cast)


def _sizes(dice: Dice, things: Sequence[Thing]) -> list[bool]:
    """Return which things are large; of crowded images fewer."""
    return [dice.chance(0.5 if len(things) < 5 else 0.36) for _ in things]


def _view(dice: Dice, placed: tuple[Placed, ...], noise: int, size: tuple[int, int]) -> View:
    grey = dice.between(70, 175)
    near, far = (
        tuple(int(grey + shift + dice.between(-20, 20)) for _ in range(3))
        for shift in (dice.between(-28, 0), dice.between(0, 28))
    )
    background = Background(
        kind=dice.choice(KINDS),
        near=(near[0], near[1], near[2]),
        far=(far[0], far[1], far[2]),
        angle=dice.between(0, 6.28),
        scale=dice.between(0.15, 0.5),
    )
    return View(
        placed=placed,
        height=size[0],
        width=size[1],
        background=background,
        noise=noise,
        light=dice.between(0.85, 1.06),
    )
