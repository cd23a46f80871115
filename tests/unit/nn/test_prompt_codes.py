"""Codes of points, boxes, masks and grids: kinds are added, padding is no point."""

import pytest
import torch

from deixis.errors import ShapeError
from deixis.nn.prompt_codes import NOT_A_POINT, PromptCodes

WIDTH, CANVAS = 6, 32


@pytest.fixture
def codes():
    torch.manual_seed(0)
    module = PromptCodes(WIDTH, CANVAS)
    for weight in module.parameters():
        torch.nn.init.normal_(weight)
    return module


def test_a_point_is_its_place_and_its_kind(codes):
    coords = torch.tensor([[[4.0, 9.0]]])
    off, on = (codes.points(coords, torch.tensor([[k]]), pad=False)[0, 0] for k in (0, 1))
    first, second = (codes.point_embeddings[k].weight[0] for k in (0, 1))
    torch.testing.assert_close(on - off, second - first)


def test_padding_is_no_point_wherever_it_lies(codes):
    coords = torch.tensor([[[4.0, 9.0], [7.0, 1.0]]])
    rows = codes.points(coords, torch.tensor([[1, NOT_A_POINT]]))
    assert rows.shape == (1, 3, WIDTH)
    assert torch.equal(rows[0, 1], codes.not_a_point_embed.weight[0])
    assert torch.equal(rows[0, 2], codes.not_a_point_embed.weight[0])
    assert torch.equal(codes.no_points(2, 3)[1, 2], codes.not_a_point_embed.weight[0])


def test_a_box_is_two_corners_of_their_own_kinds(codes):
    corners = codes.boxes(torch.tensor([[2.0, 3.0, 20.0, 30.0]]))
    coords = torch.tensor([[[2.0, 3.0], [20.0, 30.0]]])
    assert torch.equal(corners, codes.points(coords, torch.tensor([[2, 3]]), pad=False))


def test_a_grid_tells_columns_from_rows(codes):
    grid = codes.grid((2, 4))
    assert grid.shape == (1, WIDTH, 2, 4)
    centre = torch.tensor([[(2.5 / 4) * CANVAS - 0.5, (1.5 / 2) * CANVAS - 0.5]])
    place = codes.pe_layer((centre + 0.5) / CANVAS)[0]
    torch.testing.assert_close(grid[0, :, 1, 2], place)


def test_masks_become_a_quarter_of_their_size(codes):
    assert codes.masks(torch.randn(2, 1, 8, 16)).shape == (2, WIDTH, 2, 4)
    assert codes.no_mask().shape == (1, WIDTH, 1, 1)


def test_labels_of_another_number_than_points_are_refused(codes):
    with pytest.raises(
        ShapeError, match=r"labels of points: expected shape \(1, 2\), got \(1, 1\)"
    ):
        codes.points(torch.zeros(1, 2, 2), torch.zeros(1, 1))
