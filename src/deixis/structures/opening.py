"""Whatever people call an image -> ImageSet: paths, bytes, arrays, folders, videos, animations."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from deixis.errors import DataError
from deixis.structures.images import Frame, ImageSet
from deixis.structures.numbering import image_name
from deixis.structures.pictures import Picture, refusing, to_bytes, to_rgb
from deixis.structures.video import USUAL_RATE, Video

# fmt: off
PICTURE_ENDINGS = (
    ".avif", ".bmp", ".gif", ".jfif", ".jp2", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".pnm",
    ".ppm", ".tga", ".tif", ".tiff", ".webp",
)
VIDEO_ENDINGS = (
    ".3gp", ".avi", ".flv", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".ogv", ".ts",
    ".webm", ".wmv",
)
# fmt: on
ANIMATED = ("GIF", "PNG", "WEBP", "AVIF")  # other formats of several pages are no clips
SHORTEST_MS = 100.0  # how long browsers show a frame that claims to take no time

Source = Any  # path, bytes, numpy array, PIL image, Frame or ImageSet


def open_images(sources: Source | Sequence[Source]) -> ImageSet:
    """Open images in the order given, each late; broken ones are refused at once.

    A source is a path (a picture, a video, an animation, or a folder whose pictures are the
    frames of a clip), the bytes of a picture or animation, a numpy array (H, W), (H, W, 3) or
    (H, W, 4), a PIL image, a ``Frame`` or an ``ImageSet``.

    Raises:
        DataError: a source that is missing, broken, too large or of no known kind, by its number
            where there are several; none at all.
        MissingExtra: a video without PyAV.
    """
    if isinstance(sources, str | bytes | os.PathLike | ImageSet | Frame | np.ndarray):
        sources = [sources]
    if not isinstance(sources, Sequence):
        sources = [sources]
    if not sources:
        raise DataError("images: expected at least one, got none.")
    if len(sources) == 1:
        return _open(sources[0], image_name(0))
    return ImageSet.join([_open_one_of(sources, index) for index in range(len(sources))])


def open_frame(source: Source) -> Frame:
    """Open one picture.

    Raises:
        DataError: as ``open_images``, or a clip.
    """
    images = open_images([source])
    if images.is_clip(0):
        raise DataError(
            f"{images[0].name}: expected a picture, got a clip of {len(images)} frames."
        )
    return images[0]


def _open_one_of(sources: Sequence[Source], index: int) -> ImageSet:
    """Open one of several; what is wrong with it is said with its number."""
    name = image_name(index)
    try:
        return _open(sources[index], name)
    except DataError as error:
        if str(error).startswith(name):
            raise
        raise DataError(f"{name} of {len(sources)}: {error}") from error


def _open(source: Source, name: str) -> ImageSet:
    if isinstance(source, ImageSet):
        return source
    if isinstance(source, Frame):
        return ImageSet.pictures([source])
    if isinstance(source, str | os.PathLike):
        return _open_path(Path(source))
    if isinstance(source, bytes | bytearray):
        return _open_encoded(Picture(bytes(source), name))
    if isinstance(source, np.ndarray):
        return ImageSet.pictures([Frame.from_array(_to_rgb_array(source, name), name=name)])
    if hasattr(source, "getexif"):  # a PIL image, without importing Pillow for other sources
        return ImageSet.pictures([_from_pil(source, name)])
    raise DataError(
        f"{name}: expected a path, bytes, a numpy array, a PIL image, a Frame or an ImageSet, "
        f"got {type(source).__name__}."
    )


def _open_path(path: Path) -> ImageSet:
    # names that are no UTF-8 are shown with marks in their place
    name = os.fsencode(path.name or str(path)).decode("utf-8", "replace")
    with refusing(name):
        if path.is_dir():
            return _open_folder(path, name)
        if path.exists() and not path.is_file():
            raise DataError(f"{name}: expected a file or folder, got a device or a pipe.")
        with path.open("rb") as file:
            head = file.read(16)
    if not head:
        raise DataError(f"{name}: expected a picture or a video, got an empty file.")
    if path.suffix.lower() in VIDEO_ENDINGS or _looks_like_video(head):
        return Video(path, name).images()
    return _open_encoded(Picture(path, name))


def _open_encoded(picture: Picture) -> ImageSet:
    with picture.opened() as image:
        if image.format in ANIMATED and getattr(image, "n_frames", 1) > 1:
            return Animation(picture).images()
    return ImageSet.pictures([picture.frame()])


def _open_folder(folder: Path, name: str) -> ImageSet:
    """The pictures of a folder, by the numbers in their names, as one clip."""
    paths = [
        p for p in folder.iterdir() if p.suffix.lower() in PICTURE_ENDINGS and p.name[0] != "."
    ]
    if not paths:
        raise DataError(f"{name}: expected a folder with pictures as frames, got none in it.")
    frames = []
    for path in sorted(paths, key=_natural):
        shown = os.fsencode(path.name).decode("utf-8", "replace")
        frames.append(Picture(path, f"{name}/{shown}").frame())
        if frames[-1].size != frames[0].size:
            raise DataError(
                f"{name}/{shown}: expected a frame of {frames[0].size} (height, width) as the "
                f"first, got {frames[-1].size}. All frames of a clip have one size."
            )
        frames[-1].name = name
    return ImageSet.clip(frames, [i / USUAL_RATE for i in range(len(frames))])


def _natural(path: Path) -> list[tuple[int, str]]:
    """Sort key in which 2 comes before 10."""
    parts = re.findall(r"\d+|\D+", path.name)
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]


def _looks_like_video(head: bytes) -> bool:
    """Say whether a file begins like MP4, MOV, Matroska, WebM, AVI or FLV."""
    if head[4:8] == b"ftyp":
        return head[8:12] not in (b"avif", b"avis", b"heic", b"heix", b"mif1", b"msf1")
    return head[:4] == b"\x1aE\xdf\xa3" or head[8:12] == b"AVI " or head[:4] == b"FLV\x01"


def _to_rgb_array(values: np.ndarray, name: str) -> np.ndarray:
    channels = values.shape[2] if values.ndim == 3 else 1
    if values.ndim not in (2, 3) or channels not in (1, 3, 4) or not values.size:
        raise DataError(
            f"{name}: expected an array (H, W), (H, W, 3) or (H, W, 4), got {values.shape}. "
            f"Give several images, or the frames of a clip, as a list or an ImageSet."
        )
    if values.dtype.kind not in "buif":
        raise DataError(f"{name}: expected an array of numbers, got {values.dtype}.")
    pixels = to_bytes(values.reshape(*values.shape[:2], channels))
    if channels == 1:
        return np.repeat(pixels, 3, axis=2)
    if channels == 4:
        from PIL import Image

        return np.asarray(to_rgb(Image.fromarray(pixels, "RGBA")))
    return pixels


def _from_pil(image: Any, name: str) -> Frame:
    """The picture that a PIL image shows now, turned as its EXIF says."""
    from PIL import ImageOps

    with refusing(name):
        pixels = np.array(to_rgb(ImageOps.exif_transpose(image)))
    shown = getattr(image, "filename", "")
    return Frame.from_array(pixels, name=Path(os.fsdecode(shown)).name if shown else name)


@dataclass
class Animation:
    """A GIF, APNG or WebP of several frames, kept open while it is read forward."""

    picture: Picture
    _image: Any = field(default=None, repr=False)
    _lock: Any = field(default_factory=Lock, repr=False)

    def images(self) -> ImageSet:
        """Return the frames as a clip, after one pass that finds their times."""
        times, now = [], 0.0
        with self.picture.opened() as image:
            size = (image.height, image.width)
            # the first picture of an APNG may be for those who cannot show animations
            first = int(getattr(image, "default_image", False))
            for index in range(first, image.n_frames):
                image.seek(index)
                image.load()  # WebP tells the time only then
                times.append(now / 1000)
                now += float(image.info.get("duration", 0)) or SHORTEST_MS
        frames = [
            Frame(
                partial(self.read, index),
                size,
                name=self.picture.name,
                key=partial(self.key, index),
            )
            for index in range(first, first + len(times))
        ]
        return ImageSet.clip(frames, times)

    def read(self, index: int) -> np.ndarray:
        """Return the pixels of one frame."""
        from PIL import Image

        with self._lock, refusing(self.picture.name):
            if self._image is None:
                source = self.picture.source
                if isinstance(source, bytes):
                    self._image = Image.open(io.BytesIO(source))
                else:
                    self._image = Image.open(source)
            self._image.seek(index)
            return np.array(to_rgb(self._image))

    def key(self, index: int) -> str:
        """Return a hash of the file's bytes, with the frame's index."""
        return f"{self._hash}@{index}"

    @cached_property
    def _hash(self) -> str:
        return self.picture.key()

    def __getstate__(self) -> dict[str, Any]:
        return {"picture": self.picture}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]
