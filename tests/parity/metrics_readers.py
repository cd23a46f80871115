"""Ours against recorded outputs of the published readers: maps of labels, references, splits."""

import json
import pickle
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from recorded import File, Recorded

from deixis.data.annotations.polygons import reason_seg_map
from deixis.data.images.referring import References


def check_readers(file: File) -> None:
    for case in file["reason_seg"]:
        check_reason_seg(file, case)
    with TemporaryDirectory() as folder:
        check_refcoco(file, Path(folder))
        check_grefcoco(file, Path(folder))


def check_reason_seg(file: File, case: Recorded) -> None:
    index, size = case["index"].fed(), tuple(case["size"].fed())
    annotation = case["annotation"].fed()
    for name, ignored in (("lisa", 255), ("unipixel", 0)):
        ours = reason_seg_map(annotation["shapes"], size, ignored=ignored)
        assert np.array_equal(ours, file.array(f"{name}_{index}")), (name, index)
        case[f"{name}_values"].equals(np.unique(ours))
    case["text"].equals(annotation["text"])
    case["is_sentence"].equals(annotation["is_sentence"])


def check_refcoco(file: File, root: Path) -> None:
    part = file["refcocog_umd"]
    assert "sum over polygons" in part["note"].fed()
    source = written(root / "refcocog", part["instances"].fed(), part["refs"].fed(), "umd", ".p")
    for split, ids in part["splits"].items():
        found = source.of_split(split)
        ids["ref_ids"].equals([ref.ref_id for ref in found])
        assert sorted(ids["img_ids"].fed()) == sorted({ref.image_id for ref in found})
    by_id = {ref.ref_id: ref for ref in source.references}
    for number, mask in enumerate(part["masks"]):
        ref = by_id[mask["ref_id"].fed()]
        ours = source.map(ref)
        assert np.array_equal(ours, file.array(f"refmask_{number}"))
        mask["area_sum_over_polygons"].equals(ours.sum(dtype=np.int64))
        mask["max_value"].equals(ours.max())
        box = source.box(ref)
        mask["box_xywh"].equals(None if box is None else list(box))


def check_grefcoco(file: File, root: Path) -> None:
    part = file["grefcoco_unc"]
    assert "clips to 0/1" in part["note"].fed()
    instances = file["refcocog_umd"]["instances"].fed()
    refs = part["refs"].fed()
    source = written(root / "grefcoco", instances, refs, "unc", ".json")
    for ref, row in zip(source.references, refs, strict=True):
        assert row["no_target"] == (not ref.annotation_ids)
    for split, ids in part["splits"].items():
        ids.equals([ref.ref_id for ref in source.of_split(split)])
    by_id = {ref.ref_id: ref for ref in source.references}
    for number, mask in enumerate(part["masks"]):
        ours = source.map(by_id[mask["ref_id"].fed()])
        assert np.array_equal(ours, file.array(f"grefmask_{number}"))
        mask["empty"].equals(not ours.any())
        mask["sum"].equals(ours.sum(dtype=np.int64))


def written(folder: Path, instances: Any, refs: Any, by: str, ending: str) -> References:
    """Write the published files, as they are published, and read them."""
    folder.mkdir()
    (folder / "instances.json").write_text(json.dumps(instances))
    content = pickle.dumps(refs, protocol=2) if ending == ".p" else json.dumps(refs).encode()
    stem = "refs" if ending == ".p" else "grefs"
    (folder / f"{stem}({by}){ending}").write_bytes(content)
    return References(folder, by)


CHECKS = {"readers": check_readers}
