"""Which state of a slot is read: the state at each of its tokens."""

import torch

from deixis.models.interface import gather_slots


def test_the_state_of_a_slot_is_the_one_at_its_tokens():
    hidden = torch.randn(3, 11, 5)
    starts = torch.tensor([[2, 1], [0, 8], [2, 4], [1, 0]])
    got = gather_slots(hidden, starts, size=3)
    expected = torch.zeros(4, 3, 5)
    for target, (row, column) in enumerate(starts.tolist()):
        for place in range(3):
            expected[target, place] = hidden[row, column + place]
    assert torch.equal(got, expected)


def test_no_targets_have_no_states():
    nobody = torch.zeros(0, 2, dtype=torch.long)
    assert gather_slots(torch.randn(3, 11, 5), nobody, size=3).shape == (0, 3, 5)
