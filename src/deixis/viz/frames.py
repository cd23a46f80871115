"""A clip's answer frame by frame: one label picture and one JSON in COCO's form for each frame."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image

from deixis.structures.answers import GroundedAnswer, Target
from deixis.structures.images import ImageSet
from deixis.structures.masks import Mask
from deixis.structures.numbering import ordinal

DIGITS = 6  # of a frame's number in file names, from 1


def write_frames(folder: Path, images: ImageSet, image: int, answer: GroundedAnswer) -> None:
    """Write ``000097.png`` and ``000097.json`` for every frame of a clip, also where nothing shows.

    A pixel of the picture is the number of the target there, 0 where none is; of targets that
    overlap the later one. Numbers are those of the conversation, or of the answer's order.

    Args:
        folder: is made.
        images: what was asked about; image: which of them, a clip.
        answer: with masks of its frames.
    """
    folder.mkdir(parents=True)
    numbered = [
        (ordinal(position) if target.object_id is None else target.object_id, target)
        for position, target in enumerate(answer.targets)
    ]
    kind = np.uint8 if all(number < 256 for number, _ in numbered) else np.uint16
    span = images.spans[image]
    for index in span:
        number = ordinal(index - span.start)
        labels = np.zeros(images[index].size, dtype=kind)
        for label, target in numbered:
            if index in target.masks:
                labels[target.masks[index].pixels] = label
        name = f"{number:0{DIGITS}d}"
        Image.fromarray(labels).save(folder / f"{name}.png", compress_level=1)
        text = json.dumps(_coco(number, index, images, numbered, name), ensure_ascii=False)
        (folder / f"{name}.json").write_text(text + "\n", encoding="utf-8")


def _coco(
    number: int, index: int, images: ImageSet, numbered: list[tuple[int, Target]], name: str
) -> dict[str, object]:
    height, width = images[index].size
    shown = [(label, target) for label, target in numbered if index in target.masks]
    return {
        "images": [{"id": number, "file_name": f"{name}.png", "height": height, "width": width}],
        "annotations": [
            _annotation(ordinal(place), number, label, target, target.masks[index])
            for place, (label, target) in enumerate(shown)
        ],
        "categories": [{"id": label, "name": target.phrase} for label, target in numbered],
    }


def _annotation(
    place: int, image: int, label: int, target: Target, mask: Mask
) -> dict[str, object]:
    x0, y0, x1, y1 = mask.box or (0, 0, 0, 0)
    return {
        "id": place,
        "image_id": image,
        "category_id": label,
        "segmentation": mask.to_rle(),
        "area": mask.area,
        "bbox": [x0, y0, x1 - x0, y1 - y0],
        "iscrowd": 0,
        "score": target.score,
    }
