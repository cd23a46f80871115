"""Annotations as people have them, by name: "coco:FILE", "yolo:", "masks:" below one folder."""

from collections.abc import Callable, Mapping
from pathlib import Path

import yaml

from deixis.config import pick
from deixis.data.annotations.rows import LazySamples
from deixis.data.formats.folders import open_label_studio, open_mask_folder, open_parquet
from deixis.data.formats.tables import open_coco, open_cvat, open_yolo
from deixis.errors import DataError

Opener = Callable[[Path, Path], LazySamples]  # of the annotations' file and the folder of pictures


def open_format(name: str, root: Path | str) -> LazySamples:
    """Open "FORMAT:FILE": annotations in a file, and their pictures below a folder.

    Args:
        name: a key of `FORMATS`, and the file's path where the format has one: "coco:a.json". For
            "yolo:" the folder has ``images``, ``labels`` and ``classes.txt`` or ``data.yaml``; for
            "masks:" it has ``images`` and ``masks``.
        root: the folder of the pictures.

    Raises:
        ConfigError: an unknown format.
        DataError: a file is missing or broken.
    """
    kind, _, file = name.partition(":")
    return pick(FORMATS, kind, "format")(Path(file), Path(root))


def class_names(folder: Path) -> tuple[str, ...]:
    """Return the classes of a YOLO folder: lines of ``classes.txt``, or names of ``data.yaml``.

    Raises:
        DataError: there is neither, or no names in it.
    """
    lines, settings = folder / "classes.txt", folder / "data.yaml"
    if lines.is_file():
        text = lines.read_text(encoding="utf-8", errors="replace")
        return tuple(line.strip() for line in text.splitlines() if line.strip())
    if not settings.is_file():
        raise DataError(f"{folder}: expected classes.txt or data.yaml with names, got neither.")
    try:
        value = yaml.safe_load(settings.read_bytes())
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise DataError(f"{settings}: expected YAML, got a broken file.") from error
    names = value.get("names") if isinstance(value, dict) else None
    if isinstance(names, dict) and all(type(key) is int for key in names):
        names = [names[key] for key in sorted(names)]
    if not isinstance(names, list):
        raise DataError(f'{settings}: "names": expected a list, got {str(names)[:60]!r}.')
    return tuple(map(str, names))


FORMATS: Mapping[str, Opener] = {
    "coco": open_coco,
    "lvis": open_coco,
    "cvat": open_cvat,
    "label_studio": open_label_studio,
    "yolo": lambda _, root: open_yolo(root, class_names(root)),
    "masks": lambda _, root: open_mask_folder(root / "images", root / "masks"),
    "parquet": lambda file, _: open_parquet(file),
}
