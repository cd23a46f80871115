"""What an answer in words comes to, for models that do not mark it."""

import re

_CONCLUDES = re.compile(  # "It is red.", "[2] moves left.", "It is left of [1].", "There are 3."
    r"(?:^|[.!?]\s+)"
    r"(?:There (?:is|are) (\d+)|(?:The answer|It|They|\[\d+\]) (?:is|are|moves) "
    r"((?:(?:an?|the) )?[^\s.!?]+(?: [^\s.!?\[]+)?))"
    r"(?: of)?(?: \[\d+\])?[.!]?$"
)


def conclusion(text: str) -> str | None:
    """Return the short answer that the last sentence of a text gives, None where it gives none.

    Example:
        >>> conclusion("The white teapot. The answer is yes."), conclusion("It is left of [2].")
        ('yes', 'left')
    """
    found = _CONCLUDES.search(text.strip())
    if found is None:
        return None
    return found[1] or found[2].removesuffix(" of")
