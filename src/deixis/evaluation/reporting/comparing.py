"""Two reports of one benchmark side by side: which figures differ, and how surely."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deixis.data.annotations.coco import read_json
from deixis.data.annotations.rows import LazySamples, field
from deixis.errors import ConfigError, DataError
from deixis.evaluation.protocols import counting, counting_muse
from deixis.evaluation.running.benchmarks import Benchmark, open_benchmark
from deixis.metrics.bootstrap import differences, from_sums
from deixis.metrics.protocols import find_protocol
from deixis.metrics.sums import Tally

SHOWN = 10  # samples that changed most
TOGETHER = {"muse": counting_muse.Questions, "pixelqa": counting.PointedVolumes}  # more than sums
NOTHING = LazySamples("", (), lambda row: row)


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
        {"index": index, "id": one["id"], "type": one["type"]}
        | {"first": one["score"], "second": other["score"]}
        for index, (one, other) in enumerate(zip(ours, theirs, strict=True))
        if one["score"] != other["score"]
    ]
    return sorted(rows, key=lambda row: -abs(row["second"] - row["first"]))[:SHOWN]


def reopen(path: Path | str, root: Path | None) -> Benchmark:
    """Return the benchmark that a report is of.

    Args:
        path: the report.
        root: the folder of the data, for all but scenes and files of our own.

    Raises:
        ConfigError: a root is needed and none was given.
    """
    from deixis.evaluation.protocols.published import WAYS, open_published
    from deixis.evaluation.running import m4seg

    setting = _report(Path(path))["configuration"]
    name, count, split = setting["benchmark"], setting["count"], setting["split"]
    if name not in WAYS and name != "m4seg":
        return open_benchmark(name, count=count, seed=setting["seed"], split=split)
    if root is None:
        raise ConfigError(
            f"--compare: expected --root with the folder of {name}, to draw what changed, got "
            f"none. Give it, or leave out --out."
        )
    if name == "m4seg":
        return m4seg.open_benchmark(root, split, count=count)
    return open_published(name, root, split=split, protocol=setting["protocol"], count=count)


def _result_of(configuration: Mapping[str, Any]) -> Any:
    """Return what turns tallies into a report's figures."""
    if "metric" not in configuration:
        return Tally.result
    metric, name = configuration["metric"], configuration["protocol"]
    name = {"grec": "grefcoco", "grec-clean": "clean", "unipixel-multi": "unipixel"}.get(name, name)
    if metric in TOGETHER:
        return TOGETHER[metric](NOTHING, metric, name).result
    return find_protocol(metric, name)[1].result


def _report(path: Path) -> dict[str, Any]:
    value: dict[str, Any] = read_json(path, dict)
    for name, kind in (("metrics", dict), ("configuration", dict), ("cases", list)):
        field(value, name, kind, str(path))
    field(value, "data_hash", str, str(path))
    for index, case in enumerate(value["cases"]):
        field(case, "sums", dict, f"{path}: case {index}")
    return value
