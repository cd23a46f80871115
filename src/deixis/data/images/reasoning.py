"""ReasonSeg and MUSE: questions about one image that must be thought about, and their targets.

ReasonSeg: ``reason_seg/ReasonSeg/SPLIT/X.jpg`` with ``X.json``. MUSE: ``muse/muse_SPLIT.json``
over COCO's images.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from deixis.data.annotations.coco import read_json
from deixis.data.annotations.polygons import IGNORED, coco_map, reason_seg_map
from deixis.data.annotations.rows import (
    Broken,
    LazySamples,
    below,
    field,
    named_targets,
    open_picture,
    or_broken,
)
from deixis.errors import DataError
from deixis.structures.answers import GroundedAnswer, Target
from deixis.structures.masks import Mask
from deixis.structures.samples import Question, Sample

REASON_SEG_PAGE = "https://github.com/dvlab-research/LISA says where to get it."
MUSE_PAGE = "https://github.com/MaverickRen/PixelLM says where to get it."
SLOT = "{seg}"  # after each target that a text of MUSE names


def open_reason_seg(
    root: Path | str, split: str, *, every_text: bool = False, ignored: int = IGNORED
) -> LazySamples:
    """Open ReasonSeg: images in the order of their names.

    LISA asks the first text of an image only, UniPixel every one.

    Args:
        root: the folder above ``reason_seg``, or one below.
        split: "train", "val" or "test".
        every_text: whether all texts of an image are asked.
        ignored: the label of ignored regions; 0 for UniPixel's reading, see `reason_seg_map`.

    Raises:
        DataError: no such folder.
    """
    base = below(root, "reason_seg", "ReasonSeg")
    paths = sorted((base / split).glob("*.json"))
    if not paths:
        raise DataError(
            f"{base / split}: expected images with a .json each, got none. {REASON_SEG_PAGE}"
        )
    rows: list[Any] = []
    for path in paths:
        entry = or_broken(partial(_reason_seg_entry, path))
        if isinstance(entry, Broken):
            rows.append(entry)
        else:
            count = len(entry["text"]) if every_text else 1
            rows += [(path, number) for number in range(count)]
    maker = _ReasonSeg(f"reason_seg/{split}", ignored, _explanations(base, split))
    return LazySamples(maker.name, tuple(rows), maker.sample, maker.labels)


@dataclass(frozen=True)
class _ReasonSeg:
    """Makes samples of ReasonSeg."""

    name: str
    ignored: int
    explanations: Mapping[str, str]

    def sample(self, row: tuple[Path, int]) -> Sample:
        """Return the sample of a text of an image."""
        path, number = row
        entry = _reason_seg_entry(path)
        image = path.with_suffix(".jpg")
        images = open_picture(image, REASON_SEG_PAGE)
        mask = Mask(self._map(path, entry, images[0].size) == 1)
        answer = named_targets(["the target"], [mask])
        if image.name in self.explanations:
            words = self.explanations[image.name]
            answer = GroundedAnswer(text=f"{answer.text} {words}".strip(), **_shown(answer))
        return Sample(
            images=images,
            question=Question(text=entry["text"][number]),
            answer=answer,
            id=f"{path.stem}/{number}",
            source=self.name,
            type="long" if entry["is_sentence"] else "short",
        )

    def labels(self, row: tuple[Path, int]) -> np.ndarray:
        """Return the map (1, H, W) of an image, ignored regions marked."""
        path = row[0]
        size = open_picture(path.with_suffix(".jpg"), REASON_SEG_PAGE)[0].size
        return self._map(path, _reason_seg_entry(path), size)[None]

    def _map(self, path: Path, entry: Mapping[str, Any], size: tuple[int, int]) -> np.ndarray:
        return reason_seg_map(entry["shapes"], size, ignored=self.ignored, where=str(path))


def open_muse(root: Path | str, split: str) -> LazySamples:
    """Open MUSE: questions in the order of the file.

    Args:
        root: the folder above ``muse`` and ``coco`` (or above train2014, train2017, val2017).
        split: "train", "val", "test_less" or "test_many".

    Raises:
        DataError: no such file, or one that is no list.
    """
    path = below(root, "muse") / f"muse_{split}.json"
    if not path.is_file():
        raise DataError(f"{path.name}: expected in {path.parent}, got none. {MUSE_PAGE}")
    entries = read_json(path, list)
    rows: list[Any] = []
    for index, entry in enumerate(entries):
        questions = or_broken(partial(field, entry, "questions", list, f"{path}:{index}"))
        if isinstance(questions, Broken):
            rows.append(questions)
        else:
            rows += [(index, number, entry) for number in range(len(questions))]
    maker = _Muse(f"muse/{split}", path, Path(root))
    return LazySamples(maker.name, tuple(rows), maker.sample, maker.labels)


@dataclass(frozen=True)
class _Muse:
    """Makes samples of MUSE."""

    name: str
    path: Path
    root: Path

    def sample(self, row: tuple[int, int, dict[str, Any]]) -> Sample:
        """Return the sample of a question."""
        index, number, entry = row
        where = f"{self.path}:{index}"
        targets = self._targets(row)
        images = open_picture(self._image(entry, where), MUSE_PAGE)
        masks = [Mask(labels > 0) for labels in self.labels(row)]
        names = [str(t.get("rephrased_name") or t.get("category_name") or "it") for t in targets]
        answer = named_targets(names, masks)
        written = entry.get("text_answers") or []
        text = written[number] if isinstance(written, list) and number < len(written) else None
        if isinstance(text, str) and text.count(SLOT) == len(targets):
            answer = _in_its_own_words(text, masks, answer)
        return Sample(
            images=images,
            question=Question(text=str(entry["questions"][number])),
            answer=answer,
            id=f"{index}/{number}",
            source=self.name,
            type="few" if len(targets) <= 3 else "many",
        )

    def labels(self, row: tuple[int, int, dict[str, Any]]) -> np.ndarray:
        """Return the maps (N, H, W) of a question's targets, parts added up."""
        index, _, entry = row
        where = f"{self.path}:{index}"
        size = (field(entry, "height", int, where), field(entry, "width", int, where))
        maps = [coco_map(t.get("segmentation"), size, where) for t in self._targets(row)]
        return np.stack(maps) if maps else np.zeros((0, *size), dtype=np.uint8)

    def _targets(self, row: tuple[int, int, dict[str, Any]]) -> Sequence[dict[str, Any]]:
        index, number, entry = row
        answers = field(entry, "answers", list, f"{self.path}:{index}")
        found = answers[number] if number < len(answers) else None
        if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
            raise DataError(
                f'{self.path}:{index}: "answers": expected a list of targets for question '
                f"{number}, got {str(found)[:60]}."
            )
        return found

    def _image(self, entry: dict[str, Any], where: str) -> Path:
        """Return where an image is: train2014 by its file name, else by the end of its address."""
        coco = below(self.root, "coco")
        if isinstance(entry.get("file_name"), str):
            return coco / "train2014" / entry["file_name"]
        year, name = field(entry, "coco_url", str, where).split("/")[-2:]
        return coco / ("val2017" if "val2017" in year else "train2017") / name


