"""A question and its answer as an author hands them in, and who authors are."""

from dataclasses import dataclass
from typing import Protocol

from deixis.curation.sets import PictureSet

KINDS = ("functional", "spatial", "numerical", "open-ended")
EACH = 2  # questions of a kind about a set


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A question and an answer that cites things by their codes."""

    kind: str
    question: str
    answer: str


class Author(Protocol):
    """Writes questions and answers about a set; what it cannot is left out."""

    name: str

    def write(self, group: PictureSet) -> list[Draft]: ...
