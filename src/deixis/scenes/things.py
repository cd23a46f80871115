"""The nouns of a scene: things, where they stand in a view, what they do in a clip, worlds."""

from collections.abc import Mapping
from dataclasses import dataclass, field

SPLITS: tuple[str, ...] = ("train", "val", "test")


@dataclass(frozen=True, slots=True, kw_only=True)
class Thing:
    """An object with an identity: two things of one world never look entirely alike.

    Attributes:
        id: from 1, unique in its world; the same in every image that shows the thing.
        accent: the one part that has a colour of its own, and that colour.
        parts: every part that is drawn.
    """

    id: int
    category: str
    colour: str
    pattern: str
    accent: tuple[str, str] | None
    parts: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """A thing in one view: centre (x, y) and nominal diameter in pixels, tilt in radians.

    A positive tilt turns clockwise on the screen; ``large`` tells the two nominal sizes apart.
    """

    thing: Thing
    x: float
    y: float
    size: float
    large: bool
    tilt: float
    mirrored: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Background:
    """What lies behind the things: a kind of texture between two muted colours."""

    kind: str
    near: tuple[int, int, int]
    far: tuple[int, int, int]
    angle: float
    scale: float


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """One image (or frame): things from back to front before a background.

    Attributes:
        noise: seeds grain and texture; its remainder by 3 is the split's place in ``SPLITS``.
        light: brightness of the whole image, about 1.
        flipped: the picture was mirrored as a whole; ``placed`` says where things are now.
    """

    placed: tuple[Placed, ...]
    height: int
    width: int
    background: Background
    noise: int
    light: float
    flipped: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Motion:
    """What a thing does in a clip.

    Attributes:
        kind: "stays", "moves left", "moves right", "moves up", "moves down", "turns back",
            "leaves", "leaves and returns" or "enters late".
        direction: where it goes ("left", "right", "up", "down"), at first if it turns back
            or returns; None if it stays.
        first: flat index of the first frame that shows a pixel of it.
        last: flat index of the last such frame.
        speed: mean distance between frames, as a fraction of the image's shorter side.
    """

    kind: str
    direction: str | None
    first: int
    last: int
    speed: float


@dataclass(frozen=True, slots=True, kw_only=True)
class WorldKey:
    """Names a world: the same key always gives the same world."""

    split: str
    task: str
    seed: int
    index: int


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """Everything that is true of a sample's images.

    Attributes:
        views: flat frames, in order.
        lengths: frames of each image: 1, or the length of a clip.
        times: seconds of a clip's frames, None for a picture.
        motions: thing id -> what it does, for clips.
        noise: its remainder by 3 is the split's place in ``SPLITS``, so no two splits share
            a world.
    """

    key: WorldKey
    views: tuple[View, ...]
    lengths: tuple[int, ...]
    times: tuple[tuple[float, ...] | None, ...]
    noise: int
    motions: Mapping[int, Motion] = field(default_factory=dict)
