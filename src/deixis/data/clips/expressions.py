"""Expressions about clips: MeViS, ReVOS, Ref-SAV, LV-VIS, Ref-YouTube-VOS and Ref-DAVIS17.

All have MeViS's files: expressions by video and id, and tracks of COCO RLE, or null, per frame.
Tracks are kept by annotation (``mask_dict.json``), or one per expression by a running number
(``mask_dict.pkl``). LV-VIS as UniPixel's loader reads it: one file of expressions, one of tracks.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from deixis.config import pick
from deixis.data.annotations.coco import read_json
from deixis.data.annotations.pickles import read_pickle
from deixis.data.annotations.rows import (
    Broken,
    LazySamples,
    below,
    field,
    mask_of,
    open_frames,
    or_broken,
)
from deixis.errors import DataError
from deixis.structures.answers import GroundedAnswer, Target
from deixis.structures.masks import Mask
from deixis.structures.samples import Question, Sample

RATE = 6.0  # frames a second of these sets, every fifth of 30
KINDS = ("referring", "reasoning")  # by type_id of ReVOS


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Where the files of a data set are, below its folder; ``{split}`` stands for the split."""

    folder: str
    meta: str
    masks: str
    frames: str
    page: str
    foreground: str = ""  # pixels of any object, by video
    ordered: bool = False  # numbers of expressions run over sorted names, not the file's order


