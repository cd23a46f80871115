"""Multiple choice: which option an answer names, as each benchmark's script reads it.

Options are told apart by letters, "A" first; answers are graded per task and in all.
"""

import re
from collections.abc import Iterable, Sequence
from string import ascii_uppercase

from deixis.metrics.sums import FAILED, Part, Tally
from deixis.metrics.wording import normalise

EMPTY = f"{FAILED}empty answer"  # UniPixel's and VideoRefer's scripts stop there
NO_OPTION = f"{FAILED}no option named"


def unipixel_letter(response: str) -> str | None:
    """Return the first letter of the first word, in capitals; None if that word is empty.

    So "The answer is A" is "T", "Answer: C" is "A" and "Best option: (B)" is "B".
    """
    word = response.lower().split(" ")[0]
    for mark in "().,":
        word = word.replace(mark, "")
    return word[0].upper() if word else None


def videorefer_letter(response: str) -> str | None:
    """Return what stands in the first "(X)", else before the first ")", else the first character.

    None if nothing is left once full stops are gone.
    """
    for pattern in (r"\((\w)\)", r"(\w)\)"):
        if found := re.search(pattern, response):
            return found.group(1).upper()
    rest = response.replace(".", "")
    return rest[0].upper() if rest else None


def named_option(response: str, options: Sequence[str]) -> str | None:
    """Return the letter of the option that an answer names, in whatever words; None if in doubt.

    Example:
        >>> named_option("The answer is B.", ["(A) a hat", "(B) a watch"])
        'B'
    """
    letters = ascii_uppercase[: len(options)]
    found = set(re.findall(rf"\(([{letters}])\)", response, re.IGNORECASE))
    if not found:
        start = rf"^\W*([{letters}])(?:[.):,]|\W*$)"
        said = rf"(?:answer|option|choice)\W+(?:is\W+)?([{letters}])\b"
        found = set(re.findall(f"{start}|{said}", response.strip(), re.IGNORECASE)[:1])
        found = {letter for pair in found for letter in pair if letter}
    if not found:
        words = [normalise(re.sub(r"^\(?\w[).]\s*", "", option)) for option in options]
        found = {x for x, w in zip(letters, words, strict=True) if w and w == normalise(response)}
    return found.pop().upper() if len(found) == 1 else None


def measure(response: str, answer: str, options: int, task: str = "") -> Tally:
    """Tally one question as UniPixel's script grades it.

    An answer that names no option counts as wrong and as the failure "no option named". At an
    empty one, or one that starts with a space, the script stops; ours counts "empty answer" too.

    Args:
        response: what the model wrote.
        answer: the true letter.
        options: how many there are.
        task: the question's kind.
    """
    return _graded(unipixel_letter(response), answer, ascii_uppercase[:options], task)


def measure_videorefer(response: str, answer: str, task: str = "") -> Tally:
    """Tally one question of VideoRefer-Bench-Q as its script grades it; `answer` is an option."""
    return _graded(videorefer_letter(response), str(videorefer_letter(answer)), None, task)


def measure_exact(response: str, answer: str, task: str = "") -> Tally:
    """Tally one question of MVBench as its script does: right if the texts are equal."""
    return _graded("=" if response == answer else "!", "=", None, task)


def measure_clean(response: str, answer: str, options: Sequence[str], task: str = "") -> Tally:
    """Tally one question by the option that the answer names, in whatever words."""
    letter = named_option(response, options)
    if letter is None and not response.strip():
        return _graded(None, answer, None, task)
    return _graded(letter or "", answer, ascii_uppercase[: len(options)], task)


def _graded(letter: str | None, answer: str, letters: str | None, task: str) -> Tally:
    return Tally.of(_parts(letter, answer, letters, f"/{task}" if task else ""))


def _parts(letter: str | None, answer: str, letters: str | None, task: str) -> Iterable[Part]:
    right = letter == answer.upper() and (letters is None or letter in letters)
    for kind in dict.fromkeys(["", task]):
        yield f"accuracy{kind}", right, 1
        if letter is None:
            yield f"{EMPTY}{kind}", 1, 0
        elif letters is not None and (not letter or letter not in letters):
            yield f"{NO_OPTION}{kind}", 1, 0
