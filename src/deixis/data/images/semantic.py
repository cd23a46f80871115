"""Classes of pixels: ADE20K, COCO-Stuff and Mapillary as pictures of labels, parts as COCO JSON.

A sample is an image with one target per class that shows in it. Published numbers of LISA's
readers: ADE20K's labels start at 1, 0 is ignored; COCO-Stuff ignores classes with "-"; PACO-LVIS
and PASCAL-Part name parts "object:part".
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from deixis.data.annotations.coco import Instances, read_json
from deixis.data.annotations.rows import LazySamples, below, field, named_targets, open_picture
from deixis.errors import ConfigError, DataError
from deixis.structures.masks import Mask
from deixis.structures.pictures import refusing
from deixis.structures.samples import Question, Sample

IGNORED = 255
PAGES = {
    "ade20k": "http://sceneparsing.csail.mit.edu says where to get it.",
    "cocostuff": "https://github.com/nightrome/cocostuff says where to get it.",
    "mapillary": "https://www.mapillary.com/dataset/vistas says where to get it.",
    "paco_lvis": "https://github.com/facebookresearch/paco says where to get it.",
    "pascal_part": "https://github.com/facebookresearch/VLPart says where to get it.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Places:
    """Where pictures and their labels are, and what the labels mean: class i is named names[i]."""

    images: Path
    labels: Path
    names: tuple[str, ...]


def open_semantic(root: Path | str, dataset: str) -> LazySamples:
    """Open pictures of labels, in the order of their names.

    Args:
        root: the folder above the data set's.
        dataset: "ade20k", "cocostuff" or "mapillary"; its list of classes stands in its folder
            (``ade20k_classes.json``, ``cocostuff_classes.txt``, ``config_v2.0.json``).

    Raises:
        ConfigError: an unknown data set.
        DataError: a file or a folder is missing or broken.
    """
    places = _places(Path(root), dataset)
    paths = sorted(places.labels.glob("*.png"))
    if not paths:
        raise DataError(f"{places.labels}: expected .png labels, got none. {PAGES[dataset]}")
    maker = _Semantic(dataset, places)
    return LazySamples(dataset, tuple(paths), maker.sample, maker.labels, maker.classes)


@dataclass(frozen=True)
class _Semantic:
    """Makes samples of pictures of labels."""

    name: str
    places: _Places

    def sample(self, path: Path) -> Sample:
        """Return the sample of a picture of labels."""
        labels = self.labels(path)[0]
        found = [int(value) for value in np.unique(labels) if value < len(self.places.names)]
        names = [self.places.names[value] for value in found]
        masks = [Mask(labels == value) for value in found]
        picture = self.places.images / f"{path.stem}.jpg"
        return Sample(
            images=open_picture(picture, PAGES[self.name]),
            question=_asking(names),
            answer=named_targets(names, masks),
            id=path.stem,
            source=self.name,
            type="semantic",
        )

    def classes(self, path: Path) -> tuple[str, ...]:
        """Return the names of all classes."""
        return self.places.names

    def labels(self, path: Path) -> np.ndarray:
        """Return the classes (1, H, W) of a picture, 255 where they are ignored."""
        from PIL import Image

        with refusing(path.name), Image.open(path) as image:
            values = np.asarray(image)
        if values.ndim != 2:
            raise DataError(f"{path}: expected one label a pixel, got shape {values.shape}.")
        values = values.astype(np.int64)
        if self.name == "ade20k":
            values = np.where((values == 0) | (values == IGNORED), IGNORED, values - 1)
        if self.name == "cocostuff":
            dashed = [i for i, name in enumerate(self.places.names) if "-" in name]
            values = np.where(np.isin(values, dashed), IGNORED, values)
        return values.astype(np.uint8)[None]


def open_parts(root: Path | str, dataset: str) -> LazySamples:
    """Open objects and their parts, an image a sample, in the order of the file.

    Args:
        root: the folder above ``vlpart`` and ``coco``.
        dataset: "paco_lvis" or "pascal_part".

    Raises:
        ConfigError: an unknown data set.
        DataError: a file is missing or broken.
    """
    base = below(root, "vlpart")
    if dataset == "paco_lvis":
        path, images = base / "paco/annotations/paco_lvis_v1_train.json", below(root, "coco")
    elif dataset == "pascal_part":
        path, images = base / "pascal_part/train.json", base / "pascal_part"
        images = images / "VOCdevkit/VOC2010/JPEGImages"
    else:
        raise ConfigError(f"parts: expected paco_lvis or pascal_part, got {dataset!r}.")
    if not path.is_file():
        raise DataError(f"{path.name}: expected in {path.parent}, got none. {PAGES[dataset]}")
    maker = _Parts(dataset, Instances.read(path), images)
    rows = (*maker.instances.by_image().items(), *maker.instances.strays())
    return LazySamples(dataset, rows, maker.sample, maker.labels)


@dataclass(frozen=True)
class _Parts:
    """Makes samples of objects and parts."""

    name: str
    instances: Instances
    images: Path

    def sample(self, row: tuple[int, Sequence[int]]) -> Sample:
        """Return the sample of an image."""
        image_id, keys = row
        entry = self.instances.image(image_id)
        named: dict[str, Mask] = {}
        for key in keys:
            name, mask = self._name(key), Mask(self.instances.map(key) > 0)
            named[name] = named[name].joined(mask) if name in named else mask
        picture = open_picture(self.images / entry["file_name"], PAGES[self.name])
        return Sample(
            images=picture,
            question=_asking(list(named)),
            answer=named_targets(list(named), list(named.values())),
            id=str(image_id),
            source=self.name,
            type="parts",
        )

    def labels(self, row: tuple[int, Sequence[int]]) -> np.ndarray:
        """Return the maps (N, H, W) of an image's annotations."""
        return np.stack([self.instances.map(key) for key in row[1]])

    def _name(self, key: int) -> str:
        """Return "the cup's handle" for "cup:handle", without what stands in brackets."""
        number = self.instances.annotation(key).get("category_id")
        if not isinstance(number, int) or number not in self.instances.categories:
            raise DataError(
                f"{self.instances.path}: annotation {key}: expected a category_id of the file, "
                f"got {number}."
            )
        words = self.instances.categories[number].split(":")
        words = [re.sub(r"_\(.*", "", word).replace("_", " ").strip() for word in words]
        return "'s ".join(words)


