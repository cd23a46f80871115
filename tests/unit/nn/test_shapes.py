"""expect_shape says what it wanted and what it got."""

import pytest
import torch

from deixis.errors import ShapeError
from deixis.nn.shapes import expect_shape


@pytest.mark.parametrize("shape", [(2, 3, 5), (None, 3, 5), (2, None, None)])
def test_a_fitting_tensor_passes(shape):
    expect_shape("queries", torch.zeros(2, 3, 5), shape)


@pytest.mark.parametrize("shape", [(2, 3), (2, 3, 4), (None, 5, 3), (2, 3, 5, None)])
def test_another_size_or_number_of_axes_is_refused(shape):
    with pytest.raises(ShapeError, match=r"queries: expected shape .* got \(2, 3, 5\)\."):
        expect_shape("queries", torch.zeros(2, 3, 5), shape)


def test_the_message_writes_free_sizes_as_any_and_one_axis_as_a_tuple():
    with pytest.raises(ShapeError, match=r"expected shape \(any, 7\), got \(4,\)"):
        expect_shape("hidden", torch.zeros(4), (None, 7))
    with pytest.raises(ShapeError, match=r"expected shape \(7,\), got \(4,\)"):
        expect_shape("hidden", torch.zeros(4), (7,))
