"""ViCaS: object referrals in captioned videos, each with the masks of one or more tracks.

Read in UniPixel's loader: ``vicas/splits/v1.0/SPLIT.json`` lists videos,
``vicas/annotations/annotations_wo_masks_v1.0.json`` holds them by number of six digits, with
``segmentations: [{filename}]`` and ``object_referrals: [{prompt, track_ids}]``, the masks of
referral i are in ``vicas/masks/VIDEO/i.json`` (RLE or null by frame and track), pictures in
``vicas/video_frames/VIDEO``. Where a folder of that name holds one JSON a video instead, as
ViCaS publishes them, masks stand in its ``segmentations`` (``track_ids``, ``mask_rles``).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from deixis.data.annotations.coco import read_json
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

RATE = 1.0  # annotated frames a second: assumed
PAGE = "https://github.com/Ali2500/ViCaS says where to get it."
ANNOTATIONS = ("annotations/annotations_wo_masks_v1.0.json", "annotations/v1.0")


@dataclass(frozen=True, slots=True, kw_only=True)
class Referral:
    """One referral: its video, its number, and the video's entry."""

    video: str
    number: int
    entry: Mapping[str, Any]
    where: str


def open_vicas(root: Path | str, split: str = "val") -> LazySamples:
    """Open the referrals of a split, in the order of its list of videos.

    Args:
        root: the folder above ``vicas``, or that one.
        split: "train", "val" or "test".

    Raises:
        DataError: a file is missing or broken.
    """
    base = below(root, "vicas")
    listed = base / "splits/v1.0" / f"{split}.json"
    if not listed.is_file():
        raise DataError(f"{listed.name}: expected in {listed.parent}, got none. {PAGE}")
    entries = _Entries(base)
    rows: list[Referral | Broken] = []
    for number in read_json(listed, list):
        found = or_broken(partial(_referrals, entries, str(number).zfill(6)))
        rows += [found] if isinstance(found, Broken) else found
    maker = _Vicas(f"vicas/{split}", base)
    return LazySamples(maker.name, tuple(rows), maker.sample, maker.labels)


def _referrals(entries: "_Entries", key: str) -> list[Referral]:
    """Return the referrals of a video."""
    entry, where = entries.of(key), f"{entries.path}: {key}"
    referrals = field(entry, "object_referrals", list, where)
    video = field(entry, "filename", str, where)[:6]
    return [
        Referral(video=video, number=i, entry=entry, where=f"{where}: referral {i}")
        for i in range(len(referrals))
    ]


class _Entries:
    """The videos' entries, in one file or in one each."""

    def __init__(self, base: Path) -> None:
        whole = base / ANNOTATIONS[0]
        self.path = whole if whole.exists() else base / ANNOTATIONS[1]
        if not self.path.exists():
            raise DataError(f"{whole.name}: expected in {whole.parent}, got none. {PAGE}")
        self._known = read_json(whole, dict) if whole.is_file() else None

    def of(self, key: str) -> Mapping[str, Any]:
        """Return the entry of a video."""
        if self._known is not None:
            found: Mapping[str, Any] = field(self._known, key, dict, str(self.path))
            return found
        found = read_json(self.path / f"{key}.json", dict)
        return found


@dataclass(frozen=True)
class _Vicas:
    """Makes samples of referrals."""

    name: str
    base: Path

    def sample(self, row: Referral) -> Sample:
        """Return the sample of a referral."""
        names = self._frames(row)
        text = field(row.entry["object_referrals"][row.number], "prompt", str, row.where).strip()
        images = open_frames(self.base / "video_frames" / row.video, names, RATE, PAGE)
        united = [self._united(rles, row, i) for i, rles in enumerate(self._rles(row))]
        masks = {i: mask for i, mask in enumerate(united) if mask is not None and mask.area}
        target = Target(phrase=text, masks=masks)
        if masks:
            answer = GroundedAnswer(text=text, targets=(target,), spans=((0, len(text)),))
        else:
            answer = GroundedAnswer(text="", absent=(target,))
        return Sample(
            images=images,
            question=Question(text=text),
            answer=answer,
            id=f"{row.video}/{row.number}",
            source=self.name,
            type="referral",
        )

    def labels(self, row: Referral) -> np.ndarray:
        """Return the masks of a referral, uint8 (T, H, W); tracks are united."""
        names = self._frames(row)
        folder = self.base / "video_frames" / row.video
        total = np.zeros((len(names), *open_frames(folder, names[:1], RATE, PAGE)[0].size), "uint8")
        for index, rles in enumerate(self._rles(row)):
            mask = self._united(rles, row, index)
            if mask is not None:
                if mask.size != total.shape[1:]:
                    raise DataError(
                        f"{row.where}: frame {index}: expected masks of {total.shape[1:]}, "
                        f"got {mask.size}."
                    )
                total[index] = mask.pixels
        return total

    def _frames(self, row: Referral) -> list[str]:
        rows = field(row.entry, "segmentations", list, row.where)
        return [field(frame, "filename", str, row.where) for frame in rows]

    def _rles(self, row: Referral) -> Sequence[Any]:
        """Return, for each frame, RLE or null by track."""
        frames = row.entry["segmentations"]
        if any("mask_rles" in frame for frame in frames):
            ids = field(
                row.entry["object_referrals"][row.number], "track_ids", list, row.where
            )
            return [_of_tracks(frame, ids, row.where) for frame in frames]
        path = self.base / "masks" / row.video / f"{row.number}.json"
        if not path.is_file():
            raise DataError(f"{path.name}: expected in {path.parent}, got none. {PAGE}")
        found: Sequence[Any] = read_json(path, list)
        if len(found) != len(frames):
            raise DataError(f"{path}: expected masks of {len(frames)} frames, got {len(found)}.")
        return found

    def _united(self, rles: Any, row: Referral, index: int) -> Mask | None:
        """Return the union of a frame's masks; None where there is none."""
        if not isinstance(rles, list):
            raise DataError(
                f"{row.where}: frame {index}: expected a list of RLE, got {str(rles)[:60]!r}."
            )
        united: Mask | None = None
        for rle in rles:
            if rle is not None:
                mask = mask_of(rle, f"{row.where}: frame {index}")
                united = mask if united is None else united.joined(mask)
        return united


def _of_tracks(frame: Any, ids: Sequence[Any], where: str) -> list[Any]:
    """Return the masks of some tracks in a frame; a track that is not there has none."""
    known = field(frame, "track_ids", list, where)
    masks = field(frame, "mask_rles", list, where)
    if len(known) != len(masks):
        raise DataError(f"{where}: expected {len(known)} masks, one a track, got {len(masks)}.")
    return [mask for key, mask in zip(known, masks, strict=True) if key in ids]
