"""Opens 200,000 records of each kind of file: seconds of one core, the first time and again.

A file is opened, and its first and its last sample are read. Long lists are read record by record
and keep an index under a hash of the file, so the second time parses nothing; the other files are
parsed again.
"""

import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from time import process_time
from typing import Any

import numpy as np
from PIL import Image
from results import record

from deixis.data.catalogue import open_data
from deixis.data.formats.folders import open_parquet
from deixis.data.formats.tables import open_coco
from deixis.data.reader import JsonlReader
from deixis.structures.masks import Mask

RECORDS, WITHIN = 200_000, 10  # and seconds
SIZE = (48, 64)
SENTENCES = 4  # of a reference
EXPRESSIONS = 20  # of a clip
MIB = 2**20

Opener = Callable[[], Any]


def save(path: Path) -> None:
    """Write the picture that all records are about."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((*SIZE, 3), 90, dtype=np.uint8)).save(path)


def write_json(path: Path, value: object) -> Path:
    """Write JSON with its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))
    return path


def rle() -> dict[str, Any]:
    """Return a mask as COCO's RLE."""
    pixels = np.zeros(SIZE, dtype=bool)
    pixels[8:24, 8:40] = True
    return Mask(pixels).to_rle()


def talk(root: Path) -> tuple[Path, Opener]:
    """Write LLaVA-Instruct."""
    said = [{"from": "human", "value": "<image>\nWhat is there?"}, {"from": "gpt", "value": "It."}]
    rows = [{"id": i, "image": "a.jpg", "conversations": said} for i in range(RECORDS)]
    save(root / "coco/train2017/a.jpg")
    path = write_json(root / "llava_dataset/llava_instruct_150k.json", rows)
    return path, lambda: open_data("llava_instruct", root)


def regions(root: Path) -> tuple[Path, Opener]:
    """Write Osprey's conversations."""
    said = [{"from": "human", "value": "<region1>?"}, {"from": "gpt", "value": "It."}]
    one = {"id": 1, "file_name": "a.jpg", "height": SIZE[0], "width": SIZE[1]}
    one |= {"annotation": [{"segmentation": rle()}], "conversations": said}
    save(root / "osprey/coco/train2014/a.jpg")
    path = write_json(root / "osprey/Osprey-724K/osprey_conversation.json", [one] * RECORDS)
    return path, lambda: open_data("osprey-conversation", root)


def _instances(count: int) -> dict[str, Any]:
    fixed = {"image_id": 1, "category_id": 1, "bbox": [8, 8, 32, 16], "segmentation": rle()}
    size = {"height": SIZE[0], "width": SIZE[1]}
    return {
        "images": [{"id": 1, "file_name": "a.jpg", **size}],
        "annotations": [{"id": i, **fixed} for i in range(count)],
        "categories": [{"id": 1, "name": "thing"}],
    }


