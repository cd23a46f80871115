"""What a world shows, measured on its renderings: areas, centres, boxes, sizes and paths.

Everything that a question claims is proved here, with margins: a truth must not hang on a pixel.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from deixis.scenes.catalogue import CATEGORIES, PART_NAMES
from deixis.scenes.render import Rendering
from deixis.scenes.world import Thing, World
from deixis.structures.masks import Mask

CLEAR_THING = 30  # visible pixels from which a thing may be asked about
CLEAR_PART = 20
STEP = 8.0  # pixels by which two centres must differ along a direction
RATIO = 1.25  # by which two sizes must differ
USES = {category.name: category.use for category in CATEGORIES}


@dataclass(frozen=True, slots=True)
class Measured:
    """One frame: visible pixels per thing and part, and where each thing's pixels are."""

    parts: np.ndarray  # (T, P) pixels; column 0 = no named part
    areas: np.ndarray  # (T,) pixels
    centres: np.ndarray  # (T, 2) x, y of the visible pixels
    boxes: np.ndarray  # (T, 4) half-open x0, y0, x1, y1

    @classmethod
    def of(cls, rendering: Rendering, things: int) -> "Measured":
        """Measure one rendering; ``things`` is one more than the largest thing id."""
        height, width = rendering.things.shape
        num_parts = len(PART_NAMES) + 1
        owner = rendering.things.astype(np.intp)
        parts = np.bincount(
            (owner * num_parts + rendering.parts).ravel(), minlength=things * num_parts
        ).reshape(things, num_parts)
        columns = np.bincount(
            (owner * width + np.arange(width)).ravel(), minlength=things * width
        ).reshape(things, width)
        rows = np.bincount(
            (owner * height + np.arange(height)[:, None]).ravel(), minlength=things * height
        ).reshape(things, height)
        areas = parts.sum(1)
        safe = np.maximum(areas, 1)
        centres = np.stack(
            (columns @ (np.arange(width) + 0.5) / safe, rows @ (np.arange(height) + 0.5) / safe), 1
        )
        boxes = np.stack((*_ends(columns), *_ends(rows)), 1)[:, [0, 2, 1, 3]]
        return cls(parts, areas, centres, boxes)


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
        self.spans = tuple(range(a, b) for a, b in zip(starts, starts[1:], strict=False))

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
            self._measured[frame] = Measured.of(
                self.renderings[frame], max(self.things, default=0) + 1
            )
        return self._measured[frame]

    # -- one thing in one frame --------------------------------------------------------------

    def area(self, thing: int, frame: int, part: str | None = None) -> int:
        """Return the number of visible pixels."""
        if part is None:
            return int(self.measured(frame).areas[thing])
        return int(self.measured(frame).parts[thing, PART_NAMES.index(part) + 1])

    def centre(self, thing: int, frame: int) -> tuple[float, float]:
        """Return the centre (x, y) of the visible pixels."""
        x, y = self.measured(frame).centres[thing]
        return float(x), float(y)

    def box(self, thing: int, frame: int) -> tuple[int, int, int, int]:
        """Return the tight half-open box of the visible pixels."""
        x0, y0, x1, y1 = self.measured(frame).boxes[thing].tolist()
        return x0, y0, x1, y1

    def pixels(self, thing: int, frame: int, part: str | None = None) -> np.ndarray:
        """Return the visible pixels, bool (H, W)."""
        rendering = self.renderings[frame]
        inside = rendering.things == thing
        if part is not None:
            inside &= rendering.parts == PART_NAMES.index(part) + 1
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
            for thing in np.flatnonzero(self.measured(frame).areas[1:]).tolist():
                seen.setdefault(thing + 1, []).append(frame)
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
