"""Annotations as people have them: pictures of masks beside pictures, Label Studio's JSON, parquet.

A sample is an image with one target per object.
"""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import accumulate
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np

from deixis.data.annotations.coco import read_json
from deixis.data.annotations.polygons import coco_map
from deixis.data.annotations.rows import (
    LazySamples,
    field,
    named_targets,
    objects_sample,
    open_picture,
    or_broken,
)
from deixis.errors import DataError
from deixis.extras import require
from deixis.structures.images import ImageSet
from deixis.structures.masks import Mask
from deixis.structures.opening import PICTURE_ENDINGS
from deixis.structures.pictures import Picture, refusing
from deixis.structures.samples import Question, Sample

CHECK = "Check the folder of the images."
POLYGONS = "polygonlabels"


def open_mask_folder(
    images: Path | str, masks: Path | str, names: Mapping[int, str] | None = None
) -> LazySamples:
    """Open pictures with a PNG of the same name each: every value but 0 is an object.

    Args:
        images: the folder of the pictures; those without a mask are left out.
        masks: the folder of the PNGs.
        names: of the values; others are called by their number.

    Raises:
        DataError: no picture has a mask.
    """
    folder, base = Path(images), Path(masks)
    found = sorted(folder.iterdir()) if folder.is_dir() else []
    rows = tuple(
        (path, base / f"{path.stem}.png")
        for path in found
        if path.suffix.lower() in PICTURE_ENDINGS and (base / f"{path.stem}.png").is_file()
    )
    if not rows:
        raise DataError(f"{base}: expected a .png for pictures of {folder}, got none. {CHECK}")
    maker = _MaskFolder(folder.name, dict(names or {}))
    return LazySamples(maker.name, rows, maker.sample, maker.labels)


@dataclass(frozen=True)
class _MaskFolder:
    """Makes samples of pictures of masks."""

    name: str
    names: Mapping[int, str]

    def sample(self, row: tuple[Path, Path]) -> Sample:
        """Return the sample of a picture."""
        values = self.labels(row)[0]
        found = [int(value) for value in np.unique(values) if value]
        names = [self.names.get(value, f"object {value}") for value in found]
        images = open_picture(row[0], CHECK)
        return objects_sample(
            images, names, [Mask(values == v) for v in found], row[0].stem, self.name
        )

    def labels(self, row: tuple[Path, Path]) -> np.ndarray:
        """Return the values (1, H, W) of a picture of masks; a colour is one value."""
        from PIL import Image

        with refusing(row[1].name), Image.open(row[1]) as image:
            values = np.asarray(image)
        if values.ndim == 3:
            colours = values[..., :3].astype(np.int64) @ (1 << 16, 1 << 8, 1)
            values = np.unique(np.append(0, colours), return_inverse=True)[1][1:]
            values = values.reshape(colours.shape)
        return values.astype(np.int64)[None]


def open_label_studio(file: Path | str, images: Path | str) -> LazySamples:
    """Open Label Studio's JSON: polygons by label, of the first annotation of each task.

    Args:
        file: the export.
        images: the folder of the pictures, found by the last part of their address.

    Raises:
        DataError: the file is missing or broken; later, a task with brushes instead of polygons.
    """
    path = Path(file)
    entries = enumerate(read_json(path, list))
    rows = tuple(or_broken(partial(_task, entry, index, path)) for index, entry in entries)
    maker = _LabelStudio(path.stem, Path(images))
    return LazySamples(maker.name, rows, maker.sample)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Task:
    """A task of Label Studio: a picture and its outlines, in percent of the image."""

    key: str
    image: str
    outlines: tuple[tuple[str, tuple[float, ...]], ...]


@dataclass(frozen=True)
class _LabelStudio:
    """Makes samples of tasks."""

    name: str
    folder: Path

    def sample(self, row: _Task) -> Sample:
        """Return the sample of a task."""
        images = open_picture(self.folder / row.image, CHECK)
        height, width = images[0].size
        masks = []
        for _, outline in row.outlines:
            points = np.array(outline).reshape(-1, 2) * (width / 100, height / 100)
            masks.append(Mask.from_polygons([points.ravel().tolist()], (height, width)))
        return objects_sample(images, [name for name, _ in row.outlines], masks, row.key, self.name)


