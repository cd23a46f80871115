"""Prompts to masks to words in one request, against the two passes of the published procedure.

What reads is compared, masks apart: one look of Qwen's encoder at the clip, one reading of it, the
answer that asks for the masks and the steps of the answer in words, against all of that with a look
and a reading of its own in each pass. The model is that of ``unipixel.py``; both sides take turns.

    python benchmarks/unipixel_once.py [rounds, 5]
"""

import sys
from typing import Any

import numpy as np
import torch
from results import middle, record, seconds
from unipixel import FRAMES, SIZE, Forced, answer_of, mid_size, read

from deixis.processing.words.unipixel_text import prefilled
from deixis.reasoning.reasoner import Reasoner
from deixis.structures.answers import Target
from deixis.structures.images import Frame, ImageSet
from deixis.structures.masks import Mask
from deixis.structures.prompts import Box

AT_MOST = 0.6


@torch.inference_mode()
def two_passes(model: Any, processor: Any, images: ImageSet, answer: list[int]) -> None:
    """Look and read for the masks, then look and read again and write the answer."""
    located = processor.vocabulary.encode(prefilled([1]))
    read(model, processor, images, located[-1:])  # given, not written: read with the question
    read(model, processor, images, answer)


def main() -> None:
    """Compare both sides, and keep what was found."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    model, processor = mid_size()
    reasoner = Reasoner(model, processor, name="mid-size")
    dice = np.random.default_rng(0)
    pixels = dice.integers(0, 256, (FRAMES, *SIZE, 3), dtype=np.uint8)
    images = ImageSet.clip([Frame.from_array(p) for p in pixels], [i / 8 for i in range(FRAMES)])
    covered = np.zeros(SIZE, dtype=bool)
    covered[100:300, 200:400] = True
    found = Target(phrase="", masks=dict.fromkeys(range(FRAMES), Mask(covered)), object_id=1)
    reasoner.engine.draw = lambda known, wanted, ids: [found for _ in wanted]  # masks apart
    answer = [token for token in answer_of(processor, 1) if token != processor.vocabulary.seg]
    model.config.most_answer = len(answer)
    plain = model.speak
    box = Box(image=0, x0=200, y0=100, x1=400, y1=300, object_id=1)

    def once() -> None:
        reasoner.engine.forget()
        reasoner.memory.forget()
        model.speak = Forced(model, answer)
        done = reasoner.answer(images, "What is [1]?", [box])
        model.speak = plain
        assert [target.object_id for target in done.targets] == [1]

    def twice() -> None:
        two_passes(model, processor, images, answer)

    once()
    turns = [[*seconds(once, 1), *seconds(twice, 1)] for _ in range(rounds)]
    figure = middle([a / b for a, b in turns])
    claim = "reading and answering in one request, times two passes"
    record(__file__, claim, figure, f"< {AT_MOST}", seconds_once_and_twice=turns)


if __name__ == "__main__":
    main()
