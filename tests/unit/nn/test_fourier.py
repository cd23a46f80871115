"""Fourier codes against a loop over coordinates and octaves."""

import math

import torch

from deixis.nn.fourier import fourier_code, grid_code


def test_matches_a_loop_over_coordinates_and_bands():
    place = torch.tensor([0.25, 0.7], dtype=torch.double)
    angles = [math.pi * 2**k * float(x) for x in place for k in range(3)]
    expected = torch.tensor([math.sin(a) for a in angles] + [math.cos(a) for a in angles])
    torch.testing.assert_close(fourier_code(place, 3), expected.double())


def test_axes_before_the_coordinates_are_kept():
    coords = torch.rand(4, 3, 2)
    code = fourier_code(coords, 5)
    assert code.shape == (4, 3, 20)
    torch.testing.assert_close(code[2, 1], fourier_code(coords[2, 1], 5))


def test_half_precision_coordinates_are_coded_in_float32():
    assert fourier_code(torch.rand(3, 2, dtype=torch.bfloat16), 4).dtype == torch.float32


def test_a_grid_holds_the_code_of_each_cell_centre_x_first():
    code = grid_code((3, 5), 2, device=torch.device("cpu"), dtype=torch.float32)
    centre = torch.tensor([4.5 / 5, 1.5 / 3])
    assert code.shape == (2 + 8, 3, 5)
    torch.testing.assert_close(code[:, 1, 4], torch.cat([centre, fourier_code(centre, 2)]))