LAYOUTS: Mapping[str, Layout] = {
    "mevis": Layout(
        folder="mevis",
        meta="{split}/meta_expressions.json",
        masks="{split}/mask_dict.json",
        frames="{split}/JPEGImages",
        page="https://github.com/henghuiding/MeViS says where to get it.",
    ),
    "revos": Layout(
        folder="ReVOS",
        meta="meta_expressions_{split}_.json",
        masks="mask_dict.json",
        frames="JPEGImages",
        page="https://github.com/cilinyan/VISA says where to get it.",
        foreground="mask_dict_foreground.json",
    ),
    "ref_sav": Layout(
        folder="ref_sav",
        meta="{split}/meta_expressions_{split}.json",
        masks="{split}/mask_dict.json",
        frames="{split}/videos",
        page="https://github.com/magic-research/Sa2VA says where to get it.",
    ),
    "lvvis": Layout(
        folder="lvvis",
        meta="meta_expressions.json",
        masks="mask_dict.json",
        frames="{split}/JPEGImages",
        page="https://github.com/haochenheheda/LVVIS says where to get it.",
    ),
    "ref_youtube_vos": Layout(
        folder="ref_youtube_vos",
        meta="meta_expressions/{split}/meta_expressions.json",
        masks="{split}/mask_dict.pkl",
        frames="{split}/JPEGImages",
        page="https://youtube-vos.org/dataset/rvos says where to get it.",
    ),
    "ref_davis17": Layout(
        folder="ref_davis17",
        meta="meta_expressions/{split}/meta_expressions.json",
        masks="{split}/mask_dict.pkl",
        frames="DAVIS/JPEGImages/480p",
        page="https://github.com/wjn922/ReferFormer says where to get it.",
        ordered=True,
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Expression:
    """One expression about a clip.

    Attributes:
        tracks: keys of its tracks.
        kind: "referring" or "reasoning" where the data set says so.
    """

    video: str
    key: str
    text: str
    frames: tuple[str, ...]
    tracks: tuple[str, ...]
    kind: str


def open_expressions(root: Path | str, dataset: str, split: str) -> LazySamples:
    """Open the expressions of a split, in the order of the file.

    Where the masks are not public (the server's splits), samples have no true answer.

    Args:
        root: the folder above the data set's, or the data set's.
        dataset: a key of `LAYOUTS`.
        split: as in the names of files: "train", "valid_u", "valid".

    Raises:
        ConfigError: an unknown data set.
        DataError: a file is missing or broken.
    """
    layout = pick(LAYOUTS, dataset, "data set of clips")
    base = below(root, layout.folder)
    meta = base / layout.meta.format(split=split)
    if not meta.is_file():
        raise DataError(f"{meta.name}: expected in {meta.parent}, got none. {layout.page}")
    by_number = layout.masks.endswith(".pkl")
    rows = tuple(_expressions(meta, by_number, layout.ordered))
    masks = base / layout.masks.format(split=split)
    maker = _Clips(
        name=f"{dataset}/{split}",
        frames=base / layout.frames.format(split=split),
        masks=masks,
        tracks=_tracks(masks) if masks.is_file() else None,
        page=layout.page,
        foreground=base / layout.foreground if layout.foreground else None,
    )
    more = maker.any_object if layout.foreground else None
    return LazySamples(maker.name, rows, maker.sample, maker.labels, more)


@dataclass(frozen=True, kw_only=True)
class _Clips:
    """Makes samples of expressions about clips."""

    name: str
    frames: Path
    masks: Path
    tracks: Mapping[str, Any] | None
    page: str
    foreground: Path | None = None

    def sample(self, row: Expression) -> Sample:
        """Return the sample of an expression."""
        return Sample(
            images=open_frames(self.frames / row.video, row.frames, RATE, self.page),
            question=Question(text=row.text),
            answer=None if self.tracks is None else self._answer(row),
            id=f"{row.video}/{row.key}",
            source=self.name,
            type=row.kind,
        )

    def labels(self, row: Expression) -> np.ndarray:
        """Return how many tracks cover each pixel, uint8 (T, H, W).

        Raises:
            DataError: there are no masks, or a track is broken.
        """
        size = open_frames(self.frames / row.video, row.frames[:1], RATE, self.page)[0].size
        total = np.zeros((len(row.frames), *size), dtype=np.uint8)
        for track in self._of(row):
            for frame, rle in zip(total, track, strict=False):
                if rle is not None:
                    pixels = mask_of(rle, self._where(row)).pixels
                    self._check(pixels.shape == size, row, f"masks of {size}, got {pixels.shape}")
                    frame += pixels
        return total

    def any_object(self, row: Expression) -> np.ndarray:
        """Return the pixels of any object, bool (T, H, W), as ReVOS's robustness asks for.

        Raises:
            DataError: the data set has no such file, or one without this video.
        """
        if self.foreground is None or not self.foreground.is_file():
            name = self.foreground.name if self.foreground else "foreground"
            raise DataError(f"{name}: expected in {self.masks.parent}, got none. {self.page}")
        size = open_frames(self.frames / row.video, row.frames[:1], RATE, self.page)[0].size
        where = f"{self.foreground}: {row.video}"
        known = _foreground(self.foreground, self.foreground.stat().st_mtime_ns)
        entry = field(known, row.video, dict, str(self.foreground))
        track = field(entry, "masks_rle", list, where)
        self._check(len(track) >= len(row.frames), row, f"a foreground of {len(row.frames)} frames")
        total = np.zeros((len(row.frames), *size), dtype=bool)
        for frame, rles in zip(total, track, strict=False):
            for rle in rles if isinstance(rles, list) else [rles]:
                if rle is not None:
                    pixels = mask_of(rle, where).pixels
                    self._check(pixels.shape == size, row, f"masks of {size}, got {pixels.shape}")
                    frame |= pixels
        return total

    def _answer(self, row: Expression) -> GroundedAnswer:
        """Return the answer with one target, the union of the tracks; none if there is nothing."""
        masks: dict[int, Mask] = {}
        for track in self._of(row):
            for index, rle in enumerate(track[: len(row.frames)]):
                if rle is None:
                    continue
                mask = mask_of(rle, self._where(row))
                masks[index] = masks[index].joined(mask) if index in masks else mask
        masks = {index: mask for index, mask in sorted(masks.items()) if mask.area}
        target = Target(phrase=row.text, masks=masks)
        if not masks:
            return GroundedAnswer(text="", absent=(target,))
        return GroundedAnswer(text=row.text, targets=(target,), spans=((0, len(row.text)),))

    def _of(self, row: Expression) -> list[Sequence[Any]]:
        if self.tracks is None:
            raise DataError(f"{self.masks.name}: expected in {self.masks.parent}, got none.")
        found: list[Sequence[Any]] = []
        for key in row.tracks:
            track: Any = self.tracks.get(key)
            good = isinstance(track, list) and len(track) >= len(row.frames)
            self._check(good, row, f"a track {key} of {len(row.frames)} frames, got none such")
            found.append(track)
        return found

    def _check(self, good: bool, row: Expression, expected: str) -> None:
        if not good:
            raise DataError(f"{self._where(row)}: expected {expected}.")

    def _where(self, row: Expression) -> str:
        return f"{self.masks}: {row.video}/{row.key}"


def _expressions(meta: Path, by_number: bool, ordered: bool) -> Iterator[Expression | Broken]:
    """Yield the expressions of a file in its order, with the keys of their tracks.

    A video without expressions is one broken row, or an error where the masks are numbered over
    all expressions: those of the others could not be told then.
    """
    videos = field(read_json(meta, dict), "videos", dict, str(meta))
    entries, broken = [], []
    for video, clip in videos.items():
        where = f"{meta}: {video}"
        asked = or_broken(partial(field, clip, "expressions", dict, where))
        if not isinstance(asked, Broken):
            entries += [(video, key, expression, clip) for key, expression in asked.items()]
        elif by_number:
            raise DataError(asked.reason)
        else:
            broken.append(asked)
    counted = sorted(entries, key=lambda entry: entry[:2]) if ordered else entries
    numbers = {entry[:2]: str(number) for number, entry in enumerate(counted)}
    for video, key, expression, clip in entries:
        number = numbers[video, key] if by_number else None
        yield or_broken(partial(_expression, video, key, expression, clip, number, meta))
    yield from broken


def _expression(
    video: str, key: str, entry: Any, clip: Any, number: str | None, meta: Path
) -> Expression:
    frames = field(clip, "frames", list, f"{meta}: {video}")
    text = field(entry, "exp", str, f"{meta}: {video}/{key}")
    kind, tracks = entry.get("type_id"), entry.get("anno_id", [])
    tracks = tracks if isinstance(tracks, list) else [tracks]
    return Expression(
        video=video,
        key=key,
        text=text,
        frames=tuple(map(str, frames)),
        tracks=tuple(map(str, tracks)) if number is None else (number,),
        kind=KINDS[kind] if kind in (0, 1) else "",
    )


@lru_cache(maxsize=1)
def _foreground(path: Path, changed: int) -> dict[str, Any]:
    """Return the file as of its last change."""
    found: dict[str, Any] = read_json(path, dict)
    return found


def _tracks(path: Path) -> dict[str, Any]:
    """Return tracks by key, as text."""
    value = read_pickle(path) if path.suffix == ".pkl" else read_json(path, dict)
    if not isinstance(value, dict):
        raise DataError(f"{path}: expected tracks by key, got a {type(value).__name__}.")
    return {str(key): track for key, track in value.items()}
