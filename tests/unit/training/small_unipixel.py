"""A UniPixel of random weights, and how it learns a batch."""

import torch

from deixis.models.configs.unipixel_config import unipixel_tiny
from deixis.models.unipixel import UniPixelModel
from deixis.processing.unipixel import UniPixelProcessor
from deixis.scenes.questions import make_sample, make_scene
from deixis.scenes.world import WorldKey


def small_model(seed):
    config = unipixel_tiny()
    samples = [make_sample("train", task, 3, 0) for task in ("pixelqa", "clip", "refer")]
    texts = [text for s in samples for text in (s.question.text, s.answer.text)]
    processor = UniPixelProcessor.from_texts(config, texts)
    torch.manual_seed(seed)
    return UniPixelModel(config), processor


def fall(objective, batch, model, steps, rate):
    """Learn one batch; the parts of the loss at first and at last."""
    optimizer, seen = torch.optim.AdamW(model.parameters(), lr=rate), []
    for _ in range(steps + 1):
        parts = objective(model, batch)
        seen.append({name: part.item() for name, part in parts.items()})
        optimizer.zero_grad()
        sum(parts.values()).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    return seen[0], seen[-1]


def scenes_of(*tasks):
    keys = [WorldKey(split="train", task=task, seed=3, index=0) for task in tasks]
    return [make_scene(key, questions=2) for key in keys]
