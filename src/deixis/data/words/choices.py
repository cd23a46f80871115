"""Multiple choice about videos: MVBench's twenty tasks and Video-MME.

MVBench: ``json/TASK.json`` and videos in the tasks' folders. Video-MME: a parquet file beside
``videos``; it needs the extra ``data``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from string import ascii_uppercase
from typing import Any

from deixis.data.annotations.coco import read_json
from deixis.data.annotations.rows import Broken, LazySamples, field, or_broken
from deixis.errors import DataError
from deixis.extras import require
from deixis.structures.answers import GroundedAnswer
from deixis.structures.images import ImageSet
from deixis.structures.opening import open_images
from deixis.structures.samples import Question, Sample

MVBENCH_PAGE = "https://huggingface.co/datasets/OpenGVLab/MVBench says where to get it."
VIDEO_MME_PAGE = "https://huggingface.co/datasets/lmms-lab/Video-MME says where to get it."
ASKED = "Please only give the best option."
ENDINGS = ("", ".mp4", ".avi", ".webm", ".mkv")


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """One question with options; ``window`` is the part of the video that is meant, in seconds."""

    key: str
    video: str
    question: str
    options: tuple[str, ...]
    answer: int
    kind: str
    window: tuple[float, float] | None = None


def open_mvbench(root: Path | str, tasks: Sequence[str] | None = None) -> LazySamples:
    """Open MVBench: tasks by name, questions in the order of their file.

    Args:
        root: the folder above ``json`` and ``video``.
        tasks: names of tasks; None: all whose file is there.

    Raises:
        DataError: a file is missing or broken.
    """
    base = Path(root)
    names = sorted(path.stem for path in (base / "json").glob("*.json"))
    rows: list[Choice | Broken] = []
    for task in names if tasks is None else tasks:
        path = base / "json" / f"{task}.json"
        if not path.is_file():
            raise DataError(f"{path.name}: expected in {path.parent}, got none. {MVBENCH_PAGE}")
        entries = enumerate(read_json(path, list))
        rows += [or_broken(partial(_of_mvbench, e, task, i, path)) for i, e in entries]
    if not rows:
        raise DataError(f"{base / 'json'}: expected tasks as .json, got none. {MVBENCH_PAGE}")
    maker = _Choices("mvbench", base / "video", MVBENCH_PAGE)
    return LazySamples(maker.name, tuple(rows), maker.sample)


def open_video_mme(root: Path | str) -> LazySamples:
    """Open Video-MME's questions, in the order of the parquet file.

    Raises:
        DataError: a file is missing or broken.
        MissingExtra: pyarrow is not installed.
    """
    require("pyarrow", extra="data")
    from pyarrow import ArrowException
    from pyarrow.parquet import read_table

    base = Path(root)
    paths = sorted(base.glob("**/test-*.parquet"))
    if not paths:
        raise DataError(f"test-*.parquet: expected in {base}, got none. {VIDEO_MME_PAGE}")
    rows: list[Choice | Broken] = []
    for path in paths:
        try:
            entries = read_table(path).to_pylist()
        except (ArrowException, OSError, ValueError) as error:
            raise DataError(f"{path}: expected a parquet file, got a broken one.") from error
        rows += [or_broken(partial(_of_video_mme, e, f"{path}:{i}")) for i, e in enumerate(entries)]
    maker = _Choices("video_mme", base / "videos", VIDEO_MME_PAGE)
    return LazySamples(maker.name, tuple(rows), maker.sample)


@dataclass(frozen=True)
class _Choices:
    """Makes samples of multiple choice."""

    name: str
    folder: Path
    page: str

    def sample(self, row: Choice) -> Sample:
        """Return the sample of a question."""
        letters = ascii_uppercase[: len(row.options)]
        lines = [f"({x}) {option}" for x, option in zip(letters, row.options, strict=True)]
        letter = letters[row.answer]
        return Sample(
            images=self._video(row),
            question=Question(text="\n".join([row.question, *lines, ASKED])),
            answer=GroundedAnswer(text=lines[row.answer], conclusion=letter),
            id=row.key,
            source=self.name,
            type=row.kind,
        )

    def _video(self, row: Choice) -> ImageSet:
        paths = [self.folder / f"{row.video}{ending}" for ending in ENDINGS]
        path = next((path for path in paths if path.exists()), None)
        if path is None:
            raise DataError(f"{row.video}: expected in {self.folder}, got none. {self.page}")
        images = open_images([path])
        if row.window is None:
            return images
        times = images.times[0] or ()
        kept = [i for i, time in enumerate(times) if row.window[0] <= time <= row.window[1]]
        return (
            ImageSet.clip([images[i] for i in kept], [times[i] for i in kept]) if kept else images
        )


def _of_mvbench(entry: Any, task: str, index: int, path: Path) -> Choice:
    where = f"{path}:{index}"
    options = tuple(map(str, field(entry, "candidates", list, where)))
    answer = field(entry, "answer", str, where)
    if answer not in options or len(options) > len(ascii_uppercase):
        raise DataError(f'{where}: "answer": expected one of {list(options)}, got {answer!r}.')
    window = None
    if entry.get("start") is not None and entry.get("end") is not None:
        start, end = (field(entry, name, (int, float), where) for name in ("start", "end"))
        window = (float(start), float(end))
    return Choice(
        key=f"{task}/{index}",
        video=f"{task}/{field(entry, 'video', str, where)}",
        question=field(entry, "question", str, where),
        options=options,
        answer=options.index(answer),
        kind=task,
        window=window,
    )


def _of_video_mme(entry: Mapping[str, Any], where: str) -> Choice:
    options = [str(option) for option in field(entry, "options", list, where)]
    letter = field(entry, "answer", str, where).strip().upper()
    if len(letter) != 1 or letter not in ascii_uppercase[: len(options)]:
        raise DataError(
            f'{where}: "answer": expected a letter of {len(options)} options, got {letter!r}.'
        )
    return Choice(
        key=str(entry.get("question_id", where)),
        video=field(entry, "videoID", str, where),
        question=field(entry, "question", str, where),
        options=tuple(option.split(". ", 1)[-1] for option in options),  # "A. a hat"
        answer=ascii_uppercase.index(letter),
        kind=str(entry.get("duration", "")),
    )
