"""The evaluator without a model: seconds of one core per 1,000 samples, and peak memory.

The oracle answers pictures of 480 x 640 and clips of 480 x 854, so what is measured is reading,
hashing, scoring, keeping and reporting. Each data set runs in a process of its own.
"""

import json
import pickle
import resource
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from time import process_time

import numpy as np
from PIL import Image
from results import record

PICTURE, CLIP = (480, 640), (480, 854)
SENTENCES, QUESTIONS, EXPRESSIONS, FRAMES = 1000, 300, 10, 60
WITHIN = 512  # MiB; a MeViS clip of 60 frames has 70 MiB of pixels


def blob(generator: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    """Return a smooth mask (H, W) of some hundred pixels across."""
    y, x = np.ogrid[: size[0], : size[1]]
    cy, cx = generator.uniform(0.3, 0.7, 2) * size
    ry, rx = generator.uniform(0.1, 0.3, 2) * size
    return ((y - cy) / ry) ** 2 + ((x - cx) / rx) ** 2 < 1


def rle(mask: np.ndarray) -> dict[str, object]:
    """Return COCO's RLE of a mask."""
    from deixis.structures.masks import Mask

    return Mask(mask).to_rle()


def save(generator: np.random.Generator, path: Path, size: tuple[int, int]) -> None:
    """Write a picture of noise in large cells."""
    path.parent.mkdir(parents=True, exist_ok=True)
    small = generator.integers(0, 256, (size[0] // 16, size[1] // 16, 3), dtype=np.uint8)
    Image.fromarray(small).resize(size[::-1], Image.Resampling.BILINEAR).save(path, quality=90)


def write_json(path: Path, value: object) -> None:
    """Write JSON with its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


def write_pictures(root: Path, generator: np.random.Generator) -> None:
    """Write RefCOCO, two sentences about each of five objects of an image, and MUSE."""
    height, width = PICTURE
    images, annotations, refs = [], [], []
    for image in range(SENTENCES // 10):
        name = f"COCO_train2014_{image:012d}.jpg"
        images.append({"id": image, "file_name": name, "height": height, "width": width})
        for folder in ("refer_seg/images/mscoco/images/train2014", "coco/train2014"):
            save(generator, root / folder / name, PICTURE)
        for _ in range(5):
            key = len(annotations)
            part = {"segmentation": rle(blob(generator, PICTURE)), "bbox": [0, 0, 9, 9]}
            annotations.append({"id": key, "image_id": image, "category_id": 1, **part})
            said = [{"sent": f"thing {key}", "sent_id": i} for i in range(2)]
            refs.append(
                {"ref_id": key, "ann_id": key, "image_id": image, "split": "val"}
                | {"sentences": said, "category_id": 1}
            )
    base = root / "refer_seg/refcoco"
    value = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "x"}]}
    write_json(base / "instances.json", value)
    (base / "refs(unc).p").write_bytes(pickle.dumps(refs, protocol=2))
    muse = [
        {**images[i % len(images)], "questions": [f"which {i}?"]}
        | {"answers": [[annotations[(3 * i + k) % len(annotations)] for k in range(3)]]}
        for i in range(QUESTIONS)
    ]
    write_json(root / "muse/muse_val.json", muse)


def write_clips(root: Path, generator: np.random.Generator) -> None:
    """Write MeViS: one expression a clip."""
    base = root / "mevis/valid_u"
    videos, tracks = {}, {}
    names = [f"{i:05d}" for i in range(FRAMES)]
    for video in range(EXPRESSIONS):
        for name in names:
            save(generator, base / f"JPEGImages/v{video}/{name}.jpg", CLIP)
        asked = {"0": {"exp": f"thing {video}", "obj_id": [0], "anno_id": [video]}}
        videos[f"v{video}"] = {"frames": names, "expressions": asked}
        tracks[str(video)] = [rle(blob(generator, CLIP)) for _ in names]
    write_json(base / "meta_expressions.json", {"videos": videos})
    write_json(base / "mask_dict.json", tracks)


def evaluated(name: str, root: str) -> None:
    """Evaluate the oracle on one data set, and print seconds, samples and peak memory."""
    from deixis.evaluation.answering.baselines import make_baseline
    from deixis.evaluation.protocols.published import open_published
    from deixis.evaluation.running.evaluator import evaluate

    benchmark = open_published(name, root)
    start = process_time()
    report = evaluate(make_baseline("oracle", benchmark), benchmark, out=f"{root}/{name}.json")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    found = {"seconds": round(process_time() - start, 3), "samples": report["samples"]}
    print(json.dumps({**found, "peak_mib": round(peak)}))


def main() -> None:
    """Write the data sets, evaluate each, and record."""
    if len(sys.argv) == 3:
        evaluated(*sys.argv[1:])
        return
    found = {}
    with TemporaryDirectory() as folder:
        root, generator = Path(folder), np.random.default_rng(0)
        write_pictures(root, generator)
        write_clips(root, generator)
        for name in ("refcoco", "muse", "mevis"):
            command = [sys.executable, __file__, name, folder]
            said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            one = json.loads(said.splitlines()[-1])
            one["seconds_per_1000"] = round(1000 * one["seconds"] / one["samples"], 1)
            found[name] = one
            print(name, one)
    most = max(one["peak_mib"] for one in found.values())
    record(__file__, "peak memory of the evaluator (MiB)", most, f"< {WITHIN}", sets=found)


if __name__ == "__main__":
    main()
