"""Mask AP of grounded captions: COCO's, where every score is 1, and one that no order changes.

Images are kept as RLE until the end: average precision is no sum of what single images give.
"""

import io
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from deixis.errors import DataError
from deixis.metrics.bootstrap import DRAWS, ends_of, intervals, weights_of
from deixis.metrics.matching import assign
from deixis.metrics.packed import rle_ious
from deixis.metrics.sums import Tally

THRESHOLDS = np.linspace(0.5, 0.95, 10)  # COCO's IoUs
RECALLS = np.linspace(0, 1, 101)  # at which COCO reads the precision
NAMES = (  # of COCO's twelve figures, in order
    *("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large"),
    *("ar1", "ar10", "ar100", "ar_small", "ar_medium", "ar_large"),
)


@dataclass
class AveragePrecision:
    """COCO's mask AP over one category, every score being 1; merges exactly, in any order.

    The predictions of an image keep the order in which they are given: with equal scores it
    decides which of them count.

    Attributes:
        images: by id: (annotations, predicted RLEs).
    """

    images: dict[str, tuple[list[dict[str, Any]], list[dict[str, Any]]]] = field(
        default_factory=dict
    )

    def add(
        self, image_id: str, true: list[dict[str, Any]], predicted: list[dict[str, Any]]
    ) -> None:
        """Add one image.

        Args:
            image_id: of the image.
            true: annotations with ``segmentation`` (RLE) and ``area``; ``iscrowd`` if one is.
            predicted: RLEs.

        Raises:
            DataError: an image that is there already.
        """
        if image_id in self.images:
            raise DataError(f"image {image_id}: expected once, got it twice. Merge other shards.")
        self.images[image_id] = (true, predicted)

    def merge(self, other: "AveragePrecision") -> None:
        """Add the images of another shard."""
        for image_id, (true, predicted) in other.images.items():
            self.add(image_id, true, predicted)

    def result(self) -> dict[str, float]:
        """Return COCO's twelve figures; -1 where no object has that size."""
        images, annotations, found = self._as_coco()
        if not found:
            return dict.fromkeys(NAMES, 0.0 if annotations else -1.0)
        with redirect_stdout(io.StringIO()):
            evaluation = _evaluated(images, annotations, found)
            evaluation.accumulate()
            evaluation.summarize()
        return dict(zip(NAMES, map(float, evaluation.stats), strict=True))

    def intervals(self, *, draws: int = DRAWS, seed: int = 0) -> dict[str, list[float]]:
        """Return the 95 % intervals of AP and AP50, images drawn again so many times.

        Images that are drawn keep the order of their ids, as in `result`.
        """
        images, annotations, found = self._as_coco()
        if not found or not annotations:
            return {}
        with redirect_stdout(io.StringIO()):
            each = _evaluated(images, annotations, found).evalImgs[: len(images)]
        hits = [_matched(one) for one in each]
        drawn = [
            _curve_means([hits[i] for i in np.repeat(np.arange(len(hits)), row)])
            for row in weights_of(len(hits), draws, seed)
        ]
        values = np.array([one for one in drawn if one is not None]).reshape(-1, 2)
        return {n: ends_of(values[:, i]) for i, n in enumerate(NAMES[:2])} if len(values) else {}

    def intervals_clean(self, *, draws: int = DRAWS, seed: int = 0) -> dict[str, list[float]]:
        """Return the 95 % intervals of what `result_clean` returns."""
        tallies = [Tally.of(_hits(*self.images[key])) for key in sorted(self.images)]
        return intervals(tallies, _products, draws=draws, seed=seed)

    def result_clean(self) -> dict[str, float]:
        """Return AP and AP50 with equal scores taken at once: the order of files says nothing.

        The curve has one point then, (recall, precision), and AP is the product of both.
        """
        return _products(
            Tally.of(part for pair in self.images.values() for part in _hits(*pair))
        )

    def _as_coco(self) -> tuple[list[dict[str, Any]], ...]:
        """Return images, annotations and results as COCO lists them, images in order of id."""
        from pycocotools import mask as coco

        images: list[dict[str, Any]] = []
        annotations: list[dict[str, Any]] = []
        found: list[dict[str, Any]] = []
        for image_id in sorted(self.images):
            true, predicted = self.images[image_id]
            rles = [*(entry["segmentation"] for entry in true), *predicted]
            height, width = rles[0]["size"] if rles else (0, 0)
            images.append({"id": image_id, "height": height, "width": width})
            for entry in true:
                fixed = {"id": len(annotations) + 1, "image_id": image_id, "category_id": 1}
                box = coco.toBbox(entry["segmentation"]).tolist()
                annotations.append({"iscrowd": 0, "bbox": box, **entry, **fixed})
            for rle in predicted:
                found.append(
                    {"image_id": image_id, "category_id": 1, "segmentation": rle, "score": 1.0}
                )
        return images, annotations, found


