"""Writes scenes as files: pictures, one sample a line, and every visible thing in COCO's format."""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from PIL import Image

from deixis.errors import DataError
from deixis.scenes.catalogue import CATEGORIES
from deixis.scenes.knowing.facts import Facts
from deixis.scenes.questions import Scene, make_scene
from deixis.scenes.world import WorldKey
from deixis.structures.masks import Mask
from deixis.structures.numbering import ordinal
from deixis.structures.wire import sample_to_json, to_line

RECIPE = "dataset.json"  # what the folder was made from
CATEGORY_IDS = {category.name: number for number, category in enumerate(CATEGORIES, 1)}


def make_dataset(
    task: str,
    count: int,
    seed: int,
    split: str,
    out: Path | str,
    *,
    progress: Callable[[int], None] | None = None,
) -> Path:
    """Write ``count`` samples into the folder ``out``, which appears whole or not at all.

    Making the same data set again leaves the folder as it is.

    Args:
        progress: called with the number of samples written so far.

    Raises:
        DataError: the folder holds something else or cannot be written; a bad task, split or seed.
    """
    out = Path(out)
    recipe = {"task": task, "count": count, "seed": seed, "split": split, "format": 1}
    if count < 1:
        raise DataError(f"count: expected at least 1 sample, got {count}.")
    if _is_there(out, recipe):
        return out
    draft = out.with_name(f".{out.name}.{os.getpid()}")
    try:
        (draft / "images").mkdir(parents=True)
        _fill(draft, recipe, progress or (lambda done: None))
        draft.replace(out)
    except OSError as error:
        raise DataError(
            f"{out}: expected a place that can be written to, got: {error.strerror}. "
            f"Choose another folder, or make room."
        ) from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return out


def _is_there(out: Path, recipe: dict[str, Any]) -> bool:
    """Say whether this data set is there already; refuse to write over anything else."""
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return False
    made = out / RECIPE
    if made.is_file() and made.read_text() == to_line(recipe):
        return True
    raise DataError(
        f"{out}: expected an empty folder, or the same data set, got something else. "
        f"Choose another folder, or delete this one."
    )


def _fill(draft: Path, recipe: dict[str, Any], progress: Callable[[int], None]) -> None:
    coco: dict[str, list[dict[str, Any]]] = {
        "images": [],
        "annotations": [],
        "categories": [{"id": number, "name": name} for name, number in CATEGORY_IDS.items()],
    }
    with (draft / "samples.jsonl").open("w", encoding="utf-8") as lines:
        for index in range(recipe["count"]):
            key = WorldKey(
                split=recipe["split"], task=recipe["task"], seed=recipe["seed"], index=index
            )
            scene = make_scene(key)
            files = _write_pictures(scene, draft, f"images/{index:06d}")
            paths = [
                str(Path(files[span.start]).parent)
                if scene.samples[0].images.is_clip(image)
                else files[span.start]
                for image, span in enumerate(scene.samples[0].images.spans)
            ]
            lines.write(to_line(sample_to_json(scene.samples[0], paths)) + "\n")
            _describe(scene, files, coco)
            progress(ordinal(index))
    (draft / "instances.json").write_text(json.dumps(coco))
    (draft / RECIPE).write_text(to_line(recipe))


def _write_pictures(scene: Scene, draft: Path, stem: str) -> list[str]:
    """Write every frame; return their paths within the data set. A clip has a folder."""
    images = scene.samples[0].images
    files = []
    for image, span in enumerate(images.spans):
        for frame in span:
            name = f"{stem}-{ordinal(image)}"
            if images.is_clip(image):
                (draft / name).mkdir(exist_ok=True)
                name = f"{name}/{ordinal(frame - span.start):04d}"
            files.append(f"{name}.png")
            Image.fromarray(scene.renderings[frame].pixels).save(draft / files[-1])
    return files


def _describe(scene: Scene, files: list[str], coco: dict[str, list[dict[str, Any]]]) -> None:
    """Add the frames of a scene, and what each of them shows, to COCO's lists."""
    facts = Facts(scene.world, scene.renderings)
    for frame, file in enumerate(files):
        height, width = scene.renderings[frame].things.shape
        image_id = ordinal(len(coco["images"]))
        coco["images"].append({"id": image_id, "file_name": file, "height": height, "width": width})
        for entry in _annotations(facts, frame):
            number = ordinal(len(coco["annotations"]))
            coco["annotations"].append({"id": number, "image_id": image_id, **entry})


def _annotations(facts: Facts, frame: int) -> Iterator[dict[str, Any]]:
    for thing, drawn in facts.things.items():
        mask = Mask(facts.pixels(thing, frame))
        if mask.box is None:
            continue
        x0, y0, x1, y1 = mask.box
        yield {
            "category_id": CATEGORY_IDS[drawn.category],
            "segmentation": mask.to_rle(),
            "area": mask.area,
            "bbox": [x0, y0, x1 - x0, y1 - y0],
            "iscrowd": 0,
            "thing": thing,
            "colour": drawn.colour,
            "pattern": drawn.pattern,
        }
