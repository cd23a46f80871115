"""Losses of masks, presence and identity; always float32, one number per mask before weighting.

The mask losses and their constants are PixelLM's (arXiv:2312.02228 and its released code);
``refinement_weights`` is its target refinement loss.

Shapes: M mask rows, h x w pixels, N embeddings, D width.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from deixis.errors import ShapeError
from deixis.nn.shapes import expect_shape

# PixelLM divides the sums of its dice by this before it adds the small constant.
PIXELLM_DICE_SCALE = 1000.0
PIXELLM_DICE_EPSILON = 1e-6


def bce_per_mask(logits: Tensor, targets: Tensor, weights: Tensor | None = None) -> Tensor:
    """Return (M,): the mean over pixels of the cross-entropy, each pixel times its weight.

    Args:
        logits: (M, h, w) before the sigmoid.
        targets: (M, h, w) in [0, 1] or bool.
        weights: (M, h, w), for example from ``refinement_weights``.

    Raises:
        ShapeError: targets or weights of another shape than the logits.
    """
    _expect_alike(logits, targets)
    loss = F.binary_cross_entropy_with_logits(logits.float(), targets.float(), reduction="none")
    if weights is not None:
        expect_shape("mask weights", weights, tuple(logits.shape))
        loss = loss * weights.float()
    return loss.flatten(1).mean(1)


def dice_per_mask(
    logits: Tensor,
    targets: Tensor,
    *,
    scale: float = PIXELLM_DICE_SCALE,
    epsilon: float = PIXELLM_DICE_EPSILON,
) -> Tensor:
    """Return (M,): 1 - (2 sum pt / s + e) / (sum p / s + sum t / s + e), as PixelLM computes it."""
    _expect_alike(logits, targets)
    predicted = logits.float().sigmoid().flatten(1)
    true = targets.float().flatten(1)
    shared = 2 * (predicted * true).sum(1) / scale
    total = predicted.sum(1) / scale + true.sum(1) / scale
    return 1 - (shared + epsilon) / (total + epsilon)


def soft_dice(logits: Tensor, targets: Tensor) -> Tensor:
    """Return (M,): dice loss smoothed by one pixel, so that an empty mask has a gentle optimum."""
    return dice_per_mask(logits, targets, scale=1.0, epsilon=1.0)


def focal_per_mask(
    logits: Tensor, targets: Tensor, *, alpha: float = 0.25, gamma: float = 2.0
) -> Tensor:
    """Return (M,): mean focal loss (arXiv:1708.02002), cross-entropy that forgets easy pixels."""
    _expect_alike(logits, targets)
    logits, targets = logits.float(), targets.float()
    loss = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    missed = (logits.sigmoid() - targets).abs()
    balance = alpha * targets + (1 - alpha) * (1 - targets)
    return (balance * missed**gamma * loss).flatten(1).mean(1)


@torch.no_grad()
def refinement_weights(logits: Tensor, question: Tensor, *, alpha: float = 2.0) -> Tensor:
    """Return (M, h, w): alpha where two or more targets of one question claim a pixel, else 1.

    A row claims the pixels where its logit is positive; no gradient runs through the claim
    (PixelLM, target refinement loss). Give the result to ``bce_per_mask`` as its weights.

    Args:
        logits: (M, h, w).
        question: (M,) whole numbers: rows with one number compete. In image sets number the
            pairs (question, image), for different images share no pixels.
    """
    expect_shape("mask logits", logits, (None, None, None))
    expect_shape("question of each mask", question, (len(logits),))
    numbers, row = question.unique(return_inverse=True)
    claimed = (logits > 0).float()
    claims = claimed.new_zeros(len(numbers), *logits.shape[1:]).index_add_(0, row, claimed)
    return torch.where(claims[row] >= 2, alpha, 1.0)


def presence_loss(logits: Tensor, present: Tensor, weights: Tensor | None = None) -> Tensor:
    """Return the weighted mean cross-entropy of "is it there"; 0 where nothing was asked.

    Args:
        logits: presence before the sigmoid, of any shape.
        present: the truth, of the same shape.
        weights: how much each decision counts, of the same shape; 0 leaves it out.
    """
    expect_shape("presence", present, tuple(logits.shape))
    loss = F.binary_cross_entropy_with_logits(logits.float(), present.float(), reduction="none")
    weights = torch.ones_like(loss) if weights is None else weights.float()
    expect_shape("presence weights", weights, tuple(logits.shape))
    return (loss * weights).sum() / weights.sum().clamp(min=torch.finfo(loss.dtype).tiny)


def info_nce(
    embeddings: Tensor,
    labels: Tensor,
    temperature: float = 0.1,
    *,
    within: Tensor | None = None,
) -> Tensor:
    """Return how badly embeddings of one label are found among the others, by cosine.

    For each row with a like: the mean over its likes of -log softmax(cosine / temperature) over
    all other rows (arXiv:2004.11362, "out"). 0 where no row has a like.

    Args:
        embeddings: (N, D), normalised here.
        labels: (N,) identity; a negative one is never an anchor and nobody's like.
        within: (N,) group; rows of different groups do not see each other, so that look-alikes
            of another image set are no negatives.
    """
    expect_shape("embeddings", embeddings, (None, None))
    expect_shape("labels", labels, (len(embeddings),))
    others = ~torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    if within is not None:
        expect_shape("groups", within, (len(embeddings),))
        others = others & (within[:, None] == within[None])
    likes = others & (labels[:, None] == labels[None]) & (labels >= 0)[:, None]
    rows = F.normalize(embeddings.float(), dim=-1)
    # A large negative number instead of -inf: a row that sees nobody must not become NaN.
    scores = (rows @ rows.T).float() / temperature  # autocast multiplies in bfloat16
    scores = scores.masked_fill(~others, torch.finfo(scores.dtype).min)
    found = scores.log_softmax(1).masked_fill(~likes, 0.0).sum(1)  # (N,)
    count = likes.sum(1)
    anchors = (count > 0).sum().clamp(min=1)
    return -(found / count.clamp(min=1)).sum() / anchors


def _expect_alike(logits: Tensor, targets: Tensor) -> None:
    if logits.dim() != 3 or logits.shape != targets.shape:
        raise ShapeError(
            f"masks: expected logits and targets of one shape (M, h, w), "
            f"got {tuple(logits.shape)} and {tuple(targets.shape)}."
        )
