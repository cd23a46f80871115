"""The promises of the catalogue: enough kinds, shared parts, and fair held-out pairs."""

from collections import Counter
from itertools import combinations

import numpy as np

from deixis.scenes.catalogue import (
    BY_NAME,
    CATEGORIES,
    COLOURS,
    HELD_OUT_COLOURS,
    HELD_OUT_PARTS,
    PART_NAMES,
    PATTERNS,
)
from deixis.scenes.drawing.shapes import SHAPES


def test_there_are_sixteen_categories_or_more_with_two_or_three_parts_each():
    assert len(CATEGORIES) >= 16
    assert {len(set(category.parts)) for category in CATEGORIES} <= {2, 3}


def test_every_use_name_and_synonym_means_one_category_only():
    words = [word for c in CATEGORIES for word in (c.name, *c.synonyms)]
    assert len(set(words)) == len(words)
    assert len({category.use for category in CATEGORIES}) == len(CATEGORIES)


def test_several_parts_are_shared_between_categories():
    owners = Counter(part for category in CATEGORIES for part in category.parts)
    assert sum(count > 1 for count in owners.values()) >= 5
    assert list(PART_NAMES) == sorted(owners)


def test_eight_colours_lie_far_apart():
    assert len(COLOURS) == 8
    assert len(PATTERNS) == 3
    for one, other in combinations(COLOURS.values(), 2):
        assert np.abs(np.subtract(one, other)).sum() > 90


def test_about_one_pair_of_category_and_colour_in_twelve_is_held_out():
    assert 0.06 <= len(HELD_OUT_COLOURS) / (len(CATEGORIES) * len(COLOURS)) <= 0.1
    assert all(category in BY_NAME and colour in COLOURS for category, colour in HELD_OUT_COLOURS)
    assert max(Counter(category for category, _ in HELD_OUT_COLOURS).values()) <= 2
    assert max(Counter(colour for _, colour in HELD_OUT_COLOURS).values()) <= 3


def test_a_held_out_part_is_an_extra_that_other_categories_have():
    assert 3 <= len(HELD_OUT_PARTS) <= 4
    for part, owner in HELD_OUT_PARTS:
        assert part not in (*BY_NAME[owner].parts, *BY_NAME[owner].at_times)
        assert any(part in category.parts for category in CATEGORIES)


def test_every_part_of_every_category_has_a_shape_and_no_other():
    assert set(SHAPES) == set(BY_NAME)
    for category in CATEGORIES:
        drawable = set(category.possible)
        assert {layer.part for layer in SHAPES[category.name]} == drawable
        assert set(category.repeated) <= drawable
