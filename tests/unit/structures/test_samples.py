"""Sample: prompts and true masks must fit their images."""

import numpy as np
import pytest

from deixis.errors import DataError
from deixis.structures.answers import GroundedAnswer, Target
from deixis.structures.images import Frame, ImageSet
from deixis.structures.masks import Mask
from deixis.structures.prompts import Box, Point, Region
from deixis.structures.samples import LONGEST, Question, Sample

FRAME = Frame.from_array(np.zeros((20, 30, 3), np.uint8))
IMAGES = ImageSet.join([ImageSet.pictures([FRAME]), ImageSet.clip([FRAME, FRAME], [0, 1])])
FULL = Mask(np.ones((20, 30), bool))


def sample(*prompts, masks=None):
    target = Target(phrase="it", masks=masks or {})
    answer = GroundedAnswer(text="it", targets=(target,), spans=((0, 2),))
    return Sample(images=IMAGES, question=Question(text="?", prompts=prompts), answer=answer)


def test_prompts_reach_to_the_border():
    fits = (
        Point(image=2, x=29.9, y=0),
        Box(image=1, x0=0, y0=0, x1=30, y1=20),
        Region(image=0, mask=FULL),
    )
    assert sample(*fits, masks={0: FULL, 2: FULL}).question.prompts == fits


def test_the_answer_can_be_taken_away():
    assert sample().without_answer().answer is None
    assert sample().without_answer().images is IMAGES


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        (Point(image=0, x=30, y=5), r"x in \[0, 30\) and y in \[0, 20\) of image 1, got 30,5"),
        (Point(image=2, x=3, y=-1), r"of image 2@2, got 3,-1\. Coordinates are pixels"),
        (Point(image=0, x=float("nan"), y=1), r"got nan,1"),
        (Box(image=0, x0=-1, y0=0, x1=4, y1=4), r"inside 30 x 20 of image 1, got -1,0,4,4"),
        (Box(image=1, x0=1, y0=0, x1=4, y1=21), r"inside 30 x 20 of image 2@1, got 1,0,4,21"),
        (Region(image=0, mask=Mask(np.ones((3, 4), bool))), r"size \(20, 30\) .* got \(3, 4\)"),
        (Point(image=3, x=1, y=1), r"an image from 0 to 2, got 3"),
    ],
)
def test_a_prompt_that_does_not_fit_is_refused(prompt, message):
    with pytest.raises(DataError, match=message):
        sample(prompt)


@pytest.mark.parametrize(
    ("masks", "message"),
    [
        ({3: FULL}, r"target 'it': expected a frame from 0 to 2, got 3"),
        ({1: Mask.empty((20, 31))}, r"image 2@1's size \(20, 30\) .* got \(20, 31\)"),
    ],
)
def test_a_true_mask_that_does_not_fit_is_refused(masks, message):
    with pytest.raises(DataError, match=message):
        sample(masks=masks)


def test_a_question_has_a_longest_length():
    assert len(Question(text="x" * LONGEST).text) == LONGEST
    with pytest.raises(DataError, match=rf"at most {LONGEST} characters, got {LONGEST + 1}\. Ask"):
        Question(text="x" * (LONGEST + 1))


def test_a_question_is_text_that_utf8_can_write():
    with pytest.raises(DataError, match=r"question: expected text in UTF-8"):
        Question(text="caf\udce9")
