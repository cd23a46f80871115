"""Our scenes as a source of M4Seg: pictures and part annotations in the layout of PACO-LVIS."""

import json
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

from PIL import Image

from deixis.data.m4seg import STORES
from deixis.scenes.drawing.render import render
from deixis.scenes.knowing.facts import Facts
from deixis.scenes.world import WorldKey, draw_world
from deixis.structures.masks import Mask

SOURCE, FOLDER = "paco_lvis", "coco_2017/val2017"


def write_source(root: Path, split: str, *, worlds: int, seed: int = 0) -> Path:
    """Write the pictures of some worlds and ``paco_lvis_v1_SPLIT.json``; return that file."""
    pictures = root / FOLDER
    pictures.mkdir(parents=True, exist_ok=True)
    images, annotations = list[dict[str, Any]](), list[dict[str, Any]]()
    categories: dict[str, int] = {}
    keys = count(1)
    for index in range(worlds):
        world = draw_world(WorldKey(split=split, task="multi", seed=seed, index=index))
        facts = Facts(world, [render(view) for view in world.views])
        for frame, rendering in enumerate(facts.renderings):
            image = len(images) + 1
            height, width = rendering.things.shape
            name = f"{image:012}.jpg"
            Image.fromarray(rendering.pixels).save(pictures / name, quality=95)
            images.append({"id": image, "file_name": name, "height": height, "width": width})
            for entry in _annotations(facts, frame, keys, categories):
                annotations.append({**entry, "image_id": image})
    path = root / STORES[SOURCE].annotations.format(split=split)
    named = [{"id": number, "name": name} for name, number in categories.items()]
    value = {"images": images, "annotations": annotations, "categories": named}
    path.write_text(json.dumps(value), encoding="utf-8")
    return path


def _annotations(
    facts: Facts, frame: int, keys: Iterator[int], categories: dict[str, int]
) -> Iterator[dict[str, Any]]:
    """Yield what a frame shows, objects with their parts behind them."""
    for number, thing in facts.things.items():
        whole = Mask(facts.pixels(number, frame))
        if not whole.area:
            continue
        owner = next(keys)
        yield _entry(owner, owner, thing.category, whole, categories)
        for part in thing.parts:
            mask = Mask(facts.pixels(number, frame, part))
            if mask.area:
                name = f"{thing.category}:{part}"
                yield _entry(next(keys), owner, name, mask, categories)


def _entry(
    key: int, owner: int, name: str, mask: Mask, categories: dict[str, int]
) -> dict[str, Any]:
    x0, y0, x1, y1 = mask.box or (0, 0, 0, 0)
    return {
        "id": key,
        "obj_ann_id": owner,  # of itself: an object, as in PACO
        "category_id": categories.setdefault(name, len(categories) + 1),
        "segmentation": mask.to_rle(),
        "bbox": [x0, y0, x1 - x0, y1 - y0],
        "area": mask.area,
    }
