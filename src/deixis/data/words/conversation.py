"""Instruction data in words: LLaVA-Instruct and VideoGPT+, one turn of a conversation a sample.

A file is a list of ``{id, image | video, conversations: [{from: human | gpt, value}]}``. VideoGPT+
is assumed to keep that form with ``video`` in place of ``image``, as UniPixel's loader reads it.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deixis.data.annotations.coco import read_json
from deixis.data.annotations.rows import LazySamples, field
from deixis.errors import DataError
from deixis.structures.answers import GroundedAnswer
from deixis.structures.opening import open_images
from deixis.structures.samples import Question, Sample

PAGE = "https://github.com/haotian-liu/LLaVA says where to get it."
LLAVA = "llava_dataset/llava_instruct_150k.json"
LLAVA_IMAGES = "coco/train2017"
MARK = re.compile(r"\s*<(?:image|video)>\s*")  # where pictures stand in the text


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One question and its answer, of a conversation about a picture or a clip."""

    key: str
    source: str
    question: str
    answer: str


def open_conversations(
    root: Path | str, file: str = LLAVA, images: str = LLAVA_IMAGES
) -> LazySamples:
    """Open conversations, in the order of the file; every turn is a sample of its own.

    Args:
        root: the folder of the data sets.
        file: below the root.
        images: the folder of pictures or clips, below the root.

    Raises:
        DataError: the file is missing or broken; conversations without pictures are left out.
    """
    path = Path(root) / file
    if not path.is_file():
        raise DataError(f"{path.name}: expected in {path.parent}, got none. {PAGE}")
    maker = _Conversations(path.stem, Path(root) / images)
    return LazySamples(path.stem, tuple(_turns(path)), maker.sample)


@dataclass(frozen=True)
class _Conversations:
    """Makes samples of turns."""

    name: str
    folder: Path

    def sample(self, row: Turn) -> Sample:
        """Return the sample of a turn."""
        path = self.folder / row.source
        if not path.exists():
            raise DataError(f"{row.source}: expected in {self.folder}, got none. {PAGE}")
        return Sample(
            images=open_images([path]),
            question=Question(text=row.question),
            answer=GroundedAnswer(text=row.answer),
            id=row.key,
            source=self.name,
            type="conversation",
        )


def _turns(path: Path) -> Iterator[Turn]:
    for index, entry in enumerate(read_json(path, list)):
        where = f"{path}:{index}"
        said = field(entry, "conversations", list, where)
        source = entry.get("image") or entry.get("video")
        if source is None:
            continue
        if not isinstance(source, str) or len(said) % 2:
            raise DataError(
                f"{where}: expected a picture's name and turns in pairs, got {source!r} and "
                f"{len(said)} turns."
            )
        for number in range(0, len(said), 2):
            question, answer = (
                _said(said[number + k], who, where) for k, who in enumerate(("human", "gpt"))
            )
            key = f"{entry.get('id', index)}/{number // 2}"
            yield Turn(key=key, source=source, question=question, answer=answer)


def _said(turn: Any, who: str, where: str) -> str:
    if field(turn, "from", str, where) != who:
        raise DataError(f'{where}: "from": expected {who}, got {turn["from"]!r}.')
    return MARK.sub("", field(turn, "value", str, where)).strip()
