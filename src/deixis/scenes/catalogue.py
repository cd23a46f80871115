"""What a scene may hold: categories with their parts and uses, colours, patterns, held-out pairs.

Only words and colours stand here; ``scenes/drawing/shapes.py`` knows what each category looks like.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Category:
    """A kind of thing.

    Attributes:
        parts: always drawn; ``wheel`` names both wheels of a car (see ``repeated``).
        use: completes "the thing that you can ...".
        synonyms: other singular names that fit no other category.
        repeated: those parts that are drawn more than once, so that "wheels" fits too.
        at_times: parts that some things of this category have and others have not, so that a part
            is known by what it looks like and not by its owner.
        extra: a part that only the task ``compose`` draws on this category.
    """

    name: str
    plural: str
    parts: tuple[str, ...]
    use: str
    synonyms: tuple[str, ...] = ()
    repeated: tuple[str, ...] = ()
    at_times: tuple[str, ...] = ()
    extra: str | None = None

    @property
    def possible(self) -> tuple[str, ...]:
        """Every part that a thing of this category may have."""
        return (*self.parts, *self.at_times, *([self.extra] if self.extra else []))


CATEGORIES: tuple[Category, ...] = (
    Category(
        name="mug",
        plural="mugs",
        parts=("body", "handle"),
        use="drink from",
        synonyms=("cup",),
        repeated=("leg", "wheel"),
        at_times=("leg", "wheel", "window", "tail", "door"),
    ),
    Category(
        name="teapot",
        plural="teapots",
        parts=("body", "handle", "spout"),
        use="pour tea from",
        synonyms=("tea pot",),
        repeated=("wheel",),
        at_times=("wheel", "window"),
        extra="leg",
    ),
    Category(
        name="car",
        plural="cars",
        parts=("body", "wheel", "window"),
        use="drive to town",
        synonyms=("automobile",),
        repeated=("wheel", "window"),
        at_times=("tail",),
    ),
    Category(
        name="boat",
        plural="boats",
        parts=("body", "sail"),
        use="cross a lake in",
        synonyms=("ship",),
        repeated=("sail", "window", "wheel", "leg"),
        at_times=("window", "wheel", "leg", "tail"),
    ),
    Category(
        name="house",
        plural="houses",
        parts=("wall", "roof", "door"),
        use="live in",
        synonyms=("cottage",),
        repeated=("wheel", "leg"),
        at_times=("wheel", "leg", "tail"),
        extra="window",
    ),
    Category(
        name="tree",
        plural="trees",
        parts=("trunk", "top"),
        use="rest in the shade of",
        repeated=("wheel",),
        at_times=("window", "wheel", "tail", "door"),
    ),
    Category(
        name="lamp",
        plural="lamps",
        parts=("shade", "stem", "base"),
        use="light a room with",
        synonyms=("light",),
        repeated=("wheel",),
        at_times=("wheel", "window", "tail", "door"),
    ),
    Category(
        name="chair",
        plural="chairs",
        parts=("seat", "back", "leg"),
        use="sit on",
        repeated=("leg", "wheel"),
        at_times=("wheel", "tail"),
    ),
    Category(
        name="table",
        plural="tables",
        parts=("top", "leg"),
        use="eat dinner at",
        synonyms=("desk",),
        repeated=("leg", "wheel"),
        at_times=("tail",),
        extra="wheel",
    ),
    Category(
        name="fish",
        plural="fish",
        parts=("body", "tail", "fin"),
        use="keep in an aquarium",
        repeated=("leg", "wheel"),
        at_times=("leg", "wheel", "window"),
    ),
    Category(
        name="bird",
        plural="birds",
        parts=("body", "wing", "beak"),
        use="feed with seeds",
        repeated=("leg", "wheel"),
        at_times=("leg", "wheel", "window"),
        extra="tail",
    ),
    Category(
        name="hammer",
        plural="hammers",
        parts=("head", "handle"),
        use="hit nails with",
        at_times=("window", "tail"),
    ),
    Category(
        name="key",
        plural="keys",
        parts=("head", "blade"),
        use="open a lock with",
        repeated=("wheel",),
        at_times=("tail", "wheel"),
    ),
    Category(
        name="umbrella",
        plural="umbrellas",
        parts=("top", "handle"),
        use="stay dry under",
        synonyms=("parasol",),
        repeated=("window",),
        at_times=("window", "tail", "door"),
    ),
    Category(
        name="flower",
        plural="flowers",
        parts=("petal", "stem", "leaf"),
        use="put in a vase",
        synonyms=("blossom",),
        repeated=("petal",),
        at_times=("tail",),
    ),
    Category(
        name="kite",
        plural="kites",
        parts=("body", "tail"),
        use="fly on a string",
        repeated=("leg",),
        at_times=("window", "leg"),
    ),
    Category(
        name="wagon",
        plural="wagons",
        parts=("body", "wheel", "handle"),
        use="pull loads in",
        synonyms=("cart",),
        repeated=("wheel", "window"),
        at_times=("window", "tail", "door"),
    ),
    Category(
        name="guitar",
        plural="guitars",
        parts=("body", "neck", "head"),
        use="play music on",
        repeated=("leg", "wheel"),
        at_times=("leg", "wheel", "tail"),
    ),
)

BY_NAME: dict[str, Category] = {category.name: category for category in CATEGORIES}

COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (212, 36, 38),
    "orange": (245, 132, 22),
    "yellow": (244, 216, 40),
    "green": (40, 158, 62),
    "blue": (36, 88, 214),
    "purple": (128, 52, 168),
    "pink": (250, 150, 196),
    "white": (240, 240, 238),
}

PATTERNS: tuple[str, ...] = ("plain", "striped", "dotted")

HELD_OUT_COLOURS: frozenset[tuple[str, str]] = frozenset(
    {
        ("mug", "purple"),
        ("car", "pink"),
        ("boat", "yellow"),
        ("house", "green"),
        ("lamp", "red"),
        ("chair", "white"),
        ("fish", "purple"),
        ("hammer", "blue"),
        ("key", "orange"),
        ("umbrella", "green"),
        ("kite", "white"),
        ("guitar", "pink"),
    }
)
"""(category, colour) pairs that only ``compose`` draws: one in twelve."""

HELD_OUT_PARTS: frozenset[tuple[str, str]] = frozenset(
    (category.extra, category.name) for category in CATEGORIES if category.extra
)
"""(part, category) pairs that only ``compose`` draws; the part is common on other categories."""

PART_NAMES: tuple[str, ...] = tuple(
    sorted({part for category in CATEGORIES for part in category.parts})
)
