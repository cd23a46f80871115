"""Which short answers say the same."""

import pytest

from deixis.metrics.wording import normalise, same_answer


@pytest.mark.parametrize(
    ("truth", "predicted"),
    [
        ("3", "three"),
        ("3", "Three."),
        ("21", "twenty-one"),
        ("40", "forty"),
        ("0", "zero"),
        ("image 2", "Image two"),
        ("image 2", "the image 2!"),
        ("yes", " Yes, "),
        ("a red mug", "Red mug"),
        ("image 1 and image 3", "image 1, and image 3"),
        ("A", "a."),
    ],
)
def test_case_articles_number_words_and_punctuation_do_not_matter(truth, predicted):
    assert same_answer(truth, predicted)


@pytest.mark.parametrize(
    ("truth", "predicted"),
    [("3", "4"), ("yes", "no"), ("red mug", "mug red"), ("red", ""), ("red", None), ("A", "B")],
)
def test_other_words_do(truth, predicted):
    assert not same_answer(truth, predicted)


def test_words_keep_what_stands_inside_them():
    assert normalise("The T-shirt's left sleeve.") == "t-shirt's left sleeve"
