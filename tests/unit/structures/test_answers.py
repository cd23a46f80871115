"""GroundedAnswer: words and targets that do not fit together are refused."""

import numpy as np
import pytest

from deixis.errors import DataError
from deixis.structures.answers import GroundedAnswer, Target
from deixis.structures.masks import Mask

CUP = Target(phrase="cup", masks={0: Mask(np.ones((2, 3), bool))})


def test_every_target_is_named_somewhere():
    answer = GroundedAnswer(text="A cup.", targets=(CUP,), spans=((2, 5),))
    assert answer.text[slice(*answer.spans[0])] == "cup"


def test_a_target_without_a_span_is_refused():
    with pytest.raises(DataError, match=r"expected one per target \(1\), got 0"):
        GroundedAnswer(text="A cup.", targets=(CUP,))


@pytest.mark.parametrize("span", [(2, 2), (3, 2), (-1, 2), (2, 7)])
def test_a_span_outside_the_text_is_refused(span):
    with pytest.raises(DataError, match=r"inside the text \(0 to 6\), got \("):
        GroundedAnswer(text="A cup.", targets=(CUP,), spans=(span,))


def test_what_is_absent_has_no_mask():
    with pytest.raises(DataError, match=r"targets without masks, got masks for 'cup'"):
        GroundedAnswer(text="A cup.", absent=(CUP,))
