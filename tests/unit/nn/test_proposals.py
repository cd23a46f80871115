"""Votes gather into the objects that cast them, whatever their number, size and neighbours."""

import pytest
import torch

from deixis.nn.proposals import Proposals, propose

HEIGHT, WIDTH = 24, 32


def votes(masks: list[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """Foreground (h, w) and perfect offsets (2, h, w) of objects that do not overlap."""
    y, x = torch.meshgrid(
        (torch.arange(HEIGHT) + 0.5) / HEIGHT, (torch.arange(WIDTH) + 0.5) / WIDTH, indexing="ij"
    )
    foreground, offset = torch.zeros(HEIGHT, WIDTH), torch.zeros(2, HEIGHT, WIDTH)
    for mask in masks:
        foreground[mask] = 1.0
        offset[0][mask] = x[mask].mean() - x[mask]
        offset[1][mask] = y[mask].mean() - y[mask]
    return foreground, offset


def box(top: int, left: int, bottom: int, right: int) -> torch.Tensor:
    mask = torch.zeros(HEIGHT, WIDTH, dtype=torch.bool)
    mask[top:bottom, left:right] = True
    return mask


def proposed(*frames: list[torch.Tensor], limit: int = 5) -> Proposals:
    drawn = [votes(masks) for masks in frames]
    foreground, offset = (torch.stack(parts) for parts in zip(*drawn, strict=True))
    return propose(foreground, offset, limit=limit, least_votes=1.5)


def found(proposals: Proposals, frame: int) -> set[tuple[int, ...]]:
    """The masks of a frame, as tuples of cells."""
    masks = proposals.masks[frame][proposals.valid[frame]] > 0.5
    return {tuple(mask.flatten().nonzero()[:, 0].tolist()) for mask in masks}


def test_every_object_becomes_exactly_its_own_proposal():
    objects = [box(1, 1, 9, 8), box(3, 9, 12, 20), box(15, 4, 23, 11), box(14, 22, 18, 31)]
    expected = {tuple(mask.flatten().nonzero()[:, 0].tolist()) for mask in objects}
    assert found(proposed(objects), 0) == expected


def test_frames_do_not_see_each_other():
    one, two = [box(1, 1, 9, 8)], [box(14, 22, 18, 31), box(2, 12, 10, 20)]
    both = proposed(one, two)
    assert found(both, 0) == found(proposed(one), 0)
    assert found(both, 1) == found(proposed(two), 0)


def test_a_proposal_is_measured_in_shares_of_the_canvas():
    proposals = proposed([box(6, 8, 12, 24)])
    best = int(proposals.valid[0].nonzero()[0])
    expected_box = torch.tensor([8 / 32, 6 / 24, 24 / 32, 12 / 24])
    torch.testing.assert_close(proposals.box[0, best], expected_box)
    torch.testing.assert_close(proposals.centre[0, best], torch.tensor([16 / 32, 9 / 24]))
    torch.testing.assert_close(proposals.area[0, best], torch.tensor(6 * 16 / (24 * 32)))


@pytest.mark.parametrize("width", range(4, 12))
@pytest.mark.parametrize("height", [5, 8])
def test_votes_between_two_cells_are_still_one_object(width, height):
    mask = box(4, 6, 4 + height, 6 + width)
    foreground, offset = votes([mask])
    left = mask & (torch.arange(WIDTH) < 6 + width // 2)  # half of them vote one cell to the left
    offset[0][left] -= 1 / WIDTH
    proposals = propose(foreground[None], offset[None], limit=5, least_votes=1.5)
    assert proposals.valid.sum() == 1


def test_where_nothing_is_nothing_is_proposed():
    proposals = proposed([])
    assert not proposals.valid.any()
    for values in (proposals.masks, proposals.box, proposals.centre, proposals.area):
        assert not values.any()


def test_a_speck_has_too_few_votes():
    assert not proposed([box(5, 5, 6, 6)]).valid.any()


def test_at_most_so_many_objects_are_kept_and_the_largest_first():
    objects = [box(1, 1, 4, 4), box(1, 12, 11, 22), box(14, 14, 22, 24)]
    proposals = proposed(objects, limit=2)
    assert proposals.valid.tolist() == [[True, True]]
    assert sorted((proposals.area[0] * HEIGHT * WIDTH).round().tolist()) == [80.0, 100.0]


def test_cells_whose_vote_lands_far_from_every_centre_join_nobody():
    foreground, offset = votes([box(2, 2, 10, 10)])
    foreground[20, 30] = 1.0
    proposals = propose(foreground[None], offset[None], limit=5, least_votes=1.5)
    assert proposals.valid.sum() == 1
    assert proposals.masks[0, :, 20, 30].sum() == 0


def test_a_mask_keeps_how_likely_each_cell_is():
    foreground, offset = votes([box(2, 2, 10, 10)])
    foreground[2:10, 2:4] = 0.75
    proposals = propose(foreground[None], offset[None], limit=5, least_votes=1.5)
    torch.testing.assert_close(proposals.masks[0].sum(0), foreground)


def test_more_places_than_cells_are_no_error():
    proposals = propose(torch.ones(1, 2, 3), torch.zeros(1, 2, 2, 3), limit=50, least_votes=0.1)
    assert proposals.valid.shape == (1, 6)
