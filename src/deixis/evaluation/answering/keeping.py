"""Answers kept on disk by model and question, so that a second metric costs no second answer.

Also what is handed in to a server: pictures of masks in a zip, checked against their layout.
"""

import json
import os
import re
import zipfile
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from deixis.errors import ConfigError, DataError
from deixis.evaluation.answering.asking import put
from deixis.evaluation.running.benchmarks import Benchmark
from deixis.evaluation.running.journal import from_row, to_row
from deixis.reasoning.given import Given
from deixis.structures.answers import GroundedAnswer
from deixis.structures.files import write_whole
from deixis.structures.samples import Sample

BATCH = 8  # questions asked at once where pictures are made to be handed in
HANDED_IN = {  # clips of which pictures of masks are taken: the folder in the zip that holds them
    "mevis": "",
    "ref_youtube_vos": "Annotations/",
    **dict.fromkeys(("revos", "ref_sav", "ref_davis17", "lvvis"), ""),
}


class Kept:
    """Answers as a reasoner does, and asks it only what it has not answered yet.

    Args:
        reasoner: what answers; it must have a ``fingerprint``, its weights' hash.
        folder: where answers are kept, a JSON file each.

    Raises:
        ConfigError: the reasoner has no fingerprint, so its answers cannot be told from others'.
    """

    def __init__(self, reasoner: Any, folder: Path | str) -> None:
        self.name = reasoner.name
        self.fingerprint = getattr(reasoner, "fingerprint", None)
        if not self.fingerprint:
            raise ConfigError(
                f"{self.name}: expected a model with a fingerprint, got none. Do not keep answers."
            )
        self._reasoner, self._folder = reasoner, Path(folder)
        self.family = getattr(reasoner, "family", None)

    def answer_batch(
        self, samples: Sequence[Sample], *, logits: bool = False
    ) -> list[GroundedAnswer]:
        """Return one answer per sample; with ``logits`` what is kept without them is asked anew."""
        return self._answered(samples, [None] * len(samples), logits)

    def answer_given(
        self, samples: Sequence[Sample], given: Sequence[Given], *, logits: bool = False
    ) -> list[GroundedAnswer]:
        """Return one answer per sample, begun as given; those are kept apart."""
        return self._answered(samples, given, logits)

    def _answered(
        self, samples: Sequence[Sample], given: Sequence[Given | None], logits: bool
    ) -> list[GroundedAnswer]:
        places = [self._place(s, g) for s, g in zip(samples, given, strict=True)]
        answers = [_load(p, s, logits) for p, s in zip(places, samples, strict=True)]
        open_ones = [i for i, answer in enumerate(answers) if answer is None]
        found = self._ask([samples[i] for i in open_ones], [given[i] for i in open_ones], logits)
        for i, answer in zip(open_ones, found, strict=True):
            row = to_row(answer, samples[i])
            if logits:
                row.setdefault("logits", None)  # asked for, and nothing was drawn
            _write(places[i], json.dumps(row).encode())
            answers[i] = from_row(row, samples[i])
        return [answer for answer in answers if answer is not None]

    def _ask(
        self, samples: Sequence[Sample], given: Sequence[Given | None], logits: bool
    ) -> list[GroundedAnswer]:
        keep = {"logits": True} if logits else {}
        begun = [one for one in given if one is not None]
        if not samples:
            return []
        found: list[GroundedAnswer] = (
            self._reasoner.answer_given(samples, begun, **keep)
            if begun
            else self._reasoner.answer_batch(samples, **keep)
        )
        return found

    def _place(self, sample: Sample, given: Given | None) -> Path:
        """Return where an answer is kept: under a hash of model, pixels and question."""
        digest = blake2b(f"{self.name}\n{self.fingerprint}\n".encode(), digest_size=20)
        asked = [sample.question.text, [repr(one) for one in sample.question.prompts]]
        digest.update(json.dumps(asked if given is None else [*asked, repr(given)]).encode())
        for prompt in sample.question.prompts:
            mask = getattr(prompt, "mask", None)
            if mask is not None:
                digest.update(mask.pixels.tobytes())
        for frame in sample.images:
            digest.update(repr(frame.size).encode())
            digest.update(frame.pixels.tobytes())
        key = digest.hexdigest()
        return self._folder / key[:2] / f"{key}.json"