def _in_its_own_words(text: str, masks: Sequence[Mask], named: GroundedAnswer) -> GroundedAnswer:
    """Return the text without its slots; a target's span is the clause before its slot.

    Where a slot has no clause of its own, the answer that names the targets is returned.
    """
    pieces, plain = text.split(SLOT), ""
    targets: list[Target] = []
    spans: list[tuple[int, int]] = []
    for piece, mask in zip(pieces, masks, strict=False):
        clause = re.split(r"[,.;:]", piece)[-1].strip()
        plain += piece.rstrip()
        if not clause:
            return named
        if mask.area:
            spans.append((len(plain) - len(clause), len(plain)))
            targets.append(Target(phrase=clause, masks={0: mask}))
    return GroundedAnswer(
        text=plain + pieces[-1], targets=tuple(targets), spans=tuple(spans), absent=named.absent
    )


def _reason_seg_entry(path: Path) -> dict[str, Any]:
    """Return a checked annotation of ReasonSeg; some are in Windows' western letters."""
    content = path.read_bytes()
    try:
        try:
            entry = json.loads(content.decode("utf-8"))
        except UnicodeDecodeError:
            entry = json.loads(content.decode("cp1252"))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: expected JSON, got a broken file ({error}).") from error
    texts = field(entry, "text", list, str(path))
    if not texts or not all(isinstance(text, str) for text in texts):
        raise DataError(f'{path}: "text": expected texts, got {str(texts)[:60]}.')
    field(entry, "is_sentence", bool, str(path))
    field(entry, "shapes", list, str(path))
    return entry


def _explanations(base: Path, split: str) -> dict[str, str]:
    """Return the explanations of the training images, by file name."""
    path = base / "explanatory" / "train.json"
    if split != "train" or not path.is_file():
        return {}
    rows = read_json(path, list)
    return {
        field(row, "image", str, f"{path}:{i}"): field(row, "outputs", str, f"{path}:{i}")
        for i, row in enumerate(rows)
    }


def _shown(answer: GroundedAnswer) -> dict[str, Any]:
    return {"targets": answer.targets, "spans": answer.spans, "absent": answer.absent}
