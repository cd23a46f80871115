"""Caution: says when words or pictures are far from all that the model has learned.

Pictures: the mean and spread of the coarsest features of a frame, against those of the training
scenes (stored with the weights). Words: those that training never showed.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from deixis.models.deixis_vision import describe, strangeness
from deixis.processing.vocabulary import words_of
from deixis.relation.objects import Look
from deixis.structures.answers import GroundedAnswer
from deixis.structures.numbering import image_name
from deixis.structures.samples import Question, Sample

MOST_NAMED = 5


def cautions(
    samples: Sequence[Sample], look: Look, batch: Any, model: Any, processor: Any
) -> list[str | None]:
    """Return for each question why its answer deserves distrust, or None."""
    far = strangeness(describe(look), model.familiar_mean, model.familiar_scale)
    strange = (far > model.familiar_limit).to(batch.layout.set.device)
    out: list[str | None] = []
    for row, sample in enumerate(samples):
        frames = batch.layout.set == batch.set_of_row[row]
        images = batch.layout.image[frames & strange].unique().tolist()
        said = dict.fromkeys(words_of(_without_handles(sample.question)))
        unknown = [word for word in said if word not in processor.known_words]
        reasons = []
        if unknown:
            named = ", ".join(f'"{word}"' for word in unknown[:MOST_NAMED])
            reasons.append(f"the model has not learned the words {named}")
        if images:
            named = ", ".join(image_name(i) for i in images[:MOST_NAMED])
            reasons.append(f"{named} looks unlike anything it has learned from")
        text = "; ".join(reasons)
        out.append(text[:1].upper() + text[1:] + "." if text else None)
    return out


def _without_handles(question: Question) -> str:
    """Return the text without the names that prompts gave: "[zork]" is no word to be learned."""
    text = question.text
    for prompt in question.prompts:
        text = text.replace(f"[{prompt.name}]", " ")
    return text


def with_cautions(
    answers: Sequence[GroundedAnswer], reasons: Sequence[str | None]
) -> list[GroundedAnswer]:
    """Return the answers with their cautions."""
    return [replace(a, caution=r) for a, r in zip(answers, reasons, strict=True)]