def answer_share(kept: Kept, benchmark: Benchmark, share: str) -> int:
    """Answer every n-th sample, so that n processes or machines answer all into one folder.

    Evaluated from that folder afterwards, the report is the one of a single process.

    Args:
        kept: what answers and keeps.
        benchmark: whose samples are asked.
        share: "2/5" is the second of five.

    Returns:
        How many samples the share has.

    Raises:
        ConfigError: no such share.
    """
    found = re.fullmatch(r"(\d+)/(\d+)", share)
    number, of = (int(found[1]), int(found[2])) if found else (0, 0)
    if not 1 <= number <= of:
        raise ConfigError(f'shard: expected one such as "2/5", got {share!r}.')
    mine = range(number - 1, len(benchmark.samples), of)
    answer_some(kept, benchmark, mine)
    return len(mine)


def answer_some(kept: Kept, benchmark: Benchmark, indices: Sequence[int]) -> None:
    """Answer some samples of a benchmark into the folder where answers are kept."""
    for start in range(0, len(indices), BATCH):
        put(kept, benchmark.task, [benchmark.samples[i] for i in indices[start : start + BATCH]])


def write_submission(reasoner: Any, benchmark: Benchmark, path: Path | str) -> int:
    """Write ``VIDEO/EXPRESSION/FRAME.png`` of all samples into a zip, whole or not at all.

    This is what the server of MeViS takes, and within ``Annotations`` that of Ref-YouTube-VOS:
    255 is the target.

    Returns:
        How many pictures there are.

    Raises:
        ConfigError: another benchmark.
        DataError: the zip does not have every picture in the right size.
    """
    if benchmark.name not in HANDED_IN:
        raise ConfigError(
            f"--submission: expected one of {', '.join(HANDED_IN)}, got {benchmark.name}. "
            f"Leave it out."
        )
    folder = HANDED_IN[benchmark.name]
    path = Path(path)
    draft = path.with_name(f"{path.name}.draft")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with zipfile.ZipFile(draft, "w", zipfile.ZIP_STORED) as file:
            for name, content in _pictures(reasoner, benchmark):
                file.writestr(f"{folder}{name}", content)
        count = check_submission(draft, benchmark.samples, folder)
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)
    return count


def check_submission(path: Path | str, samples: Sequence[Sample], folder: str = "") -> int:
    """Check that a zip holds one picture a frame of every sample, and nothing else.

    Args:
        path: the zip.
        samples: what is handed in.
        folder: within the zip, such as "Annotations/".

    Returns:
        How many pictures there are.

    Raises:
        DataError: one is missing, too many, of another size, or no picture of one value a pixel.
    """
    from PIL import Image

    wanted = {
        f"{folder}{s.id}/{Path(f.name).stem}.png": f.size
        for s in (samples[i] for i in range(len(samples)))
        for f in s.images
    }
    with zipfile.ZipFile(path) as file:
        names = {name for name in file.namelist() if not name.endswith("/")}
        for what, wrong in (("missing", set(wanted) - names), ("surplus", names - set(wanted))):
            if wrong:
                raise DataError(
                    f"{path}: expected {len(wanted)} pictures, got {len(wrong)} {what}, "
                    f"such as {min(wrong)}."
                )
        for name, size in wanted.items():
            with Image.open(BytesIO(file.read(name))) as image:
                if image.mode not in {"L", "P", "1"} or image.size != (size[1], size[0]):
                    raise DataError(
                        f"{path}: {name}: expected one value a pixel and {size} (height, width), "
                        f"got {image.mode} and {image.size[::-1]}."
                    )
    return len(wanted)


def _pictures(reasoner: Any, benchmark: Benchmark) -> Iterator[tuple[str, bytes]]:
    from PIL import Image

    samples = benchmark.samples
    for start in range(0, len(samples), BATCH):
        batch = [samples[i] for i in range(start, min(start + BATCH, len(samples)))]
        answers = put(reasoner, benchmark.task, batch)
        for sample, answer in zip(batch, answers, strict=True):
            for index, frame in enumerate(sample.images):
                pixels = np.zeros(frame.size, dtype=np.uint8)
                for target in answer.targets:
                    if index in target.masks:
                        pixels[target.masks[index].pixels] = 255
                content = BytesIO()
                Image.fromarray(pixels).save(content, "PNG")
                yield f"{sample.id}/{Path(frame.name).stem}.png", content.getvalue()


def _load(place: Path, sample: Sample, logits: bool) -> GroundedAnswer | None:
    """Return a kept answer; None where there is none that can be read, or none with logits."""
    try:
        row = json.loads(place.read_bytes())
        return None if logits and "logits" not in row else from_row(row, sample)
    except (OSError, ValueError, LookupError, TypeError):
        return None


def _write(place: Path, content: bytes) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    write_whole(place, content)
