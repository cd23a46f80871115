"""COCO's ``instances.json``: images and annotations by id, checked when they are asked for."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from deixis.data.annotations.polygons import coco_map
from deixis.data.annotations.rows import Broken
from deixis.errors import DataError


def read_json(path: Path, kind: type) -> Any:
    """Return a JSON file that holds a list or a mapping.

    Raises:
        DataError: there is none, it is broken, or holds something else.
    """
    if not path.is_file():
        raise DataError(f"{path}: expected a JSON file, got none. Check the path.")
    try:
        value = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: expected JSON, got a broken file ({error}).") from error
    if not isinstance(value, kind):
        raise DataError(f"{path}: expected a {kind.__name__}, got a {type(value).__name__}.")
    return value


@dataclass(frozen=True)
class Instances:
    """Images and annotations of one file, by id; ``broken`` are entries that have none."""

    path: Path
    images: dict[int, dict[str, Any]]
    annotations: dict[int, dict[str, Any]]
    categories: dict[int, str]
    broken: tuple[Broken, ...] = ()

    @classmethod
    def read(cls, path: Path) -> "Instances":
        """Read the file.

        Raises:
            DataError: it is missing or broken, or holds no lists.
        """
        value = read_json(path, dict)
        found, broken = {}, []
        for part in ("images", "annotations", "categories"):
            rows = value.get(part, [])
            if not isinstance(rows, list):
                raise DataError(f'{path}: "{part}": expected a list of entries with an "id".')
            found[part] = {row["id"]: row for row in rows if _has_id(row)}
            broken += [
                Broken(f'{path}: "{part}": expected an entry with an "id", got {str(row)[:60]}.')
                for row in rows
                if not _has_id(row)
            ]
        names = {key: str(row.get("name", "")) for key, row in found["categories"].items()}
        return cls(path, found["images"], found["annotations"], names, tuple(broken))

    def by_image(self) -> dict[int, list[int]]:
        """Return the ids of annotations by image, both in the order of the file; see `strays`."""
        found: dict[Any, list[int]] = {}
        for key, entry in self.annotations.items():
            if _is_id(entry.get("image_id")):
                found.setdefault(entry["image_id"], []).append(key)
        return found

    def strays(self) -> tuple[Broken, ...]:
        """Return the entries without an id, and the annotations that name no image."""
        found = [
            Broken(
                f'{self.path}: annotation {key}: "image_id": expected an id, '
                f"got {entry.get('image_id')!r}."
            )
            for key, entry in self.annotations.items()
            if not _is_id(entry.get("image_id"))
        ]
        return (*self.broken, *found)

    def image(self, image_id: Any) -> dict[str, Any]:
        """Return the entry of an image.

        Raises:
            DataError: there is none, or it has no file name or size.
        """
        known: Any = self.images if isinstance(image_id, int | str) else {}
        entry = known.get(image_id)
        if entry is None:
            raise DataError(
                f'{self.path}: "image_id": expected an id among the images, got {image_id}. '
                f"Check that both files are of one release."
            )
        if isinstance(entry.get("coco_url"), str) and "file_name" not in entry:  # LVIS
            entry = {**entry, "file_name": "/".join(entry["coco_url"].split("/")[-2:])}
        size = (entry.get("height"), entry.get("width"))
        if not isinstance(entry.get("file_name"), str) or not all(
            type(n) is int and 0 < n < 2**16 for n in size
        ):
            raise DataError(
                f"{self.path}: image {image_id}: expected file_name, height and width, got {entry}."
            )
        return entry

    def map(self, annotation_id: Any) -> np.ndarray:
        """Return how many polygons of an annotation cover each pixel of its image (H, W).

        Raises:
            DataError: there is no such annotation, or it cannot be drawn.
        """
        entry = self.annotation(annotation_id)
        image = self.image(entry.get("image_id"))
        where = f"{self.path}: annotation {annotation_id}"
        return coco_map(entry.get("segmentation"), (image["height"], image["width"]), where)

    def annotation(self, annotation_id: Any) -> dict[str, Any]:
        """Return an annotation.

        Raises:
            DataError: there is none.
        """
        if annotation_id not in self.annotations:
            raise DataError(
                f'{self.path}: "ann_id": expected an id among the annotations, got '
                f"{annotation_id}. Check that both files are of one release."
            )
        return self.annotations[annotation_id]


def _has_id(row: Any) -> bool:
    return isinstance(row, dict) and _is_id(row.get("id"))


def _is_id(value: Any) -> bool:
    return isinstance(value, int | str)
