"""Two reports of one benchmark side by side: which figures differ, and how surely."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deixis.data.annotations.coco import read_json
from deixis.data.annotations.rows import field
from deixis.errors import DataError
from deixis.metrics.bootstrap import differences, from_sums
from deixis.metrics.protocols import find_protocol
from deixis.metrics.sums import Tally

SHOWN = 10  # samples that changed most


def compare(first: Path | str, second: Path | str) -> dict[str, Any]:
    """Return how a second report differs from a first: figures, intervals, samples.

    Samples are drawn in pairs. A figure "differs" if the 95 % interval of the difference lies on
    one side of 0.

    Raises:
        DataError: a file is no report, or they are of different samples or protocols.
    """
    reports = [_report(Path(path)) for path in (first, second)]
    one, other = reports
    for name in ("benchmark", "split", "protocol", "measures", "count"):
        values = [report["configuration"].get(name) for report in reports]
        if values[0] != values[1]:
            raise DataError(f"{second}: expected {name} {values[0]!r}, got {values[1]!r}.")
    if one["data_hash"] != other["data_hash"]:
        raise DataError(f"{second}: expected the samples of {first}, got others.")
    tallies = [[from_sums(case["sums"]) for case in report["cases"]] for report in reports]
    result = _result_of(one["configuration"])
    between = differences(tallies[1], tallies[0], result)
    return {
        "models": [report["configuration"]["model"] for report in reports],
        "figures": {
            name: {
                "first": one["metrics"][name],
                "second": other["metrics"][name],
                "difference": other["metrics"][name] - one["metrics"][name],
                "interval": between[name],
                "differs": between[name][0] > 0 or between[name][1] < 0,
            }
            for name in between
            if name in one["metrics"] and name in other["metrics"]
        },
        "changed": _changed(one["cases"], other["cases"]),
    }


def _changed(ours: list[Any], theirs: list[Any]) -> list[dict[str, Any]]:
    """Return the samples whose scores moved most."""
    rows = [
        {"id": one["id"], "type": one["type"], "first": one["score"], "second": other["score"]}
        for one, other in zip(ours, theirs, strict=True)
        if one["score"] != other["score"]
    ]
    return sorted(rows, key=lambda row: -abs(row["second"] - row["first"]))[:SHOWN]


def _result_of(configuration: Mapping[str, Any]) -> Any:
    """Return what turns tallies into a report's figures."""
    if "metric" not in configuration:
        return Tally.result
    if configuration["metric"] in {"muse", "pixelqa"}:
        raise DataError(
            f"{configuration['benchmark']}: expected figures that are sums over samples, got "
            f"those of {configuration['metric']}. Compare their intervals instead."
        )
    name = configuration["protocol"]
    name = {"grec": "grefcoco", "grec-clean": "clean"}.get(name, name)
    return find_protocol(configuration["metric"], name)[1].result


def _report(path: Path) -> dict[str, Any]:
    value: dict[str, Any] = read_json(path, dict)
    for name, kind in (("metrics", dict), ("configuration", dict), ("cases", list)):
        field(value, name, kind, str(path))
    field(value, "data_hash", str, str(path))
    for index, case in enumerate(value["cases"]):
        field(case, "sums", dict, f"{path}: case {index}")
    return value
