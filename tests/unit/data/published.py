"""Writes tiny data sets in their published layouts, odd entries included, whose truth is known."""

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

SIZE = (30, 40)  # (height, width)


def box_mask(x0: int, y0: int, x1: int, y1: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    """Return the mask of a half-open box."""
    mask = np.zeros(size, dtype=bool)
    mask[y0:y1, x0:x1] = True
    return mask


def box_polygon(x0: int, y0: int, x1: int, y1: int) -> list[float]:
    """Return the outline of a box along the edges of pixels, as COCO writes it."""
    return [x0, y0, x1, y0, x1, y1, x0, y1]


def picture(path: Path, size: tuple[int, int] = SIZE) -> None:
    """Write a grey picture."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((*size, 3), 90, dtype=np.uint8)).save(path)


def write_json(path: Path, value: Any) -> None:
    """Write JSON, with its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


BOXES = {10: (2, 3, 12, 13), 11: (20, 5, 30, 25), 12: (1, 1, 5, 3)}


def instances() -> dict[str, Any]:
    """Return COCO instances: three boxes, the second in two parts that overlap."""
    rows = []
    for key, (x0, y0, x1, y1) in BOXES.items():
        parts = [box_polygon(x0, y0, x1, y1)]
        if key == 11:
            parts.append(box_polygon(x0, y0, x1 - 5, y1 - 10))
        box = [x0, y0, x1 - x0, y1 - y0]
        image = 2 if key == 12 else 1
        rows.append(
            {"id": key, "image_id": image, "category_id": 3, "iscrowd": 0, "bbox": box}
            | {"segmentation": parts, "area": 1.0}
        )
    images = [
        {"id": key, "file_name": f"COCO_train2014_{key:012d}.jpg", "height": 30, "width": 40}
        for key in (1, 2)
    ]
    return {"images": images, "annotations": rows, "categories": [{"id": 3, "name": "box"}]}


def write_refcoco(root: Path, dataset: str, by: str, refs: list[dict[str, Any]]) -> None:
    """Write references beside instances and pictures; gRefCOCO as JSON, the others as pickle."""
    folder = root / "refer_seg" / dataset
    write_json(folder / "instances.json", instances())
    if dataset == "grefcoco":
        write_json(folder / f"grefs({by}).json", refs)
    else:
        (folder / f"refs({by}).p").write_bytes(pickle.dumps(refs, protocol=2))
    for image in instances()["images"]:
        picture(root / "refer_seg/images/mscoco/images/train2014" / image["file_name"])


def ref(ref_id: int, ann_id: Any, split: str, *sentences: str, image: int = 1) -> dict[str, Any]:
    """Return one reference."""
    rows = [
        {"sent": text, "raw": text.upper(), "sent_id": i, "tokens": text.split()}
        for i, text in enumerate(sentences)
    ]
    return {
        "ref_id": ref_id,
        "ann_id": ann_id,
        "image_id": image,
        "category_id": 3,
        "split": split,
        "file_name": "another.jpg",
        "sentences": rows,
        "sent_ids": [row["sent_id"] for row in rows],
    }
