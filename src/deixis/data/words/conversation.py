"""Instruction data in words: LLaVA-Instruct and VideoGPT+, one turn of a conversation a sample.

A file is a list of ``{id, image | video, conversations: [{from: human | gpt, value}]}``. Read in
UniPixel's loader: ``general/llava_v1_5_mix665k_with_videogpt_plus_576k.json`` holds both sets,
pictures are below ``llava_instruct``, videos below ``videogpt_plus``.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deixis.data.annotations.index import read_record, record_rows
from deixis.data.annotations.rows import LazySamples, field
from deixis.errors import DataError
from deixis.structures.answers import GroundedAnswer
from deixis.structures.opening import open_images
from deixis.structures.samples import Question, Sample

PAGE = "https://github.com/haotian-liu/LLaVA says where to get it."
LLAVA = "llava_dataset/llava_instruct_150k.json"
LLAVA_IMAGES = "coco/train2017"
VIDEOGPT_PLUS = "general/llava_v1_5_mix665k_with_videogpt_plus_576k.json"
MARK = re.compile(r"\s*<(?:image|video)>\s*")  # where pictures stand in the text
WHO = ("human", "gpt")


def open_conversations(
    root: Path | str, file: str = LLAVA, images: str = LLAVA_IMAGES, videos: str | None = None
) -> LazySamples:
    """Open conversations, in the order of the file; every turn is a sample of its own.

    Args:
        root: the folder of the data sets.
        file: below the root.
        images: the folder of pictures, below the root.
        videos: the folder of clips, below the root; None: that of the pictures.

    Raises:
        DataError: the file is missing or no list; conversations without pictures are left out.
    """
    path = Path(root) / file
    if not path.is_file():
        raise DataError(f"{path.name}: expected in {path.parent}, got none. {PAGE}")
    clips = images if videos is None else videos
    maker = _Conversations(path.stem, path, Path(root) / images, Path(root) / clips)
    return LazySamples(path.stem, record_rows(path, "conversations", _turns), maker.sample)


@dataclass(frozen=True)
class _Conversations:
    """Makes samples of turns."""

    name: str
    path: Path
    images: Path
    videos: Path

    def sample(self, row: Any) -> Sample:
        """Return the sample of a turn, given as `record_rows` has it."""
        start, stop, number, index = row
        entry = read_record(self.path, start, stop)
        _turns(entry, f"{self.path}:{index}")
        said = [
            _said(entry["conversations"][2 * number + k], who, f"{self.path}:{index}")
            for k, who in enumerate(WHO)
        ]
        return Sample(
            images=open_images([self._file(entry)]),
            question=Question(text=said[0]),
            answer=GroundedAnswer(text=said[1]),
            id=f"{entry.get('id', index)}/{number}",
            source=self.name,
            type="conversation",
        )

    def _file(self, entry: Any) -> Path:
        folder = self.images if entry.get("image") else self.videos
        source = entry.get("image") or entry.get("video")
        if not (folder / source).exists():
            raise DataError(f"{source}: expected in {folder}, got none. {PAGE}")
        return folder / source


def _turns(entry: Any, where: str) -> int:
    """Return how many turns a conversation has; 0 where it is not about a picture."""
    said = field(entry, "conversations", list, where)
    source = entry.get("image") or entry.get("video")
    if source is None:
        return 0
    if not isinstance(source, str) or len(said) % 2:
        raise DataError(
            f"{where}: expected a picture's name and turns in pairs, got {source!r} and "
            f"{len(said)} turns."
        )
    for number, turn in enumerate(said):
        _said(turn, WHO[number % 2], where)
    return len(said) // 2


def _said(turn: Any, who: str, where: str) -> str:
    if field(turn, "from", str, where) != who:
        raise DataError(f'{where}: "from": expected {who}, got {turn["from"]!r}.')
    return MARK.sub("", field(turn, "value", str, where)).strip()
