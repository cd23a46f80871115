"""What a person points with: a point, a box or a region, on one image, about one object.

On a command line they are typed ``2:x,y``, ``2@17:x0,y0,x1,y1`` or ``2:mask.png``, and may end in
``=NAME``, or in ``=3`` for the object that the conversation calls [3].
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deixis.errors import DataError
from deixis.structures.masks import Mask
from deixis.structures.numbering import Clips, frame_index, split_key
from deixis.structures.opening import open_frame


@dataclass(frozen=True, kw_only=True, slots=True)
class Point:
    """A place (x, y) in pixels of the original image; the image's left upper corner is (0, 0)."""

    image: int  # flat frame index in the image set, from 0
    x: float
    y: float
    object_id: int | None = None  # what the conversation calls the object, from 1
    name: str | None = None  # a second handle for it


@dataclass(frozen=True, kw_only=True, slots=True)
class Box:
    """Half-open corners in pixels of the original image.

    Raises:
        DataError: the box has no area.
    """

    image: int
    x0: float
    y0: float
    x1: float
    y1: float
    object_id: int | None = None
    name: str | None = None

    def __post_init__(self) -> None:
        if not (self.x0 < self.x1 and self.y0 < self.y1):
            raise DataError(
                f"box: expected x0 < x1 and y0 < y1, got "
                f"{self.x0:g},{self.y0:g},{self.x1:g},{self.y1:g}. "
                f"Give the left upper and the right lower corner."
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class Region:
    """A mask of the original image's size.

    Raises:
        DataError: the mask is empty.
    """

    image: int
    mask: Mask
    object_id: int | None = None
    name: str | None = None

    def __post_init__(self) -> None:
        if not self.mask.area:
            raise DataError("region: expected a mask with at least one pixel, got an empty one.")


Prompt = Point | Box | Region


def read_point(text: str, images: Clips) -> Point:
    """Read ``2:x,y`` or ``2@17:x,y=NAME``.

    Raises:
        DataError: the text is something else, or names an image that is not there.
    """
    key, rest = split_key(text)
    place, handles = _split_name(rest)
    x, y = _read_numbers(place, 2, text, "IMAGE:x,y")
    return Point(image=frame_index(images, key), x=x, y=y, **handles)


def read_box(text: str, images: Clips) -> Box:
    """Read ``1:x0,y0,x1,y1`` or ``2@17:x0,y0,x1,y1=NAME``.

    Raises:
        DataError: as ``read_point``, or the box has no area.
    """
    key, rest = split_key(text)
    corners, handles = _split_name(rest)
    x0, y0, x1, y1 = _read_numbers(corners, 4, text, "IMAGE:x0,y0,x1,y1")
    return Box(image=frame_index(images, key), x0=x0, y0=y0, x1=x1, y1=y1, **handles)


def read_region(text: str, images: Clips) -> Region:
    """Read ``1:mask.png`` or ``2@17:mask.png=NAME``; the bright half of the picture is the mask.

    Raises:
        DataError: as ``read_point``, or the file is no picture, or is all black.
    """
    key, rest = split_key(text)
    path, handles = (rest, {}) if Path(rest).is_file() else _split_name(rest)
    brightness = open_frame(path).pixels.max(axis=2)
    mask = Mask((brightness > 0) & (brightness >= brightness.max() / 2))
    return Region(image=frame_index(images, key), mask=mask, **handles)


def _split_name(text: str) -> tuple[str, dict[str, Any]]:
    """Take a trailing ``=NAME`` or ``=3`` off."""
    rest, separator, handle = text.rpartition("=")
    if not separator:
        return text, {}
    handle = handle.strip()
    if not handle:
        raise DataError(f'"{text}": expected a name after "=", got none.')
    return rest, {"object_id": int(handle)} if handle.isdecimal() else {"name": handle}


def _read_numbers(text: str, count: int, typed: str, form: str) -> list[float]:
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) != count or not all(map(math.isfinite, numbers)):
        raise DataError(f'"{typed}": expected {form} with {count} numbers, got "{text}".')
    return numbers