def _references(general: bool) -> list[dict[str, Any]]:
    rows = []
    for key in range(RECORDS // SENTENCES):
        said = [
            {"sent": f"the thing {key} {i}", "raw": f"The {key}", "sent_id": SENTENCES * key + i}
            for i in range(SENTENCES)
        ]
        fixed = {"image_id": 1, "split": "val", "category_id": 1, "sentences": said}
        rows.append({"ref_id": key, "ann_id": [key] if general else key, **fixed})
    return rows


def referring(root: Path) -> tuple[Path, Opener]:
    """Write RefCOCO."""
    base = root / "refer_seg"
    save(base / "images/mscoco/images/train2014/a.jpg")
    write_json(base / "refcoco/instances.json", _instances(RECORDS // SENTENCES))
    path = base / "refcoco/refs(unc).p"
    path.write_bytes(pickle.dumps(_references(False), protocol=2))
    return path, lambda: open_data("refcoco", root)


def general(root: Path) -> tuple[Path, Opener]:
    """Write gRefCOCO."""
    base = root / "refer_seg"
    save(base / "images/mscoco/images/train2014/a.jpg")
    write_json(base / "grefcoco/instances.json", _instances(RECORDS // SENTENCES))
    path = write_json(base / "grefcoco/grefs(unc).json", _references(True))
    return path, lambda: open_data("grefcoco", root)


def questions(root: Path) -> tuple[Path, Opener]:
    """Write MUSE."""
    target = {"segmentation": rle(), "bbox": [8, 8, 32, 16], "rephrased_name": "thing"}
    one = {"file_name": "a.jpg", "height": SIZE[0], "width": SIZE[1]}
    one |= {"questions": ["which?"], "answers": [[target, target]]}
    save(root / "coco/train2014/a.jpg")
    return write_json(root / "muse/muse_val.json", [one] * RECORDS), lambda: open_data("muse", root)


def expressions(root: Path) -> tuple[Path, Opener]:
    """Write MeViS."""
    base = root / "mevis/valid_u"
    asked = {str(i): {"exp": "it", "obj_id": [0], "anno_id": [0]} for i in range(EXPRESSIONS)}
    clip = {"frames": ["0", "1"], "expressions": asked}
    videos = {f"v{i}": clip for i in range(RECORDS // EXPRESSIONS)}
    write_json(base / "mask_dict.json", {"0": [rle(), None]})
    for video in ("v0", f"v{len(videos) - 1}"):
        for frame in clip["frames"]:
            save(base / f"JPEGImages/{video}/{frame}.jpg")
    path = write_json(base / "meta_expressions.json", {"videos": videos})
    return path, lambda: open_data("mevis", root)


def coco(root: Path) -> tuple[Path, Opener]:
    """Write COCO instances, ten an image."""
    value = _instances(RECORDS)
    size = {"height": SIZE[0], "width": SIZE[1], "file_name": "a.jpg"}
    value["images"] = [{"id": i, **size} for i in range(RECORDS // 10)]
    for index, row in enumerate(value["annotations"]):
        row["image_id"] = index // 10
    save(root / "a.jpg")
    path = write_json(root / "coco.json", value)
    return path, lambda: open_coco(path, root)


def lines(root: Path) -> tuple[Path, Opener]:
    """Write our own JSONL."""
    row = json.dumps({"images": ["a.jpg"], "question": "what?", "answer": {"text": "it"}})
    save(root / "a.jpg")
    path = root / "samples.jsonl"
    path.write_text(f"{row}\n" * RECORDS)
    return path, lambda: JsonlReader(path)


def parquet(root: Path) -> tuple[Path, Opener]:
    """Write parquet as HF's datasets do, a thousand rows a group."""
    import pyarrow
    import pyarrow.parquet

    save(root / "a.jpg")
    row = {"image": {"bytes": (root / "a.jpg").read_bytes()}, "text": "it", "mask": rle()}
    path = root / "rows.parquet"
    table = pyarrow.Table.from_pylist([row] * RECORDS)
    pyarrow.parquet.write_table(table, path, row_group_size=1000)
    return path, lambda: open_parquet(path)


def opened(opener: Opener) -> float:
    """Return the seconds of one core until the first and the last sample are there."""
    start = process_time()
    samples = opener()
    assert samples[0].question.text
    assert samples[len(samples) - 1].question.text
    return round(process_time() - start, 2)


def main() -> None:
    """Write each kind, open it twice, and record."""
    found: dict[str, dict[str, float]] = {}
    kinds: tuple[Callable[[Path], tuple[Path, Opener]], ...] = (
        *(talk, regions, referring, general, questions, expressions, coco, lines, parquet),
    )
    for kind in kinds:
        with TemporaryDirectory() as folder:
            os.environ["XDG_CACHE_HOME"] = f"{folder}/cache"
            path, opener = kind(Path(folder))
            size = round(path.stat().st_size / MIB, 1)
            found[kind.__name__] = {"mib": size, "first": opened(opener), "again": opened(opener)}
            print(kind.__name__, found[kind.__name__])
    most = max(one["first"] for one in found.values())
    claim = f"seconds to open {RECORDS} records and read two, the slowest kind of file"
    record(__file__, claim, most, f"< {WITHIN}", kinds=found)


if __name__ == "__main__":
    main()
