"""0-based indices <-> the numbers that people read and type. The only file that adds or takes 1.

A picture or a clip is one image for people: ``"2"`` is the second picture, ``"2@17"`` the
seventeenth frame of the second image, which is a clip. In Python everything is a flat frame index.
"""

import re
from typing import Protocol

from deixis.errors import DataError

_IMAGE_NAME = re.compile(r"\bimage (\d+)\b", re.IGNORECASE)


class Clips(Protocol):
    """What numbering must know of an image set: which flat frames form which image."""

    @property
    def spans(self) -> tuple[range, ...]: ...

    def is_clip(self, image: int) -> bool: ...


def ordinal(index: int) -> int:
    """Return the number that people give to a 0-based index."""
    return index + 1


def index_of(number: int) -> int:
    """Return the 0-based index of a number that a person typed."""
    return number - 1


def image_name(image: int) -> str:
    """Return "image 2" for image index 1."""
    return f"image {ordinal(image)}"


def read_image_names(text: str) -> list[int]:
    """Return the image indices that a text mentions as "image N", in order."""
    return [index_of(int(n)) for n in _IMAGE_NAME.findall(text)]


def heard_by(image: int, text: str) -> str:
    """Return a text as one image of a set hears it: "image 2" is "this image" to the second, and
    "another image" to all others."""

    def named(match: re.Match[str]) -> str:
        return "this image" if index_of(int(match[1])) == image else "another image"

    return _IMAGE_NAME.sub(named, text)


def frame_key(images: Clips, index: int) -> str:
    """Return the key of a flat frame index: "2" for a picture, "2@17" for a frame of a clip."""
    for image, span in enumerate(images.spans):
        if index in span:
            if images.is_clip(image):
                return f"{ordinal(image)}@{ordinal(index - span.start)}"
            return str(ordinal(image))
    raise DataError(f"frame: expected an index below {images.spans[-1].stop}, got {index}.")


def frame_index(images: Clips, key: str) -> int:
    """Return the flat frame index of a key; without "@" it means frame 1 of a clip.

    Raises:
        DataError: the key is malformed, or names an image or a frame that is not there.
    """
    match = re.fullmatch(r"\s*(\d+)(?:@(\d+))?\s*", key)
    if match is None:
        raise DataError(f'image number: expected "2" or "2@17", got "{key}".')
    image, frame = index_of(int(match[1])), index_of(int(match[2] or 1))
    spans = images.spans
    if not 0 <= image < len(spans):
        raise DataError(
            f"image number: expected 1 to {len(spans)}, got {match[1]}. "
            f"Images are numbered in the order given."
        )
    if not 0 <= frame < len(spans[image]):
        raise DataError(
            f"frame number: expected 1 to {len(spans[image])} in image {match[1]}, got {match[2]}."
        )
    return spans[image].start + frame
