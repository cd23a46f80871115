"""The loss of candidate masks against a slow loop over objects, candidates and pixels."""

import math

import pytest
import torch
import torch.nn.functional as F

from deixis.errors import ShapeError
from deixis.nn.candidates import candidate_losses


def looped(candidates, scores, presence, truth):
    """Return the four parts as the published code writes them down."""
    parts = {"mask": 0.0, "dice": 0.0, "score": 0.0, "presence": 0.0}
    for row in range(len(truth)):
        there = float(truth[row].any())
        p = 1 / (1 + math.exp(-presence[row, 0].item()))
        parts["presence"] -= math.log(p if there else 1 - p)
        choices = []
        for one in range(scores.shape[1]):
            logits = F.interpolate(
                candidates[row, one][None, None], truth.shape[1:], mode="bilinear"
            )
            logits = logits[0, 0].flatten().tolist()
            wanted = truth[row].float().flatten().tolist()
            focal = shared = total = inside = either = 0.0
            for x, t in zip(logits, wanted, strict=True):
                q = 1 / (1 + math.exp(-x))
                missed = (1 - q) if t else q
                focal += (0.25 if t else 0.75) * missed**2 * -math.log(1 - missed)
                shared += q * t
                total += q + t
                inside += (x > 0) and bool(t)
                either += (x > 0) or bool(t)
            dice = 1 - (2 * shared + 1) / (total + 1)
            error = abs(scores[row, one].item() - inside / max(either, 1))
            choices.append((focal / len(logits), dice, error))
        best = min(choices, key=lambda c: 100 * c[0] + 5 * c[1])
        parts["mask"] += there * best[0]
        parts["dice"] += there * best[1]
        parts["score"] += there * sum(c[2] for c in choices) / len(choices)
    return {name: value / len(truth) for name, value in parts.items()}


@pytest.fixture
def drawn():
    torch.manual_seed(0)
    truth = torch.rand(3, 6, 8) > 0.5
    truth[1] = False
    return torch.randn(3, 2, 3, 4), torch.rand(3, 2), torch.randn(3, 1), truth


def test_every_part_is_that_of_a_loop(drawn):
    losses = candidate_losses(*drawn)
    for name, wanted in looped(*drawn).items():
        assert getattr(losses, name).item() == pytest.approx(wanted, abs=1e-5), name
    total = 100 * losses.mask + 5 * (losses.dice + losses.score + losses.presence)
    torch.testing.assert_close(losses.total, total)


def test_only_the_best_candidate_learns_its_mask(drawn):
    candidates, scores, presence, truth = drawn
    candidates = candidates.requires_grad_()
    losses = candidate_losses(candidates, scores, presence, truth)
    (losses.mask + losses.dice).backward()
    assert candidates.grad.flatten(2).any(2).sum(1).tolist() == [1, 0, 1]  # the second is absent


def test_masks_of_other_objects_are_refused(drawn):
    candidates, scores, presence, truth = drawn
    with pytest.raises(ShapeError, match=r"true masks: expected shape \(3, any, any\), got"):
        candidate_losses(candidates, scores, presence, truth[:2])
