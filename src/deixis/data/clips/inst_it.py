"""Inst-IT: questions about numbered objects of a clip, one question and its answer a sample.

Read in UniPixel's loader: ``inst_it/Inst-IT-Dataset/inst_it_dataset_video_21k_w_mask.json`` lists
``{video_id, video_path, question_answer_pairs: [{question, answer}], segmentations: {picture:
{object: {mask: RLE}}}}``; pictures are in ``videos_raw`` below the video's path without its first
folder. ``[3]`` names object 3 and ``<2>`` the second frame; "[03]" and "<0>" are slips, mended as
there. Assumed: frames come one a second. Not taken over: the loader leaves out clips of more than
10 frames or 5 objects, for training's sake; here they stay.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deixis.data.annotations.index import read_record, record_rows
from deixis.data.annotations.rows import LazySamples, below, field, mask_of, open_frames
from deixis.errors import DataError
from deixis.structures.answers import GroundedAnswer
from deixis.structures.images import ImageSet
from deixis.structures.masks import Mask
from deixis.structures.prompts import Region
from deixis.structures.samples import Question, Sample

RATE = 1.0
PAGE = "https://github.com/inst-it/inst-it says where to get it."
FILE = "Inst-IT-Dataset/inst_it_dataset_video_21k_w_mask.json"
OBJECT = re.compile(r"\[0*([1-9]\d*)\]")


def open_inst_it(root: Path | str) -> LazySamples:
    """Open the questions that name an object, in the order of the file.

    Args:
        root: the folder above ``inst_it``, or that one.

    Raises:
        DataError: the file is missing or broken.
    """
    path = below(root, "inst_it") / FILE
    if not path.is_file():
        raise DataError(f"{path.name}: expected in {path.parent}, got none. {PAGE}")
    maker = _InstIt(path)
    return LazySamples("inst_it", record_rows(path, "inst_it", _questions), maker.sample)


@dataclass(frozen=True)
class _InstIt:
    """Makes samples of questions."""

    path: Path

    def sample(self, row: Any) -> Sample:
        """Return the sample of a question, given as `record_rows` has it."""
        start, stop, number, index = row
        entry = read_record(self.path, start, stop)
        where = f"{self.path}:{index}"
        question, answer = _pairs(entry, where)[number]
        images, names = self._clip(field(entry, "video_path", str, where))
        prompts = []
        for key in dict.fromkeys(OBJECT.findall(question + answer)):
            for frame, name in enumerate(names):
                mask = self._mask(entry, name, key, f"{where}: {name}: object {key}")
                if mask is not None:
                    prompts.append(Region(image=frame, mask=mask, object_id=int(key)))
        return Sample(
            images=images,
            question=Question(text=question, prompts=tuple(prompts)),
            answer=GroundedAnswer(text=answer),
            id=f"{entry.get('video_id', index)}/{number}",
            source="inst_it",
            type="region",
        )

    def _clip(self, video: str) -> tuple[ImageSet, list[str]]:
        folder = self.path.parent / "videos_raw" / video.split("/", 1)[-1]
        found = folder.iterdir() if folder.is_dir() else ()
        names = sorted((p.name for p in found if p.suffix in (".png", ".jpg")), key=_number)
        if not names:
            raise DataError(f"{video}: expected frames in {folder}, got none. {PAGE}")
        return open_frames(folder, names, RATE, PAGE), names

    def _mask(self, entry: Any, name: str, key: str, where: str) -> Mask | None:
        shown = field(entry, "segmentations", dict, where).get(name)
        found = shown.get(key) if isinstance(shown, dict) else None
        return None if found is None else mask_of(field(found, "mask", dict, where), where)


def _questions(entry: Any, where: str) -> int:
    return len(_pairs(entry, where))


def _pairs(entry: Any, where: str) -> list[tuple[str, str]]:
    """Return the questions that name an object, with their answers, slips mended."""
    pairs = []
    for row in field(entry, "question_answer_pairs", list, where):
        texts = [_mended(field(row, name, str, where)) for name in ("question", "answer")]
        if OBJECT.search("".join(texts)):
            pairs.append((texts[0], texts[1]))
    return pairs


def _mended(text: str) -> str:
    return OBJECT.sub(r"[\1]", text.replace("<0>", "<1>"))


def _number(name: str) -> tuple[int, str]:
    """Return the number in a picture's name, whatever stands before it."""
    found = re.search(r"\d+", name)
    return (int(found[0]) if found else -1, name)
