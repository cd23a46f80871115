"""What a person points with: a point, a box or a region, on one image, about one object."""

from dataclasses import dataclass

from deixis.errors import DataError
from deixis.structures.masks import Mask


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
