"""A tiny UniPixel with random weights, and clips of noise, for the tests of its reasoner."""

import numpy as np
import torch

from deixis.models.configs.unipixel_config import unipixel_tiny
from deixis.models.unipixel import UniPixelModel
from deixis.processing.unipixel import UniPixelProcessor
from deixis.structures.images import Frame, ImageSet
from deixis.structures.masks import Mask

SIZE = (36, 52)


def clip(count: int, seed: int = 0) -> ImageSet:
    random = np.random.default_rng(seed)
    pixels = random.integers(0, 256, (count, *SIZE, 3), dtype=np.uint8)
    return ImageSet.clip([Frame.from_array(p) for p in pixels], [i / 8 for i in range(count)])


def mask(seed: int) -> Mask:
    pixels = np.zeros(SIZE, dtype=bool)
    pixels[5 : 20 + seed, 8 : 30 + seed] = True
    return Mask(pixels)


def random_parts() -> tuple[UniPixelModel, UniPixelProcessor]:
    """Return a model that writes <seg> now and then, and its processor."""
    config = unipixel_tiny()
    config.most_answer = 9
    processor = UniPixelProcessor.from_texts(config, ["What is the red mug? Segment it."] * 3)
    torch.manual_seed(1)
    model = UniPixelModel(config)
    with torch.no_grad():
        for weight in model.parameters():
            weight.normal_(std=0.15 if weight.dim() > 1 else 0.3)
        head = model.lm_head.weight
        head[config.seg_token_id] += 0.4 * head[: config.seg_token_id].std(0)
    return model.eval(), processor


class Told:
    """Says what it is told to, in place of what the model would say."""

    def __init__(self, processor: UniPixelProcessor, text: str) -> None:
        self.ids = [*processor.vocabulary.encode(text), processor.vocabulary.end]
        self.words = processor.config.text_config.vocab_size
        self.step = 0

    def __call__(self, states: torch.Tensor) -> torch.Tensor:
        logits = states.new_zeros(*states.shape[:-1], self.words)
        logits[..., self.ids[min(self.step, len(self.ids) - 1)]] = 1.0
        self.step += 1
        return logits
