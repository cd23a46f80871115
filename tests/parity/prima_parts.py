"""Tiny PRIMAs with random weights, and questions about random pictures: mixed sizes and counts."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from deixis.models.prima import PrimaModel, prima_tiny
from deixis.processing.prima import PrimaProcessor
from deixis.structures.answers import GroundedAnswer, Target
from deixis.structures.images import Frame, ImageSet
from deixis.structures.masks import Mask
from deixis.structures.samples import Question, Sample

SIZES = [(30, 47), (52, 33), (41, 41), (25, 60), (64, 38), (37, 29), (28, 54), (45, 31), (33, 49)]
WORDS = ("mug", "kite", "desk", "lamp")
DINO = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "mlp_ratio": 2,
    "image_size": 42,
    "patch_size": 14,
    "num_register_tokens": 2,
}


def pictures(count: int, seed: int = 0) -> ImageSet:
    """Return so many random pictures of different sizes."""
    random = np.random.default_rng(seed)
    frames = [random.integers(0, 256, (*size, 3), dtype=np.uint8) for size in SIZES[:count]]
    return ImageSet.pictures([Frame.from_array(f) for f in frames])


def sample(
    images: ImageSet, question: str, places: Sequence[Sequence[int]], seed: int = 0
) -> Sample:
    """Return a sample whose target number k shows in the images ``places[k]``."""
    random = np.random.default_rng(seed)
    text, spans, targets = "I see", [], []
    for number, frames in enumerate(places):
        phrase = f"a {WORDS[number % len(WORDS)]}"
        text += " and " if number else " "
        spans.append((len(text), len(text) + len(phrase)))
        text += phrase
        masks = {f: Mask(random.random(images[f].size) > 0.6) for f in frames}
        targets.append(Target(phrase=phrase, masks=masks))
    answer = GroundedAnswer(text=f"{text}.", targets=tuple(targets), spans=tuple(spans))
    return Sample(images=images, question=Question(text=question), answer=answer)


def samples() -> list[Sample]:
    """Return four questions about sets of 3, 1 and 2 pictures; two ask about one set."""
    first, second, third = pictures(3, 1), pictures(1, 2), pictures(2, 3)
    return [
        sample(first, "Which mug in image 2 is full?", [(1, 2), (0,)], 1),
        sample(second, "What?", [(0,)], 2),
        sample(third, "How do the lamps of both pictures differ from each other?", [(1,)], 3),
        sample(first, "Where?", [(2,), (2,), (0, 1)], 4),
    ]


def make(seed: int = 0, **changes: object) -> tuple[PrimaModel, PrimaProcessor]:
    """Return a tiny PRIMA with every weight random, in double precision, and its processor."""
    config = prima_tiny()
    values = {**config.to_dict(), **changes}
    config = type(config).from_dict(values)
    asked = [s.question.text for s in samples()]
    processor = PrimaProcessor.from_texts(config, [*asked, *(s.answer.text for s in samples())])
    torch.manual_seed(seed)
    model = PrimaModel(config).double().eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.25 * torch.randn_like(weight))
    return model, processor


def encoded(processor: PrimaProcessor, chosen: Sequence[Sample]):
    """Return the batch of samples and their answers in double precision."""
    batch = processor.encode(chosen, with_truth=True)
    return replace(batch, pixels=batch.pixels.double(), canvas=batch.canvas.double())
