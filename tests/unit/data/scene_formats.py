"""Writes scenes in the formats that people have."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from published import write_json
from scene_shows import Shown, Truth, instances, of_pictures, pictures, save


def write_formats(root: Path) -> Truth:
    """Write the same pictures as COCO, LVIS, YOLO, CVAT, Label Studio, masks and parquet."""
    shows = []
    for one in pictures():  # outlines hold one piece without a hole
        kept = tuple((p, m) for p, m in one.targets if len(m[0].to_polygons()) == 1)
        shows.append(Shown(one.frames, one.question, kept))
    names = sorted({phrase for one in shows for phrase, _ in one.targets})
    value = instances(shows, "{}.jpg".format)
    write_json(root / "coco.json", value)
    for row in value["images"]:
        row["coco_url"] = f"http://x/train2017/{row.pop('file_name')}"
    write_json(root / "lvis.json", value)
    _write_outlines(root, shows, names)
    rows = []
    for image, one in enumerate(shows):
        for folder in ("", "images/", "train2017/"):
            save(one.frames[0], root / f"{folder}{image}.jpg")
        values = np.zeros(one.size, dtype=np.uint8)
        for number, (_, masks) in enumerate(one.targets, start=1):
            values[masks[0].pixels] = number
        save(values, root / f"masks/{image}.png")
        content = (root / f"{image}.jpg").read_bytes()
        rows += [
            {"image": {"bytes": content}, "text": p, "mask": json.loads(json.dumps(m[0].to_rle()))}
            for p, m in one.targets
        ]
    write_json(root / "rows.json", [row["text"] for row in rows])
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        return of_pictures(shows)
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), root / "rows.parquet")
    return of_pictures(shows)


def _write_outlines(root: Path, shows: Sequence[Shown], names: list[str]) -> None:
    """Write the formats whose masks are outlines: YOLO, CVAT and Label Studio."""
    xml, tasks = [], []
    (root / "labels").mkdir(parents=True)
    for image, one in enumerate(shows):
        height, width = one.size
        outlines = [(p, np.array(m[0].to_polygons()[0]).reshape(-1, 2)) for p, m in one.targets]
        lines = [
            f"{names.index(p)} " + " ".join(map(repr, (o / (width, height)).ravel().tolist()))
            for p, o in outlines
        ]
        (root / f"labels/{image}.txt").write_text("\n".join(lines))
        inside = "".join(
            f'<polygon label="{p}" points="{";".join(f"{x},{y}" for x, y in o)}"/>'
            for p, o in outlines
        )
        xml.append(f'<image name="{image}.jpg" width="{width}" height="{height}">{inside}</image>')
        results = [
            {"type": "polygonlabels"}
            | {"value": {"points": (100 * o / (width, height)).tolist(), "polygonlabels": [p]}}
            for p, o in outlines
        ]
        tasks.append({"data": {"image": f"/x/{image}.jpg"}, "annotations": [{"result": results}]})
    (root / "cvat.xml").write_text(f"<annotations>{''.join(xml)}</annotations>")
    write_json(root / "studio.json", tasks)
    write_json(root / "names.json", names)
