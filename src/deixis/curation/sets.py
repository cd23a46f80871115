"""Image sets to ask about: 2 to 5 pictures of one source that share a category, each entity coded.

``mug_203`` is object 3 of image 2 and ``handle_20301`` its part 1 (specification of PRIMA 4.2).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from random import Random

from deixis.curation.entities import Entity, Picture, parts_of
from deixis.errors import ConfigError, DataError
from deixis.structures.numbering import ordinal

SIZES = ((2, 0.5), (3, 0.3), (4, 0.12), (5, 0.08))  # pictures of a set, and how often
MOST_OBJECTS, MOST_PARTS = 30, 20  # of a picture and of an object that get a code
RICH = 0.5  # share of sets whose last picture lacks what the others share


@dataclass(frozen=True, slots=True, kw_only=True)
class Thing:
    """An entity of a set: its image's index, and its code.

    Attributes:
        owner: code of its object, None for an object.
    """

    entity: Entity
    image: int
    code: str
    owner: str | None = None

    @property
    def name(self) -> str:
        """What it is called."""
        return self.entity.name

    @property
    def word(self) -> str:
        """Its name and code, as answers cite it."""
        return f"{self.entity.name.replace(' ', '_')}_{self.code}"


@dataclass(frozen=True)
class PictureSet:
    """Pictures that are asked about together, the number of the draw, and what they share."""

    number: int
    pictures: tuple[Picture, ...]
    shared: str

    @property
    def key(self) -> tuple[object, ...]:
        """Tells sets apart whatever their order."""
        return (self.pictures[0].source, *sorted(str(p.key) for p in self.pictures))

    @cached_property
    def things(self) -> tuple[Thing, ...]:
        """Everything with a code, image after image, parts behind their object."""
        found: list[Thing] = []
        for image, picture in enumerate(self.pictures):
            for number, entity in enumerate(picture.objects[:MOST_OBJECTS]):
                code = f"{ordinal(image)}{ordinal(number):02}"
                found.append(Thing(entity=entity, image=image, code=code))
                for index, part in enumerate(parts_of(picture, entity)):
                    if index < MOST_PARTS:
                        own = f"{code}{ordinal(index):02}"
                        found.append(Thing(entity=part, image=image, code=own, owner=code))
        return tuple(found)

    @cached_property
    def by_code(self) -> dict[str, Thing]:
        """Code -> thing."""
        return {thing.code: thing for thing in self.things}

    def objects(self, image: int, name: str | None = None) -> list[Thing]:
        """Return the objects of an image, or those of one name."""
        return [t for t in self._in(image) if t.owner is None and name in (None, t.name)]

    def parts(self, image: int, name: str) -> list[Thing]:
        """Return the parts of an image that have one name."""
        return [t for t in self._in(image) if t.owner is not None and t.name == name]

    def _in(self, image: int) -> list[Thing]:
        return self._by_image[image]

    @cached_property
    def _by_image(self) -> list[list[Thing]]:
        return [[t for t in self.things if t.image == i] for i in range(len(self.pictures))]


class Sampler:
    """Draws sets by number; the same pictures, seed and number give the same set.

    Raises:
        ConfigError: sizes that no set can have.
        DataError: no two pictures of a source share a category.
    """

    def __init__(
        self, pictures: Sequence[Picture], seed: int, *, fewest: int = 2, most: int = 5
    ) -> None:
        if not 1 < fewest <= most <= 5:
            raise ConfigError(f"images of a set: expected 2 to 5, got {fewest} to {most}.")
        self.seed = seed
        self.sizes = [(size, share) for size, share in SIZES if fewest <= size <= most]
        self.pictures: dict[str, list[Picture]] = {}
        showing: dict[tuple[str, str], list[Picture]] = {}
        for picture in pictures:
            self.pictures.setdefault(picture.source, []).append(picture)
            for name in sorted({entity.name for entity in picture.objects}):
                showing.setdefault((picture.source, name), []).append(picture)
        self.showing = {key: found for key, found in sorted(showing.items()) if len(found) > 1}
        self.keys = list(self.showing)
        if not self.keys:
            raise DataError("pictures: expected two that share a category, got none. Add sources.")

    def draw(self, number: int) -> PictureSet:
        """Return the set of a number."""
        rng = Random(f"{self.seed}/{number}")
        source, shared = rng.choice(self.keys)
        sizes, shares = zip(*self.sizes, strict=True)
        size = rng.choices(sizes, weights=shares)[0]
        some = self.showing[source, shared]
        rich = size > 2 and rng.random() < RICH
        chosen = rng.sample(some, min(len(some), size - 1 if rich else size))
        others = self.pictures[source]
        for _ in range(8 if len(chosen) < size else 0):
            other = others[rng.randrange(len(others))]
            if all(other.key != one.key for one in chosen):
                chosen.append(other)
            if len(chosen) == size:
                break
        rng.shuffle(chosen)
        return PictureSet(number=number, pictures=tuple(chosen), shared=shared)
