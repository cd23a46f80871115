"""What lies under a prompt, against loops; and which proposal a prompt is about."""

import pytest
import torch

from deixis.prompting.pointed import PointedAt, pointed_at

POINT, BOX, MASK = range(3)
HEIGHT, WIDTH, CHANNELS = 6, 8, 3


def area(top: int, left: int, bottom: int, right: int) -> torch.Tensor:
    mask = torch.zeros(HEIGHT, WIDTH)
    mask[top:bottom, left:right] = 1.0
    return mask


SMALL, LARGE = area(1, 1, 3, 3), area(0, 3, 6, 8)
MINE = torch.stack([torch.zeros(HEIGHT, WIDTH), SMALL, LARGE])
VALID = torch.tensor([False, True, True])


@pytest.fixture
def local() -> torch.Tensor:
    return torch.randn(CHANNELS, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(0))


def look(local: torch.Tensor, *prompts: tuple[int, torch.Tensor], mine=MINE, valid=VALID):
    count = len(prompts)
    return pointed_at(
        torch.stack([mask for _, mask in prompts]),
        torch.tensor([kind for kind, _ in prompts]),
        [local[None, :1], local[None, 1:]],
        torch.zeros(count, dtype=torch.long),
        mine.expand(count, -1, -1, -1),
        valid.expand(count, -1),
    )


def test_a_point_is_about_the_proposal_that_it_touches(local):
    at = look(local, (POINT, area(2, 2, 3, 3)), (POINT, area(5, 7, 6, 8)))
    assert at.proposal.tolist() == [1, 2]
    torch.testing.assert_close(at.local, torch.stack([local[:, 2, 2], local[:, 5, 7]]))


def test_a_box_or_a_mask_is_about_the_proposal_that_fits_it_and_not_the_one_it_touches(local):
    around_small = area(0, 0, 4, 4)  # touches both
    assert look(local, (BOX, around_small), (MASK, SMALL)).proposal.tolist() == [1, 1]


def test_a_mask_is_described_by_all_of_its_cells_weighed_by_their_share(local):
    mask = 0.25 * SMALL + 0.5 * area(4, 4, 5, 6)
    at = look(local, (MASK, mask))
    expected = (
        sum(mask[y, x] * local[:, y, x] for y in range(HEIGHT) for x in range(WIDTH)) / mask.sum()
    )
    torch.testing.assert_close(at.local[0], expected)


def test_a_box_is_described_by_the_object_in_it(local):
    at = look(local, (BOX, area(0, 0, 4, 4)))
    torch.testing.assert_close(at.local[0], local[:, 1:3, 1:3].mean((1, 2)))


def test_a_box_around_nothing_noticed_is_described_by_all_that_it_holds(local):
    at = look(local, (BOX, area(4, 0, 6, 2)))
    assert at.proposal.tolist() == [-1]
    torch.testing.assert_close(at.local[0], local[:, 4:6, 0:2].mean((1, 2)))


def test_what_is_no_proposal_is_never_pointed_at(local):
    nobody = torch.zeros(3, dtype=torch.bool)
    at = look(local, (POINT, area(2, 2, 3, 3)), (MASK, SMALL), valid=nobody)
    assert at.proposal.tolist() == [-1, -1]


def test_prompts_do_not_see_each_other(local):
    prompts = [(POINT, area(2, 2, 3, 3)), (BOX, area(0, 0, 4, 4)), (MASK, SMALL)]
    together = look(local, *prompts)
    alone: list[PointedAt] = [look(local, prompt) for prompt in prompts]
    torch.testing.assert_close(together.local, torch.cat([one.local for one in alone]))
    assert together.proposal.tolist() == [int(one.proposal) for one in alone]
