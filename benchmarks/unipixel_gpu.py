"""UniPixel on a GPU: how fast words are written and objects followed, and in how much memory.

The shape of the released 3B with random weights in bfloat16. Writing is held against the bandwidth
of the device's memory, which is measured by copying: every word reads all weights of the language
decoder once. Following is measured with 1, 4 and 16 objects, given as masks, along 32 frames.

    python benchmarks/unipixel_gpu.py [device, cuda] [preset, unipixel_3b]

With "cpu unipixel_tiny" it only shows that it runs; the result is kept where a GPU measured it.
"""

import sys
from typing import Any

import numpy as np
import torch
from results import middle, record, seconds
from unipixel import Forced

from deixis.models.unipixel import PRESETS, UniPixelModel
from deixis.processing.unipixel import UniPixelProcessor
from deixis.reasoning.reasoner import Reasoner
from deixis.structures.images import Frame, ImageSet
from deixis.structures.masks import Mask
from deixis.structures.prompts import Region

SIZE, FRAMES = (480, 640), 32
FEW, MANY = 32, 160  # words of two answers, whose difference is writing alone
OBJECTS = (1, 4, 16)
QUESTION = "What happens in this video?"
AT_LEAST = 0.3  # of the bandwidth


def made(preset: str, device: str) -> Reasoner:
    """Return the preset with random weights, in which every object is present."""
    config = PRESETS[preset]()
    processor = UniPixelProcessor.from_texts(config, [QUESTION] * 3)
    torch.manual_seed(0)
    with torch.device(device):
        model = UniPixelModel(config)
    model.to(device, torch.bfloat16 if device != "cpu" else torch.float32)
    with torch.no_grad():
        model.tracker.sam.mask_decoder.pred_obj_score_head.proj_out.bias.fill_(9)
    return Reasoner(model, processor, name=preset)


def rounds(device: str) -> int:
    """Return how often each thing is measured; elsewhere than on a GPU it is only tried."""
    return 5 if device != "cpu" else 1


def clip(frames: int) -> ImageSet:
    """Return a clip of noise."""
    dice = np.random.default_rng(0)
    pixels = dice.integers(0, 256, (frames, *SIZE, 3), dtype=np.uint8)
    return ImageSet.clip([Frame.from_array(p) for p in pixels], [i / 25 for i in range(frames)])


def done(device: str) -> None:
    """Wait for the device."""
    if device != "cpu":
        torch.cuda.synchronize()


def bandwidth(device: str) -> float:
    """Return the bytes per second that copying reads and writes."""
    source = torch.empty(2**30 if device != "cpu" else 2**26, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)

    def copy() -> None:
        target.copy_(source)
        done(device)

    copy()
    return 2 * source.numel() / middle(seconds(copy, 9))


def writing(reasoner: Reasoner, images: ImageSet, device: str) -> float:
    """Return the words per second that are written."""
    model, processor = reasoner.model, reasoner.processor
    word, plain = processor.vocabulary.encode("video")[0], model.speak

    def answer(words: int) -> None:
        reasoner.memory.forget()
        model.config.most_answer = words
        model.speak = Forced(model, [word] * words)
        reasoner.answer(images, QUESTION)
        model.speak = plain
        done(device)

    answer(FEW)
    order = [FEW, MANY] * rounds(device)
    turns = [seconds(lambda n=n: answer(n), 1)[0] for n in order]
    return (MANY - FEW) / middle([b - a for a, b in zip(turns[::2], turns[1::2], strict=True)])


def following(reasoner: Reasoner, images: ImageSet, objects: int, device: str) -> float:
    """Return the frames per second in which objects are followed."""
    height, width = SIZE
    prompts = []
    for number in range(objects):
        place = np.zeros(SIZE, dtype=bool)
        top, left = 90 * (number % 4) + 20, 140 * (number // 4) + 20
        place[top : min(height, top + 80), left : min(width, left + 120)] = True
        prompts.append(Region(image=0, mask=Mask(place), object_id=number + 1))

    def run() -> None:
        reasoner.engine.forget()
        assert sum(1 for _ in reasoner.track(images, prompts).run()) == len(images)
        done(device)

    run()
    return len(images) / middle(seconds(run, rounds(device)))


def peak(device: str) -> float | None:
    """Return the GB that were held at most since the last call."""
    if device == "cpu":
        return None
    held = torch.cuda.max_memory_allocated() / 1e9
    torch.cuda.reset_peak_memory_stats()
    return round(held, 2)


def main() -> None:
    """Measure all, and keep it if a GPU was at hand."""
    device = sys.argv[1] if len(sys.argv) > 1 else "cuda"
    preset = sys.argv[2] if len(sys.argv) > 2 else "unipixel_3b"
    reasoner = made(preset, device)
    read, images = clip(16), clip(FRAMES if device != "cpu" else 3)
    model: Any = reasoner.model
    words = model.language.embed_tokens if model.lm_head is None else model.lm_head
    layers = [*model.language.layers.parameters(), *words.parameters()]
    bytes_of_a_word = sum(weight.numel() * weight.element_size() for weight in layers)
    peak(device)
    speed = writing(reasoner, read, device)
    result: dict[str, Any] = {
        "words_per_second": round(speed, 1),
        "bytes_of_a_word": bytes_of_a_word,
        "bytes_per_second_copied": round(bandwidth(device)),
        "peak_gb_writing": peak(device),
    }
    for objects in OBJECTS:
        result[f"frames_per_second_{objects}"] = round(
            following(reasoner, images, objects, device), 2
        )
        result[f"peak_gb_{objects}"] = peak(device)
    share = speed * bytes_of_a_word / result["bytes_per_second_copied"]
    print(result)
    if device == "cpu":
        print(f"share of the bandwidth: {share:.3f}")
        return
    result["device"] = torch.cuda.get_device_name()
    claim = f"share of the memory's bandwidth that writing with {preset} uses"
    record(__file__, claim, share, f">= {AT_LEAST}", **result)


if __name__ == "__main__":
    main()
