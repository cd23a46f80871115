"""What a person points with, as tokens: <ref> for points and boxes, <mem> for masks.

Both are told what shows there, in which image, and which noticed object it is; and the object is
told under which number the question speaks of it; the others, how they stand beside it. Shapes: R
prompts, N of them on an object, G sets, O objects per set, B rows, D language width.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deixis.models.configs.deixis_config import DeixisConfig
from deixis.processing.batch import Batch
from deixis.prompting.pointed import pointed_at
from deixis.prompting.regions import RegionPrompts
from deixis.prompting.sparse import SparsePrompts
from deixis.relation.neighbours import Compared, pair_width
from deixis.relation.objects import Look, Objects, blend


@dataclass(frozen=True, kw_only=True, slots=True)
class Pointed:
    """Attributes:
    tokens: (R, D) what stands in the question.
    row, object: (N,) the question and the object of each prompt that lies on one.
    mark: (N, D) what this object is told.
    others: (N, O, D) what all objects of the set are told of it.
    """

    tokens: Tensor
    row: Tensor
    object: Tensor
    mark: Tensor
    others: Tensor

    def marked(self, told: Tensor) -> Tensor:
        """Return the objects' tokens (B, O, D) with what they are told of what is pointed at."""
        told = told.index_add(0, self.row, self.others.to(told.dtype))
        return told.index_put((self.row, self.object), self.mark.to(told.dtype), accumulate=True)


class Marking(nn.Module):
    """What objects are told of those that a question points at, by the words (N, D) of their
    numbers: the one itself, that it is so called; the others, how they stand beside it."""

    def __init__(self, kinds: dict[str, int], width: int) -> None:
        super().__init__()
        self.name = nn.Linear(width, width, bias=False)
        self.pair = nn.Sequential(
            nn.Linear(pair_width(kinds), width), nn.GELU(), nn.Linear(width, width)
        )
        self.whose = nn.Linear(width, width)
        self.gain = nn.Parameter(torch.full((3,), 0.5))

    def mark(self, numbers: Tensor) -> Tensor:
        """Return (N, D)."""
        said = self.name(numbers)
        return F.rms_norm(said, (said.shape[1],), eps=1e-4) * self.gain[0]

    def others(
        self, numbers: Tensor, known: Compared, sets: Tensor, token: Tensor, sides: Tensor
    ) -> Tensor:
        """Return (N, O, D): what each object of the sets (N,) is told of the tokens (N,), among it
        the words of the sides (SIDES, D) on which it lies."""
        pairs = known.pairs()[sets, :, token]  # (N, O, pair width)
        beside = self.pair(pairs.to(self.whose.weight.dtype)) * self.whose(numbers)[:, None]
        told = F.rms_norm(beside, (beside.shape[2],), eps=1e-4) * self.gain[1]
        lies = known.lies[sets, :, :, token].transpose(1, 2).to(sides.dtype) @ sides  # (N, O, D)
        told = told + F.rms_norm(lies, (lies.shape[2],), eps=1e-4) * self.gain[2]
        return told * known.there[sets, :, token, None].to(told.dtype)


class Prompting(nn.Module):
    """Prompt slots to tokens (R, D), and marks of the objects that they lie on."""

    def __init__(self, config: DeixisConfig) -> None:
        super().__init__()
        self.kinds = {kind: len(names) for kind, names in config.words.items()}
        width = config.text_config.hidden_size
        local = config.fine_width + sum(self.kinds.values())
        self.sparse = SparsePrompts(width, local_width=local)
        self.regions = RegionPrompts(local, width)
        self.gain = nn.Parameter(torch.full((3,), 0.5))
        self.marking = Marking(self.kinds, width) if config.object_tokens else None

    def forward(
        self,
        batch: Batch,
        look: Look,
        objects: Objects,
        words: dict[str, Tensor],
        entities: nn.Embedding | None,
        known: Compared | None,
    ) -> Pointed:
        """Return (R, D) and marks; a model without object tokens has no ``entities`` and pairs."""
        slots, layout, proposals = batch.prompts, batch.layout, look.proposals
        kept, kind = look.kept[slots.frame], slots.kind.to(look.fine.device)
        at = pointed_at(
            slots.masks,
            kind,
            [look.fine, look.words],
            kept.to(look.fine.device),
            proposals.masks[kept],
            proposals.valid[slots.frame],
        )
        local, time = at.local.to(self.gain.dtype), layout.time[slots.frame]
        ref = self.sparse(slots.coords, kind == 1, time, local)
        shown = torch.where((kind == 2)[:, None], self.regions(local), ref)
        shares = local[:, -sum(self.kinds.values()) :].split(list(self.kinds.values()), 1)
        named = sum(s @ words[k] for k, s in zip(self.kinds, shares, strict=True))
        number = words["number"][layout.image[slots.frame].clamp(max=len(words["number"]) - 1)]
        if entities is None or known is None or self.marking is None:
            nobody = torch.zeros(0, dtype=torch.long, device=shown.device)
            tokens = blend([shown, torch.zeros_like(shown), named + number], self.gain)
            others = shown.new_zeros(0, objects.valid.shape[1], shown.shape[1])
            return Pointed(tokens=tokens, row=nobody, object=nobody, mark=shown[:0], others=others)
        token = objects.token_of[slots.frame, at.proposal.clamp(min=0)]
        on = (at.proposal >= 0) & (token >= 0)
        sets = layout.set[slots.frame]
        thing = objects.entity[sets, token.clamp(min=0)]
        entity = entities(thing % entities.num_embeddings) * on[:, None]
        called = slots.number.to(on.device)[on].clamp(max=len(words["number"]) - 1)
        numbers = words["number"][called]
        return Pointed(
            tokens=blend([shown, entity, named + number], self.gain),
            row=slots.row.to(on.device)[on],
            object=token[on],
            mark=self.marking.mark(numbers),
            others=self.marking.others(
                numbers, known, sets.to(on.device)[on], token[on], words["side"]
            ),
        )
