"""Losses against slow loops, and what each of them ignores."""

import math

import pytest
import torch

from deixis.errors import ShapeError
from deixis.nn.losses import (
    bce_per_mask,
    dice_per_mask,
    focal_per_mask,
    info_nce,
    presence_loss,
    refinement_weights,
    soft_dice,
)


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def cross_entropy(logit: float, target: float) -> float:
    p = sigmoid(logit)
    return -(target * math.log(p) + (1 - target) * math.log(1 - p))


@pytest.fixture
def masks() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(4, 3, 5, generator=generator)
    return logits, torch.rand(4, 3, 5, generator=generator) > 0.6


def test_bce_matches_a_loop_over_masks_and_pixels(masks):
    logits, targets = masks
    weights = torch.rand(4, 3, 5)
    for row, loss in enumerate(bce_per_mask(logits, targets, weights)):
        pixels = [
            float(weights[row, y, x])
            * cross_entropy(float(logits[row, y, x]), float(targets[row, y, x]))
            for y in range(3)
            for x in range(5)
        ]
        assert float(loss) == pytest.approx(sum(pixels) / 15, rel=1e-4)


def test_dice_is_the_published_formula_with_its_scale(masks):
    logits, targets = masks
    for row, loss in enumerate(dice_per_mask(logits, targets)):
        p, t = logits[row].double().sigmoid(), targets[row].double()
        shared, total = 2 * (p * t).sum() / 1000, (p.sum() + t.sum()) / 1000
        assert float(loss) == pytest.approx(float(1 - (shared + 1e-6) / (total + 1e-6)), abs=1e-6)


def test_dice_of_an_exact_mask_is_zero_and_of_a_disjoint_one_is_one():
    targets = torch.tensor([[[1.0, 0.0, 0.0]], [[1.0, 0.0, 0.0]]])
    logits = torch.tensor([[[99.0, -99.0, -99.0]], [[-99.0, 99.0, -99.0]]])
    torch.testing.assert_close(
        dice_per_mask(logits, targets), torch.tensor([0.0, 1.0]), atol=1e-3, rtol=0
    )


def test_soft_dice_of_an_empty_mask_drawn_empty_is_zero():
    empty = torch.zeros(1, 2, 3)
    torch.testing.assert_close(soft_dice(empty - 99, empty), torch.zeros(1))


def test_focal_matches_a_loop_and_is_balanced_cross_entropy_at_gamma_zero(masks):
    logits, targets = masks
    logit, target = float(logits[1, 2, 3]), float(targets[1, 2, 3])
    p = sigmoid(logit) if target else 1 - sigmoid(logit)
    alpha = 0.3 if target else 0.7
    one = focal_per_mask(logits[1:2, 2:, 3:4], targets[1:2, 2:, 3:4], alpha=0.3, gamma=1.5)
    assert float(one) == pytest.approx(alpha * (1 - p) ** 1.5 * cross_entropy(logit, target))
    plain = focal_per_mask(logits, targets, alpha=0.5, gamma=0.0)
    torch.testing.assert_close(plain, bce_per_mask(logits, targets) / 2)


def test_refinement_doubles_the_pixels_that_two_targets_of_one_question_claim():
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(7, 3, 5, generator=generator)
    question = torch.tensor([4, 0, 4, 9, 0, 4, 9])
    expected = torch.ones(7, 3, 5)
    for row in range(7):
        rivals = [other for other in range(7) if question[other] == question[row]]
        for y in range(3):
            for x in range(5):
                if sum(bool(logits[other, y, x] > 0) for other in rivals) >= 2:
                    expected[row, y, x] = 2.0
    assert torch.equal(refinement_weights(logits, question), expected)


def test_refinement_equals_an_extra_cross_entropy_on_the_contested_pixels(masks):
    logits, targets = masks
    question = torch.tensor([0, 0, 1, 1])
    contested = refinement_weights(logits, question) - 1
    weighted = bce_per_mask(logits, targets, refinement_weights(logits, question))
    extra = bce_per_mask(logits, targets, contested)
    torch.testing.assert_close(weighted, bce_per_mask(logits, targets) + extra)


def test_a_lone_target_and_no_target_are_not_refined():
    assert torch.equal(
        refinement_weights(torch.ones(1, 2, 3), torch.tensor([5])), torch.ones(1, 2, 3)
    )
    assert refinement_weights(torch.ones(0, 2, 3), torch.zeros(0, dtype=torch.long)).shape == (
        0,
        2,
        3,
    )


def test_no_gradient_runs_through_the_claim(masks):
    logits = masks[0].requires_grad_()
    assert not refinement_weights(logits, torch.zeros(4, dtype=torch.long)).requires_grad


def test_presence_is_a_weighted_mean_and_zero_when_nothing_is_asked():
    logits, present = torch.tensor([2.0, -1.0, 0.5]), torch.tensor([True, True, False])
    weights = torch.tensor([1.0, 3.0, 0.0])
    expected = (cross_entropy(2.0, 1) + 3 * cross_entropy(-1.0, 1)) / 4
    assert float(presence_loss(logits, present, weights)) == pytest.approx(expected)
    assert float(presence_loss(logits[:0], present[:0])) == 0.0
    assert float(presence_loss(logits, present, torch.zeros(3))) == 0.0


def test_info_nce_matches_a_loop_over_anchors_and_likes():
    generator = torch.Generator().manual_seed(2)
    rows = torch.randn(7, 3, generator=generator)
    labels, within = [0, 1, 0, -1, 0, 1, -1], [0, 0, 0, 0, 1, 0, 0]
    terms = []
    for i in range(7):
        others = [j for j in range(7) if j != i and within[j] == within[i]]
        likes = [j for j in others if labels[j] == labels[i] >= 0]
        score = {j: float(torch.cosine_similarity(rows[i], rows[j], 0)) / 0.2 for j in others}
        if likes:
            total = math.log(sum(math.exp(s) for s in score.values()))
            terms.append(sum(total - score[j] for j in likes) / len(likes))
    got = info_nce(rows, torch.tensor(labels), 0.2, within=torch.tensor(within))
    assert float(got) == pytest.approx(sum(terms) / len(terms), rel=1e-4)


@pytest.mark.parametrize("count", [0, 1, 3])
def test_info_nce_without_likes_is_zero_and_has_no_bad_gradient(count):
    rows = torch.randn(count, 4, requires_grad=True)
    loss = info_nce(rows, torch.arange(count))
    loss.backward()
    assert loss.item() == 0.0
    assert rows.grad is not None
    assert rows.grad.isfinite().all()


@pytest.mark.parametrize("loss", [bce_per_mask, dice_per_mask, focal_per_mask, soft_dice])
def test_mask_losses_are_float32_one_per_mask_and_refuse_other_shapes(loss):
    logits = torch.randn(2, 3, 5, dtype=torch.bfloat16)
    result = loss(logits, torch.ones(2, 3, 5, dtype=torch.bool))
    assert result.dtype == torch.float32
    assert result.shape == (2,)
    with pytest.raises(ShapeError, match=r"one shape \(M, h, w\), got \(2, 3, 5\) and \(2, 5, 3\)"):
        loss(logits, torch.ones(2, 5, 3))
