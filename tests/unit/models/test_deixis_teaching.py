"""The true answer on its way through the model: which masks are drawn, and where targets show."""

import torch

from deixis.models.parts.deixis_teaching import things_of, true_presence, true_rows
from deixis.processing.batch import Truth
from deixis.relation.choice import MaskRows

FRAMES = 5


def truth() -> Truth:
    """Three targets: the first in frames 0 and 1, the second nowhere, the third in frame 4."""
    return Truth(
        tokens=torch.zeros(2, 4, dtype=torch.long),
        row=torch.tensor([0, 0, 1]),
        order=torch.tensor([0, 1, 0]),
        target=torch.tensor([0, 0, 2]),
        frame=torch.tensor([0, 1, 4]),
        masks=torch.rand(3, 4, 6),
        pointing=torch.tensor([True, True]),
    )


def rows(*places: tuple[int, int]) -> MaskRows:
    target, frame = torch.tensor(places).T
    return MaskRows(target=target, frame=frame, proposal=torch.arange(len(places)))


def test_only_rows_with_a_true_mask_are_drawn_each_with_its_own():
    drawn = rows((2, 4), (1, 1), (0, 1), (0, 2), (0, 0))
    picked, masks = true_rows(truth(), drawn, FRAMES, most=10)
    assert picked.target.tolist() == [2, 0, 0]
    assert picked.frame.tolist() == [4, 1, 0]
    assert picked.proposal.tolist() == [0, 2, 4]
    assert masks.tolist() == [2, 1, 0]


def test_of_too_many_rows_some_are_drawn_from_the_first_to_the_last():
    drawn = rows(*[(0, 0), (0, 1)] * 10, (2, 4))
    picked, masks = true_rows(truth(), drawn, FRAMES, most=5)
    assert picked.proposal.tolist() == [0, 5, 10, 15, 20]
    assert masks.tolist() == [0, 1, 0, 1, 2]


def test_a_target_shows_in_the_images_of_its_masks():
    image_of_frame = torch.tensor([0, 0, 1, 1, 2])
    shows = true_presence(truth(), image_of_frame, images=3)
    assert shows.tolist() == [[1, 0, 0], [0, 0, 0], [0, 0, 1]]


def test_a_proposal_is_the_thing_that_most_of_its_cells_show():
    things = torch.tensor([[[1, 1, 2, 0], [1, 3, 2, 0]]])
    masks = torch.zeros(1, 4, 2, 4)
    masks[0, 0, :, :2] = 1  # three cells of 1, one of 3
    masks[0, 1, :, 2:] = 1  # half of it is no thing
    masks[0, 2, :, 2] = 1
    assert things_of(masks, things).tolist() == [[1, -1, 2, -1]]
