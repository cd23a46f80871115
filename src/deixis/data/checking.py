"""Goes through a data set: what can be read, what cannot and why, and what is published of it."""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
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
    """

    name: str
    count: int
    published: int | None
    recalled: int | None = None
    read: int = 0
    types: Counter[str] = field(default_factory=Counter)
    refused: list[tuple[int, str]] = field(default_factory=list)
    missing: int = 0

    @property
    def good(self) -> bool:
        """Whether all is there and can be read."""
        return not self.refused and self.published in (None, self.count)


def check(samples: Sequence[Sample], name: str, progress: Progress | None = None) -> Report:
    """Read every record once and report; no pixel is decoded."""
    report = Report(name, len(samples), PUBLISHED.get(name), RECALLED.get(name))
    for index in range(len(samples)):
        try:
            sample = samples[index]
        except DataError as error:
            report.refused.append((index, str(error)))
            report.missing += ", got none." in str(error)
        else:
            report.read += 1
            report.types[sample.type or "other"] += 1
        if progress:
            progress(index + 1, len(samples))
    return report


def write_refused(path: Path, report: Report) -> None:
    """Write the refused records, a JSON line each with index and reason, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = ({"index": index, "reason": reason} for index, reason in report.refused)
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
