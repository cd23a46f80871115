"""MUSE's further step: a judge says whether an answer's words fit the objects that it points at.

PixelLM's code ends where such a step begins: it writes the answer with each object's name and box
in place of its tokens. What the judge is told there and what its words then do is not published;
here a match whose words do not fit counts as missed. So these figures are ours, beside the others.
"""

import re
from collections.abc import Sequence

import numpy as np

from deixis.evaluation.protocols.judging import Judge
from deixis.metrics.images.boxes import tight_box
from deixis.structures.answers import GroundedAnswer

SYSTEM = (
    "You are given a question about an image and an answer. After each object that the answer "
    "names stands, in brackets, what was found at the place that it points at, with its box in "
    "pixels, or None. Say for every bracket whether the words before it can mean what stands in "
    "it. Write one line for each, in order, in exactly this form:\n<number>: <yes or no>"
)
LINE = re.compile(r"^\s*(\d+)\s*[:.)]\s*(yes|no)\b", re.IGNORECASE | re.MULTILINE)


def fitting(
    judge: Judge, question: str, answer: GroundedAnswer, found: Sequence[str | None]
) -> list[bool | None]:
    """Return for each target of an answer whether its words fit; None where the judge is silent.

    Args:
        judge: who says so.
        question: what was asked.
        answer: the predicted one.
        found: for each of its targets what is truly there, see `named`; None: nothing.
    """
    if not answer.targets:
        return []
    prompt = f"Question:\n{question}\n\nAnswer:\n{bracketed(answer, found)}"
    said = {int(number): word.lower() for number, word in LINE.findall(judge.say(SYSTEM, prompt))}
    return [
        None if number not in said else said[number] == "yes"
        for number in range(1, len(answer.targets) + 1)
    ]


def bracketed(answer: GroundedAnswer, found: Sequence[str | None]) -> str:
    """Return an answer's text with what was found behind each name: "the cup (1: a mug [...])"."""
    text, rows = answer.text, list(enumerate(zip(answer.spans, found, strict=True), start=1))
    for number, ((_, stop), name) in sorted(rows, key=lambda row: -row[1][0][1]):
        text = f"{text[:stop]} ({number}: {name or None}){text[stop:]}"
    return text


def named(phrase: str, true: np.ndarray) -> str:
    """Return a true target (H, W) as the judge reads it: its name and its box."""
    box = tight_box(true > 0)
    corners = ", ".join(f"{value:g}" for value in box) if box is not None else ""
    return f"{phrase} [{corners}]"
