"""Annotations -> maps of labels, pixel by pixel as the published readers draw them.

Shapes: maps are uint8 (H, W).
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from deixis.data.annotations.rows import mask_of
from deixis.errors import DataError
from deixis.extras import require
from deixis.structures.masks import LARGEST

IGNORED = 255  # the label of pixels that LISA leaves out
TARGET = 1


def coco_map(segmentation: Any, size: tuple[int, int], where: str = "segmentation") -> np.ndarray:
    """Return how many polygons of one annotation cover each pixel (H, W), as REFER's API does.

    Polygons are added, not united: LISA counts a pixel under two of them, 2, in no class.
    RLE, of runs or as text, or several of them, are drawn and added in the same way.

    Raises:
        DataError: neither polygons nor RLE of that size.
    """
    if min(size) < 1 or size[0] * size[1] > LARGEST:
        raise DataError(
            f"{where}: expected an image of 1 to {LARGEST} pixels, got {size[0]} x {size[1]}."
        )
    total = np.zeros(size, dtype=np.uint8)
    for rle in coco_rles(segmentation, size, where):
        total += mask_of(rle, where).pixels
    return total


def coco_rles(segmentation: Any, size: tuple[int, int], where: str) -> list[dict[str, Any]]:
    """Return the RLE of each part of one annotation, rasterised as the COCO API does.

    Raises:
        DataError: neither polygons nor RLE of that size.
    """
    from pycocotools import mask as coco  # slow to import, seldom needed

    height, width = size
    parts = [segmentation] if isinstance(segmentation, Mapping) else segmentation
    if not isinstance(parts, list):
        raise DataError(f"{where}: expected polygons or RLE, got {type(parts).__name__}.")
    rles = []
    for part in parts:
        if isinstance(part, Mapping):
            rle = dict(part)
        else:
            _check_polygon(part, where)
            rle = coco.frPyObjects([list(part)], height, width)[0]
        given = rle.get("size")
        if not isinstance(given, list | tuple) or list(given) != [height, width]:
            raise DataError(
                f"{where}: expected masks of {height} x {width} pixels (height, width), "
                f"got {rle.get('size')}. Check that images and annotations are of one release."
            )
        rles.append(rle)
    return rles


def reason_seg_map(
    shapes: Sequence[Mapping[str, Any]],
    size: tuple[int, int],
    *,
    ignored: int = IGNORED,
    where: str = "shapes",
) -> np.ndarray:
    """Return ReasonSeg's map (H, W): 1 the target, ``ignored`` where a shape says "ignore".

    Shapes are drawn with their outline, largest first, so smaller ones lie on top; those labelled
    "flag" are none. LISA ignores with 255. UniPixel writes -1 into unsigned bytes, which saturates:
    with 0 its ignored regions become background, and wipe out the target below.

    Args:
        shapes: each with ``label`` and ``points``.
        size: (height, width).
        ignored: the label of ignored pixels.
        where: what an error is about.

    Raises:
        DataError: a shape that is none.
        MissingExtra: OpenCV is not installed.
    """
    require("cv2", extra="metrics")
    drawn = [shape for shape in shapes if _label(shape, where) != "flag"]
    outlines = [_corners(shape, where) for shape in drawn]
    areas = [int(_draw(np.zeros(size, dtype=np.uint8), o, 1).sum()) for o in outlines]
    result = np.zeros(size, dtype=np.uint8)
    for index in np.argsort(areas)[::-1].tolist():
        value = ignored if "ignore" in _label(drawn[index], where) else TARGET
        _draw(result, outlines[index], value)
    return result


def _draw(canvas: np.ndarray, corners: np.ndarray, value: int) -> np.ndarray:
    """Fill a closed outline and draw its line, one pixel wide, in place."""
    import cv2

    cv2.polylines(canvas, [corners], True, value, 1)
    cv2.fillPoly(canvas, [corners], value)
    return canvas


def _label(shape: Mapping[str, Any], where: str) -> str:
    label = shape.get("label") if isinstance(shape, Mapping) else None
    if not isinstance(label, str):
        raise DataError(f"{where}: expected a shape with a label, got {label!r}.")
    return label.lower()


def _corners(shape: Mapping[str, Any], where: str) -> np.ndarray:
    """Return the corners (n, 1, 2) of a shape, cut to whole numbers."""
    points = shape.get("points")
    pairs = isinstance(points, list) and all(isinstance(p, list) and len(p) == 2 for p in points)
    if not pairs or not all(_is_place(v) for point in points or () for v in point) or not points:
        raise DataError(f"{where}: expected points [[x, y], ...], got {str(points)[:80]}.")
    return np.array(points, dtype=np.float64).astype(np.int32).reshape(-1, 1, 2)


def _check_polygon(polygon: Any, where: str) -> None:
    good = isinstance(polygon, list) and len(polygon) >= 6 and len(polygon) % 2 == 0
    if not good or not all(_is_place(value) for value in polygon):
        raise DataError(
            f"{where}: expected x, y pairs of at least 3 corners, got {str(polygon)[:80]}."
        )


def _is_place(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) < 2**24
