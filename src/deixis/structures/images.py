"""ImageSet: some images, or videos, as one flat sequence of frames that are opened late."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from deixis.errors import DataError


class Frame:
    """One picture as RGB uint8 (H, W, 3), as a person sees it; pixels are read when asked for."""

    def __init__(
        self,
        read: Callable[[], np.ndarray],
        size: tuple[int, int],
        *,
        name: str = "",
        key: str | None = None,
    ) -> None:
        self._read = read
        self.size = size  # (height, width)
        self.name = name
        self.key = key  # equal keys promise equal pixels; None = not known without reading

    @classmethod
    def from_array(cls, pixels: np.ndarray, *, name: str = "") -> Frame:
        """Wrap RGB pixels uint8 (H, W, 3)."""
        if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint8 or not pixels.size:
            raise DataError(
                f"image {name}: expected RGB uint8 (H, W, 3), got {pixels.dtype} {pixels.shape}."
            )
        return cls(lambda: pixels, (int(pixels.shape[0]), int(pixels.shape[1])), name=name)

    @property
    def pixels(self) -> np.ndarray:
        """RGB uint8 (H, W, 3)."""
        return self._read()


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
            raise DataError(f"images: expected times for {len(self.lengths)} images, got {len(self.times)}.")
        for image, (length, times) in enumerate(zip(self.lengths, self.times, strict=True)):
            if times is None and length > 1:
                raise DataError(f"image {image}: expected times for its {length} frames, got none.")
            if times is not None and len(times) != length:
                raise DataError(f"clip: expected {length} times, got {len(times)}.")
            if times is not None and any(b <= a for a, b in zip(times, times[1:], strict=False)):
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
        return tuple(range(a, b) for a, b in zip(starts, starts[1:], strict=False))

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
