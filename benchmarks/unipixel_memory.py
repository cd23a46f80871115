"""Following objects needs no more memory in a clip of 600 frames than in one of 60.

A small UniPixel with random weights follows two objects, one known by its mask and one by a point,
from the middle of a clip to its end and back to its start. Frames are made when they are asked for,
as from a file. Each length runs in a process of its own, whose peak is compared.

    python benchmarks/unipixel_memory.py
"""

import resource
import subprocess
import sys
from functools import partial

import numpy as np
import torch
from results import record

from deixis.models.configs.unipixel_config import unipixel_tiny
from deixis.models.unipixel import UniPixelModel
from deixis.processing.unipixel import UniPixelProcessor
from deixis.reasoning.reasoner import Reasoner
from deixis.structures.images import Frame, ImageSet
from deixis.structures.masks import Mask
from deixis.structures.prompts import Point, Region

SHORT, LONG, AT_MOST = 60, 600, 1.1
SIZE = (480, 640)


def noise(seed: int) -> np.ndarray:
    """Return the pixels of a frame, 0.9 MB."""
    return np.random.default_rng(seed).integers(0, 256, (*SIZE, 3), dtype=np.uint8)


def follow(length: int) -> None:
    """Follow two objects, and print the peak of this process in kB."""
    config = unipixel_tiny()
    processor = UniPixelProcessor.from_texts(config, ["Where are [1] and [2]?"])
    torch.manual_seed(0)
    model = UniPixelModel(config)
    with torch.no_grad():
        model.tracker.sam.mask_decoder.pred_obj_score_head.proj_out.bias.fill_(9)
    frames = [Frame(partial(noise, i), SIZE, key=str(i)) for i in range(length)]
    images = ImageSet.clip(frames, [i / 25 for i in range(length)])
    square = np.zeros(SIZE, dtype=bool)
    square[100:300, 200:400] = True
    middle = length // 2
    prompts = [
        Region(image=middle, mask=Mask(square), object_id=1),
        Point(image=middle, x=80, y=90, object_id=2),
    ]
    seen = sum(1 for _ in Reasoner(model, processor, name="tiny").track(images, prompts).run())
    assert seen == length
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


def peak(length: int) -> int:
    """Return the peak of a process that follows so many frames, in MB."""
    command = [sys.executable, __file__, str(length)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return int(done.stdout.split()[-1]) // 1024


def main() -> None:
    """Compare both lengths, and keep what was found."""
    few, many = peak(SHORT), peak(LONG)
    claim = f"peak memory of following {LONG} frames, times that of {SHORT}"
    record(__file__, claim, many / few, f"< {AT_MOST}", megabytes={SHORT: few, LONG: many})


if __name__ == "__main__":
    if len(sys.argv) > 1:
        follow(int(sys.argv[1]))
    else:
        main()
