"""Noun phrases and forms: plain English, and forms that only compose uses."""

import re

import pytest

from deixis.scenes.asking.templates import IF_ANY, IF_ANY_PART, NEW_FORMS, TABLES, TEMPLATES
from deixis.scenes.asking.wording import (
    listed,
    part_noun,
    plural_part,
    vocabulary,
    with_accent,
    with_article,
)

TRAINED = [form for forms in TEMPLATES.values() for form in forms] + [*IF_ANY, *IF_ANY_PART]


@pytest.mark.parametrize(
    ("noun", "text"),
    [("mug", "a mug"), ("orange mug", "an orange mug"), ("umbrella", "an umbrella")],
)
def test_an_stands_before_a_vowel(noun, text):
    assert with_article(noun) == text


@pytest.mark.parametrize(("items", "text"), [("a", "a"), ("ab", "a and b"), ("abc", "a, b and c")])
def test_lists_end_with_and(items, text):
    assert listed(list(items)) == text


def test_parts_that_come_in_numbers_are_named_in_the_plural():
    assert part_noun("wheel", "car") == "wheels"
    assert part_noun("handle", "mug") == "handle"
    assert part_noun("wheel", None) == "wheel"
    assert [plural_part(part) for part in ("body", "leaf", "roof")] == ["bodies", "leaves", "roofs"]
    assert with_accent(("wheel", "blue"), "car") == "with blue wheels"
    assert with_accent(("handle", "orange"), "mug") == "with an orange handle"


def test_compose_speaks_in_at_least_three_forms_of_its_own():
    assert len(set(NEW_FORMS) - set(TRAINED)) >= 3


def test_forms_of_compose_hold_no_word_that_training_lacks():
    trained = set(re.findall(r"\w+", " ".join([*TRAINED, "here in the picture see", "the"])))
    assert set(re.findall(r"\w+", " ".join(NEW_FORMS))) - {"a", "x"} <= trained


def test_the_vocabulary_is_small_sorted_and_in_lower_case():
    words = vocabulary()
    assert list(words) == sorted(set(words))
    assert all(word == word.lower() for word in words)
    assert 250 < len(words) < 400
    assert {"mug", "cup", "bodies", "striped", "image", "turns", "6"} <= set(words)


def test_every_table_is_part_of_the_vocabulary():
    from deixis.scenes.asking import templates

    tables = [value for name, value in vars(templates).items() if name.isupper()]
    assert all(any(value is table for table in TABLES) for value in tables if value is not TABLES)
