"""The shipped weights answer 60 fixed questions a task as well as when they were published."""

import json
import runpy
from pathlib import Path

ROOT = Path(__file__).parents[2]
LESS_IS_BETTER = {"presence_ece"}


def test_no_figure_falls_by_more_than_its_sampling_error():
    figures = runpy.run_path(str(ROOT / "benchmarks" / "figures.py"))
    published = json.loads(figures["FIXED"].read_text(encoding="utf-8"))
    now = figures["fixed"]()
    assert published.keys() == now.keys() == figures["QUOTED"].keys()
    fallen = {}
    for task, values in published.items():
        assert values.keys() == now[task].keys()
        for name, was in values.items():
            error = (was * (1 - was) / figures["FIXED_COUNT"]) ** 0.5
            loss = now[task][name] - was if name in LESS_IS_BETTER else was - now[task][name]
            if loss > error:
                fallen[f"{task} {name}"] = (was, now[task][name])
    assert not fallen
