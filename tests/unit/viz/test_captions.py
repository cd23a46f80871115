"""Lettering: lines break between words, marks stand under the right words."""

from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from deixis.viz.captions import Item, font_for, legend, paragraph, readable_on, wrapped

FONT = font_for("a", 17)


@given(st.text(alphabet="abc é\nW.", max_size=300), st.integers(20, 400))
@settings(max_examples=60, deadline=None)
def test_lines_lose_only_spaces_and_never_overlap(text, width):
    lines = wrapped(text, width, font_for(text, 17), most_lines=1000)
    shown = "".join(text[a:b] for a, b in lines)
    assert shown.replace(" ", "").replace("\n", "") == text.replace(" ", "").replace("\n", "")
    assert all(b <= c for (_, b), (c, _) in pairwise(lines))


def test_lines_fit_the_width_and_break_between_words():
    text = "the red mug stands left of the blue kite " * 5
    for a, b in wrapped(text, 150, FONT, most_lines=100):
        assert FONT.getlength(text[a:b]) <= 150
        assert b == len(text) or text[b - 1] == " " or text[b] == " "


def test_a_span_is_underlined_in_its_colour_and_only_there():
    marked = np.asarray(paragraph("the red mug", 300, spans=[(4, 7)], colours=[(255, 0, 0)]))
    columns = np.flatnonzero((marked == (255, 0, 0)).all(2).any(0))
    start, stop = FONT.getlength("the "), FONT.getlength("the red")
    assert abs(columns[0] - start) <= 2
    assert abs(columns[-1] - stop) <= 2


def test_a_span_over_a_line_break_is_marked_on_both_lines():
    text = "aaaa bbbb cccc dddd"
    marked = np.asarray(paragraph(text, 70, spans=[(5, 14)], colours=[(255, 0, 0)]))
    rows = np.flatnonzero((marked == (255, 0, 0)).all(2).any(1))
    assert rows[-1] - rows[0] > 20


def test_a_legend_wraps_and_cuts_phrases_that_are_too_long():
    items = [Item(text="a very long phrase " * 9, label="1", colour=(9, 9, 200))] * 3
    shown = legend(items, 200)
    assert shown.width == 200
    assert shown.height >= 3 * 20


def test_labels_are_dark_on_light_and_light_on_dark():
    assert sum(readable_on((250, 240, 60))) < sum(readable_on((20, 20, 90)))
