"""Goes through a data set: what can be read, what cannot and why, and what is published of it."""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from deixis.errors import DataError
from deixis.structures.files import write_whole
from deixis.structures.samples import Sample

PUBLISHED: Mapping[str, int] = {  # samples of a split, where its authors or their code say so
    "reason_seg/train": 239,
    "reason_seg/val": 200,
    "reason_seg/test": 779,
    "mevis/valid_u": 793,
    "mevis/valid": 2236,
    "mevis/train": 23051,
    "videorefer-d/all": 400,
    "videorefer-q/all": 1000,
    "pixelqa-point/all": 1000,
    "pixelqa-box/all": 1000,
    "pixelqa-mixed/all": 1000,
}
RECALLED: Mapping[str, int] = {  # as people quote them; no source of theirs was read
    "refcoco/val": 10834,
    "refcoco/testA": 5657,
    "refcoco/testB": 5095,
    "refcoco+/val": 10758,
    "refcoco+/testA": 5726,
    "refcoco+/testB": 4889,
    "refcocog/val": 4896,
    "refcocog/test": 9602,
    "mvbench/all": 4000,
    "video_mme/all": 2700,
}
PICTURES: Mapping[str, int] = {  # pictures or clips of a split, where one who copied it says so
    "refcoco/val": 1500,
    "refcoco/testA": 750,
    "refcoco/testB": 750,
    "refcoco+/val": 1500,
    "refcoco+/testA": 750,
    "refcoco+/testB": 750,
    "refcocog/val": 1300,
    "refcocog/test": 2600,
    "mevis/train": 1662,
    "mevis/valid_u": 50,
    "mevis/valid": 140,
}
Progress = Callable[[int, int], None]


@dataclass
class Report:
    """What a look through a data set found.

    Attributes:
        name: of the data set and split.
        count: how many records there are.
        published: how many there should be; None where nobody says.
        recalled: how many people say there are; a difference is shown, and is no fault.
        read: how many could be read.
        types: of those read, by kind.
        refused: the index and the reason of each that could not be.
        missing: how many of these lack an image or a video.
        pictures: how many different pictures or clips they are about.
        published_pictures: how many there should be; None where nobody says.
    """

    name: str
    count: int
    published: int | None
    recalled: int | None = None
    read: int = 0
    types: Counter[str] = field(default_factory=Counter)
    refused: list[tuple[int, str]] = field(default_factory=list)
    missing: int = 0
    pictures: int = 0
    published_pictures: int | None = None

    @property
    def good(self) -> bool:
        """Whether all is there and can be read."""
        return not self.refused and not self.differences()

    def differences(self) -> list[str]:
        """Return a sentence for each count that is not the published one."""
        pairs = (
            ("records", self.published, self.count),
            ("pictures or clips", self.published_pictures, self.pictures),
        )
        return [
            f"{self.name}: expected {there} {what} as published, got {found}. "
            f"Check that the whole split is there."
            for what, there, found in pairs
            if there not in (None, found)
        ]


def check(
    samples: Sequence[Sample],
    name: str,
    progress: Progress | None = None,
    *,
    thorough: bool = False,
) -> Report:
    """Read every record once and report.

    Args:
        samples: of the data set.
        name: of the data set and its split, "refcoco/val".
        progress: is told how many are done, of how many.
        thorough: also decode every picture, and draw all that a metric will ask for.
    """
    report = Report(name, len(samples), PUBLISHED.get(name), RECALLED.get(name))
    seen = set()
    for index in range(len(samples)):
        try:
            sample = samples[index]
            if thorough:
                _look_through(samples, index, sample)
        except DataError as error:
            report.refused.append((index, str(error)))
            report.missing += ", got none." in str(error)
        else:
            report.read += 1
            report.types[sample.type or "other"] += 1
            seen.add(sample.images[0].name)
        if progress:
            progress(index + 1, len(samples))
    report.pictures, report.published_pictures = len(seen), PICTURES.get(name)
    return report


def _look_through(samples: Sequence[Sample], index: int, sample: Sample) -> None:
    """Decode all that a sample shows, and what the published metrics take of it."""
    for frame in sample.images:
        frame.pixels.any()
    for what in ("draw", "extra"):
        if getattr(samples, what, None) is not None:
            read = {"draw": "labels", "extra": "more"}[what]
            getattr(samples, read)(index)


def write_refused(path: Path, report: Report) -> None:
    """Write the refused records, a JSON line each with index and reason, whole or not at all."""
    write_lines(path, report.refused)


def write_lines(path: Path, refused: Iterable[tuple[int, str]]) -> None:
    """Write indices and reasons, a JSON line each, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = ({"index": index, "reason": reason} for index, reason in refused)
    write_whole(path, "".join(json.dumps(row) + "\n" for row in rows))


def readable(
    samples: Sequence[Sample], refuse: Callable[[int, str], None]
) -> Iterator[tuple[int, Sample]]:
    """Yield the records that can be read with their indices, and hand over the others' reasons.

    Without it a broken record ends the run: that is the default.
    """
    for index in range(len(samples)):
        try:
            sample = samples[index]
        except DataError as error:
            refuse(index, str(error))
        else:
            yield index, sample
