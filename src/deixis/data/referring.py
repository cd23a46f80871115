"""RefCOCO, RefCOCO+, RefCOCOg, RefCLEF and gRefCOCO: expressions for objects of one image.

The layout is that of the REFER API: ``DATASET/refs(BY).p`` beside ``DATASET/instances.json``, and
COCO's images elsewhere. A sample is one sentence, in the order of images, then of references.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, overload

import numpy as np

from deixis.data.coco import Instances, read_json
from deixis.data.pickles import read_pickle
from deixis.errors import DataError
from deixis.structures.answers import GroundedAnswer, Target
from deixis.structures.images import ImageSet
from deixis.structures.masks import Mask
from deixis.structures.pictures import Picture
from deixis.structures.samples import Question, Sample

IMAGES = "images/mscoco/images/train2014"  # below the folder of the data sets
PAGE = "https://github.com/lichengunc/refer"
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
        self.references = tuple(_reference(r, f"{self.path}:{i}") for i, r in enumerate(rows))
        self.general = self.path.name.startswith("grefs")

    def of_split(self, split: str) -> list[Reference]:
        """Return the references of a split, in the order of the file.

        As in REFER: "testA" and "testB" by their last letter, "test" all that are for testing.
        """
        return [ref for ref in self.references if self._belongs(ref.split, split)]

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
        box = self.instances.annotation(reference.annotation_ids[0]).get("bbox")
        if not isinstance(box, list) or len(box) != 4:
            raise DataError(
                f"{self.instances.path}: annotation {reference.annotation_ids[0]}: expected a "
                f"bbox [x, y, width, height], got {box}."
            )
        return tuple(float(value) for value in box)

    def _belongs(self, mine: str, asked: str) -> bool:
        if asked == "test" and not self.general:
            return "test" in mine
        if asked in ("testA", "testB", "testC") and not self.general:
            return asked[-1] in mine
        return mine == asked


class ReferringReader(Sequence[Sample]):
    """The sentences of a split as samples.

    Args:
        root: the folder of the data sets (``refer_seg``).
        dataset: "refcoco", "refcoco+", "refcocog", "refclef" or "grefcoco".
        split: such as "val" or "testA".
        by: whose split: "unc", "umd" or "google".

    Raises:
        DataError: a file is missing or broken, or the split is empty.
    """

    def __init__(self, root: Path | str, dataset: str, split: str, by: str = "unc") -> None:
        self.root, self.dataset, self.split = Path(root), dataset, split
        self.source = References(self.root / dataset, by)
        chosen = self.source.of_split(split)
        if not chosen:
            known = sorted({ref.split for ref in self.source.references})
            raise DataError(
                f"{self.source.path}: expected references of the split {split}, got none. "
                f"It has: {', '.join(known)}."
            )
        images = {ref.image_id: None for ref in chosen}
        place = {image_id: index for index, image_id in enumerate(images)}
        ordered = sorted(chosen, key=lambda ref: place[ref.image_id])
        self._rows = tuple((ref, i) for ref in ordered for i in range(len(ref.sentences)))

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, index: int) -> Sample: ...

    @overload
    def __getitem__(self, index: slice) -> list[Sample]: ...

    def __getitem__(self, index: int | slice) -> Sample | list[Sample]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        reference, number = self._rows[index]
        sentence = reference.sentences[number]
        entry = self.source.instances.image(reference.image_id)
        path = self.root / IMAGES / entry["file_name"]
        if not path.is_file():
            raise DataError(
                f"{entry['file_name']}: expected at {path.parent}, got none. "
                f"{PAGE} says where COCO's train2014 images are."
            )
        mask = Mask(self.labels(index) > 0)
        return Sample(
            images=ImageSet.pictures([Picture(path, entry["file_name"]).frame()]),
            question=Question(text=sentence),
            answer=_answer(sentence, mask),
            id=f"{reference.ref_id}/{number}",
            source=f"{self.dataset}/{self.split}",
            type="targets" if mask.area else "no target",
        )

    def labels(self, index: int) -> np.ndarray:
        """Return the map (H, W) of a sample as published metrics take it: polygons are added."""
        return self.source.map(self._rows[index][0])

    def reference(self, index: int) -> Reference:
        """Return the reference that a sample's sentence belongs to."""
        return self._rows[index][0]

    def __iter__(self) -> Iterator[Sample]:
        return (self[i] for i in range(len(self)))


def _answer(sentence: str, mask: Mask) -> GroundedAnswer:
    if not mask.area:
        return GroundedAnswer(text="", absent=(Target(phrase=sentence, masks={}),))
    target = Target(phrase=sentence, masks={0: mask})
    return GroundedAnswer(text=sentence, targets=(target,), spans=((0, len(sentence)),))


def _refs_path(folder: Path, by: str) -> Path:
    names = [f"{stem}({by}){end}" for stem in ("refs", "grefs") for end in (".p", ".json")]
    for name in names:
        if (folder / name).is_file():
            return folder / name
    raise DataError(
        f"{folder}: expected {names[0]} or {names[3]} there, got neither. "
        f"{PAGE} says where to get it; --root is the folder above {folder.name}."
    )


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
    if not good or not all(type(one) is int for one in reference.annotation_ids):
        raise DataError(
            f"{where}: expected a split, sentences and whole numbers as ann_id, got "
            f"{str(row)[:120]}."
        )
    return reference
