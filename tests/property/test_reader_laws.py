"""Readers meet broken files: every one is a located error or a right reading, and nothing hangs.

Each mutation is drawn from a fixed seed; most break a file's bytes, others put odd values in it.
"""

import json
import pickle
import re
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from random import Random
from time import perf_counter
from typing import Any

import pytest

from deixis.errors import DeixisError

sys.path.insert(0, str(Path(__file__).parents[1] / "unit" / "data"))
from tiny_sets import write_all  # the writers that the readers' own tests use

MUTATIONS = 10_000  # in all: some 20 seconds of one core
PATIENCE = 60  # seconds for one broken file, whatever else the machine does; they take 2 ms
# a path and what is wrong there, or the record of a data set
LOCATED = re.compile(r"/.*(: |expected in |\.)|: record \d+: ", re.DOTALL)
ODD = [
    None,
    True,
    -1,
    0,
    2**40,
    1e308,
    float("nan"),
    "",
    "x",
    "\udc80",
    [],
    {},
    [[]],
    [None],
    "9" * 99,
]
def mutated(content: bytes, chance: Random, suffix: str) -> bytes:
    """Return broken bytes, or the same data with odd values."""
    if suffix in {".json", ".p", ".pkl"} and chance.random() < 0.6:
        plain = json.loads(content) if suffix == ".json" else pickle.loads(content)
        for _ in range(chance.randint(1, 2)):
            plain = with_odd_value(plain, chance)
        if suffix in {".p", ".pkl"}:
            return pickle.dumps(plain, protocol=2)
        return json.dumps(plain).encode("ascii", "replace")
    data = bytearray(content)
    for _ in range(chance.randint(1, 4)):
        place = chance.randrange(len(data) + 1)
        kind = chance.randrange(4)
        if kind == 0 and data:
            data[place % len(data)] = chance.randrange(256)
        elif kind == 1:
            del data[place : place + chance.randint(1, 20)]
        elif kind == 2:
            data[place:place] = bytes(chance.randrange(256) for _ in range(chance.randint(1, 6)))
        else:
            del data[place:]
    return bytes(data)


def with_odd_value(value: Any, chance: Random) -> Any:
    """Return data in which one place holds something else, or is gone."""
    if isinstance(value, dict) and value and chance.random() < 0.9:
        key = chance.choice(sorted(value))
        if chance.random() < 0.1:
            return {k: v for k, v in value.items() if k != key}
        return {**value, key: with_odd_value(value[key], chance)}
    if isinstance(value, list) and value and chance.random() < 0.9:
        place = chance.randrange(len(value))
        return [with_odd_value(v, chance) if i == place else v for i, v in enumerate(value)]
    return chance.choice(ODD)


def everything(samples: Any) -> Iterator[Any]:
    """Read all that a reader gives; what it refuses is given as the error."""
    for index in range(len(samples)):
        try:
            yield samples[index]
            if getattr(samples, "draw", None):
                yield samples.labels(index)
            if getattr(samples, "extra", None):
                yield samples.more(index)
        except DeixisError as error:
            yield error


NAMES = (
    *("refs", "instances", "reason_seg", "muse", "captions", "flickr", "parts", "ade20k", "labels"),
    *("meta", "tracks", "groundmore", "regions", "llava", "mvbench", "coco", "yolo", "cvat"),
    *("masks", "studio", "grefcoco", "grandf", "osprey-conversation", "osprey-detail", "inst_it"),
    *("vicas", "vicas masks", "revos", "ref_davis17", "videorefer-q", "videorefer-d", "jsonl"),
    *("lvis", "mapillary", "cocostuff", "groundmore masks", "explanatory", "psg", "refcocog"),
    *(("parquet", "video_mme") if find_spec("pyarrow") else ()),
)


@pytest.mark.parametrize("name", NAMES)
def test_a_broken_file_is_an_error_with_its_place_or_a_right_reading(name, tmp_path):
    sets = write_all(tmp_path)
    assert sorted(sets) == sorted(NAMES)
    path, opened = sets[name]
    whole, chance = path.read_bytes(), Random(f"broken {name}")
    assert not [e for e in everything(opened()) if isinstance(e, DeixisError)]
    there = sorted(one.name for one in tmp_path.rglob("*"))
    for _ in range(-(-MUTATIONS // len(NAMES))):
        path.write_bytes(mutated(whole, chance, path.suffix))
        start = perf_counter()
        try:
            found = list(everything(opened()))
        except DeixisError as error:
            found = [error]
        for error in found:
            assert not isinstance(error, DeixisError) or LOCATED.search(str(error)), error
        assert perf_counter() - start < PATIENCE
    drafts = [one.name for one in tmp_path.rglob("*") if "draft" in one.name]
    assert not drafts
    assert sorted(one.name for one in tmp_path.rglob("*")) == there  # a reader writes nothing
