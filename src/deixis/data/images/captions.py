"""GranD-f (GCG): captions whose phrases are grounded, in the four dialects of its training files.

"HA" and "PSG" list groundings by phrase, "RefCOCOg" sentences with polygons, "Flickr" is COCO
with captions. For evaluation, masks and captions stand in two COCO files.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from deixis.config import pick
from deixis.data.annotations.coco import read_json
from deixis.data.annotations.polygons import coco_map
from deixis.data.annotations.rows import (
    Broken,
    LazySamples,
    below,
    field,
    open_picture,
    or_broken,
)
from deixis.errors import DataError
from deixis.structures.answers import GroundedAnswer, Target
from deixis.structures.masks import Mask
from deixis.structures.samples import Question, Sample

PAGE = "https://github.com/mbzuai-oryx/groundingLMM says where to get it."
ASKED = "Could you please give me a detailed description of the image, and show what it names?"
TRAINING: Mapping[str, tuple[str, tuple[str, ...]]] = {  # file, folders in which its images may be
    "ha": ("GranDf_HA_GCG_train", ("GranDf_HA_images/train",)),
    "psg": ("OpenPsgGCG_train", ("coco_2017/train2017", "coco_2017")),
    "refcocog": ("RefCOCOg_GCG_train", ("coco_2014/train2014", "coco_2014")),
    "flickr": ("flickr_mergedGT_GCG_train", ("flikcr_30k/train", "flikcr_30k")),
}
EVALUATED = ("val", "test")

Phrase = tuple[int, int, Any]  # where it starts and ends in the caption, and its segmentation


@dataclass(frozen=True, slots=True, kw_only=True)
class Captioned:
    """A caption of an image with its grounded phrases, in reading order."""

    where: str
    key: str
    image: str
    caption: str
    phrases: tuple[Phrase, ...]


def open_captions(root: Path | str, part: str) -> LazySamples:
    """Open grounded captions, in the order of the file.

    Args:
        root: the folder above ``GranDf`` and the images.
        part: a key of `TRAINING`, "val" or "test".

    Raises:
        ConfigError: an unknown part.
        DataError: a file is missing or broken.
    """
    base = below(root, "GranDf", "annotations")
    if part in EVALUATED:
        rows: tuple[Captioned | Broken, ...] = tuple(_evaluated(base / "val_test", part))
        folders: Sequence[str] = ("GranDf_HA_images/val_test",)
    else:
        stem, folders = pick(TRAINING, part, "part of GranD-f")
        path = base / "train" / f"{stem}.json"
        if not path.is_file():
            raise DataError(f"{path.name}: expected in {path.parent}, got none. {PAGE}")
        entries = () if part == "flickr" else enumerate(read_json(path, list))
        rows = tuple(or_broken(partial(_listed, e, i, path, part)) for i, e in entries)
        rows = tuple(_flickr(path)) if part == "flickr" else rows
    maker = _Captions(f"grandf/{part}", Path(root), tuple(folders))
    return LazySamples(maker.name, rows, maker.sample)


@dataclass(frozen=True)
class _Captions:
    """Makes samples of grounded captions."""

    name: str
    root: Path
    folders: tuple[str, ...]

    def sample(self, row: Captioned) -> Sample:
        """Return the sample of a caption."""
        places = [self.root / folder / row.image for folder in self.folders]
        images = open_picture(next((p for p in places if p.is_file()), places[0]), PAGE)
        targets, spans = [], []
        for start, stop, segmentation in row.phrases:
            labels = self._map(segmentation, images[0].size, row)
            if labels.any():
                spans.append((start, stop))
                phrase = row.caption[start:stop]
                targets.append(Target(phrase=phrase, masks={0: Mask(labels > 0)}))
        answer = GroundedAnswer(text=row.caption, targets=tuple(targets), spans=tuple(spans))
        return Sample(
            images=images,
            question=Question(text=ASKED),
            answer=answer,
            id=row.key,
            source=self.name,
            type="caption",
        )

    def _map(self, segmentation: Any, size: tuple[int, int], row: Captioned) -> np.ndarray:
        return coco_map(segmentation, size, row.where)


def _listed(entry: Any, index: int, path: Path, dialect: str) -> Captioned:
    """Return a caption of HA, PSG or RefCOCOg."""
    where = f"{path}:{index}"
    if dialect == "refcocog":
        image = field(entry, "img_file_name", str, where)
        caption = field(entry, "caption", str, where).lower()
        phrases = _found(caption, field(entry, "refs", list, where), where)
    else:
        image = field(entry, "file_name", str, where)
        caption = field(entry, "caption", str, where)
        phrases = _placed(caption, field(entry, "groundings", dict, where), where)
    return Captioned(
        where=where, key=str(index), image=image, caption=caption, phrases=_in_order(phrases)
    )


def _placed(caption: str, groundings: Mapping[str, Any], where: str) -> list[Phrase]:
    """Return phrases with the places that the file gives."""
    phrases = []
    for phrase, entry in groundings.items():
        inside = f"{where}: {phrase!r}"
        place = field(entry, "token_positives", list, inside)
        masks = field(entry, "rle_masks", list, inside)
        phrases.append((*_place(place, len(caption), inside), masks))
    return phrases


def _place(place: Any, length: int, where: str) -> tuple[int, int]:
    """Return a checked place [start, stop] of a caption of so many letters."""
    start, stop = place if isinstance(place, list) and len(place) == 2 else (0, 0)
    if type(start) is not int or type(stop) is not int or not 0 <= start < stop <= length:
        raise DataError(
            f"{where}: expected token_positives within the caption of {length} letters, "
            f"got {place}."
        )
    return start, stop


def _found(caption: str, refs: Sequence[Any], where: str) -> list[Phrase]:
    """Return phrases where they first stand in the caption; those that do not are left out."""
    phrases = []
    for ref in refs:
        sentence = field(ref, "sentence", str, where).lower()
        start = caption.find(sentence)
        if sentence and start >= 0:
            parts = field(ref, "segmentation", (list, dict), where)
            phrases.append((start, start + len(sentence), parts))
    return phrases


def _by_image(value: Any, path: Path) -> tuple[dict[Any, list[Any]], list[Broken]]:
    """Return the annotations of a COCO file by image, and those that name none."""
    by_image: dict[Any, list[Any]] = {}
    broken = []
    for index, entry in enumerate(field(value, "annotations", list, str(path))):
        where = f"{path}: annotation {index}"
        key = or_broken(partial(field, entry, "image_id", (int, str), where))
        if isinstance(key, Broken):
            broken.append(key)
        else:
            by_image.setdefault(key, []).append(entry)
    return by_image, broken


def _flickr(path: Path) -> Iterator[Captioned | Broken]:
    """Yield the captions of a COCO file with captions and masks of SAM."""
    value = read_json(path, dict)
    by_image, broken = _by_image(value, path)
    for index, image in enumerate(field(value, "images", list, str(path))):
        yield or_broken(partial(_of_flickr, image, by_image, f"{path}: image {index}"))
    yield from broken


def _of_flickr(image: Any, by_image: Mapping[Any, list[Any]], where: str) -> Captioned:
    caption = field(image, "caption", str, where)
    phrases: list[Phrase] = []
    key = field(image, "id", (int, str), where)
    for entry in by_image.get(key, []):
        mask = entry.get("sam_mask")
        if mask is not None:
            places = field(entry, "tokens_positive", list, where)
            phrases += [(*_place(p, len(caption), where), mask) for p in places]
    return Captioned(
        where=where,
        key=str(key),
        image=field(image, "file_name", str, where),
        caption=caption,
        phrases=_in_order(phrases),
    )


def _evaluated(folder: Path, split: str) -> Iterator[Captioned | Broken]:
    """Yield the captions of the two files for evaluation."""
    masks, captions = (folder / f"{split}_gcg_coco_{k}_gt.json" for k in ("mask", "caption"))
    for path in (masks, captions):
        if not path.is_file():
            raise DataError(f"{path.name}: expected in {folder}, got none. {PAGE}")
    by_image, broken = _by_image(read_json(masks, dict), masks)
    value = read_json(captions, dict)
    names = {}
    for index, row in enumerate(field(value, "images", list, str(captions))):
        key = or_broken(partial(field, row, "id", (int, str), f"{captions}: image {index}"))
        if isinstance(key, Broken):
            broken.append(key)
        else:
            names[key] = row
    for index, entry in enumerate(field(value, "annotations", list, str(captions))):
        where = f"{captions}: annotation {index}"
        yield or_broken(partial(_of_pair, entry, by_image, names, where))
    yield from broken


def _of_pair(
    entry: Any, by_image: Mapping[Any, list[Any]], names: Mapping[Any, Any], where: str
) -> Captioned:
    """Return a caption of the evaluated files with the masks of its image."""
    caption, labels = field(entry, "caption", str, where), field(entry, "labels", list, where)
    key = field(entry, "image_id", (int, str), where)
    masks = by_image.get(key, [])
    parts = [field(one, "segmentation", (dict, list), f"{where}: a mask") for one in masks]
    if len(parts) != len(labels):
        raise DataError(f"{where}: expected {len(parts)} labels, one a mask, got {len(labels)}.")
    return Captioned(
        where=where,
        key=str(key),
        image=field(names.get(key), "file_name", str, where),
        caption=caption,
        phrases=_in_order(_read_on(caption, labels, parts, where)),
    )


def _read_on(caption: str, labels: Sequence[Any], parts: Sequence[Any], where: str) -> list[Phrase]:
    """Return labels where they stand in the caption, each after the last of its kind if it can."""
    phrases, ends, low = [], dict[str, int](), caption.lower()
    for label, part in zip(labels, parts, strict=True):
        name = str(label).lower()
        start = low.find(name, ends.get(name, 0))
        start = low.find(name) if start < 0 else start
        if not name or start < 0:
            raise DataError(f"{where}: expected labels that stand in the caption, got {label!r}.")
        ends[name] = start + len(name)
        phrases.append((start, ends[name], part))
    return phrases


def _in_order(phrases: Sequence[Phrase]) -> tuple[Phrase, ...]:
    """Return phrases by where they start; one that begins within another is cut to what is left."""
    ordered: list[Phrase] = []
    for start, stop, segmentation in sorted(phrases, key=lambda phrase: phrase[:2]):
        same = ordered and ordered[-1][:2] == (start, stop)
        begin = start if same else max(start, ordered[-1][1] if ordered else 0)
        if begin < stop:
            ordered.append((begin, stop, segmentation))
    return tuple(ordered)
