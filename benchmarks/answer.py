"""One answer about 3 new images of 512 px, warm: under 0.4 s on two cores."""

import sys
from itertools import count

import numpy as np
from PIL import Image
from results import middle, record, seconds

from deixis import Frame, ImageSet, load
from deixis.scenes.questions import make_sample

ROUNDS = 15
SIDE = 512


def enlarged(index: int) -> tuple[ImageSet, str]:
    """Return three images of a `multi` question at 512 px."""
    while True:
        sample = make_sample("val", "multi", 9, index)
        if len(sample.images) == 3 and not sample.question.prompts:
            frames = [
                Frame.from_array(np.asarray(Image.fromarray(f.pixels).resize((SIDE, SIDE))))
                for f in sample.images
            ]
            return ImageSet.pictures(frames), sample.question.text
        index += 1000


def main() -> None:
    """Ask about other images each round, and once more about the same ones."""
    reasoner = load(*sys.argv[1:2])
    questions = [enlarged(index) for index in range(ROUNDS + 1)]
    reasoner.answer(*questions.pop())
    numbers = count()
    new = seconds(lambda: reasoner.answer(*questions[next(numbers)]), ROUNDS)
    again = seconds(lambda: reasoner.answer(*questions[ROUNDS - 1]), ROUNDS)
    record(
        __file__,
        "seconds for an answer about 3 images of 512 px",
        middle(new),
        "< 0.4",
        new_images=new,
        same_images_again=middle(again),
        model=reasoner.name,
    )


if __name__ == "__main__":
    main()
