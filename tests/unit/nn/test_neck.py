"""The neck of a backbone: strides, widths, and what every output depends on."""

import pytest
import torch

from deixis.errors import ShapeError
from deixis.nn.neck import FeaturePyramid

WIDTHS = (6, 10, 14)


@pytest.fixture
def neck() -> FeaturePyramid:
    torch.manual_seed(0)
    return FeaturePyramid(WIDTHS, fine_width=8, coarse_width=12).eval()


def maps_of(pixels: torch.Tensor) -> list[torch.Tensor]:
    """Maps of strides 4, 8, 16, as a backbone gives them."""
    height, width = pixels.shape[-2:]
    sizes = [(height // stride, width // stride) for stride in (4, 8, 16)]
    return [torch.randn(len(pixels), w, *s) for w, s in zip(WIDTHS, sizes, strict=True)]


def test_features_come_at_stride_2_and_at_the_strides_of_the_backbone(neck):
    pixels = torch.randn(2, 3, 32, 48)
    shapes = [tuple(level.shape) for level in neck(pixels, maps_of(pixels))]
    assert shapes == [(2, 8, 16, 24), (2, 8, 8, 12), (2, 8, 4, 6), (2, 12, 2, 3)]


def test_sizes_that_no_stride_divides_are_brought_together(neck):
    pixels = torch.randn(1, 3, 34, 50)
    levels = neck(pixels, maps_of(pixels))
    assert [tuple(level.shape[2:]) for level in levels] == [(17, 25), (8, 12), (4, 6), (2, 3)]


@pytest.mark.parametrize("level", range(3))
def test_every_map_reaches_the_finest_features(neck, level):
    pixels = torch.randn(1, 3, 32, 32)
    maps = maps_of(pixels)
    before = neck(pixels, maps)[0]
    maps[level] = maps[level] + 1
    assert not torch.allclose(neck(pixels, maps)[0], before)


def test_coarse_cells_know_their_place(neck):
    pixels = torch.zeros(1, 3, 64, 64)
    maps = [torch.zeros_like(one) for one in maps_of(pixels)]
    cells = neck(pixels, maps)[-1].flatten(2)[0].T  # (16, C)
    distance = torch.cdist(cells, cells) + torch.eye(len(cells))
    assert distance.min() > 1e-3


def test_every_weight_learns(neck):
    pixels = torch.randn(2, 3, 32, 48)
    levels = neck.train()(pixels, maps_of(pixels))
    sum((level * torch.randn_like(level)).sum() for level in levels).backward()
    assert all(p.grad is not None and p.grad.any() for p in neck.parameters())


def test_maps_of_another_backbone_are_refused(neck):
    pixels = torch.zeros(1, 3, 32, 32)
    with pytest.raises(ShapeError, match=r"expected 3, got 2"):
        neck(pixels, maps_of(pixels)[:2])
    with pytest.raises(ShapeError, match=r"expected shape \(1, 6, any, any\), got \(1, 14"):
        neck(pixels, maps_of(pixels)[::-1])
