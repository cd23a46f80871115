"""M4Seg: questions about sets of 2 to 5 images whose answers name objects and parts with masks.

Read are the raw records (a JSON list; specification of PRIMA 4.2) and parquet files, whose columns
are known by several names. A record that cannot be is put aside with its place and its fault.
Images are those of COCO 2017, PASCAL VOC 2010 and ADE20K, which M4Seg does not bring along.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

from deixis.data.annotations.coco import Instances
from deixis.data.annotations.polygons import coco_map
from deixis.data.annotations.rows import LazySamples, open_picture
from deixis.data.m4seg_text import Told, bare_name, read_answer, without_codes
from deixis.errors import DataError
from deixis.extras import require
from deixis.structures.answers import GroundedAnswer, Target
from deixis.structures.images import ImageSet
from deixis.structures.masks import Mask
from deixis.structures.numbering import image_name
from deixis.structures.samples import Question, Sample

NAMES = {  # what a field is called in one release or another
    "question": ("q", "question"),
    "answer": ("a", "answer"),
    "images": ("img_ids", "image_ids", "images"),
    "source": ("dataset_name", "source"),
    "groundings": ("groundings", "masks", "annotations"),
}
MOST_IMAGES = 9  # a code has one digit for its image


@dataclass(frozen=True, kw_only=True, slots=True)
class Store:
    """Where one of the three sources keeps its images and what belongs to it."""

    folders: tuple[str, ...]
    annotations: str
    page: str


STORES = {
    "paco_lvis": Store(
        folders=("coco_2017/train2017", "coco_2017/val2017", "coco_2017/test2017"),
        annotations="paco_lvis_v1_{split}.json",
        page="Fetch COCO 2017 (train2017.zip, val2017.zip) from cocodataset.org into coco_2017.",
    ),
    "pascal_part": Store(
        folders=("PASCAL-Part/VOCdevkit/VOC2010/JPEGImages",),
        annotations="PASCAL-Part/{split}.json",
        page="Fetch PASCAL VOC 2010 (VOCtrainval_03-May-2010.tar) into PASCAL-Part.",
    ),
    "ade20k_part234": Store(
        folders=("ADE20KPart234/images/training", "ADE20KPart234/images/validation"),
        annotations="ADE20KPart234/ade20k_instance_{split}_mixed_parts.json",
        page="Fetch ADE20K (ADEChallengeData2016.zip) and put its images into ADE20KPart234.",
    ),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Record:
    """A record that was checked.

    Attributes:
        where: its file and line or row. source: one of ``STORES``.
        images: ids of the source. told: the answer and what it mentions.
        shapes: the segmentation of each first mention, in their order.
    """

    where: str
    source: str
    images: tuple[Any, ...]
    question: str
    told: Told
    shapes: tuple[Any, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class M4Seg:
    """The samples of a split, and the places and faults of records that were put aside."""

    samples: LazySamples
    rejected: tuple[str, ...]

    @property
    def records(self) -> Sequence[Record]:
        """What is known without opening an image."""
        return self.samples.rows


def open_m4seg(root: Path | str, split: str, *, file: Path | str | None = None) -> M4Seg:
    """Open a split.

    Args:
        root: the folder with the records and the images' folders.
        split: "train", "val" or "test".
        file: the records, where the root has several files for a split.

    Raises:
        DataError: no records, several files of them, or a broken one.
    """
    root = Path(root)
    path = Path(file) if file else _records_file(root, split)
    owners = Owners(root, split)
    records: list[Record] = []
    rejected: list[str] = []
    for where, value in _read(path):
        try:
            records.append(read_record(value, where, owners))
        except DataError as error:
            rejected.append(str(error))
    make = partial(make_sample, root=root, split=split, owners=owners)
    return M4Seg(samples=LazySamples(f"m4seg/{split}", records, make), rejected=tuple(rejected))


def statistics(data: M4Seg) -> dict[str, Any]:
    """Return counts of a split: samples, sets, images of a set, masks, sources, categories."""
    records = data.records
    firsts = [m for r in records for m in r.told.mentions if m.first]
    masks = [sum(m.first for m in r.told.mentions) for r in records]
    return {
        "samples": len(records),
        "rejected": len(data.rejected),
        "image_sets": len({(r.source, r.images) for r in records}),
        "sources": dict(Counter(r.source for r in records).most_common()),
        "images_per_set": dict(sorted(Counter(len(r.images) for r in records).items())),
        "masks": len(firsts),
        "masks_per_sample": sum(masks) / max(len(masks), 1),
        "parts": sum(m.part for m in firsts),
        "mentions": sum(len(r.told.mentions) for r in records),
        "phrases": dict(Counter(m.phrase.lower() for m in firsts).most_common(50)),
    }


# -- records -------------------------------------------------------------------------------------


def read_record(value: Any, where: str, owners: "Owners") -> Record:
    """Check one record.

    Raises:
        DataError: a field is missing, or codes, images and masks do not agree.
    """
    if not isinstance(value, Mapping):
        raise DataError(f"{where}: expected a record, got {str(value)[:60]!r}.")
    source = _field(value, "source", where)
    if source not in STORES:
        raise DataError(
            f'{where}: "dataset_name": expected one of {", ".join(STORES)}, got {source!r}.'
        )
    images = tuple(_field(value, "images", where))
    if not 1 <= len(images) <= MOST_IMAGES:
        raise DataError(f"{where}: expected 1 to {MOST_IMAGES} images, got {len(images)}.")
    groundings = _groundings(_field(value, "groundings", where), len(images), where)
    names = [[_owned(g, source, owners) for g in group] for group in groundings]
    question = str(_field(value, "question", where))
    told = read_answer(str(_field(value, "answer", where)), question, names, where)
    firsts = [mention for mention in told.mentions if mention.first]
    shapes = tuple(groundings[m.image][m.number]["segmentation"] for m in firsts)
    return Record(
        where=where,
        source=source,
        images=images,
        question=without_codes(question),
        told=told,
        shapes=shapes,
    )


def _field(value: Mapping[str, Any], name: str, where: str) -> Any:
    found = next((value[key] for key in NAMES[name] if value.get(key) is not None), None)
    if found is None:
        raise DataError(f"{where}: expected {' or '.join(NAMES[name])}, got none.")
    if name in ("images", "groundings") and isinstance(found, str):
        try:
            found = json.loads(found)
        except ValueError as error:
            raise DataError(f"{where}: {name}: expected JSON, got {found[:60]!r}.") from error
    kinds: dict[str, tuple[type, ...]] = {"images": (list,), "groundings": (dict, list)}
    if not isinstance(found, kinds.get(name, (str,))):
        raise DataError(f"{where}: {name}: got {str(found)[:60]!r}, which is of another kind.")
    return found


def _groundings(value: Any, count: int, where: str) -> list[list[Mapping[str, Any]]]:
    """Return the groundings of each image, in the order of their first mention."""
    if isinstance(value, list):
        value = {f"img_{i + 1}": group for i, group in enumerate(value)}
    strange = [key for key in value if key not in {f"img_{i + 1}" for i in range(count)}]
    if strange:
        raise DataError(f"{where}: groundings: expected img_1 to img_{count}, got {strange[0]!r}.")
    groups = [value.get(f"img_{i + 1}") or [] for i in range(count)]
    for group in groups:
        for one in group if isinstance(group, list) else [group]:
            if not isinstance(one, Mapping) or not one.get("name") or "segmentation" not in one:
                raise DataError(
                    f"{where}: grounding: expected name and segmentation, got {str(one)[:60]!r}."
                )
            _check_shape(one["segmentation"], where)
    return groups


def _check_shape(shape: Any, where: str) -> None:
    """Refuse what is neither polygons nor RLE, before an image is opened."""
    rle = isinstance(shape, Mapping) and isinstance(shape.get("counts"), list | str | bytes)
    if not rle and not (isinstance(shape, list) and shape):
        raise DataError(
            f"{where}: segmentation: expected polygons or RLE, got {str(shape)[:60]!r}."
        )


def _owned(grounding: Mapping[str, Any], source: str, owners: "Owners") -> tuple[str, str]:
    """Return the name of a grounding and, of a part whose annotation is at hand, its owner's."""
    name = bare_name(str(grounding["name"]))
    owner = grounding.get("obj_ann_id")
    return name, owners.name(source, owner) if owner is not None else ""


