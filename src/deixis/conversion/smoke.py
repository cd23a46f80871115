"""One answer of a model that was just converted, however large: its weights stay in their files.

The answer's hash in the report says later whether a copy of the folder still answers the same.
"""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread
from typing import Any

import numpy as np
import torch

from deixis.conversion.memory import interpreter
from deixis.models.released import open_model
from deixis.models.released_files import Weights
from deixis.reasoning.reasoner import Reasoner
from deixis.structures.answers import GroundedAnswer
from deixis.structures.opening import open_images

QUESTION = "What is the red square in this image? Please output segmentation mask."
MOST_TOKENS = 24
PAUSE = 0.02  # seconds from one look at the memory to the next
MOST_MEMORY = 1 << 28  # bytes of weights and states before what can be read again is let go


def smoke_answer(folder: Path) -> dict[str, Any]:
    """Return what a model says of a picture that is always the same, and its hash.

    Raises:
        WeightsError: the folder does not open.
    """
    opened = open_model(folder)
    opened.model.config.most_answer = min(MOST_TOKENS, opened.model.config.most_answer)
    reasoner = Reasoner(opened.model, opened.processor, name=opened.name)
    with torch.inference_mode(), handing_back(opened.weights):
        answer = reasoner.answer(open_images([picture()]), QUESTION)
    return {
        "question": QUESTION,
        "answer": answer.text,
        "targets": len(answer.targets),
        "tokens_at_most": opened.model.config.most_answer,
        "dtype": str(next(opened.model.parameters()).dtype).removeprefix("torch."),
        "sha256": answer_hash(answer),
    }


def picture() -> np.ndarray:
    """Return (48, 64, 3) uint8: a red square on grey that grows lighter to the right."""
    pixels = np.repeat(np.linspace(60, 200, 64).astype(np.uint8)[None, :, None], 48, axis=0)
    pixels = np.repeat(pixels, 3, axis=2)
    pixels[12:32, 20:40] = (200, 30, 30)
    return pixels


def answer_hash(answer: GroundedAnswer) -> str:
    """Return a hash over the words, spans, phrases and masks of an answer."""
    parts = [
        [target.phrase, {k: mask.to_rle() for k, mask in target.masks.items()}]
        for target in answer.targets
    ]
    text = json.dumps([answer.text, list(answer.spans), parts], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


@contextmanager
def handing_back(weights: Weights | None) -> Iterator[None]:
    """Hand the memory of mapped weights back, as often as it takes, while a model computes."""
    done, start = Event(), interpreter()

    def repeat() -> None:
        while weights is not None and weights.maps and not done.wait(PAUSE):
            if interpreter() - start > MOST_MEMORY:
                weights.let_go()

    thread = Thread(target=repeat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
