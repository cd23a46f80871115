"""What a world shows, measured on its renderings: areas, centres, boxes, sizes and paths.

Everything that a question claims is proved here, with margins: a truth must not hang on a pixel.
"""

from collections.abc import Sequence
from functools import cached_property
from itertools import pairwise

import numpy as np

from deixis.scenes.catalogue import CATEGORIES, PART_NAMES
from deixis.scenes.drawing.render import Rendering
from deixis.scenes.world import Thing, World
from deixis.structures.masks import Mask

CLEAR_THING = 30  # visible pixels from which a thing may be asked about
CLEAR_PART = 20
STEP = 8.0  # pixels by which two centres must differ along a direction
RATIO = 1.25  # by which two sizes must differ
PART_CODES = {part: code for code, part in enumerate(PART_NAMES, 1)}
USES = {category.name: category.use for category in CATEGORIES}


class Measured:
    """One frame: visible pixels per thing and part, and where each thing's pixels are."""

    def __init__(self, rendering: Rendering, things: int) -> None:
        """Count the pixels of a rendering; ``things`` is one more than the largest thing id."""
        num_parts = len(PART_NAMES) + 1
        self._owner = rendering.things.astype(np.intp)
        self._things = things
        codes = (self._owner * num_parts + rendering.parts).ravel()
        counts = np.bincount(codes, minlength=things * num_parts).reshape(things, num_parts)
        self.parts: list[list[int]] = counts.tolist()  # (T, P); column 0 = no named part
        self.areas: list[int] = counts.sum(1).tolist()  # (T,)

    @cached_property
    def places(self) -> list[tuple[float, float, int, int, int, int]]:
        """For each thing the centre x, y and the half-open box x0, y0, x1, y1 of its pixels."""
        height, width = self._owner.shape
        columns = self._histogram(width, np.arange(width))
        rows = self._histogram(height, np.arange(height)[:, None])
        areas = np.maximum(self.areas, 1)
        x = columns @ (np.arange(width) + 0.5) / areas
        y = rows @ (np.arange(height) + 0.5) / areas
        (x0, x1), (y0, y1) = _ends(columns), _ends(rows)
        values = (each.tolist() for each in (x, y, x0, y0, x1, y1))
        return list(zip(*values, strict=True))

    def _histogram(self, bins: int, place: np.ndarray) -> np.ndarray:
        """Count each thing's pixels (T, bins) along one axis."""
        codes = (self._owner * bins + place).ravel()
        return np.bincount(codes, minlength=self._things * bins).reshape(self._things, bins)


def _ends(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the first and one past the last filled bin of every row."""
    filled = counts > 0
    return filled.argmax(1), counts.shape[1] - filled[:, ::-1].argmax(1)


class Facts:
    """A world and its renderings, ready to be asked about."""

    def __init__(self, world: World, renderings: Sequence[Rendering]) -> None:
        self.world = world
        self.renderings = tuple(renderings)
        self.things: dict[int, Thing] = {
            placed.thing.id: placed.thing for view in world.views for placed in view.placed
        }
        self._measured: dict[int, Measured] = {}
        self.placed = [{p.thing.id: p for p in view.placed} for view in world.views]
        starts = np.cumsum((0, *world.lengths)).tolist()
        self.spans = tuple(range(a, b) for a, b in pairwise(starts))

    @property
    def is_clip(self) -> bool:
        """Say whether the world is one clip."""
        return len(self.spans) == 1 and self.world.times[0] is not None

    @property
    def frames(self) -> range:
        """All flat frame indices."""
        return range(len(self.renderings))

    def measured(self, frame: int) -> Measured:
        """Return what one frame shows."""
        if frame not in self._measured:
            self._measured[frame] = Measured(self.renderings[frame], max(self.things) + 1)
        return self._measured[frame]

    # -- one thing in one frame --------------------------------------------------------------

    def area(self, thing: int, frame: int, part: str | None = None) -> int:
        """Return the number of visible pixels."""
        if part is None:
            return self.measured(frame).areas[thing]
        return self.measured(frame).parts[thing][PART_CODES[part]]

    def centre(self, thing: int, frame: int) -> tuple[float, float]:
        """Return the centre (x, y) of the visible pixels."""
        return self.measured(frame).places[thing][:2]

    def box(self, thing: int, frame: int) -> tuple[int, int, int, int]:
        """Return the tight half-open box of the visible pixels."""
        return self.measured(frame).places[thing][2:]

    def pixels(self, thing: int, frame: int, part: str | None = None) -> np.ndarray:
        """Return the visible pixels, bool (H, W)."""
        rendering = self.renderings[frame]
        inside = rendering.things == thing
        if part is not None:
            inside &= rendering.parts == PART_CODES[part]
        return inside

    def masks(self, thing: int, frames: Sequence[int], part: str | None = None) -> dict[int, Mask]:
        """Return the masks of every frame in which anything shows."""
        shown = [frame for frame in frames if self.area(thing, frame, part)]
        return {frame: Mask(self.pixels(thing, frame, part)) for frame in shown}

    # -- over several frames ------------------------------------------------------------------

    def shown(self, frames: Sequence[int]) -> dict[int, list[int]]:
        """Return the frames in which each thing has any visible pixel; unseen things left out."""
        seen: dict[int, list[int]] = {}
        for frame in frames:
            for thing, area in enumerate(self.measured(frame).areas):
                if thing and area:
                    seen.setdefault(thing, []).append(frame)
        return dict(sorted(seen.items()))

    def clear(self, thing: int, frames: Sequence[int], part: str | None = None) -> bool:
        """Say whether the thing shows clearly wherever it shows at all (a clip: mostly)."""
        enough = CLEAR_THING if part is None else CLEAR_PART
        areas = [self.area(thing, frame, part) for frame in frames]
        if self.is_clip:
            clear = sum(area >= enough for area in areas)
            return clear >= max(2, 0.25 * len(areas))
        areas = [area for area in areas if area]
        return bool(areas) and min(areas) >= enough

    def colour(self, thing: int, part: str) -> str:
        """Return the colour of a part: its own, or the thing's."""
        drawn = self.things[thing]
        if drawn.accent is not None and drawn.accent[0] == part:
            return drawn.accent[1]
        return drawn.colour

    @cached_property
    def paths(self) -> dict[int, np.ndarray]:
        """For each thing of a clip, its placed centre (F, 2) in every frame; NaN where outside."""
        paths = {thing: np.full((len(self.frames), 2), np.nan) for thing in self.things}
        for frame, (view, placed) in enumerate(zip(self.world.views, self.placed, strict=True)):
            for thing, p in placed.items():
                reach = p.size / 2
                inside = -reach < p.x < view.width + reach and -reach < p.y < view.height + reach
                if inside:
                    paths[thing][frame] = (p.x, p.y)
        return paths