def open_parquet(file: Path | str, columns: Mapping[str, str] | None = None) -> LazySamples:
    """Open a parquet file of HF's ``datasets``: pictures as bytes, masks as RLE or 2-D booleans.

    Args:
        file: the parquet file.
        columns: the names of the columns "image", "text" and "mask", where they differ.

    Raises:
        DataError: the file is missing or broken, or lacks a column.
        MissingExtra: pyarrow is not installed.
    """
    require("pyarrow", extra="data")
    from pyarrow import ArrowException
    from pyarrow.parquet import ParquetFile

    path, names = Path(file), {"image": "image", "text": "text", "mask": "mask", **(columns or {})}
    if not path.is_file():
        raise DataError(f"{path}: expected a parquet file, got none. Check the path.")
    try:
        table = ParquetFile(path)
        missing = set(names.values()) - set(table.schema_arrow.names)
        counts = [table.metadata.row_group(i).num_rows for i in range(table.num_row_groups)]
        whole = min(counts, default=0) >= 0 and sum(counts) == table.metadata.num_rows
    except (ArrowException, OSError, ValueError) as error:
        raise DataError(f"{path}: expected a parquet file, got a broken one.") from error
    if not whole:
        raise DataError(f"{path}: expected groups of rows that add up, got {counts[:9]}.")
    if missing:
        raise DataError(
            f"{path}: expected the columns {sorted(names.values())}, got "
            f"{sorted(table.schema_arrow.names)}. Name them with columns."
        )
    rows = _Rows(tuple(accumulate(counts, initial=0)))
    return LazySamples(path.stem, rows, _Parquet(path, names).sample)


@dataclass(frozen=True)
class _Rows(Sequence[Any]):
    """Places (group, row) of a parquet file; ``starts`` are the groups' first rows, and the end."""

    starts: tuple[int, ...]

    def __len__(self) -> int:
        return self.starts[-1]

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        place = index + len(self) if index < 0 else index
        if not 0 <= place < len(self):
            raise IndexError(index)
        group = bisect_right(self.starts, place) - 1
        return group, place - self.starts[group]


@dataclass(frozen=True)
class _Parquet:
    """Makes samples of rows of a parquet file; one group of rows is read at a time."""

    path: Path
    names: Mapping[str, str]

    def sample(self, row: tuple[int, int]) -> Sample:
        """Return the sample of a row."""
        from pyarrow import ArrowException
        from pyarrow.parquet import ParquetFile

        columns = list(self.names.values())
        where = f"{self.path}: group {row[0]}, row {row[1]}"
        try:
            table = ParquetFile(self.path).read_row_group(row[0], columns=columns)
            entry = table.slice(row[1], 1).to_pylist()[0]
        except (ArrowException, OSError, ValueError, LookupError) as error:
            raise DataError(f"{where}: expected a row, got a broken file.") from error
        picture = field(entry, self.names["image"], (bytes, dict), where)
        content = picture if isinstance(picture, bytes) else field(picture, "bytes", bytes, where)
        images = ImageSet.pictures([Picture(content, where).frame()])
        text = entry[self.names["text"]]
        phrase = str(text[0] if isinstance(text, list) and text else text)
        mask = _mask(entry[self.names["mask"]], images[0].size, where)
        return Sample(
            images=images,
            question=Question(text=phrase),
            answer=named_targets([phrase], [mask]),
            id=f"{row[0]}/{row[1]}",
            source=self.path.stem,
            type="referring",
        )


def _mask(value: Any, size: tuple[int, int], where: str) -> Mask:
    """Return a mask given as RLE, polygons or rows of booleans."""
    rows = isinstance(value, list) and value and isinstance(value[0], list)
    if rows and len(value) == size[0] and all(len(row) == size[1] for row in value):
        return Mask(np.array(value, dtype=bool))
    return Mask(coco_map(value, size, where) > 0)


def _task(entry: Any, index: int, path: Path) -> _Task:
    where = f"{path}:{index}"
    address = field(field(entry, "data", dict, where), "image", str, where)
    given = field(entry, "annotations", list, where)
    results = field(given[0], "result", list, where) if given else []
    outlines = []
    for result in results:
        value = field(result, "value", dict, where)
        if result.get("type") != POLYGONS:
            raise DataError(
                f"{where}: expected {POLYGONS}, got {result.get('type')!r}. Export brushes as PNG."
            )
        labels = field(value, POLYGONS, list, where)
        points = field(value, "points", list, where)
        pairs = all(isinstance(point, list) and len(point) == 2 for point in points)
        numbers = [v for point in points for v in point] if pairs else []
        if len(numbers) < 6 or not all(type(v) in (int, float) for v in numbers):
            raise DataError(f"{where}: expected at least 3 points [x, y], got {str(points)[:60]}.")
        outlines.append((str(labels[0]) if labels else "object", tuple(map(float, numbers))))
    image = unquote(address).replace("\\", "/").split("/")[-1]
    return _Task(key=str(entry.get("id", index)), image=image, outlines=tuple(outlines))
