"""RefCOCO, RefCOCO+, RefCOCOg, RefCLEF and gRefCOCO: expressions for objects of one image.

The layout is that of the REFER API: ``DATASET/refs(BY).p`` beside ``DATASET/instances.json``, and
COCO's images elsewhere. A sample is one sentence, in the order of images, then of references.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np

from deixis.data.annotations.coco import Instances, read_json
from deixis.data.annotations.pickles import read_pickle
from deixis.data.annotations.rows import (
    Broken,
    LazySamples,
    below,
    named_targets,
    open_picture,
    or_broken,
)
from deixis.errors import DataError
from deixis.structures.masks import Mask
from deixis.structures.samples import Question, Sample

COCO_IMAGES = "images/mscoco/images/train2014"  # below the folder of the data sets
CLEF_IMAGES = "images/saiapr_tc-12"
PAGE = "https://github.com/lichengunc/refer says where to get it."
CHUNKS = (6, 5, 4)  # sentences of an image that multi-RefCOCO asks for together, in turns
NOTHING = -1  # gRefCOCO's annotation of an expression that means nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """What one or more sentences mean in an image: annotations, or none."""

    ref_id: int
    image_id: int
    annotation_ids: tuple[int, ...]
    split: str
    sentences: tuple[str, ...]


class References:
    """All references of one data set with its instances, as REFER and G_REFER serve them.

    Args:
        folder: of the data set, such as ``refer_seg/refcocog``.
        by: whose split: "unc", "umd" or "google".

    Raises:
        DataError: a file is missing or broken; the message names the entry.
    """

    def __init__(self, folder: Path, by: str) -> None:
        self.path = _refs_path(folder, by)
        self.instances = Instances.read(folder / "instances.json")
        rows = read_pickle(self.path) if self.path.suffix == ".p" else read_json(self.path, list)
        if not isinstance(rows, list):
            raise DataError(f"{self.path}: expected a list, got a {type(rows).__name__}.")
        read = [or_broken(partial(_reference, r, f"{self.path}:{i}")) for i, r in enumerate(rows)]
        self.references = tuple(one for one in read if isinstance(one, Reference))
        self._broken = [
            (_split_of(row), one)
            for row, one in zip(rows, read, strict=True)
            if isinstance(one, Broken)
        ]
        self.general = self.path.name.startswith("grefs")

    def of_split(self, split: str) -> list[Reference]:
        """Return the references of a split, in the order of the file.

        As in REFER: "testA" and "testB" by their last letter, "test" all that are for testing.
        """
        return [ref for ref in self.references if self._belongs(ref.split, split)]

    def broken(self, split: str) -> tuple[Broken, ...]:
        """Return the entries of a split that are no references, and those of no known split."""
        mine = [
            one
            for of_it, one in self._broken
            if not isinstance(of_it, str) or self._belongs(of_it, split)
        ]
        return (*mine, *self.instances.strays())

    def map(self, reference: Reference) -> np.ndarray:
        """Return the map (H, W) of a reference.

        REFER adds the polygons of one annotation; G_REFER unites annotations and cuts at 1.

        Raises:
            DataError: an annotation is missing or cannot be drawn.
        """
        image = self.instances.image(reference.image_id)
        total = np.zeros((image["height"], image["width"]), dtype=np.uint8)
        for annotation_id in reference.annotation_ids:
            part = self.instances.map(annotation_id)
            if part.shape != total.shape:
                raise DataError(
                    f"{self.path}: reference {reference.ref_id}: expected annotations of image "
                    f"{reference.image_id}, got {annotation_id} of another."
                )
            total = np.maximum(total, part > 0) if self.general else total + part
        return total

    def box(self, reference: Reference) -> tuple[float, ...] | None:
        """Return the box (x, y, width, height) of a reference's only annotation, else None."""
        if len(reference.annotation_ids) != 1:
            return None
        return self.boxes(reference)[0]

    def boxes(self, reference: Reference) -> list[tuple[float, ...]]:
        """Return the boxes (x, y, width, height) of a reference's annotations.

        Raises:
            DataError: an annotation is missing, or has no box.
        """
        found = []
        for key in reference.annotation_ids:
            box: Any = self.instances.annotation(key).get("bbox")
            numbers = isinstance(box, list) and all(type(v) in (int, float) for v in box)
            if not numbers or len(box) != 4:
                raise DataError(
                    f"{self.instances.path}: annotation {key}: expected a bbox "
                    f"[x, y, width, height], got {box}."
                )
            found.append(tuple(float(value) for value in box))
        return found

    def _belongs(self, mine: str, asked: str) -> bool:
        if asked == "test" and not self.general:
            return "test" in mine
        if asked in ("testA", "testB", "testC") and not self.general:
            return asked[-1] in mine
        return mine == asked


