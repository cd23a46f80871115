"""A 28-megapixel photograph with two targets, from the file to the JSON: under 2.5 s, warm."""

import json
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image
from results import middle, record, seconds

from deixis import Box, load
from deixis.scenes.questions import make_sample
from deixis.structures.opening import open_images
from deixis.structures.wire import answer_to_json

WIDTH, HEIGHT = 6480, 4320
ROUNDS = 5


def photograph(folder: Path, index: int) -> Path:
    """Write a scene, enlarged and grainy as a photograph is, as a JPEG of 28 megapixels."""
    pixels = make_sample("val", "refer", 9, index).images[0].pixels
    large = np.asarray(Image.fromarray(pixels).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC))
    grain = np.random.default_rng(index).integers(-6, 7, (HEIGHT, WIDTH, 1), dtype=np.int16)
    grainy = (large.astype(np.int16) + grain).clip(0, 255).astype(np.uint8)
    path = folder / f"{index}.jpg"
    Image.fromarray(grainy).save(path, quality=92)
    return path


def boxes() -> tuple[Box, Box]:
    """Return two boxes to outline: the left and the right half."""
    left = Box(image=0, x0=0, y0=0, x1=WIDTH // 2, y1=HEIGHT, object_id=1)
    return left, Box(image=0, x0=WIDTH // 2, y0=0, x1=WIDTH, y1=HEIGHT, object_id=2)


def main() -> None:
    """Answer about another file each round."""
    reasoner, targets = load(*sys.argv[1:2]), []

    def answer(path: Path) -> None:
        images = open_images([path])
        found = reasoner.answer(images, "outline [1] and [2]", boxes())
        json.dumps(answer_to_json(found, images, model=reasoner.name))
        targets.append(len(found.targets))

    with TemporaryDirectory() as name:
        paths = [photograph(Path(name), index) for index in range(ROUNDS + 1)]
        answer(paths.pop())
        taken = seconds(lambda: answer(paths.pop()), ROUNDS)
    record(
        __file__,
        "seconds for a 28-megapixel photograph, file to JSON",
        middle(taken),
        "< 2.5",
        seconds=taken,
        targets=targets[1:],
        model=reasoner.name,
    )


if __name__ == "__main__":
    main()
