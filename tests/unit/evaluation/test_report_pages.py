"""The page of a report: a histogram and a curve of every figure, to scale, and worst cases."""

import re
from itertools import pairwise
from xml.etree import ElementTree

import numpy as np
import pytest

from deixis.evaluation.reporting.pages import EDGE, HEIGHT, WIDTH, by_figure, page

CASES = [
    {"id": f"s{i}", "type": "kind", "score": i / 10, "sums": {"giou": [i / 5, 2], "ciou": [i, 10]}}
    for i in range(11)
]
REPORT = {
    "configuration": {"model": "m <1>", "benchmark": "refcoco", "split": "val"},
    "metrics": {"giou": 0.5, "ciou": 0.5, "overall/jf": 0.5},
    "intervals": {"giou": [0.4, 0.6]},
    "by_type": {"kind": {}},
    "counts": {"kind": 11},
    "failures": {},
    "samples": 11,
    "cases": CASES,
}


@pytest.fixture(scope="module")
def text():
    return page(REPORT)


def drawings(text):
    return [ElementTree.fromstring(one) for one in re.findall(r"<svg.*?</svg>", text, re.DOTALL)]


def test_every_figure_of_single_samples_has_a_histogram_and_a_curve(text):
    assert list(by_figure(REPORT)) == ["ciou", "giou"]
    assert np.allclose(by_figure(REPORT)["giou"], np.arange(11) / 10)
    found = drawings(text)
    assert len(found) == 2 * (1 + 2)  # of the samples' scores, and of each figure
    assert re.findall(r"<h3>(\w+)</h3>", text) == ["ciou", "giou"]


def test_bars_and_curves_are_to_scale_and_within_the_drawing(text):
    bars, curve = drawings(text)[:2]
    counts = [int(one.findtext("title")) for one in bars.iter("rect")]
    heights = [float(one.get("height")) for one in bars.iter("rect")]
    assert sum(counts) == len(CASES)
    expected = [count / max(counts) * (HEIGHT - 2 * EDGE) for count in counts]
    assert heights == pytest.approx(expected, abs=0.1)
    points = [
        tuple(map(float, point.split(",")))
        for point in curve.find("polyline").get("points").split()
    ]
    assert points[0] == (EDGE, EDGE)  # every sample has at least 0
    x, y = points[-1]
    assert x == WIDTH - EDGE
    assert y == pytest.approx(HEIGHT - EDGE - (HEIGHT - 2 * EDGE) / 11, abs=0.1)  # one has 1
    assert all(a[1] <= b[1] for a, b in pairwise(points))


def test_worst_cases_come_first_and_names_cannot_break_the_page(text):
    assert re.findall(r'<td class="t">(s\d+)</td>', text)[:3] == ["s0", "s1", "s2"]
    assert "m &lt;1&gt;" in text
    assert "m <1>" not in text
