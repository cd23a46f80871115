"""What objects are told half way: of whom the question touches, and of nobody else."""

import torch

from deixis.relation.midway import Midway
from deixis.relation.neighbours import LIMITS, Compared


def scene(num_objects: int = 4) -> Compared:
    torch.manual_seed(3)
    return Compared.of(
        torch.rand(1, num_objects, len(LIMITS)),
        torch.zeros(1, num_objects, dtype=torch.long),
        torch.ones(1, num_objects, dtype=torch.bool),
        {"category": torch.rand(1, num_objects, 3).softmax(-1)},
    )


def test_what_is_told_depends_on_who_is_touched():
    midway, rows = Midway(2, 8), torch.tensor([0, 0])
    touched = torch.zeros(2, 4, 2)
    touched[1, 2, 0] = 1.0
    with torch.no_grad():
        nobody, somebody = midway(touched, scene(), rows)
    assert (nobody - nobody[0]).abs().max() < 1e-6  # nothing tells the objects apart
    assert (somebody - nobody).abs().amax(1).min() > 1e-3  # each stands somewhere beside it


def test_every_weight_learns():
    midway = Midway(2, 8)
    midway(torch.rand(1, 4, 2), scene(), torch.tensor([0])).square().sum().backward()
    (midway(torch.rand(1, 4, 2), scene(), torch.tensor([0])) ** 3).sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in midway.parameters())
