"""What all readers share: rows that become samples when asked for, pictures that may be missing."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, overload

import numpy as np

from deixis.errors import DataError
from deixis.structures.answers import GroundedAnswer, Target
from deixis.structures.images import ImageSet
from deixis.structures.masks import Mask
from deixis.structures.pictures import Picture
from deixis.structures.samples import Question, Sample

Row = TypeVar("Row")
PLACE = re.compile(r"(?:^|\s)(?:\w:)?[/\\]\w")  # a path, in an error that says where it is


@dataclass(frozen=True, slots=True)
class Broken:
    """A record that cannot be read, in its place among the others; ``reason`` is the error."""

    reason: str


def or_broken(read: Callable[[], Row]) -> Row | Broken:
    """Return what reading a record gives, or the record as a broken one.

    So one broken record neither hides the others nor passes unseen: it is refused when it is asked
    for, as `LazySamples` does.
    """
    try:
        return read()
    except DataError as error:
        return Broken(str(error))


@dataclass(frozen=True)
class LazySamples(Sequence[Sample]):
    """The samples of a data set: each is read and checked when it is asked for.

    Attributes:
        name: of the data set and split, such as "refcoco/val".
        rows: what is known without opening an image, one row per sample; `Broken` where a record
            cannot be read.
        make: returns the sample of a row.
        draw: returns the maps of labels (N, H, W) of a row as published metrics take them.
        extra: returns what else a published metric asks for: true boxes (x, y, width, height) of
            RefCOCO and its kin, pixels of any object (T, H, W) of ReVOS.
    """

    name: str
    rows: Sequence[Any]
    make: Callable[[Any], Sample]
    draw: Callable[[Any], np.ndarray] | None = None
    extra: Callable[[Any], Any] | None = None

    def __len__(self) -> int:
        return len(self.rows)

    @overload
    def __getitem__(self, index: int) -> Sample: ...

    @overload
    def __getitem__(self, index: slice) -> list[Sample]: ...

    def __getitem__(self, index: int | slice) -> Sample | list[Sample]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        return self._located(self.make, index)

    def labels(self, index: int) -> np.ndarray:
        """Return the maps (N, H, W) of a sample: 0 and 1, 2 where polygons overlap, 255 ignored.

        Raises:
            DataError: this data set has none.
        """
        if self.draw is None:
            raise DataError(f"{self.name}: expected maps of labels, got a data set without.")
        return self._located(self.draw, index)

    def more(self, index: int) -> Any:
        """Return what else a published metric asks for of a sample.

        Raises:
            DataError: this data set has nothing more.
        """
        if self.extra is None:
            raise DataError(f"{self.name}: expected more than masks, got a data set without.")
        return self._located(self.extra, index)

    def _located(self, read: Callable[[Any], Row], index: int) -> Row:
        """Return what is read of a row; an error that names no file names the record instead."""
        row = self.rows[index]
        if isinstance(row, Broken):
            raise DataError(row.reason)
        try:
            return read(row)
        except DataError as error:
            if PLACE.search(str(error)):
                raise
            raise DataError(f"{self.name}: record {index}: {error}") from error


def mask_of(rle: Any, where: str) -> Mask:
    """Return the mask of an RLE.

    Raises:
        DataError: it is none; the message says where.
    """
    try:
        return Mask.from_rle(rle)
    except DataError as error:
        raise DataError(f"{where}: {error}") from error


def below(root: Path | str, *folders: str) -> Path:
    """Return a folder below the root, or the root itself where it is that folder already."""
    path = Path(root)
    for folder in folders:
        path = path / folder if (path / folder).is_dir() else path
    return path


def open_picture(path: Path, page: str) -> ImageSet:
    """Return one picture of a data set.

    Raises:
        DataError: it is missing or broken; the message says where it belongs and where to get it.
    """
    if not path.is_file():
        raise DataError(f"{path.name}: expected in {path.parent}, got none. {page}")
    return ImageSet.pictures([Picture(path, path.name).frame()])


def open_frames(folder: Path, names: Sequence[str], rate: float, page: str) -> ImageSet:
    """Return frames of a data set as one clip, so many a second.

    Raises:
        DataError: a frame is missing or broken, or has another size than the first.
    """
    frames = []
    for name in names:
        found = [folder / f"{name}{ending}" for ending in ("", ".jpg", ".png")]
        path = next((path for path in found if path.is_file()), None)
        if path is None:
            raise DataError(f"{name}: expected in {folder}, got none. {page}")
        frames.append(Picture(path, f"{folder.name}/{name}").frame())
        if frames[-1].size != frames[0].size:
            raise DataError(
                f"{path}: expected a frame of {frames[0].size} (height, width) as the first, "
                f"got {frames[-1].size}."
            )
    if not frames:
        raise DataError(f"{folder}: expected a clip of at least one frame, got none.")
    return ImageSet.clip(frames, [index / rate for index in range(len(frames))])


def named_targets(phrases: Sequence[str], masks: Sequence[Mask]) -> GroundedAnswer:
    """Return an answer that names its targets: "a, b and c."; those without a pixel are absent."""
    text = ""
    targets: list[Target] = []
    spans: list[tuple[int, int]] = []
    absent: list[Target] = []
    for index, (phrase, mask) in enumerate(zip(phrases, masks, strict=True)):
        if not mask.area:
            absent.append(Target(phrase=phrase, masks={}))
            continue
        text += "" if not targets else " and " if index == len(phrases) - 1 else ", "
        spans.append((len(text), len(text) + len(phrase)))
        targets.append(Target(phrase=phrase, masks={0: mask}))
        text += phrase
    return GroundedAnswer(
        text=f"{text}." if text else "",
        targets=tuple(targets),
        spans=tuple(spans),
        absent=tuple(absent),
    )


def field(row: Any, name: str, kind: type | tuple[type, ...], where: str) -> Any:
    """Return a field of an entry.

    Raises:
        DataError: it is missing or of another kind.
    """
    value = row.get(name) if isinstance(row, dict) else None
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is int):
        kinds = kind if isinstance(kind, tuple) else (kind,)
        names = " or ".join(one.__name__ for one in kinds)
        raise DataError(f'{where}: "{name}": expected {names}, got {str(value)[:60]!r}.')
    return value


def objects_sample(
    images: ImageSet, names: Sequence[str], masks: Sequence[Mask], key: str, source: str
) -> Sample:
    """Return the sample that asks for all objects of an image, one target each."""
    asked = ", ".join(dict.fromkeys(names))
    return Sample(
        images=images,
        question=Question(text=f"Where is every {asked}?" if asked else "What is there?"),
        answer=named_targets(names, masks),
        id=key,
        source=source,
        type="instances",
    )
