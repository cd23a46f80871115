"""What pictures with part annotations show: objects, and parts that know their object.

Read are COCO-style files as PACO-LVIS, PASCAL-Part and ADE20K-Part have them: a part names its
object by ``obj_ann_id`` (specification of PRIMA 4.2). What cannot be is put aside, by id.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deixis.data.annotations.coco import Instances
from deixis.data.annotations.polygons import coco_map
from deixis.data.m4seg import STORES
from deixis.data.m4seg_text import CODE, bare_name
from deixis.errors import DataError
from deixis.structures.masks import Mask

Box = tuple[float, float, float, float]
SMALLEST = 16  # pixels; smaller things are not asked about


@dataclass(frozen=True, slots=True, kw_only=True)
class Entity:
    """An object, or a part of one.

    Attributes:
        key: id of its annotation. owner: id of its object's; None for an object.
        name: without the source's spelling.
        box: x0, y0, x1, y1 in pixels. segmentation: polygons or RLE, as in the file.
    """

    key: int
    name: str
    owner: int | None
    box: Box
    area: float
    segmentation: Any

    @property
    def centre(self) -> tuple[float, float]:
        """The middle of its box, (x, y)."""
        return (self.box[0] + self.box[2]) / 2, (self.box[1] + self.box[3]) / 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A picture of a source: its (height, width), and its entities, objects first, large first."""

    source: str
    key: Any
    size: tuple[int, int]
    entities: tuple[Entity, ...]

    @property
    def objects(self) -> tuple[Entity, ...]:
        """Those that are no parts."""
        return tuple(entity for entity in self.entities if entity.owner is None)


@dataclass(frozen=True, slots=True)
class Found:
    """Pictures that show something, and what was put aside."""

    pictures: tuple[Picture, ...]
    faults: tuple[str, ...]


def read_pictures(root: Path | str, split: str) -> Found:
    """Read every source whose annotations lie below the root.

    Raises:
        DataError: no source is there, or a file is broken.
    """
    pictures: list[Picture] = []
    faults: list[str] = []
    paths = {s: Path(root) / store.annotations.format(split=split) for s, store in STORES.items()}
    there = {source: path for source, path in paths.items() if path.is_file()}
    if not there:
        names = ", ".join(str(path) for path in paths.values())
        raise DataError(f"{root}: expected one of {names}, got none. Give the sources' folder.")
    for source, path in there.items():
        found = read_source(source, Instances.read(path))
        pictures += found.pictures
        faults += found.faults
    return Found(tuple(pictures), tuple(faults))


def read_source(source: str, instances: Instances) -> Found:
    """Return the pictures of one annotation file, in its order."""
    pictures, faults = [], [one.reason for one in instances.strays()]
    for key, ids in instances.by_image().items():
        try:
            entry = instances.image(key)
        except DataError as error:
            faults.append(str(error))
            continue
        size = (entry["height"], entry["width"])
        entities, wrong = _entities(instances, ids, size)
        faults += wrong
        if any(entity.owner is None for entity in entities):
            pictures.append(Picture(source=source, key=key, size=size, entities=entities))
    return Found(tuple(pictures), tuple(faults))


def _entities(
    instances: Instances, ids: list[int], size: tuple[int, int]
) -> tuple[tuple[Entity, ...], list[str]]:
    """Return what one picture shows; parts whose object is not there are faults."""
    found, faults = [], []
    for key in ids:
        where = f"{instances.path}: annotation {key}"
        try:
            found.append(_entity(instances, key, instances.annotations[key], size, where))
        except DataError as error:
            faults.append(str(error))
    objects = {entity.key for entity in found if entity.owner is None}
    for entity in found:
        if entity.owner is not None and entity.owner not in objects:
            faults.append(
                f'{instances.path}: annotation {entity.key}: "obj_ann_id": expected an object of '
                f"the same picture, got {entity.owner}. The part is left out."
            )
    kept = [e for e in found if e.owner is None or e.owner in objects]
    kept = [e for e in kept if e.area >= SMALLEST]
    kept.sort(key=lambda e: (e.owner is not None, -e.area, e.key))
    return tuple(kept), faults


def _entity(
    instances: Instances, key: int, entry: Mapping[str, Any], size: tuple[int, int], where: str
) -> Entity:
    raw = instances.categories.get(entry.get("category_id", -1), "")
    name = bare_name(raw.rpartition("'s ")[2])
    coded = CODE.fullmatch(f"{name.replace(' ', '_').rpartition('-')[2]}_101")
    if not name or coded is None:
        raise DataError(f"{where}: expected a category whose name is a word, got {raw!r}.")
    owner = entry.get("obj_ann_id")
    is_part = owner is not None and owner != key
    if not is_part and (":" in raw or "'s " in raw):
        raise DataError(f'{where}: "obj_ann_id": expected the object of {raw!r}, got {owner}.')
    if not entry.get("segmentation"):
        raise DataError(f"{where}: expected a segmentation, got none.")
    box, area = _measure(entry, size, where)
    return Entity(
        key=key,
        name=name,
        owner=owner if is_part else None,
        box=box,
        area=area,
        segmentation=entry["segmentation"],
    )


def _measure(entry: Mapping[str, Any], size: tuple[int, int], where: str) -> tuple[Box, float]:
    """Return box and area as the file says them, or as the mask shows them."""
    box, area = entry.get("bbox"), entry.get("area")
    numbers = [*(box if isinstance(box, list) else ()), area]
    if len(numbers) == 5 and all(isinstance(n, int | float) for n in numbers):
        x, y, width, height = numbers[:4]
        return (x, y, x + width, y + height), float(numbers[4])
    mask = Mask(coco_map(entry["segmentation"], size, where) > 0)
    return (mask.box or (0, 0, 0, 0)), float(mask.area)


def parts_of(picture: Picture, owner: Entity) -> Iterator[Entity]:
    """Yield the parts of an object."""
    return (entity for entity in picture.entities if entity.owner == owner.key)
