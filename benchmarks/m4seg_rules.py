"""How fast the rules write image sets: seconds of processor time, not of the clock; and in how
much memory.

    python benchmarks/m4seg_rules.py [--pictures 20000] [--sets 12600]

Pictures are synthetic annotations in the size of PACO's (8 objects, 8 parts each picture); 12,600
sets become some 100,000 records, on one core. Memory is flat if what was held after a hundredth of
the sets is not outgrown by much at the end. Some three minutes.
"""

import argparse
import json
import resource
import tempfile
from pathlib import Path
from random import Random
from time import process_time

from results import record

from deixis.curation.making import Order, make

NAMES = ("mug", "chair", "car", "lamp", "table", "bird", "guitar", "kite", "bottle", "knife")
PARTS = ("handle", "leg", "wheel", "body", "top")
AT_LEAST = 50  # sets per second and core
GROWTH = 1.1  # of the memory, at most


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=20_000)
    parser.add_argument("--sets", type=int, default=12_600)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        write(root, options.pictures)
        begun = process_time()
        make(Order(root=root, split="train", sets=1), root / "first.json")
        opened = process_time() - begun
        few = max(1, options.sets // 100)
        make(Order(root=root, split="train", sets=few), root / "few.json")
        before = memory()
        begun = process_time()
        report = make(Order(root=root, split="train", sets=options.sets), root / "out.json")
        spent = process_time() - begun - opened
    after = memory()
    record(
        __file__,
        "image sets that rules write in a second of one core",
        options.sets / spent,
        f">= {AT_LEAST}",
        sets=report["sets"],
        whole_sets=report["whole_sets"],
        records=report["records"],
        opening_seconds=round(opened, 2),
        megabytes_after_a_hundredth=before,
        megabytes_after_all=after,
        memory_is_flat=after <= GROWTH * before,
    )
    if after > GROWTH * before:
        raise SystemExit(f"memory grew from {before} to {after} MB")


def memory() -> int:
    """Return the most megabytes that this process has held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def write(root: Path, pictures: int) -> None:
    """Write annotations of pictures that are never opened."""
    rng = Random(0)
    names = [*NAMES, *(f"{name}:{part}" for name in NAMES for part in PARTS)]
    ids = {name: number for number, name in enumerate(names, 1)}
    images, annotations = [], []
    for image in range(1, pictures + 1):
        images.append({"id": image, "file_name": f"{image}.jpg", "height": 480, "width": 640})
        for _ in range(8):
            thing, part = rng.choice(NAMES), rng.choice(PARTS)
            x, y = rng.uniform(0, 540), rng.uniform(0, 380)
            owner = len(annotations) + 1
            for own, size in ((thing, 100), (f"{thing}:{part}", 40)):
                polygon = [x, y, x + size, y, x + size, y + size, x, y + size]
                annotations.append(
                    {
                        "id": len(annotations) + 1,
                        "image_id": image,
                        "category_id": ids[own],
                        "obj_ann_id": owner,
                        "bbox": [x, y, size, size],
                        "area": size * size,
                        "segmentation": [polygon],
                    }
                )
    value = {
        "images": images,
        "annotations": annotations,
        "categories": [{"id": number, "name": name} for name, number in ids.items()],
    }
    (root / "paco_lvis_v1_train.json").write_text(json.dumps(value))


if __name__ == "__main__":
    main()