def _records_file(root: Path, split: str) -> Path:
    found = [*sorted(root.glob(f"*{split}.json")), *sorted(root.glob(f"**/{split}*.parquet"))]
    stores = {str(root / s.annotations.format(split=split)) for s in STORES.values()}
    found = [path for path in found if str(path) not in stores]
    parquet = [path for path in found if path.suffix == ".parquet"]
    if not found:
        raise DataError(
            f"{root}: expected PREFIX_{split}.json or {split}*.parquet with M4Seg's records, got "
            f"none. Fetch kanguyen-vn/M4Seg from the Hugging Face hub."
        )
    if len(found) > 1 and found != parquet:
        names = ", ".join(path.name for path in found)
        raise DataError(f"{root}: expected one file with records of {split}, got {names}. Say one.")
    return found[0].parent if len(found) > 1 else found[0]


def _read(path: Path) -> Iterator[tuple[str, Any]]:
    """Yield the place and the value of every record."""
    if path.suffix == ".json":
        yield from _read_json(path)
        return
    require("pyarrow", extra="data")
    from pyarrow import ArrowInvalid, parquet

    for file in sorted(path.glob("*.parquet")) if path.is_dir() else [path]:
        try:
            batches = parquet.ParquetFile(file).iter_batches(batch_size=512)
            rows = (row for batch in batches for row in batch.to_pylist())
            for number, row in enumerate(rows, start=1):
                yield f"{file}: row {number}", row
        except (ArrowInvalid, OSError) as error:
            raise DataError(f"{file}: expected parquet, got a broken file ({error}).") from error


