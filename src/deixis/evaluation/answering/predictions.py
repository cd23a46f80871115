"""Predictions of other systems, read as answers: JSONL, COCO results, GLaMM's folder, PNG folders.

Which of them a path holds is seen from what it is: a ``.jsonl`` file, a ``.json`` file, a folder
of JSON, or a folder (or zip) of ``VIDEO/EXPRESSION/FRAME.png`` as MeViS is handed in (within
``Annotations`` Ref-YouTube-VOS), or of ``anno_0/VIDEO/FRAME.png`` to ``anno_3`` as for DAVIS's own
evaluation of Ref-DAVIS17. An answer belongs to the sample of its id.
"""

import json
import struct
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from deixis.data.annotations.coco import read_json
from deixis.data.annotations.rows import field
from deixis.errors import DataError
from deixis.evaluation.protocols.counting import MISSING
from deixis.structures.answers import GroundedAnswer, Target
from deixis.structures.images import ImageSet
from deixis.structures.masks import Mask
from deixis.structures.numbering import ordinal
from deixis.structures.pictures import refusing
from deixis.structures.samples import Sample
from deixis.structures.wire import answer_from_json

Read = Callable[[Sample], GroundedAnswer | None]
ANNOTATOR, ANNOTATORS = "anno_", 4  # folders of DAVIS's layout
WITHIN = "Annotations"  # the folder in what Ref-YouTube-VOS is handed in
BROKEN_ZIP = (  # what reading a zip raises when its bytes are not what they should be
    *(zipfile.BadZipFile, OSError, ValueError, LookupError, EOFError),
    *(RuntimeError, struct.error, zlib.error),
)
LISTED = {"id", "index", "error"}  # what a line has besides the answer


class Predictions:
    """Answers questions with what another system predicted.

    Args:
        path: a file or a folder.

    Raises:
        DataError: there is nothing, or nothing that can be read.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self.name = f"predictions:{self.path.name}"
        self.fingerprint = _fingerprint(self.path)
        self._read = _reader(self.path)

    def answer_batch(self, samples: Sequence[Sample]) -> list[GroundedAnswer]:
        """Return one answer per sample; where there is none, an empty one that says so."""
        missing = GroundedAnswer(text="", caution=MISSING)
        return [self._read(sample) or missing for sample in samples]


def _reader(path: Path) -> Read:
    if path.is_dir():
        jsons = sorted([*path.glob("*.json"), *path.glob("*/*.json")])
        return _captions(jsons) if jsons else _pictures(path)
    if not path.is_file():
        raise DataError(f"{path}: expected predictions, got no file or folder. Check the path.")
    if path.suffix == ".zip":
        try:
            return _pictures(zipfile.Path(zipfile.ZipFile(path)))
        except BROKEN_ZIP as error:
            raise DataError(f"{path}: expected a zip file, got a broken one.") from error
    if path.suffix == ".jsonl":
        return _lines(path)
    return _results(path)


def _lines(path: Path) -> Read:
    """Read answers as `deixis ask --batch` writes them: a JSON line each, with the sample's id."""
    rows: dict[str, tuple[int, Any]] = {}
    for number, line in enumerate(path.read_bytes().splitlines(), start=1):
        if line.strip():
            try:
                row = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise DataError(f"{path}:{number}: expected JSON, got {line[:40]!r}.") from error
            rows[str(field(row, "id", (str, int), f"{path}:{number}"))] = (number, row)

    def read(sample: Sample) -> GroundedAnswer | None:
        number, row = rows.get(sample.id, (0, {"error": ""}))
        if "error" in row:
            return None
        value = {key: part for key, part in row.items() if key not in LISTED}
        try:
            return answer_from_json(value, sample.images)
        except DataError as error:
            raise DataError(f"{path}:{number}: {error}") from error

    return read


def _results(path: Path) -> Read:
    """Read COCO results: entries with ``image_id`` (the sample's id), RLE and score."""
    by_id: dict[str, list[tuple[int, Any]]] = {}
    for index, row in enumerate(read_json(path, list)):
        key = str(field(row, "image_id", (str, int), f"{path}:{index}"))
        by_id.setdefault(key, []).append((index, row))

    def read(sample: Sample) -> GroundedAnswer | None:
        found = by_id.get(sample.id)
        if found is None:
            return None
        targets = []
        for index, row in found:
            where = f"{path}:{index}"
            score = row.get("score")
            if not isinstance(score, int | float) or not 0 <= score <= 1:
                raise DataError(f'{where}: "score": expected one in [0, 1], got {score!r}.')
            mask = _mask(row.get("segmentation"), sample.images, where)
            targets.append(Target(phrase="it", masks={0: mask}, score=float(score)))
        return _naming(targets)

    return read


