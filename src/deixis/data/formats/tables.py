"""Annotations as people have them: COCO and LVIS instances, YOLO's outlines, CVAT's XML.

A sample is an image with one target per object; what an object is called is its phrase.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np

from deixis.data.annotations.coco import Instances
from deixis.data.annotations.rows import LazySamples, objects_sample, open_picture, or_broken
from deixis.errors import DataError
from deixis.structures.masks import Mask
from deixis.structures.samples import Sample

CHECK = "Check the folder of the images."
LARGEST_XML = 2**28  # bytes
ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".bmp")


def open_coco(file: Path | str, images: Path | str) -> LazySamples:
    """Open COCO or LVIS instances, an image a sample, in the order of the file.

    LVIS names pictures by ``coco_url`` alone: its last two parts are sought below ``images``.

    Args:
        file: the JSON of instances.
        images: the folder of the pictures.

    Raises:
        DataError: the file is missing or broken.
    """
    instances = Instances.read(Path(file))
    maker = _Coco(Path(file).stem, instances, Path(images))
    rows = (*instances.by_image().items(), *instances.strays())
    return LazySamples(maker.name, rows, maker.sample, maker.labels)


@dataclass(frozen=True)
class _Coco:
    """Makes samples of COCO's instances."""

    name: str
    instances: Instances
    folder: Path

    def sample(self, row: tuple[int, Sequence[int]]) -> Sample:
        """Return the sample of an image."""
        entry = self.instances.image(row[0])
        names = [self._name(key) for key in row[1]]
        masks = [Mask(self.instances.map(key) > 0) for key in row[1]]
        images = open_picture(self.folder / entry["file_name"], CHECK)
        return objects_sample(images, names, masks, str(row[0]), self.name)

    def labels(self, row: tuple[int, Sequence[int]]) -> np.ndarray:
        """Return the maps (N, H, W) of an image's objects."""
        return np.stack([self.instances.map(key) for key in row[1]])

    def _name(self, key: int) -> str:
        number: Any = self.instances.annotation(key).get("category_id")
        name = self.instances.categories.get(number) if isinstance(number, int) else None
        return name or f"object {key}"


def open_yolo(folder: Path | str, names: Sequence[str]) -> LazySamples:
    """Open YOLO's outlines: ``images/X.jpg`` and ``labels/X.txt``, lines of "class x y x y ...".

    Args:
        folder: above ``images`` and ``labels``.
        names: of the classes.

    Raises:
        DataError: no such folder; later, a line that is no outline.
    """
    base = Path(folder)
    paths = sorted((base / "labels").glob("*.txt"))
    if not paths:
        raise DataError(f"{base / 'labels'}: expected .txt files, got none. {CHECK}")
    maker = _Yolo(base.name, base / "images", tuple(names))
    return LazySamples(maker.name, tuple(paths), maker.sample)


@dataclass(frozen=True)
class _Yolo:
    """Makes samples of YOLO's outlines."""

    name: str
    folder: Path
    names: tuple[str, ...]

    def sample(self, path: Path) -> Sample:
        """Return the sample of an image."""
        images = open_picture(_picture(self.folder, path.stem), CHECK)
        rows = list(self._outlines(path))
        height, width = images[0].size
        scaled = [(outline * (width, height)).ravel().tolist() for _, outline in rows]
        masks = [Mask.from_polygons([outline], (height, width)) for outline in scaled]
        return objects_sample(images, [name for name, _ in rows], masks, path.stem, self.name)

    def _outlines(self, path: Path) -> Iterator[tuple[str, np.ndarray]]:
        text = path.read_text(encoding="utf-8", errors="replace")
        for line, words in enumerate(map(str.split, text.splitlines()), start=1):
            if not words:
                continue
            try:
                number, values = int(words[0]), np.array(words[1:], dtype=np.float64)
            except ValueError:
                number, values = -1, np.zeros(0)
            good = len(values) >= 6 and len(values) % 2 == 0 and (np.abs(values) <= 2).all()
            if not good or not 0 <= number < len(self.names):
                raise DataError(
                    f"{path}:{line}: expected a class below {len(self.names)} and at least 3 "
                    f"corners as shares of the image, got {' '.join(words)[:60]!r}."
                )
            yield self.names[number], values.reshape(-1, 2)