def _asking(names: Sequence[str]) -> Question:
    return Question(text=f"Where is {', '.join(names)}?" if names else "What is there?")


def _places(root: Path, dataset: str) -> _Places:
    if dataset == "ade20k":
        base = below(root, "ade20k")
        names = _listed(base / "ade20k_classes.json", dataset)
        labels = base / "annotations/training"
        return _Places(images=base / "images/training", labels=labels, names=names)
    if dataset == "cocostuff":
        base = below(root, "cocostuff")
        lines = _text(base / "cocostuff_classes.txt", dataset).splitlines()[1:]
        names = tuple(line.split(":")[-1].strip() for line in lines)
        images = root / "coco/train2017"
        return _Places(images=images, labels=base / "train2017", names=names)
    if dataset == "mapillary":
        base = below(root, "mapillary")
        path = base / "config_v2.0.json"
        rows = field(_mapping(path, dataset), "labels", list, str(path))
        names = tuple(field(row, "readable", str, str(path)).lower() for row in rows)
        labels = base / "training/v2.0/labels"
        return _Places(images=base / "training/images", labels=labels, names=names)
    raise ConfigError(
        f"classes: expected one of ade20k, cocostuff, mapillary, got {dataset!r}. Correct the name."
    )


def _there(path: Path, dataset: str) -> Path:
    if not path.is_file():
        raise DataError(f"{path.name}: expected in {path.parent}, got none. {PAGES[dataset]}")
    return path


def _listed(path: Path, dataset: str) -> tuple[str, ...]:
    return tuple(map(str, read_json(_there(path, dataset), list)))


def _mapping(path: Path, dataset: str) -> dict[str, object]:
    found: dict[str, object] = read_json(_there(path, dataset), dict)
    return found


def _text(path: Path, dataset: str) -> str:
    return _there(path, dataset).read_text(encoding="utf-8", errors="replace")
