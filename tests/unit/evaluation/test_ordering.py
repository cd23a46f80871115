"""Which questions treat their images alike, and when two answers say the same."""

from dataclasses import replace

import numpy as np
import pytest

from deixis.evaluation.running.ordering import agree, another_order, is_symmetric, reordered
from deixis.structures.answers import GroundedAnswer, Target
from deixis.structures.images import Frame, ImageSet
from deixis.structures.masks import Mask
from deixis.structures.prompts import Point
from deixis.structures.samples import Question, Sample

FRAMES = [Frame.from_array(np.full((4, 5, 3), i, dtype=np.uint8)) for i in range(4)]
DOT = Mask(np.eye(4, 5, dtype=bool))


def asked(text: str, images: ImageSet | None = None) -> Sample:
    return Sample(images=images or ImageSet.pictures(FRAMES[:3]), question=Question(text=text))


@pytest.mark.parametrize(
    ("text", "symmetric"),
    [
        ("Which image shows a mug?", True),
        ("How many images show two mugs?", True),
        ("What is in image 2?", False),
        ("Find it in pictures 1 and 3.", False),
        ("The mug in the first picture: where else is it?", False),
        ("Is image two brighter?", False),
    ],
)
def test_a_question_that_names_an_image_is_not_symmetric(text, symmetric):
    assert is_symmetric(asked(text)) == symmetric


def test_neither_are_one_image_and_a_question_that_points():
    assert not is_symmetric(asked("Which image?", ImageSet.pictures(FRAMES[:1])))
    pointing = Question(text="Which image?", prompts=(Point(image=0, x=1, y=1),))
    assert not is_symmetric(replace(asked("x"), question=pointing))


@pytest.mark.parametrize("images", [2, 3, 4])
@pytest.mark.parametrize("index", range(5))
def test_another_order_moves_every_image(images, index):
    order = another_order(images, index)
    assert sorted(order) == list(range(images))
    assert all(place != image for place, image in enumerate(order))


def test_clips_move_as_a_whole():
    clip = ImageSet.join([ImageSet.clip(FRAMES[:2], [0, 1]), ImageSet.pictures(FRAMES[2:3])])
    moved = reordered(asked("Which image?", clip), (1, 0)).images
    assert moved.lengths == (1, 2)
    assert moved.times == (None, (0, 1))
    assert [int(frame.pixels[0, 0, 0]) for frame in moved] == [2, 0, 1]


def says(conclusion: str | None, *places: tuple[int, ...]) -> GroundedAnswer:
    targets = tuple(Target(phrase="x", masks=dict.fromkeys(place, DOT)) for place in places)
    return GroundedAnswer(
        text="x", targets=targets, spans=((0, 1),) * len(targets), conclusion=conclusion
    )


@pytest.mark.parametrize(
    ("second", "same"),
    [
        (says("image 3", (2,), (0, 1)), True),  # image i is now what image order[i] was
        (says("Image three.", (0, 1), (2,)), True),
        (says("image 1", (2,), (0, 1)), False),
        (says("image 3", (0,), (0, 1)), False),
        (says("image 3", (2,)), False),
        (says("yes", (2,), (0, 1)), False),
        (says(None, (2,), (0, 1)), False),
    ],
)
def test_targets_and_named_images_move_with_the_images(second, same):
    first = says("image 1", (0,), (1, 2))
    assert agree(asked("Which image?"), first, second, (1, 2, 0)) == same


def test_other_conclusions_stay():
    sample = asked("How many?")
    assert agree(sample, says("3"), says("three"), (1, 2, 0))
    assert not agree(sample, says("3"), says("2"), (1, 2, 0))
