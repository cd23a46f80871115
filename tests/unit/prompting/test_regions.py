"""pool_regions against a loop over pixels and cells; what thin and empty masks give."""

import pytest
import torch
import torch.nn.functional as F

from deixis.errors import ShapeError
from deixis.prompting.regions import RegionPrompts, cover_cells, pool_regions


def slow_cover(mask: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Share of each cell that the mask covers, pixel by pixel."""
    rows, columns = mask.shape
    cover = torch.zeros(height, width, dtype=torch.double)
    for i in range(height):
        for j in range(width):
            for y in range(rows):
                for x in range(columns):
                    tall = min((i + 1) / height, (y + 1) / rows) - max(i / height, y / rows)
                    wide = min((j + 1) / width, (x + 1) / columns) - max(j / width, x / columns)
                    cover[i, j] += max(tall, 0) * max(wide, 0) * height * width * float(mask[y, x])
    return cover


@pytest.mark.parametrize("size", [(9, 10), (8, 15), (2, 3)])  # coarser, multiple, finer cells
def test_cover_matches_a_loop_over_cells_and_pixels(size):
    mask = torch.rand(size, dtype=torch.double)
    torch.testing.assert_close(cover_cells(mask[None], (4, 5))[0], slow_cover(mask, 4, 5))


def test_pooling_is_the_mean_of_features_weighted_by_cover():
    features = torch.randn(2, 3, 4, 5, dtype=torch.double)
    masks = torch.rand(2, 9, 7) > 0.5
    for row in range(2):
        cover = slow_cover(masks[row], 4, 5)
        expected = (features[row] * cover).sum((1, 2)) / cover.sum()
        torch.testing.assert_close(pool_regions(features, masks)[row], expected)


def test_pooling_at_full_size_equals_the_mean_under_the_mask():
    features, masks = torch.randn(2, 3, 4, 5), torch.rand(2, 4, 5) > 0.5
    expected = torch.stack([f[:, m].mean(1) for f, m in zip(features, masks, strict=True)])
    torch.testing.assert_close(pool_regions(features, masks), expected)


def test_a_single_pixel_takes_the_cell_that_it_touches():
    features, masks = torch.randn(1, 3, 4, 5), torch.zeros(1, 200, 300, dtype=torch.bool)
    masks[0, 151, 62] = True  # row 3.02, column 1.03
    torch.testing.assert_close(pool_regions(features, masks)[0], features[0, :, 3, 1])


def test_an_empty_mask_gives_zeros_and_finite_gradients():
    features = torch.randn(2, 3, 4, 5, requires_grad=True)
    masks = torch.zeros(2, 9, 7)
    masks[1, 4, 4] = 1
    pooled = pool_regions(features, masks)
    pooled.sum().backward()
    assert not pooled[0].any()
    assert pooled[1].any()
    assert features.grad.isfinite().all()


def test_an_upright_and_a_wide_picture_are_not_confused():
    features = torch.zeros(1, 1, 2, 4)
    features[0, 0, :, 3] = 1  # the right edge
    right = torch.zeros(1, 6, 12)
    right[0, :, 9:] = 1
    assert float(pool_regions(features, right)) == pytest.approx(1)
    assert float(pool_regions(features, F.pad(right[..., :9], (3, 0)))) == pytest.approx(0)


def test_half_precision_features_keep_their_type():
    pooled = pool_regions(torch.randn(1, 3, 4, 5).bfloat16(), torch.ones(1, 9, 7))
    assert pooled.dtype == torch.bfloat16


def test_one_mask_per_feature_map_or_an_error():
    with pytest.raises(ShapeError, match=r"masks: expected shape \(2, any, any\), got \(3, 9, 7\)"):
        pool_regions(torch.randn(2, 3, 4, 5), torch.ones(3, 9, 7))


def test_tokens_are_projected_row_by_row_and_every_weight_learns():
    prompts = RegionPrompts(feature_width=3, width=7)
    pooled = torch.randn(4, 3)
    tokens = prompts(pooled)
    tokens.sum().backward()
    torch.testing.assert_close(tokens[2], prompts(pooled[2:3])[0])
    assert all(p.grad.any() for p in prompts.parameters())
    assert prompts(pooled[:0]).shape == (0, 7)
    with pytest.raises(ShapeError, match=r"expected shape \(any, 3\), got \(4, 5\)"):
        prompts(torch.randn(4, 5))
