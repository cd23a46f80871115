"""Which objects each target is about: by the truth while learning, by existence when asked.

Shapes: M targets, B rows, O objects per set, S images of a set, F frames, P proposals per frame,
X true masks, R mask rows, h w cells.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from deixis.nn.proposals import Proposals
from deixis.relation.objects import Objects


@dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    """Targets and their objects.

    Attributes:
        row, order: (M,) the question of each target, and which of its groups it is.
        tokens: (M, O) the objects that it is about; none for what is absent.
        part: (M,) 0 for the whole, else 1 + index of the part's word.
        presence: (M, S) how sure that it shows in each image, in [0, 1].
    """

    row: Tensor
    order: Tensor
    tokens: Tensor
    part: Tensor
    presence: Tensor


@dataclass(frozen=True, kw_only=True, slots=True)
class MaskRows:
    """(R,) each: a target, a frame that shows it, and the proposal that is it there."""

    target: Tensor
    frame: Tensor
    proposal: Tensor


def mask_rows(
    objects: Objects, set_of_frame: Tensor, set_of_row: Tensor, choice: Choice
) -> MaskRows:
    """Return one row for each target and frame in which one of its objects shows."""
    token = objects.token_of  # (F, P)
    about = choice.tokens[:, token.clamp(min=0)] & (token >= 0)  # (M, F, P)
    same_set = set_of_row[choice.row][:, None] == set_of_frame  # (M, F)
    target, frame, proposal = torch.nonzero(about & same_set[..., None], as_tuple=True)
    return MaskRows(target=target, frame=frame, proposal=proposal)


@dataclass(frozen=True, kw_only=True, slots=True)
class TrueMasks:
    """Attributes:
    masks: (X, h, w) covered shares; target, frame: (X,) whose and where.
    row, order, set: (M,) of the targets: question, place in its answer, image set.
    """

    masks: Tensor
    target: Tensor
    frame: Tensor
    row: Tensor
    order: Tensor
    set: Tensor


def chosen_by_truth(
    true: TrueMasks, proposals: Proposals, parts: Tensor, objects: Objects, num_images: int
) -> Choice:
    """Find the objects, and the part of them, that true masks lie on.

    Args:
        true: the masks.
        proposals: of all frames; parts: (F, parts, h, w) probabilities.
        objects: the table of the sets.
        num_images: S.
    """
    truth = (true.masks > 0.5).float().flatten(1)  # (X, hw)
    mine = (proposals.masks[true.frame] > 0.5).float().flatten(2)  # (X, P, hw)
    most, best = torch.einsum("xn,xpn->xp", truth, mine).max(1)
    found = most > 0.5 * truth.sum(1).clamp(min=1)
    token = objects.token_of[true.frame, best].clamp(min=0)
    tokens = _voted(true, token, most * found, objects, num_images)
    kept = found & tokens[true.target, token]
    whole = mine[torch.arange(len(best), device=best.device), best] * kept[:, None]
    return Choice(
        row=true.row,
        order=true.order,
        tokens=tokens,
        part=_part(true, truth * kept[:, None], whole, parts),
        presence=torch.zeros(len(true.row), num_images, device=truth.device),
    )


def _voted(
    true: TrueMasks, token: Tensor, weight: Tensor, objects: Objects, num_images: int
) -> Tensor:
    """Return (M, O): for each target and image the object that most of its pixels lie on."""
    votes = weight.new_zeros(len(true.row), objects.valid.shape[1])
    votes = votes.index_put((true.target, token), weight, accumulate=True)
    tokens = torch.zeros_like(votes, dtype=torch.bool)
    for image in range(num_images):
        here = votes * (objects.image[true.set] == image)
        top = here.argmax(1, keepdim=True)
        tokens |= torch.zeros_like(tokens).scatter(1, top, here.gather(1, top) > 0)
    return tokens


def _part(true: TrueMasks, truth: Tensor, whole: Tensor, parts: Tensor) -> Tensor:
    """Return (M,): 0 where the whole object fits a target best, else 1 + the part that does."""
    num = len(true.row)

    def summed(values: Tensor) -> Tensor:
        return values.new_zeros(num, *values.shape[1:]).index_add(0, true.target, values)

    shared, both = summed((truth * whole).sum(1)), summed((truth + whole).clamp(max=1).sum(1))
    whole_iou = shared / both.clamp(min=1)
    part = torch.zeros(num, dtype=torch.long, device=truth.device)
    unsure = torch.nonzero(whole_iou[true.target] < 0.75)[:, 0]
    if not len(unsure):
        return part
    cut = (parts[true.frame[unsure]] > 0.5).float().flatten(2) * whole[unsure][:, None]
    inside = torch.einsum("xn,xpn->xp", truth[unsure], cut)  # (x, parts)
    outside = cut.sum(2) + truth[unsure].sum(1, keepdim=True) - inside
    zeros = truth.new_zeros(num, cut.shape[1])
    inside = zeros.index_add(0, true.target[unsure], inside)
    iou, index = (inside / zeros.index_add(0, true.target[unsure], outside).clamp(min=1)).max(1)
    return torch.where(iou > whole_iou, index + 1, part)


def meant_by(choice: Choice, objects: Objects, set_of_row: Tensor) -> tuple[Tensor, Tensor]:
    """Return (B, O, 1 + parts) twice: what the targets mean, and what could have been meant."""
    rows, able = len(set_of_row), objects.parts.shape[-1] + 1
    meant = torch.zeros(rows, objects.valid.shape[1], able, device=choice.part.device)
    target, token = torch.nonzero(choice.tokens, as_tuple=True)
    meant[choice.row[target], token, choice.part[target]] = 1.0
    valid = objects.valid[set_of_row][..., None]
    return meant, torch.cat([valid, objects.parts[set_of_row] & valid], 2)


def chosen_by_existence(
    existence: Tensor,
    objects: Objects,
    set_of_row: Tensor,
    wanted: Tensor,
    *,
    threshold: float,
    num_images: int,
) -> Choice:
    """Return the targets of each row: the things, or parts of things, that it means.

    Rows of one thing are one target; targets stand in reading order. A row that wants a target
    and means nothing gets one without objects: what was asked for is absent.

    Args:
        existence: (B, O, 1 + parts) probabilities.
        wanted: (B,) whether the language decoder began a group at all.
    """
    found: list[tuple[int, int, list[int], int, Tensor]] = []
    for row in torch.nonzero(wanted)[:, 0].tolist():
        group = int(set_of_row[row])
        sure, image = existence[row], objects.image[group]
        things: dict[tuple[int, int], list[int]] = {}
        for token, part in torch.nonzero(sure > threshold).tolist():
            things.setdefault((int(objects.entity[group, token]), part), []).append(token)
        place = objects.place[group]
        ordered = sorted(
            things.items(),
            key=lambda item: (int(image[item[1][0]]), float(place[item[1][0], item[0][1], 0])),
        )
        same = [
            (order, part, tokens, sure[:, part] * (objects.entity[group] == entity))
            for order, ((entity, part), tokens) in enumerate(ordered)
        ] or [(0, 0, [], sure.amax(1))]
        for order, part, tokens, each in same:
            here = image[None] == torch.arange(num_images, device=image.device)[:, None]
            found.append((row, order, tokens, part, (each * here).amax(1)))
    device = existence.device
    about = torch.zeros(len(found), existence.shape[1], dtype=torch.bool, device=device)
    for index, item in enumerate(found):
        about[index, item[2]] = True
    return Choice(
        row=torch.tensor([f[0] for f in found], dtype=torch.long, device=device),
        order=torch.tensor([f[1] for f in found], dtype=torch.long, device=device),
        tokens=about,
        part=torch.tensor([f[3] for f in found], dtype=torch.long, device=device),
        presence=torch.stack([f[4] for f in found])
        if found
        else torch.zeros(0, num_images, device=device),
    )
