"""Compares short answers in words: what counts as saying the same.

Only what a person would not notice is evened out: case, articles, number words and the
punctuation around words.
"""

from itertools import product
from string import punctuation

ARTICLES = frozenset({"a", "an", "the"})

# fmt: off
_UNITS = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten",
    "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen",
    "nineteen",
)
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
# fmt: on
NUMBER_WORDS = {
    **{word: str(number) for number, word in enumerate(_UNITS)},
    **{word: str(10 * tens) for tens, word in enumerate(_TENS, start=2)},
    **{
        f"{word}-{_UNITS[unit]}": str(10 * tens + unit)
        for (tens, word), unit in product(enumerate(_TENS, start=2), range(1, 10))
    },
}


def normalise(text: str) -> str:
    """Return a short answer without case, articles, number words and surrounding punctuation.

    Example:
        >>> normalise("The image Two.")
        'image 2'
    """
    words = [word.strip(punctuation) for word in text.casefold().split()]
    words = [NUMBER_WORDS.get(word, word) for word in words if word]
    return " ".join([word for word in words if word not in ARTICLES] or words)


def same_answer(truth: str, predicted: str | None) -> bool:
    """Say whether a predicted conclusion is the true one, up to what `normalise` evens out."""
    return predicted is not None and normalise(truth) == normalise(predicted)