def _captions(paths: Sequence[Path]) -> Read:
    """Read GLaMM's folder: a file an image with ``caption``, ``phrases`` and ``pred_masks``."""
    by_id = {path.stem: path for path in paths}

    def read(sample: Sample) -> GroundedAnswer | None:
        path = by_id.get(sample.id)
        if path is None:
            return None
        row, where = read_json(path, dict), str(path)
        while "caption" not in row and len(row) == 1:  # some are nested one level
            row = field(row, next(iter(row)), dict, where)
        caption = field(row, "caption", str, where)
        phrases, masks = (field(row, name, list, where) for name in ("phrases", "pred_masks"))
        if len(phrases) != len(masks):
            raise DataError(
                f"{where}: expected {len(masks)} phrases, one a mask, got {len(phrases)}."
            )
        return _captioned(caption, list(map(str, phrases)), masks, sample.images, where)

    return read


def _captioned(
    caption: str, phrases: Sequence[str], rles: Sequence[Any], images: ImageSet, where: str
) -> GroundedAnswer:
    """Return a caption with its phrases where they stand in it; others are added behind."""
    text, end = caption, 0
    targets, spans = [], []
    for phrase, rle in zip(phrases, rles, strict=True):
        name = phrase.strip() or "it"
        start = text.lower().find(name.lower(), end)
        start = text.lower().find(name.lower()) if start < 0 else start
        if start < 0:
            start, text = len(text) + 1, f"{text} {name}"
        end = start + len(name)
        targets.append(Target(phrase=name, masks={0: _mask(rle, images, where)}))
        spans.append((start, end))
    return GroundedAnswer(text=text, targets=tuple(targets), spans=tuple(spans))


def _pictures(root: Any) -> Read:
    """Read ``VIDEO/EXPRESSION/FRAME.png``: whatever is not 0 is the target."""
    root = root.joinpath(WITHIN) if root.joinpath(WITHIN).is_dir() else root
    if root.joinpath(f"{ANNOTATOR}0").is_dir():
        return _annotators(root)

    def read(sample: Sample) -> GroundedAnswer | None:
        return _frames(root.joinpath(*sample.id.split("/")), sample)

    return read


def _annotators(root: Any) -> Read:
    """Read ``anno_A/VIDEO/FRAME.png``, in which object k is k: every object has four expressions
    in a row, one of each annotator. (As the code of referring models writes it; recalled.)"""

    def read(sample: Sample) -> GroundedAnswer | None:
        video, _, key = sample.id.rpartition("/")
        if not key.isdecimal():
            raise DataError(
                f"{root}: expected expressions with numbers, as Ref-DAVIS17 has, got {sample.id}."
            )
        number, annotator = divmod(int(key), ANNOTATORS)
        folder = root.joinpath(f"{ANNOTATOR}{annotator}", *video.split("/"))
        return _frames(folder, sample, ordinal(number))

    return read


def _frames(folder: Any, sample: Sample, value: int | None = None) -> GroundedAnswer | None:
    """Return what the pictures of a clip show: pixels of a value, or whatever is not 0."""
    if not folder.is_dir():
        return None
    masks = {}
    for index, frame in enumerate(sample.images):
        place = folder.joinpath(f"{Path(frame.name).stem}.png")
        if not place.exists():
            raise DataError(f"{place}: expected a picture of every frame, got none.")
        mask = _picture(place, sample.images[index].size, value)
        if mask.area:
            masks[index] = mask
    return _naming([Target(phrase="it", masks=masks)] if masks else [])


def _picture(place: Any, size: tuple[int, int], value: int | None) -> Mask:
    from PIL import Image

    try:
        content = place.read_bytes()
    except BROKEN_ZIP as error:
        raise DataError(f"{place}: expected a picture, got one that cannot be read.") from error
    with refusing(str(place)), Image.open(BytesIO(content)) as image:
        values = np.asarray(image)
    if values.shape[:2] != size:
        raise DataError(
            f"{place}: expected {size} pixels (height, width), got {values.shape[:2]}. "
            f"Check that the predictions belong to this data set."
        )
    values = values if values.ndim == 2 else values.max(2)
    return Mask(values > 0 if value is None else values == value)


def _mask(rle: Any, images: ImageSet, where: str) -> Mask:
    try:
        mask = Mask.from_rle(rle if isinstance(rle, Mapping) else {})
    except DataError as error:
        raise DataError(f"{where}: {error}") from error
    if mask.size != images[0].size:
        raise DataError(f"{where}: expected a mask of {images[0].size}, got {mask.size}.")
    return mask


def _naming(targets: Sequence[Target]) -> GroundedAnswer:
    """Return an answer that only points."""
    text = " ".join(target.phrase for target in targets)
    starts = [3 * place for place in range(len(targets))]
    return GroundedAnswer(
        text=text, targets=tuple(targets), spans=tuple((s, s + 2) for s in starts)
    )


def _fingerprint(path: Path) -> str:
    """Return a hash of names, sizes and times of all files."""
    digest = blake2b(digest_size=16)
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    for file in files:
        if file.is_file():
            state = file.stat()
            name = file.relative_to(path).as_posix()
            digest.update(f"{name} {state.st_size} {state.st_mtime_ns}\n".encode())
    return digest.hexdigest()
