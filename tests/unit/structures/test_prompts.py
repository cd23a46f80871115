"""Prompts: what cannot be pointed with is refused."""

import pytest

from deixis.errors import DataError
from deixis.structures.masks import Mask
from deixis.structures.prompts import Box, Region


@pytest.mark.parametrize(
    "corners", [(3, 1, 3, 5), (4, 1, 3, 5), (1, 5, 3, 5), (1, 6, 3, 5), (float("nan"), 1, 3, 5)]
)
def test_a_box_of_no_area_is_refused(corners):
    x0, y0, x1, y1 = corners
    with pytest.raises(DataError, match=r"box: expected x0 < x1 and y0 < y1, got .*\. Give the le"):
        Box(image=0, x0=x0, y0=y0, x1=x1, y1=y1)


def test_an_empty_region_is_refused():
    with pytest.raises(DataError, match=r"region: expected a mask with at least one pixel"):
        Region(image=0, mask=Mask.empty((2, 3)))
