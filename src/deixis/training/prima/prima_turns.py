"""Which of an answer's masks comes how soon: so lists neither repeat a thing nor forget one.

An answer draws from image to image, and in each from left to right. Rows of an image say the how
many-th of their image they show; on their way through the language decoder, where the images before
are known, the how many-th of all; and states that look for a target say the how many-th is next. So
what looks and what is looked for agree in one number.

Shapes: X images of all questions, Q rows of an image, M targets, S states, D width, T turns.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from deixis.models.prima import asked_frames
from deixis.processing.batches.prima_batch import PrimaBatch
from deixis.training.directions import SHARP

TURNS = 8  # are told apart; later ones are like the last


def turns_in_image(asked: PrimaBatch) -> Tensor:
    """Return (M,) how many targets of the same answer each one follows in its image."""
    return _earlier(_alike(asked.slots.row) & _alike(asked.slots.frame))


def turns_in_answer(asked: PrimaBatch) -> Tensor:
    """Return (M,) how many targets of the same answer each one follows."""
    return _earlier(_alike(asked.slots.row))


def images_of_targets(asked: PrimaBatch) -> tuple[Tensor, Tensor]:
    """Return (M, X) which images are of each target's question, and in which of them it lies."""
    row, frame = asked_frames(asked)  # (X,)
    mine = asked.slots.row[:, None] == row
    return mine, mine & (asked.slots.frame[:, None] == frame)


def unshown_turns(
    rows: Tensor, directions: Tensor, among: Tensor, here: Tensor, cover: Tensor
) -> Tensor:
    """Return how far directions (M, D) of the turns of targets are from finding them among rows
    (X, Q, D), in nats; 0 without targets.

    Args:
        rows: of the images of each question.
        directions: of the turn of each target.
        among: (M, X) the images that are searched; here: the one in which it lies.
        cover: (M, Q) how much each row of that image shows of it.
    """
    if not len(directions):
        return rows.sum() * 0.0
    alike = torch.einsum("xqd,md->mxq", F.normalize(rows.float(), dim=-1), directions)
    logs = (2 * SHARP * alike).masked_fill(~among[..., None], -torch.inf)
    logs = logs.flatten(1).log_softmax(1).unflatten(1, alike.shape[1:])[here]  # (M, Q)
    share = cover / cover.sum(1, keepdim=True).clamp(min=1e-6)
    return -(share * logs).sum(1).mean()


def unsaid_turns(states: Tensor, directions: Tensor, turns: Tensor) -> Tensor:
    """Return how far states (S, D) are from the one direction of their turn (S,), in nats."""
    if not len(turns):
        return states.sum() * 0.0
    logits = SHARP * F.normalize(states.float(), dim=1) @ directions.T
    return F.cross_entropy(logits, turns)


def _alike(values: Tensor) -> Tensor:
    return values[:, None] == values


def _earlier(same: Tensor) -> Tensor:
    return same.tril(-1).sum(1).clamp(max=TURNS - 1)
