"""PixelLM's losses against plain loops over masks and pixels."""

import pytest
import torch
from torch.nn import functional as F

from deixis.processing.batch import Output
from deixis.processing.batches.pixellm_batch import GroupSlots, PixelLMBatch, PixelLMTruth
from deixis.processing.pixellm import place_longest, restore_logits
from deixis.training.pixellm.pixellm_objective import PixelLMObjective

SIZES = [(9, 14), (12, 7), (5, 5)]


@pytest.fixture
def case():
    """Three rows: two targets on image 0, one more on image 0, one on image 1; image 2 has none."""
    torch.manual_seed(3)
    row, frame = torch.tensor([0, 0, 1, 2]), torch.tensor([0, 0, 0, 1])
    batch = PixelLMBatch(
        pixels=torch.zeros(3, 3, 16, 16),
        placements=tuple(place_longest(size, 16) for size in SIZES),
        image=torch.tensor([-1, -1, -1]),
        tokens=torch.zeros(3, 1, dtype=torch.long),
        held=torch.ones(3, 1, dtype=torch.bool),
        slots=GroupSlots(row=row, column=torch.zeros(4, 1, dtype=torch.long)),
        truth=PixelLMTruth(
            labels=torch.zeros(3, 1, dtype=torch.long),
            masks=tuple(torch.rand(SIZES[i]) > 0.6 for i in frame.tolist()),
        ),
    )
    logits = (2 * torch.randn(4, 8, 8)).requires_grad_()
    text = torch.randn(5, 11, requires_grad=True)
    output = Output(
        mask_logits=logits, target=torch.arange(4), frame=frame, presence=torch.ones(4, 1),
        score=torch.ones(4), text_logits=text, extra=torch.tensor([1, 3, 0, 10, 7]),
    )  # fmt: skip
    return output, batch


def whole(output, batch, target):
    image = int(output.frame[target])
    return restore_logits(output.mask_logits[target : target + 1], batch.placements[image])[0]


def test_parts_are_means_over_all_masks_of_the_batch(case):
    output, batch = case
    bce = dice = 0.0
    for target in range(4):
        logits, true = whole(output, batch, target), batch.truth.masks[target].float()
        p = logits.sigmoid()
        bce += -(true * p.log() + (1 - true) * (1 - p).log()).mean()
        shared, total = 2 * (p * true).sum() / 1000, (p.sum() + true.sum()) / 1000
        dice += 1 - (shared + 1e-6) / (total + 1e-6)
    parts = PixelLMObjective()(output, batch)
    assert set(parts) == {"text", "bce", "dice"}
    torch.testing.assert_close(parts["bce"], 2 * bce / 4)
    torch.testing.assert_close(parts["dice"], 0.5 * dice / 4)
    torch.testing.assert_close(parts["text"], F.cross_entropy(output.text_logits, output.extra))


def test_refinement_counts_pixels_that_two_targets_of_one_question_claim(case):
    output, batch = case
    one, two = whole(output, batch, 0), whole(output, batch, 1)
    both = ((one > 0) & (two > 0)).float()
    assert both.any()
    extra = sum(
        (F.binary_cross_entropy_with_logits(x, t.float(), reduction="none") * both).mean()
        for x, t in zip((one, two), batch.truth.masks[:2], strict=True)
    )
    plain, refined = PixelLMObjective()(output, batch), PixelLMObjective(refine=True)(output, batch)
    torch.testing.assert_close(refined["refinement"], 2 * extra / 4)
    torch.testing.assert_close(refined["bce"], plain["bce"])


def test_everything_that_is_drawn_or_said_learns(case):
    output, batch = case
    sum(PixelLMObjective()(output, batch).values()).backward()
    assert (output.mask_logits.grad.flatten(1).abs().sum(1) > 0).all()
    assert (output.text_logits.grad.abs().sum(1) > 0).all()


def test_without_targets_and_words_the_loss_is_zero(case):
    _, batch = case
    empty = torch.zeros(0, 8, 8, requires_grad=True)
    none = torch.zeros(0, dtype=torch.long)
    output = Output(
        mask_logits=empty, target=none, frame=none, presence=empty[:, 0], score=empty[:, 0, 0],
        text_logits=torch.zeros(0, 11, requires_grad=True), extra=none,
    )  # fmt: skip
    loss = sum(PixelLMObjective(refine=True)(output, batch).values())
    loss.backward()
    assert float(loss) == 0