def open_cvat(file: Path | str, images: Path | str) -> LazySamples:
    """Open CVAT's XML for images (1.1): polygons and masks by label.

    Args:
        file: the XML.
        images: the folder of the pictures.

    Raises:
        DataError: the file is missing or broken.
    """
    path = Path(file)
    if not path.is_file() or path.stat().st_size > LARGEST_XML:
        raise DataError(f"{path}: expected an XML file of at most {LARGEST_XML} bytes, got none.")
    content = path.read_bytes()
    if b"<!DOCTYPE" in content or b"<!ENTITY" in content:
        raise DataError(f"{path}: expected CVAT's XML, got one with entities. Export it again.")
    try:
        root = ElementTree.fromstring(content)
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise DataError(f"{path}: expected XML, got a broken file ({error}).") from error
    rows = tuple(or_broken(partial(_cvat_image, one, path)) for one in root.iter("image"))
    maker = _Cvat(path.stem, Path(images))
    return LazySamples(maker.name, rows, maker.sample)


@dataclass(frozen=True, slots=True, kw_only=True)
class _CvatImage:
    """An image of CVAT's XML: names of objects with their masks."""

    name: str
    objects: tuple[tuple[str, Mask], ...]


@dataclass(frozen=True)
class _Cvat:
    """Makes samples of CVAT's images."""

    name: str
    folder: Path

    def sample(self, row: _CvatImage) -> Sample:
        """Return the sample of an image."""
        images = open_picture(self.folder / row.name, CHECK)
        names = [name for name, _ in row.objects]
        return objects_sample(images, names, [mask for _, mask in row.objects], row.name, self.name)


def _cvat_image(image: ElementTree.Element, path: Path) -> _CvatImage:
    name = image.get("name", "")
    where = f"{path}: {name!r}"
    try:
        size = int(image.get("height", "")), int(image.get("width", ""))
    except ValueError:
        size = (0, 0)
    if min(size) < 1 or size[0] * size[1] > 2**28 or not name:
        raise DataError(f"{where}: expected a name, a width and a height, got {image.attrib}.")
    found = []
    for entry in image:
        try:
            if entry.tag == "polygon":
                points = [float(v) for v in entry.get("points", "").replace(";", ",").split(",")]
                mask = Mask.from_polygons([points], size)
            elif entry.tag == "mask":
                mask = _cvat_mask(entry, size)
            else:
                continue
        except ValueError as error:
            raise DataError(f"{where}: {entry.tag}: expected its numbers, got {error}") from error
        found.append((entry.get("label", "object"), mask))
    return _CvatImage(name=name, objects=tuple(found))


def _cvat_mask(entry: ElementTree.Element, size: tuple[int, int]) -> Mask:
    """Return a mask that CVAT writes as runs, row by row, within a box."""
    left, top, width, height = (int(entry.get(k, "")) for k in ("left", "top", "width", "height"))
    runs = [int(run) for run in entry.get("rle", "").split(",")]
    inside = 0 <= left <= left + width <= size[1] and 0 <= top <= top + height <= size[0]
    if min(runs) < 0 or sum(runs) != width * height or not inside:
        raise ValueError(f"runs of {sum(runs)} pixels for {width} x {height} at {left}, {top}")
    pixels = np.zeros(size, dtype=bool)
    block = np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(height, width)
    pixels[top : top + height, left : left + width] = block
    return Mask(pixels)


def _picture(folder: Path, stem: str) -> Path:
    paths = [folder / f"{stem}{ending}" for ending in ENDINGS]
    return next((path for path in paths if path.is_file()), paths[0])
