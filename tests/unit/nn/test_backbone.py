"""The pyramid's shapes, what its cells can see, the shortcut that skips before it projects, and
the way back to the pixels."""

import torch
import torch.nn.functional as F

from deixis.nn.backbone import ConvPyramid, FinestFeatures, Residual


def test_features_come_at_strides_2_4_8_and_16():
    pyramid = ConvPyramid(widths=(8, 16, 24, 40), top_down_width=12, blocks=(1, 2, 1, 1))
    shapes = [tuple(level.shape) for level in pyramid(torch.rand(3, 3, 32, 48))]
    assert shapes == [(3, 12, 16, 24), (3, 12, 8, 12), (3, 12, 4, 6), (3, 40, 2, 3)]


def test_frames_do_not_see_each_other():
    pyramid = ConvPyramid(widths=(8, 16, 24), top_down_width=12, blocks=(1, 1, 1)).eval()
    frames = torch.rand(3, 3, 16, 24)
    for level, alone in zip(pyramid(frames), pyramid(frames[1:2]), strict=True):
        torch.testing.assert_close(level[1:2], alone)


def test_equal_pixels_at_different_places_look_different():
    pyramid = ConvPyramid(widths=(8, 16, 24), top_down_width=12, blocks=(1, 1, 1)).eval()
    fine = pyramid(torch.full((1, 3, 64, 96), 0.5))[0]
    assert (fine[0, :, 8, 12] - fine[0, :, 8, 36]).abs().max() > 1e-4
    assert (fine[0, :, 8, 12] - fine[0, :, 24, 12]).abs().max() > 1e-4


def test_every_weight_learns():
    pyramid = ConvPyramid(widths=(8, 16, 24), top_down_width=12, blocks=(1, 2, 1))
    sum(level.square().mean() for level in pyramid(torch.rand(2, 3, 32, 48))).backward()
    assert all(p.grad is not None and p.grad.any() for p in pyramid.parameters())


def test_a_shortcut_that_skips_equals_a_convolution_with_a_stride():
    block = Residual(8, 16, stride=2)
    x = torch.randn(2, 8, 7, 6)
    shortcut = F.conv2d(x, block.shortcut.weight, block.shortcut.bias, stride=2)
    torch.testing.assert_close(block(x), F.relu(block.body(x) + shortcut))


def test_few_channels_last_can_learn():
    block = Residual(8, 16, stride=2).to(memory_format=torch.channels_last)
    for _ in range(4):  # crashed within four, where the stride stood in the convolution
        x = torch.randn(8, 8, 64, 64).to(memory_format=torch.channels_last)
        block(x.requires_grad_()).square().mean().backward()
    assert all(parameter.grad.isfinite().all() for parameter in block.parameters())


def test_the_finest_features_tell_the_pixels_of_one_cell_apart():
    finest = FinestFeatures(12, 6).eval()
    features = finest(torch.full((2, 3, 16, 24), 0.5), torch.randn(2, 12, 8, 12))
    assert features.shape == (2, 6, 16, 24)
    cells = features.unfold(2, 2, 2).unfold(3, 2, 2).flatten(4)  # (S, C, h, w, 4)
    assert (cells.amax(-1) - cells.amin(-1)).amax(1).min() > 1e-4


def test_the_finest_features_see_pixels_that_the_cells_do_not():
    finest, known = FinestFeatures(12, 6).eval(), torch.randn(1, 12, 8, 12)
    pixels = torch.full((1, 3, 16, 24), 0.5)
    changed = pixels.clone()
    changed[0, :, 8, 9] = 1.0
    moved = (finest(changed, known) - finest(pixels, known)).abs().amax(1)[0]
    assert moved[8, 9] > 1e-4
    assert not moved[8, 14:].any()
