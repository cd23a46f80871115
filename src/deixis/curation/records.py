"""Drafts -> records as M4Seg has them (specification of PRIMA 4.2), each read back at once."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from deixis.curation.checks import as_asked, faults_of, faults_of_set
from deixis.curation.drafts import Draft
from deixis.curation.sets import PictureSet
from deixis.data.m4seg import Owners, read_record
from deixis.data.m4seg_text import CODE
from deixis.errors import DataError
from deixis.structures.numbering import ordinal

NOWHERE = Path("/nonexistent")  # no annotation files: a record must be whole by itself


def make_records(
    group: PictureSet, drafts: Sequence[Draft]
) -> tuple[list[dict[str, Any]], list[str]]:
    """Return the records of those drafts that pass every check, and why the others do not.

    Of two that ask the same the first is kept.
    """
    records, faults = [], []
    kept: list[Draft] = []
    for draft in drafts:
        wrong = faults_of(draft, group)
        if as_asked(draft) in map(as_asked, kept):
            wrong = [*wrong, f"asked twice: {as_asked(draft)}"]
        if not wrong:
            record = make_record(group, draft)
            try:
                read_record(record, f"set {group.number}", Owners(NOWHERE, "train"))
            except DataError as error:
                wrong = [str(error)]
        if wrong:
            faults += [f"set {group.number}: {draft.kind}: {fault}" for fault in wrong]
        else:
            records.append(record)
            kept.append(draft)
    faults += [f"set {group.number}: {fault}" for fault in faults_of_set(kept)]
    return records, faults


def make_record(group: PictureSet, draft: Draft) -> dict[str, Any]:
    """Return a record; the groundings of an image stand in the order of first mention."""
    groundings: dict[str, list[dict[str, Any]]] = {
        f"img_{ordinal(image)}": [] for image in range(len(group.pictures))
    }
    seen = set()
    for match in CODE.finditer(draft.answer):
        thing = group.by_code[match[2]]
        if thing.code in seen:
            continue
        seen.add(thing.code)
        entry = {"name": thing.name, "segmentation": thing.entity.segmentation}
        if thing.entity.owner is not None:
            entry["obj_ann_id"] = thing.entity.owner
        groundings[f"img_{ordinal(thing.image)}"].append(entry)
    return {
        "dataset_name": group.pictures[0].source,
        "img_ids": [picture.key for picture in group.pictures],
        "q": draft.question,
        "a": draft.answer,
        "kind": draft.kind,
        "groundings": groundings,
    }
