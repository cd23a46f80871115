"""Caution: says when words or pictures are far from all that the model has learned.

Pictures: their texture and colours against those of the training scenes, which are stored with the
weights (``nn/familiar.py``). Words: those that training never showed, and those that were too many.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from deixis.processing.batch import Batch
from deixis.processing.vocabulary import words_of
from deixis.structures.answers import GroundedAnswer
from deixis.structures.numbering import image_name
from deixis.structures.samples import Question, Sample

MOST_NAMED = 5
MOST_LOOKED_AT = 64  # frames of a batch whose texture is measured


def cautions(
    samples: Sequence[Sample], batch: Batch, model: Any, processor: Any
) -> list[str | None]:
    """Return for each question why its answer deserves distrust, or None."""
    strange = strange_frames(batch, model).to(batch.layout.set.device)
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
        if batch.shortened[row]:
            reasons.append("of a question this long, only the beginning was read")
        text = "; ".join(reasons)
        out.append(text[:1].upper() + text[1:] + "." if text else None)
    return out


def strange_frames(batch: Batch, model: Any) -> Tensor:
    """Return (F,) which frames look unfamiliar; of very many, only some are looked at.

    What surrounds a picture on its canvas has no say; pictures of one size are judged together.
    """
    strange = torch.zeros(len(batch.pixels), dtype=torch.bool)
    by_size: dict[tuple[int, int], list[int]] = {}
    for frame in range(0, len(strange), -(-len(strange) // MOST_LOOKED_AT)):
        by_size.setdefault(batch.placements[frame].resized, []).append(frame)
    for (height, width), frames in by_size.items():
        shown = batch.pixels[frames, :, :height, :width]
        strange[frames] = (model.familiar(shown.to(model.device)) > 0).cpu()
    return strange


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
