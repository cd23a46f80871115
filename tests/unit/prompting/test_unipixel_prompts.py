"""UniPixel's <ref> and <mem> tokens against slow loops."""

import math

import pytest
import torch

from deixis.errors import ShapeError
from deixis.prompting.regions import pool_touched
from deixis.prompting.sparse import TimedPrompts

WIDTH, CODE, CANVAS = 10, 6, 40


@pytest.fixture
def prompting():
    torch.manual_seed(0)
    module = TimedPrompts(WIDTH, CODE, CANVAS).double()
    for weight in module.parameters():
        torch.nn.init.normal_(weight)
    return module


def code(matrix, values):
    angles = [
        2 * math.pi * sum((2 * v - 1) * matrix[axis, i].item() for axis, v in enumerate(values))
        for i in range(matrix.shape[1])
    ]
    return torch.tensor([*map(math.sin, angles), *map(math.cos, angles)], dtype=torch.double)


def test_points_and_boxes_are_coded_as_the_formula_says(prompting):
    coords = torch.tensor([[[3.0, 7.0], [3.0, 7.0]], [[2.0, 5.0], [31.0, 22.0]]])
    is_box, time = torch.tensor([False, True]), torch.tensor([0.2, 1.0])
    got = prompting(coords, is_box, time)
    codes = prompting.codes
    matrix = codes.pe_layer.positional_encoding_gaussian_matrix
    clock = prompting.clock.positional_encoding_gaussian_matrix
    none = codes.not_a_point_embed.weight[0]
    for row in range(2):
        kinds = (2, 3) if is_box[row] else (1,)
        rows = [
            code(matrix, ((coords[row, i] + 0.5) / CANVAS).tolist())
            + codes.point_embeddings[kind].weight[0]
            for i, kind in enumerate(kinds)
        ]
        project = prompting.box if is_box[row] else prompting.point
        place = project(torch.cat([*rows, none]))
        when = prompting.time(code(clock, [time[row].item()]) + prompting.clock_kind.weight[0])
        wanted = prompting.project(torch.cat([place, when]))
        torch.testing.assert_close(got[row], wanted, rtol=1e-5, atol=1e-5)


def test_the_second_row_of_a_point_is_not_read(prompting):
    coords = torch.tensor([[[3.0, 7.0], [3.0, 7.0]]])
    other = torch.tensor([[[3.0, 7.0], [30.0, 1.0]]])
    point, time = torch.tensor([False]), torch.tensor([0.5])
    assert torch.equal(prompting(coords, point, time), prompting(other, point, time))


def test_random_matrices_are_saved_and_differ(prompting):
    saved = prompting.state_dict()
    names = [name for name in saved if name.endswith("gaussian_matrix")]
    assert sorted(names) == [
        "clock.positional_encoding_gaussian_matrix",
        "codes.pe_layer.positional_encoding_gaussian_matrix",
    ]


def test_codes_stay_exact_in_a_short_type(prompting):
    coords = torch.tensor([[[3.0, 7.0], [31.0, 22.0]]])
    labels = torch.tensor([[1, 1]])
    short = TimedPrompts(WIDTH, CODE, CANVAS).bfloat16()
    exact = TimedPrompts(WIDTH, CODE, CANVAS)
    exact.load_state_dict(short.state_dict())
    near = short.codes.points(coords, labels).float()
    assert (near - exact.codes.points(coords, labels)).abs().max() < 0.02


def test_regions_are_means_over_touched_cells_object_by_object():
    torch.manual_seed(1)
    features = torch.randn(3 * 2 * 4, 5).double()
    touched = torch.rand(3, 2, 2, 4) > 0.6
    touched[1, 0] = False
    got = pool_touched(features, touched)
    wanted = []
    for thing in range(2):
        for pair in range(3):
            cells = [
                features[pair * 8 + row * 4 + column]
                for row in range(2)
                for column in range(4)
                if touched[pair, thing, row, column]
            ]
            if cells:
                wanted.append(torch.stack(cells).mean(0))
    torch.testing.assert_close(got, torch.stack(wanted))


def test_a_clip_without_objects_has_no_regions():
    assert pool_touched(torch.zeros(16, 5), torch.ones(2, 0, 2, 4).bool()).shape == (0, 5)


def test_features_of_another_clip_are_refused():
    with pytest.raises(ShapeError, match=r"features of a clip: expected shape \(8, any\), got"):
        pool_touched(torch.zeros(9, 5), torch.ones(1, 3, 2, 4).bool())
