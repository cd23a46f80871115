"""The true answer on its way through the unified model: what it means, and what to draw."""

from dataclasses import dataclass

import torch
from torch import Tensor

from deixis.processing.batch import Truth
from deixis.relation.choice import Choice, MaskRows, TrueMasks, chosen_by_truth
from deixis.relation.objects import Look, Objects


@dataclass(frozen=True, kw_only=True, slots=True)
class Taught:
    """What the objective needs besides the output.

    Attributes:
        existence: (B, O, 1 + parts) logits.
        meant, counted: (B, O, 1 + parts) the truth, and where it is known.
        true_mask: (R,) index of the true mask of each mask row.
        presence: (M, S) logits of the states alone, for models without object tokens.
        shows: (M, S) the truth of it; there: (M, S) the images that exist.
    """

    existence: Tensor
    meant: Tensor
    counted: Tensor
    true_mask: Tensor
    presence: Tensor
    shows: Tensor
    there: Tensor


def true_choice(
    truth: Truth, look: Look, parts: Tensor, objects: Objects, set_of_row: Tensor, images: int
) -> Choice:
    """Return the objects that the true targets lie on; ``images`` is S."""
    true = TrueMasks(
        masks=truth.masks,
        target=truth.target,
        frame=truth.frame,
        row=truth.row,
        order=truth.order,
        set=set_of_row[truth.row],
    )
    with torch.no_grad(), torch.autocast(truth.masks.device.type, enabled=False):
        return chosen_by_truth(true, look.proposals, parts, objects, images)


def choice_without_objects(row: Tensor, order: Tensor, images: int) -> Choice:
    """Return targets (M,) that are about no object; nothing is known of their presence yet."""
    nothing = torch.zeros_like(row)
    return Choice(
        row=row,
        order=order,
        tokens=nothing[:, None].bool(),
        part=nothing,
        presence=torch.zeros(len(row), images, device=row.device),
    )


def true_rows(
    truth: Truth, rows: MaskRows, num_frames: int, most: int
) -> tuple[MaskRows, Tensor]:
    """Return the rows whose true mask is known, at most ``most``, evenly; and these masks."""
    device = truth.frame.device
    table = torch.full((len(truth.row) * num_frames,), -1, device=device)
    table[truth.target * num_frames + truth.frame] = torch.arange(len(truth.frame), device=device)
    mask = table[rows.target * num_frames + rows.frame]
    known = torch.nonzero(mask >= 0)[:, 0]
    if len(known) > most:
        known = known[torch.linspace(0, len(known) - 1, most, device=device).long()]
    picked = MaskRows(
        target=rows.target[known], frame=rows.frame[known], proposal=rows.proposal[known]
    )
    return picked, mask[known]


def true_presence(truth: Truth, image_of_frame: Tensor, images: int) -> Tensor:
    """Return (M, S): 1 where a target has a mask in an image."""
    shows = torch.zeros(len(truth.row), images, device=truth.masks.device)
    shows[truth.target, image_of_frame[truth.frame]] = 1.0
    return shows