def _read_json(path: Path) -> Iterator[tuple[str, Any]]:
    """Yield the records of a JSON list one by one, so that each is known by its line."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"{path}: expected M4Seg's records as JSON, got: "
            f"{getattr(error, 'strerror', None) or error}. Check the path, or fetch it again."
        ) from error
    decoder, at, line, seen = json.JSONDecoder(), 0, 1, 0
    at = _next(text, 0)
    if text[at : at + 1] != "[":
        raise DataError(f"{path}: expected a JSON list of records, got {text[:40]!r}.")
    at = _next(text, at + 1)
    while text[at : at + 1] != "]":
        line += text.count("\n", seen, at)
        seen = at
        try:
            value, at = decoder.raw_decode(text, at)
        except ValueError as error:
            raise DataError(
                f"{path}:{line}: expected JSON, got a broken file ({error}). Fetch it again."
            ) from error
        yield f"{path}:{line}", value
        at = _next(text, at)
        at = _next(text, at + 1) if text[at : at + 1] == "," else at


def _next(text: str, at: int) -> int:
    while at < len(text) and text[at] in " \t\r\n":
        at += 1
    return at


# -- images and masks ----------------------------------------------------------------------------


class Owners:
    """Names of objects and files of images, from the sources' own annotations if they are there."""

    def __init__(self, root: Path, split: str) -> None:
        self.root, self.split = root, split
        self.of = cache(self._open)

    def _open(self, source: str) -> Instances | None:
        for split in (self.split, "val" if self.split == "test" else self.split):
            path = self.root / STORES[source].annotations.format(split=split)
            if path.is_file():
                return Instances.read(path)
        return None

    def name(self, source: str, annotation: Any) -> str:
        """Return the category of an annotation, or nothing where that is not known."""
        instances = self.of(source)
        entry = instances.annotations.get(annotation) if instances else None
        if instances is None or entry is None:
            return ""
        category = entry.get("category_id")
        if not isinstance(category, int):
            return ""
        return bare_name(instances.categories.get(category, ""))

    def file(self, source: str, image: Any) -> str:
        """Return the file name of an image, as annotations say or as the source numbers them."""
        instances = self.of(source)
        if instances is not None and image in instances.images:
            return Path(str(instances.image(image)["file_name"])).name
        text = str(image)
        if not text.isdigit():
            return text if text.endswith(".jpg") else f"{text}.jpg"
        if source == "paco_lvis":
            return f"{int(text):012}.jpg"
        return f"{text[:4]}_{text[4:]}.jpg" if source == "pascal_part" else f"{text}.jpg"


def make_sample(record: Record, *, root: Path, split: str, owners: Owners) -> Sample:
    """Open the images of a record and draw its masks.

    Raises:
        DataError: an image is missing, by its number, or a mask is not of its size.
    """
    count = range(len(record.images))
    images = ImageSet.join([_picture(root, record, index, owners) for index in count])
    firsts = [mention for mention in record.told.mentions if mention.first]
    named: list[tuple[Target, tuple[int, int]]] = []
    for mention, shape in zip(firsts, record.shapes, strict=True):
        size = images[mention.image].size
        mask = Mask(coco_map(shape, size, record.where) > 0)
        target = Target(phrase=mention.phrase, masks={mention.image: mask} if mask.area else {})
        named.append((target, mention.span))
    return Sample(
        images=images,
        question=Question(text=record.question),
        answer=_answer(record.told, named),
        id=record.where.rpartition("/")[2],
        source=f"m4seg/{split}",
        type=record.source,
    )


def _answer(told: Told, named: Sequence[tuple[Target, tuple[int, int]]]) -> GroundedAnswer:
    shown = [(target, span) for target, span in named if target.masks]
    return GroundedAnswer(
        text=told.text,
        targets=tuple(target for target, _ in shown),
        spans=tuple(span for _, span in shown),
        absent=tuple(target for target, _ in named if not target.masks),
    )


def picture_path(root: Path, source: str, name: str) -> Path:
    """Return where an image of a source lies, or the first place where it would belong."""
    folders = [root / folder for folder in STORES[source].folders]
    return next((folder for folder in folders if (folder / name).is_file()), folders[0]) / name


def _picture(root: Path, record: Record, index: int, owners: Owners) -> ImageSet:
    source = record.source
    path = picture_path(root, source, owners.file(source, record.images[index]))
    try:
        return open_picture(path, STORES[source].page)
    except DataError as error:
        place = f"{record.where}: {image_name(index)} of {len(record.images)}"
        raise DataError(f"{place}: {error}") from error