def open_referring(
    root: Path | str, dataset: str, split: str, by: str = "unc", *, together: bool = False
) -> LazySamples:
    """Open the sentences of a split: one a sample, or several together as multi-RefCOCO asks them.

    PixelLM's multi-RefCOCO cuts an image's sentences into chunks of 6, 5, 4, 6, ...; each chunk is
    one question with one target per sentence, in order.

    Args:
        root: the folder of the data sets (``refer_seg``), or the one above.
        dataset: "refcoco", "refcoco+", "refcocog", "refclef" or "grefcoco".
        split: such as "val" or "testA".
        by: whose split: "unc", "umd" or "google".
        together: whether sentences are asked together.

    Raises:
        DataError: a file is missing or broken, or the split is empty.
    """
    folder = below(root, "refer_seg")
    source = References(folder / dataset, by)
    by_image: dict[int, list[tuple[Reference, int]]] = {}
    for ref in source.of_split(split):
        rows = by_image.setdefault(ref.image_id, [])
        rows += [(ref, number) for number in range(len(ref.sentences))]
    broken = source.broken(split)
    if not by_image and not broken:
        known = sorted({ref.split for ref in source.references})
        raise DataError(
            f"{source.path}: expected references of the split {split}, got none. "
            f"It has: {', '.join(known)}."
        )
    cut = _chunks if together else _single
    chunks = (*(chunk for rows in by_image.values() for chunk in cut(rows)), *broken)
    name = f"{'multi' if together else ''}{dataset}/{split}"
    images = folder / (CLEF_IMAGES if dataset == "refclef" else COCO_IMAGES)
    maker = _Maker(name, source, images)
    return LazySamples(name, chunks, maker.sample, maker.labels, maker.boxes)


@dataclass(frozen=True)
class _Maker:
    """Makes samples of sentences about one image."""

    name: str
    source: References
    images: Path

    def sample(self, rows: Sequence[tuple[Reference, int]]) -> Sample:
        """Return the sample of some sentences."""
        first = rows[0][0]
        entry = self.source.instances.image(first.image_id)
        sentences = [ref.sentences[number] for ref, number in rows]
        answer = named_targets(sentences, [Mask(self.source.map(ref) > 0) for ref, _ in rows])
        return Sample(
            images=open_picture(self.images / entry["file_name"], PAGE),
            question=Question(text=_joined(sentences)),
            answer=answer,
            id=",".join(f"{ref.ref_id}/{number}" for ref, number in rows),
            source=self.name,
            type="targets" if answer.targets else "no target",
        )

    def labels(self, rows: Sequence[tuple[Reference, int]]) -> np.ndarray:
        """Return the maps (N, H, W) of some sentences, polygons added up."""
        return np.stack([self.source.map(ref) for ref, _ in rows])

    def boxes(self, rows: Sequence[tuple[Reference, int]]) -> list[tuple[float, ...]]:
        """Return the boxes (x, y, width, height) of all annotations of some sentences."""
        return [box for ref, _ in rows for box in self.source.boxes(ref)]


def _single(rows: Sequence[tuple[Reference, int]]) -> Iterator[Sequence[tuple[Reference, int]]]:
    return ((row,) for row in rows)


def _chunks(rows: Sequence[tuple[Reference, int]]) -> Iterator[Sequence[tuple[Reference, int]]]:
    """Yield chunks of 6, 5 and 4 in turns; the last may be shorter."""
    start, sizes = 0, cycle(CHUNKS)
    while start < len(rows):
        size = next(sizes)
        yield tuple(rows[start : start + size])
        start += size


def _joined(phrases: Sequence[str]) -> str:
    """Return "a, b and c"."""
    return " and ".join(filter(None, [", ".join(phrases[:-1]), phrases[-1]]))


def _refs_path(folder: Path, by: str) -> Path:
    names = [f"{stem}({by}){end}" for stem in ("refs", "grefs") for end in (".p", ".json")]
    for name in names:
        if (folder / name).is_file():
            return folder / name
    raise DataError(
        f"{folder}: expected {names[0]} or {names[3]} there, got neither. "
        f"{PAGE} --root is the folder above {folder.name}."
    )


def _split_of(row: Any) -> Any:
    return row.get("split") if isinstance(row, dict) else None


def _reference(row: Any, where: str) -> Reference:
    """Return one checked entry of a references file."""
    try:
        ids = row["ann_id"] if isinstance(row["ann_id"], list) else [row["ann_id"]]
        sentences = [str(sentence["sent"]).lower().strip() for sentence in row["sentences"]]
        reference = Reference(
            ref_id=row["ref_id"],
            image_id=row["image_id"],
            annotation_ids=tuple(one for one in ids if one != NOTHING),
            split=row["split"],
            sentences=tuple(sentences),
        )
    except (TypeError, KeyError) as error:
        raise DataError(f"{where}: expected a reference, got one without {error}.") from error
    good = isinstance(reference.split, str) and reference.sentences and all(reference.sentences)
    numbers = (reference.ref_id, reference.image_id, *reference.annotation_ids)
    if not good or not all(type(one) is int for one in numbers):
        raise DataError(
            f"{where}: expected a split, sentences and whole numbers as ids, got {str(row)[:120]}."
        )
    return reference