def _evaluated(images: Any, annotations: Any, found: Any) -> Any:
    """Return COCO's evaluation, every prediction matched."""
    from pycocotools.coco import COCO  # slow to import, seldom needed
    from pycocotools.cocoeval import COCOeval

    truth = COCO()
    truth.dataset = {
        "info": {},
        "images": images,
        "annotations": annotations,
        "categories": [{"id": 1, "name": "object"}],
    }
    truth.createIndex()
    evaluation = COCOeval(truth, truth.loadRes(found), "segm")
    evaluation.evaluate()
    return evaluation


def _matched(image: Any) -> tuple[np.ndarray, np.ndarray, int]:
    """Return right and wrong predictions of an image by threshold (T, D), and its true objects."""
    if image is None:
        empty = np.zeros((len(THRESHOLDS), 0), dtype=bool)
        return empty, empty, 0
    matched, left_out = image["dtMatches"] > 0, image["dtIgnore"].astype(bool)
    return matched & ~left_out, ~matched & ~left_out, int((image["gtIgnore"] == 0).sum())


def _curve_means(images: list[tuple[np.ndarray, np.ndarray, int]]) -> tuple[float, float] | None:
    """Return AP and AP50 of images as COCO accumulates them; None without a true object."""
    objects = sum(one[2] for one in images)
    right, wrong = (np.concatenate([one[i] for one in images], axis=1) for i in (0, 1))
    if not objects:
        return None
    if not right.shape[1]:
        return 0.0, 0.0
    hits, misses = right.cumsum(1, dtype=np.float64), wrong.cumsum(1, dtype=np.float64)
    precision = hits / (hits + misses + np.spacing(1))
    precision = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    padded = np.pad(precision, ((0, 0), (0, 1)))  # beyond the last recall it is 0
    means = [
        row[np.searchsorted(recall, RECALLS)].mean()
        for row, recall in zip(padded, hits / objects, strict=True)
    ]
    return float(np.mean(means)), float(means[0])


def _products(tally: Tally) -> dict[str, float]:
    values = []
    for threshold in THRESHOLDS:
        hits, guesses = tally.top(f"hits@{threshold:.2f}"), tally.bottom("predicted")
        true = tally.bottom("true")
        values.append(hits / guesses * hits / true if guesses and true else 0.0)
    return {"ap": float(np.mean(values)), "ap50": values[0]}


def _hits(
    true: list[dict[str, Any]], predicted: list[dict[str, Any]]
) -> list[tuple[str, int, int]]:
    """Return, for each threshold, how many pairs of one image are good enough."""
    ious = rle_ious([entry["segmentation"] for entry in true], predicted)
    parts = [("true", 0, len(true)), ("predicted", 0, len(predicted))]
    for threshold in THRESHOLDS:
        good = ious >= threshold
        hits = int(good[assign(good.astype(np.float64))].sum())
        parts.append((f"hits@{threshold:.2f}", hits, 0))
    return parts
