"""Osprey-724K: talk about regions of a picture, one question and its answer a sample.

Read in UniPixel's loader: ``osprey/Osprey-724K/FILE.json`` lists ``{id, file_name, height, width,
annotation: [{segmentation}]}`` with ``conversations`` (``<region3>`` names the third annotation),
or with ``description`` ("<region3>: ..."); pictures are in ``osprey/coco``. The slips that the
loader mends ("<region3]", "<regin3>", "<region of3>") are mended here too; what it drops, a region
that is not there or has no number, is a located error. Assumed: nothing.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deixis.config import pick
from deixis.data.annotations.index import read_record, record_rows
from deixis.data.annotations.polygons import coco_map
from deixis.data.annotations.rows import LazySamples, below, field, open_picture
from deixis.errors import DataError
from deixis.structures.answers import GroundedAnswer
from deixis.structures.masks import Mask
from deixis.structures.prompts import Region
from deixis.structures.samples import Question, Sample

PAGE = "https://github.com/CircleRadon/Osprey says where to get it."
PARTS = {  # file, folder of its pictures
    "conversation": ("osprey_conversation", "coco/train2014"),
    "pos_neg": ("osprey_lvis_positive_negative", "coco/imgs"),
    "detail_description": ("osprey_detail_description", "coco/train2014"),
}
ASKED = "Please describe the region [{}] in the image in detail."
NAMED = re.compile(r"<regi?o?n\s*(?:of\s*)?(\d+)\s*[>\]]?", re.IGNORECASE)
UNNUMBERED = re.compile(r"<regi?o?n\b", re.IGNORECASE)


def open_osprey(root: Path | str, part: str = "conversation") -> LazySamples:
    """Open one part of Osprey-724K, in the order of its file.

    Args:
        root: the folder above ``osprey``, or that one.
        part: a key of `PARTS`.

    Raises:
        ConfigError: an unknown part.
        DataError: the file is missing or broken.
    """
    stem, images = pick(PARTS, part, "part of Osprey")
    base = below(root, "osprey")
    path = base / "Osprey-724K" / f"{stem}.json"
    if not path.is_file():
        raise DataError(f"{path.name}: expected in {path.parent}, got none. {PAGE}")
    maker = _Osprey(f"osprey/{part}", path, base / images)
    return LazySamples(maker.name, record_rows(path, "osprey", _turns), maker.sample)


@dataclass(frozen=True)
class _Osprey:
    """Makes samples of turns."""

    name: str
    path: Path
    images: Path

    def sample(self, row: Any) -> Sample:
        """Return the sample of a turn, given as `record_rows` has it."""
        start, stop, number, index = row
        entry = read_record(self.path, start, stop)
        where = f"{self.path}:{index}"
        _turns(entry, where)
        question, answer, names = _said(entry, number, where)
        images = open_picture(self.images / field(entry, "file_name", str, where), PAGE)
        size = (field(entry, "height", int, where), field(entry, "width", int, where))
        annotations = field(entry, "annotation", list, where)
        prompts = []
        for name in names:
            if not 0 < name <= len(annotations):
                raise DataError(
                    f"{where}: expected a region from 1 to {len(annotations)}, got {name}."
                )
            part = field(annotations[name - 1], "segmentation", (list, dict), where)
            mask = Mask(coco_map(part, size, f"{where}: region {name}") > 0)
            prompts.append(Region(image=0, mask=mask, object_id=name))
        return Sample(
            images=images,
            question=Question(text=question, prompts=tuple(prompts)),
            answer=GroundedAnswer(text=answer),
            id=f"{entry.get('id', index)}/{number}",
            source=self.name,
            type="region",
        )


def _turns(entry: Any, where: str) -> int:
    """Return how many questions an entry has."""
    if isinstance(entry, dict) and "description" in entry:
        return len(field(entry, "description", list, where))
    said = field(entry, "conversations", list, where)
    if len(said) % 2:
        raise DataError(f"{where}: expected turns in pairs, got {len(said)} turns.")
    return len(said) // 2


def _said(entry: Any, number: int, where: str) -> tuple[str, str, list[int]]:
    """Return a question, its answer, and the regions that they name, in order."""
    if "description" in entry:
        text, names = _numbered(entry["description"][number], where)
        if len(names) != 1 or ":" not in text:
            raise DataError(f"{where}: expected '<regionN>: ...', got {text[:60]!r}.")
        return ASKED.format(names[0]), text.split(":", 1)[1].strip(), names
    pair = entry["conversations"][2 * number : 2 * number + 2]
    for turn, who in zip(pair, ("human", "gpt"), strict=True):
        if field(turn, "from", str, where) != who:
            raise DataError(f'{where}: "from": expected {who}, got {turn["from"]!r}.')
    (question, asked), (answer, told) = (
        _numbered(field(turn, "value", str, where), where) for turn in pair
    )
    return question, answer, list(dict.fromkeys([*asked, *told]))


def _numbered(text: Any, where: str) -> tuple[str, list[int]]:
    """Return a text that names regions as prompts are, "[3]", and their numbers."""
    if not isinstance(text, str):
        raise DataError(f"{where}: expected text, got {str(text)[:60]!r}.")
    names = [int(name) for name in NAMED.findall(text)]
    plain = NAMED.sub(lambda found: f"[{int(found[1])}]", text).replace("<image>", "").strip()
    if UNNUMBERED.search(plain):
        raise DataError(f"{where}: expected regions with a number, got {text[:60]!r}.")
    return plain, list(dict.fromkeys(names))
