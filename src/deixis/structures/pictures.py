"""Encoded pictures -> RGB as a person sees them: rotated, on white, in 8 bits.

The size is read from the header; pixels are decoded when they are asked for, and a smaller copy
of a JPEG is decoded small. Every broken file ends in one DataError.
"""

from __future__ import annotations

import io
import re
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from deixis.errors import DataError
from deixis.structures.images import Frame, content_hash

MOST_PIXELS = 178_956_970  # where Pillow itself refuses: 0.5 GB of RGB
# what Pillow's readers raise when the bytes are not what they should be
BROKEN = (
    OSError,
    ValueError,
    SyntaxError,
    EOFError,
    LookupError,
    TypeError,
    RuntimeError,
    ArithmeticError,
    MemoryError,
    struct.error,
    zlib.error,
)
ORIENTATION = 0x0112  # EXIF
# EXIF orientation -> how the stored pixels are turned, as in PIL.Image.Transpose
TURNS = {
    2: "FLIP_LEFT_RIGHT",
    3: "ROTATE_180",
    4: "FLIP_TOP_BOTTOM",
    5: "TRANSPOSE",
    6: "ROTATE_270",
    7: "TRANSVERSE",
    8: "ROTATE_90",
}
SWAPPED = (5, 6, 7, 8)  # these exchange height and width


@dataclass(frozen=True)
class Picture:
    """An encoded picture in a file or in memory."""

    source: Path | bytes
    name: str

    def frame(self) -> Frame:
        """Return it as a frame, after a look at the header and at the end of the file.

        Raises:
            DataError: it is no picture, is cut short, or is too large.
        """
        with self.opened() as image:
            width, height = image.size
            size = (width, height) if _orientation(image) in SWAPPED else (height, width)
            check_whole(image, self.name)
        return Frame(self.read, size, name=self.name, key=self.key, shrink=self.shrink)

    def read(self) -> np.ndarray:
        """Decode all pixels."""
        with self.opened() as image:
            return np.array(_turned(to_rgb(image), _orientation(image)))

    def shrink(self, size: tuple[int, int]) -> np.ndarray:
        """Decode a smooth copy of a smaller (height, width)."""
        from PIL import Image

        with self.opened() as image:
            turn = _orientation(image)
            width, height = size if turn in SWAPPED else size[::-1]
            view = image.draft(None, (3 * width, 3 * height))  # None: not a JPEG
            box = view[1] if view else (0, 0, *image.size)
            small = to_rgb(image).resize(
                (width, height), Image.Resampling.BILINEAR, box=box, reducing_gap=3.0
            )
            return np.array(_turned(small, turn))

    def key(self) -> str:
        """Return a hash of the encoded bytes."""
        with refusing(self.name):
            return content_hash(
                self.source if isinstance(self.source, bytes) else self.source.read_bytes()
            )

    @contextmanager
    def opened(self) -> Iterator[Any]:
        """Yield the PIL image; what goes wrong with it is a DataError."""
        from PIL import Image

        with refusing(self.name):
            source = io.BytesIO(self.source) if isinstance(self.source, bytes) else self.source
            with Image.open(source) as image:
                yield image


@contextmanager
def refusing(name: str) -> Iterator[None]:
    """Turn what goes wrong with a file into a DataError about ``name``; keep Pillow quiet."""
    from PIL import Image, UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except DataError:
        raise
    except (FileNotFoundError, NotADirectoryError) as error:
        raise DataError(
            f"{name}: expected a file or folder, got none of this name. Check the path."
        ) from error
    except PermissionError as error:
        raise DataError(
            f"{name}: expected a file that may be read, got no permission. Check its rights."
        ) from error
    except Image.DecompressionBombError as error:
        pixels = re.search(r"\((\d+) pixels\)", str(error))
        raise DataError(
            f"{name}: expected at most {MOST_PIXELS // 10**6} megapixels, got "
            f"{int(pixels[1]) // 10**6 if pixels else 'more'}. Make a smaller copy first."
        ) from error
    except UnidentifiedImageError as error:
        raise DataError(
            f"{name}: expected a picture (PNG, JPEG, WebP, GIF, TIFF, ...), got something else. "
            f"Check that the file is what its name says."
        ) from error
    except BROKEN as error:
        raise DataError(
            f"{name}: expected a whole picture, got a broken one "
            f"({getattr(error, 'strerror', None) or error}). Fetch or save it again."
        ) from error


def check_whole(image: Any, name: str) -> None:
    """Check, without decoding, that an open PIL image is not cut short.

    Raises:
        DataError: its end is missing.
    """
    if image.format in ("JPEG", "MPO"):
        image.fp.seek(0)
        whole = _has_end(image.fp.read())
    elif image.format == "WEBP":
        image.fp.seek(0, io.SEEK_END)
        length = image.fp.tell()
        image.fp.seek(4)
        whole = length >= int.from_bytes(image.fp.read(4), "little")
    elif image.format == "PNG":
        image.verify()
        whole = True
    else:
        image.load()
        whole = True
    if not whole:
        raise DataError(
            f"{name}: expected a whole picture, got one that is cut short. Fetch it again."
        )


def _has_end(jpeg: bytes) -> bool:
    """Say whether a JPEG's end mark follows its scans; a preview in the header has its own."""
    place = 2
    while True:
        # a mark is 0xff and a byte; in a scan 0xff also stands for itself, or restarts
        mark = re.compile(rb"\xff[^\x00\xd0-\xd8\xff]").search(jpeg, place)
        if mark is None or mark[0] == b"\xff\xd9":
            return mark is not None
        place = mark.end() + int.from_bytes(jpeg[mark.end() : mark.end() + 2])


def to_rgb(image: Any) -> Any:
    """Return a PIL image as RGB of 8 bits, what is transparent on white."""
    from PIL import Image

    if image.mode == "RGB" and "transparency" not in image.info:
        image.load()
        return image
    if image.mode.startswith("I") or image.mode == "F":
        return Image.fromarray(to_bytes(np.asarray(image))).convert("RGB")
    if not image.has_transparency_data:
        return image.convert("RGB")
    image = image.convert("RGBA")
    white = Image.new("RGBA", image.size, (255, 255, 255, 255))
    return Image.alpha_composite(white, image).convert("RGB")


def to_bytes(values: np.ndarray) -> np.ndarray:
    """Return values of any numeric type as uint8.

    Booleans are black and white; 16 bits, and wider whole numbers, are taken as 0 to 65535;
    fractions as 0 to 1, or as 0 to 255 where one is over 1. What lies outside is cut off.
    """
    if values.dtype == np.uint8:
        return values
    if values.dtype == np.bool_:
        return values * np.uint8(255)
    if values.dtype.kind in "iu":
        return (np.clip(values, 0, 65535) / 257).round().astype(np.uint8)
    values = np.nan_to_num(values.astype(np.float64))
    scale = 255.0 if values.max() <= 1 else 1.0
    return np.clip(values * scale, 0, 255).round().astype(np.uint8)


def _orientation(image: Any) -> int:
    from PIL import Image

    if image.format == "TIFF":  # Pillow itself turns these
        return 1
    # Not image.getexif(): for a PNG without EXIF that decodes the picture.
    return Image.Image.getexif(image).get(ORIENTATION, 1)


def _turned(image: Any, orientation: int) -> Any:
    from PIL import Image

    turn = TURNS.get(orientation)
    return image.transpose(Image.Transpose[turn]) if turn else image
