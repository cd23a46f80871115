"""Scenes cut to pictures and clips of unlike sides, for writing them in any layout.

A truth is a list of samples, each a list of (phrase, {frame: mask}); a phrase is None where a
layout has no place for it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from deixis.data.annotations.polygons import coco_map
from deixis.scenes.questions import make_sample
from deixis.structures.masks import Mask

SEED = 11
Truth = list[list[tuple[str | None, dict[int, Mask]]]]


@dataclass(frozen=True)
class Shown:
    """A picture or a clip (T, H, W, 3), its question, and its targets by phrase."""

    frames: np.ndarray
    question: str
    targets: tuple[tuple[str, dict[int, Mask]], ...]

    @property
    def size(self) -> tuple[int, int]:
        """(height, width)."""
        return self.frames.shape[1:3]

    def track(self, number: int) -> list[dict[str, object] | None]:
        """Return RLE or None of a target by frame."""
        masks = self.targets[number][1]
        return [masks[i].to_rle() if i in masks else None for i in range(len(self.frames))]


def shown(task: str, index: int, height: int, width: int, frames: int = 1) -> Shown:
    """Return a scene cut to (height, width)."""
    sample = make_sample("test", task, SEED, index)
    count = min(frames, len(sample.images))
    pixels = np.stack([sample.images[i].pixels[:height, :width] for i in range(count)])
    targets = []
    for target in sample.answer.targets:
        cut = {i: Mask(m.pixels[:height, :width]) for i, m in target.masks.items() if i < count}
        cut = {i: mask for i, mask in cut.items() if mask.area}
        if cut:
            targets.append((target.phrase, cut))
    return Shown(pixels, sample.question.text, tuple(targets))


def pictures() -> list[Shown]:
    """Return pictures of several targets each, of different sizes."""
    sizes = ((96, 128), (120, 88), (104, 112))
    found = [shown("many", i, *size) for i, size in enumerate(sizes)]
    assert all(len(one.targets) >= 2 for one in found), "choose another seed"
    return found


def clips() -> list[Shown]:
    """Return clips with one target each, which some frames may not show."""
    found = [shown("clip", i, 88, 120, frames=n) for i, n in ((0, 10), (2, 7))]
    assert all(len(one.targets) == 1 for one in found), "choose another seed"
    return found


def save(pixels: np.ndarray, path: Path) -> None:
    """Write a picture."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def save_frames(clip: Shown, folder: Path, names: Sequence[str] | None = None) -> list[str]:
    """Write the frames of a clip; return their names without ending."""
    names = [f"{i:05d}" for i in range(len(clip.frames))] if names is None else list(names)
    for name, frame in zip(names, clip.frames, strict=True):
        save(frame, folder / f"{name}.jpg")
    return names


def of_pictures(shows: Sequence[Shown]) -> Truth:
    """Return the truth of a set with a sample for each picture."""
    return [list(one.targets) for one in shows]


def polygons(mask: Mask, number: int) -> Any:
    """Return a mask as COCO's polygons: one a piece, and of one mask in four two that overlap.

    Where polygons cannot draw it, as where it has a hole, RLE is returned.
    """
    parts = [mask]
    if number % 4 == 0:
        _, top, _, bottom = mask.box
        rows, middle = np.arange(mask.size[0])[:, None], (top + bottom) // 2
        parts = [Mask(mask.pixels & side) for side in (rows < middle + 2, rows >= middle - 2)]
    outlines = [outline for part in parts for outline in part.to_polygons()]
    return outlines if Mask(coco_map(outlines, mask.size) > 0) == mask else mask.to_rle()


def instances(
    shows: Sequence[Shown],
    name: Callable[[int], str],
    shape: Callable[[Mask, int], Any] = lambda mask, number: mask.to_rle(),
) -> dict[str, Any]:
    """Return COCO instances, one for each target, drawn as ``shape`` says; categories by phrase."""
    phrases = sorted({phrase for one in shows for phrase, _ in one.targets})
    rows, images = [], []
    for image, one in enumerate(shows):
        height, width = one.size
        images.append({"id": image, "file_name": name(image), "height": height, "width": width})
        for phrase, masks in one.targets:
            x0, y0, x1, y1 = masks[0].box
            rows.append(
                {"id": len(rows), "image_id": image, "category_id": phrases.index(phrase)}
                | {"bbox": [x0, y0, x1 - x0, y1 - y0], "area": masks[0].area, "iscrowd": 0}
                | {"segmentation": shape(masks[0], len(rows))}
            )
    categories = [{"id": i, "name": phrase} for i, phrase in enumerate(phrases)]
    return {"images": images, "annotations": rows, "categories": categories}
