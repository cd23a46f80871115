"""What a protocol gives a model besides its question: how the answer begins, or all of it."""

from dataclasses import dataclass

TARGET = "{target}"  # in a given answer: here the model points, in whatever way its family does


@dataclass(frozen=True, kw_only=True, slots=True)
class Given:
    """What is not left to the model.

    Attributes:
        begun: how the answer begins; each `TARGET` in it gets a mask.
        whole: whether that is all: nothing is written, and the answer is what was given. Else
            the model goes on, and the answer is what it writes.
        located: the question under which points and boxes become masks, where it is another.
    """

    begun: str = ""
    whole: bool = False
    located: str | None = None
