"""The true answer on its way through the unified model: what it means, and what to draw."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from deixis.models.parts.deixis_seen import Seen
from deixis.processing.batch import Mentions, Truth
from deixis.relation.choice import Choice, MaskRows, TrueMasks, chosen_by_truth, meant_by
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
        noticed, touched: (B, O, 2) logits and truth of what a question touches on its way.
        fitting: (B, O) logits of what fits the question, at the end of the decoder.
        deeds, done: (G, O, 13) logits and truth of what things do in a clip.
    """

    existence: Tensor
    meant: Tensor
    counted: Tensor
    presence: Tensor
    shows: Tensor
    there: Tensor
    true_mask: Tensor | None = None
    noticed: Tensor | None = None
    fitting: Tensor | None = None
    touched: Tensor | None = None
    deeds: Tensor | None = None
    done: Tensor | None = None


def taught(
    truth: Truth,
    seen: Seen,
    choice: Choice,
    *,
    existence: Tensor,
    presence: Tensor,
    there: Tensor,
    noticed: Tensor,
    fitting: Tensor | None,
    with_objects: bool,
) -> Taught:
    """Put what was guessed beside what is true."""
    meant, able = meant_by(choice, seen.objects, seen.set_of_row)
    counted = able & truth.pointing[:, None, None]
    touched = done = None
    if truth.mentions is not None and with_objects:
        ways = noticed.shape[2]
        roles = touched_objects(
            truth.mentions, seen.look, seen.objects, len(meant), ways + meant.shape[2]
        )
        touched, silently = roles[..., :ways], roles[..., ways:]
        meant, counted = meant + silently * able, able
        if seen.deeds is not None:
            done = done_by_objects(truth.mentions, seen.look, seen.objects, seen.layout.set)
    return Taught(
        existence=existence,
        meant=meant,
        counted=counted,
        presence=presence,
        shows=true_presence(truth, seen.layout.image, seen.num_images),
        there=there,
        noticed=noticed,
        fitting=fitting,
        touched=touched,
        deeds=seen.deeds,
        done=done,
    )


def true_choice(
    truth: Truth, look: Look, parts: Tensor, objects: Objects, set_of_row: Tensor, images: int
) -> Choice:
    """Return the objects that the true targets lie on; ``images`` is S."""
    height, width = look.proposals.masks.shape[-2:]  # masks may be finer
    true = TrueMasks(
        masks=F.adaptive_avg_pool2d(truth.masks, (height, width)),
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


def true_rows(truth: Truth, rows: MaskRows, num_frames: int, most: int) -> tuple[MaskRows, Tensor]:
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


def touched_objects(
    mentions: Mentions, look: Look, objects: Objects, num_rows: int, num_roles: int
) -> Tensor:
    """Return (B, O, roles): 1 where a question touches an object in this role."""
    proposal = things_of(look.proposals.masks, mentions.things)[mentions.frame]  # (Y, P)
    token = objects.token_of[mentions.frame]
    hit, slot = torch.nonzero((proposal == mentions.thing[:, None]) & (token >= 0), as_tuple=True)
    touched = torch.zeros(num_rows, objects.valid.shape[1], num_roles, device=token.device)
    touched[mentions.row[hit], token[hit, slot], mentions.role[hit]] = 1.0
    return touched


def done_by_objects(
    mentions: Mentions, look: Look, objects: Objects, set_of_frame: Tensor
) -> Tensor:
    """Return (G, O, deeds): whether an object does something, 1 or 0, or -1 where nobody knows."""
    sets, most = objects.valid.shape
    thing = things_of(look.proposals.masks, mentions.things)  # (F, P)
    frame = torch.arange(len(thing), device=thing.device)[:, None]
    done = mentions.deeds[frame, thing.clamp(min=0)]  # (F, P, deeds)
    known = (thing > 0) & (objects.token_of >= 0)
    place = (set_of_frame.to(thing.device)[:, None] * most + objects.token_of)[known]
    table = done.new_full((sets * most, done.shape[2]), -1.0)
    place = place[:, None].expand(-1, done.shape[2])
    return table.scatter_reduce(0, place, done[known], "amax").unflatten(0, (sets, most))


def things_of(masks: Tensor, things: Tensor) -> Tensor:
    """Return (F, P): the thing that most cells of each proposal (F, P, h, w) show, -1 for none."""
    count = int(things.max()) + 1
    shown = F.one_hot(things.flatten(1), count).float()  # (F, hw, things)
    cells = torch.einsum("fpn,fnt->fpt", (masks.flatten(2) > 0.5).float(), shown)
    most, thing = cells.max(2)
    return torch.where((thing > 0) & (most > 0.5 * cells.sum(2)), thing, -1)
