"""Which option a written answer names, by UniPixel's rule (benchmarks, section 2.10)."""

OPTIONS = "abcdefghijklmnopqrstuvwxyz"


def first_letter_option(answer: str, options: int) -> str | None:
    """Return the option "A", "B", ... that an answer begins with, or None.

    The published rule takes the first letter of the first word, without brackets and dots: "Both"
    names B, and "The answer is D" names nothing, since there is no option T. An empty answer, on
    which the published script stops, names nothing either.

    Args:
        answer: what was said.
        options: how many there are.

    Example:
        >>> first_letter_option("(B) a dog", 4), first_letter_option("", 4)
        ('B', None)
    """
    word = answer.lower().split(" ")[0]
    letter = word.replace("(", "").replace(")", "").replace(".", "")[:1]
    return letter.upper() if letter and letter in OPTIONS[:options] else None
