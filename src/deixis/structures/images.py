"""ImageSet: some images, or videos, as one flat sequence of frames that are opened late.

``deixis.structures.opening`` makes them from files, arrays and pictures.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from hashlib import blake2b
from itertools import pairwise

import numpy as np

from deixis.errors import DataError
from deixis.structures.placement import Placement


class Frame:
    """One picture as RGB uint8 (H, W, 3), as a person sees it; pixels are read when asked for.

    Args:
        read: returns the pixels.
        size: (height, width), known without reading.
        name: what people call it, for example its file name.
        key: see ``key``; a function is called when the key is first asked for.
        shrink: returns a smaller copy of a given (height, width), where that is quicker than
            reading all pixels.
    """

    __slots__ = ("_key", "_read", "_shrink", "name", "size")

    def __init__(
        self,
        read: Callable[[], np.ndarray],
        size: tuple[int, int],
        *,
        name: str = "",
        key: str | Callable[[], str] | None = None,
        shrink: Callable[[tuple[int, int]], np.ndarray] | None = None,
    ) -> None:
        self._read = read
        self._key = key
        self._shrink = shrink
        self.size = size
        self.name = name

    @classmethod
    def from_array(cls, pixels: np.ndarray, *, name: str = "") -> Frame:
        """Wrap RGB pixels uint8 (H, W, 3).

        Raises:
            DataError: the array is something else.
        """
        if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint8 or not pixels.size:
            raise DataError(
                f"image {name}: expected RGB uint8 (H, W, 3), got {pixels.dtype} {pixels.shape}."
            )
        size = (int(pixels.shape[0]), int(pixels.shape[1]))
        return cls(partial(np.asarray, np.ascontiguousarray(pixels)), size, name=name)

    @property
    def pixels(self) -> np.ndarray:
        """RGB uint8 (H, W, 3), row by row in memory; not to be written to.

        Raises:
            DataError: the file broke, went away or changed since it was opened.
        """
        pixels = self._read()
        if pixels.shape != (*self.size, 3):
            raise DataError(
                f"{self.name}: expected {self.size[1]} x {self.size[0]} pixels as when it was "
                f"opened, got {pixels.shape[1]} x {pixels.shape[0]}. Leave files as they are."
            )
        return pixels

    @property
    def key(self) -> str:
        """A hash of the content: equal keys promise equal pixels, in any process."""
        if self._key is None:
            content = str(self.size).encode() + np.ascontiguousarray(self.pixels).tobytes()
            self._key = content_hash(content)
        elif not isinstance(self._key, str):
            self._key = self._key()
        return self._key

    def reduced(self, long_side: int) -> np.ndarray:
        """Return RGB uint8 (h, w, 3), smoothly reduced until no side is over ``long_side``.

        A smaller picture comes as it is. Far quicker than ``pixels`` for a large photograph; both
        show the same view, so coordinates differ by the scale only, as in ``Placement.fit``.
        """
        if max(self.size) <= long_side:
            return self.pixels
        size = Placement.fit(self.size, (long_side, long_side)).resized
        return self._shrink(size) if self._shrink else shrink_pixels(self.pixels, size)

    def __repr__(self) -> str:
        return f"Frame({self.name!r}, size={self.size})"


def content_hash(content: bytes) -> str:
    """Return a short text that differs for different bytes."""
    return blake2b(content, digest_size=16).hexdigest()


def shrink_pixels(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return RGB pixels smoothly resized to (height, width)."""
    from PIL import Image

    resample = Image.Resampling.BILINEAR
    picture = Image.fromarray(pixels).resize(size[::-1], resample, reducing_gap=3.0)
    return np.array(picture)


@dataclass(frozen=True)
class ImageSet(Sequence[Frame]):
    """Frames in order; ``lengths[i]`` says how many of them form image i.

    Attributes:
        frames: all frames, flat.
        lengths: frames per image, a picture being one.
        times: for each image, the seconds of its frames if it is a clip, else None.

    Raises:
        DataError: no frame at all, lengths that do not add up, times that do not rise.
    """

    frames: tuple[Frame, ...]
    lengths: tuple[int, ...]
    times: tuple[tuple[float, ...] | None, ...]

    def __post_init__(self) -> None:
        if not self.frames:
            raise DataError("images: expected at least one, got none.")
        if sum(self.lengths) != len(self.frames) or min(self.lengths) < 1:
            raise DataError(
                f"images: expected lengths that add up to {len(self.frames)} frames, "
                f"got {list(self.lengths)}."
            )
        if len(self.times) != len(self.lengths):
            raise DataError(
                f"images: expected times for {len(self.lengths)} images, got {len(self.times)}."
            )
        for image, (length, times) in enumerate(zip(self.lengths, self.times, strict=True)):
            if times is None and length > 1:
                raise DataError(
                    f"{self.frames[0].name or 'clip'}: expected times for the {length} frames of "
                    f"image index {image}, got none."
                )
            if times is not None and len(times) != length:
                raise DataError(f"clip: expected {length} times, got {len(times)}.")
            if times is not None and any(b <= a for a, b in pairwise(times)):
                raise DataError("clip: expected times that rise, got some that do not.")

    @classmethod
    def pictures(cls, frames: Sequence[Frame]) -> ImageSet:
        """Every frame is an image of its own."""
        return cls(tuple(frames), (1,) * len(frames), (None,) * len(frames))

    @classmethod
    def clip(cls, frames: Sequence[Frame], times: Sequence[float]) -> ImageSet:
        """All frames are one clip."""
        return cls(tuple(frames), (len(frames),), (tuple(times),))

    @classmethod
    def join(cls, sets: Sequence[ImageSet]) -> ImageSet:
        """Return the images of several sets, in order."""
        return cls(
            tuple(f for s in sets for f in s.frames),
            tuple(n for s in sets for n in s.lengths),
            tuple(t for s in sets for t in s.times),
        )

    @cached_property
    def spans(self) -> tuple[range, ...]:
        """For each image, the flat indices of its frames."""
        starts = np.cumsum((0, *self.lengths)).tolist()
        return tuple(range(a, b) for a, b in pairwise(starts))

    def is_clip(self, image: int) -> bool:
        """Say whether image index ``image`` is a clip."""
        return self.times[image] is not None

    def image_of(self, frame: int) -> int:
        """Return which image a flat frame index belongs to."""
        return next(i for i, span in enumerate(self.spans) if frame in span)

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, index):  # type: ignore[override]
        return self.frames[index]

    def __iter__(self) -> Iterator[Frame]:
        return iter(self.frames)
