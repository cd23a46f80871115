"""GroundMoRe: questions about what moves in a clip, and why, answered with one or more objects.

Layout: ``groundmore/FILE.json`` and ``groundmore/annotations/VIDEO/{images,masks}``; a mask's
values are object ids, and a missing one means that there is no object. A clip's name ends in its
start and end as ``mmss_mmss``.
"""

import re
from collections.abc import Mapping
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
    open_frames,
    or_broken,
)
from deixis.errors import DataError
from deixis.structures.answers import GroundedAnswer, Target
from deixis.structures.images import ImageSet
from deixis.structures.masks import Mask
from deixis.structures.pictures import refusing
from deixis.structures.samples import Question, Sample

RATE = 6.0  # frames a second
SAMPLED = 20  # frames of a clip that are evaluated
PAGE = "https://github.com/groundmore/GroundMoRe says where to get it."


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One question: the frames that are looked at, and while which of them the action lasts."""

    video: str
    key: str
    text: str
    answer: str
    kind: str
    objects: tuple[int, ...]
    action: tuple[int, int]  # first and last frame, both included


def open_groundmore(
    root: Path | str, split: str = "test_v2", *, frames: int | None = SAMPLED
) -> LazySamples:
    """Open GroundMoRe's questions in the order of the file.

    Args:
        root: the folder above ``groundmore``, or that one.
        split: the file's name without its ending: "test_v2", "trainval_v2", "groundmore_test".
        frames: how many frames of a clip, evenly taken, first and last included, some of them twice
            in a shorter clip; None: all.

    Raises:
        DataError: a file is missing or broken.
    """
    base = below(root, "groundmore")
    path = base / f"{split}.json"
    if not path.is_file():
        raise DataError(f"{path.name}: expected in {base}, got none. {PAGE}")
    videos = field(read_json(path, dict), "videos", dict, str(path))
    rows: list[Asked | Broken] = []
    for video, clip in videos.items():
        asked = or_broken(partial(field, clip, "questions", dict, f"{path}: {video}"))
        if isinstance(asked, Broken):
            rows.append(asked)
            continue
        for key, entry in asked.items():
            rows.append(or_broken(partial(_asked, video, key, entry, f"{path}: {video}/{key}")))
    maker = _GroundMore(f"groundmore/{split}", base / "annotations", frames)
    return LazySamples(maker.name, tuple(rows), maker.sample, maker.labels)


@dataclass(frozen=True)
class _GroundMore:
    """Makes samples of GroundMoRe."""

    name: str
    folder: Path
    frames: int | None

    def sample(self, row: Asked) -> Sample:
        """Return the sample of a question."""
        images, masks = self._look(row)
        target = Target(phrase=row.answer, masks=masks)
        if masks:
            spans = ((0, len(row.answer)),)
            answer = GroundedAnswer(text=row.answer, targets=(target,), spans=spans)
        else:
            answer = GroundedAnswer(text=row.answer, absent=(target,))
        return Sample(
            images=images,
            question=Question(text=row.text),
            answer=answer,
            id=f"{row.video}/{row.key}",
            source=self.name,
            type=row.kind,
        )

    def labels(self, row: Asked) -> np.ndarray:
        """Return the true masks of the frames that are looked at, uint8 (T, H, W)."""
        images, masks = self._look(row)
        total = np.zeros((len(images), *images[0].size), dtype=np.uint8)
        for index, mask in masks.items():
            total[index] = mask.pixels
        return total

    def _look(self, row: Asked) -> tuple[ImageSet, dict[int, Mask]]:
        """Return the frames of a question and its masks by their place among them."""
        folder = self.folder / row.video / "images"
        names = sorted(path.name for path in folder.glob("*.jpg"))
        if not names:
            raise DataError(f"{row.video}: expected frames in {folder}, got none. {PAGE}")
        count = len(names) if self.frames is None else self.frames
        places = np.linspace(0, len(names) - 1, count).astype(int).tolist()
        images = open_frames(folder, [names[place] for place in places], RATE, PAGE)
        masks = {}
        for index, place in enumerate(places):
            path = self.folder / row.video / "masks" / f"{Path(names[place]).stem}.png"
            if row.action[0] <= place <= row.action[1] and path.is_file():
                mask = Mask(np.isin(_values(path), row.objects))
                if mask.area:
                    masks[index] = mask
        return images, masks


def _asked(video: str, key: str, entry: Any, where: str) -> Asked:
    objects = re.fullmatch(r"\d+(, *\d+)*", str(field(entry, "obj_id", (str, int), where)))
    clip = re.search(r"(\d\d)(\d\d)_\d{4}$", video)
    if objects is None or clip is None:
        raise DataError(
            f'{where}: expected objects as "1, 2" and a clip as "..._mmss_mmss", got '
            f"{entry['obj_id']!r} and {video!r}."
        )
    start = 60 * int(clip[1]) + int(clip[2])
    first, end = (_seconds(entry, name, where) - start for name in ("action_start", "action_end"))
    return Asked(
        video=video,
        key=key,
        text=field(entry, "question", str, where),
        answer=str(entry.get("answer") or "it"),
        kind=str(entry.get("q_type", "")),
        objects=tuple(int(one) for one in objects[0].split(",")),
        action=(round(first * RATE), round(end * RATE) - 1),
    )


def _seconds(entry: Mapping[str, Any], name: str, where: str) -> int:
    text = field(entry, name, str, where)
    if not re.fullmatch(r"\d+:\d\d", text):
        raise DataError(f'{where}: "{name}": expected mm:ss, got {text!r}.')
    minutes, seconds = text.split(":")
    return 60 * int(minutes) + int(seconds)


def _values(path: Path) -> np.ndarray:
    """Return the values of an index picture (H, W)."""
    from PIL import Image

    with refusing(path.name), Image.open(path) as image:
        values = np.asarray(image)
        if values.ndim != 2:
            raise DataError(f"{path}: expected one value a pixel, got shape {values.shape}.")
        return values
