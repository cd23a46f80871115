"""What a person points with, as tokens: <ref> for points and boxes, <mem> for masks.

Both are told what shows there, in which image, and which noticed object it is; and the object is
told under which number the question speaks of it. Shapes: R prompts, G sets, O objects per set,
B rows, D language width.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deixis.models.deixis_config import DeixisConfig
from deixis.processing.batch import Batch
from deixis.prompting.pointed import pointed_at
from deixis.prompting.regions import RegionPrompts
from deixis.prompting.sparse import SparsePrompts
from deixis.relation.objects import Look, Objects, blend


@dataclass(frozen=True, kw_only=True, slots=True)
class Pointed:
    """Attributes:
    tokens: (R, D) what stands in the question.
    row, object: (N,) the question and the object of each prompt that lies on one.
    mark: (N, D) what this object is told.
    """

    tokens: Tensor
    row: Tensor
    object: Tensor
    mark: Tensor

    def marked(self, told: Tensor) -> Tensor:
        """Return the objects' tokens (B, O, D) with their marks."""
        return told.index_put((self.row, self.object), self.mark.to(told.dtype), accumulate=True)


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
        self.mark = nn.Linear(width, width, bias=False) if config.object_tokens else None
        self.mark_gain = nn.Parameter(torch.tensor(0.5)) if config.object_tokens else None

    def forward(
        self,
        batch: Batch,
        look: Look,
        objects: Objects,
        words: dict[str, Tensor],
        entities: nn.Embedding | None,
    ) -> Pointed:
        """Return (R, D) and marks; ``entities`` is None where the model has no object tokens."""
        slots, layout, proposals = batch.prompts, batch.layout, look.proposals
        kept, kind = look.kept[slots.frame], slots.kind.to(look.fine.device)
        at = pointed_at(
            slots.masks,
            kind,
            torch.cat([look.fine[kept], look.words[kept]], 1),
            proposals.masks[kept],
            proposals.valid[slots.frame],
        )
        local, time = at.local.to(self.gain.dtype), layout.time[slots.frame]
        ref = self.sparse(slots.coords, kind == 1, time, local)
        shown = torch.where((kind == 2)[:, None], self.regions(local), ref)
        shares = local[:, -sum(self.kinds.values()) :].split(list(self.kinds.values()), 1)
        named = sum(s @ words[k] for k, s in zip(self.kinds, shares, strict=True))
        number = words["number"][layout.image[slots.frame].clamp(max=len(words["number"]) - 1)]
        if entities is None:
            nobody = torch.zeros(0, dtype=torch.long, device=shown.device)
            tokens = blend([shown, torch.zeros_like(shown), named + number], self.gain)
            return Pointed(tokens=tokens, row=nobody, object=nobody, mark=shown[:0])
        token = objects.token_of[slots.frame, at.proposal.clamp(min=0)]
        known = (at.proposal >= 0) & (token >= 0)
        thing = objects.entity[layout.set[slots.frame], token.clamp(min=0)]
        entity = entities(thing % entities.num_embeddings) * known[:, None]
        return Pointed(
            tokens=blend([shown, entity, named + number], self.gain),
            row=slots.row.to(known.device)[known],
            object=token[known],
            mark=self._marks(words["number"], slots.number.to(known.device)[known]),
        )

    def _marks(self, numbers: Tensor, number: Tensor) -> Tensor:
        """Return (N, D): the words of the numbers, told to objects."""
        assert self.mark is not None
        assert self.mark_gain is not None
        said = self.mark(numbers[number.clamp(max=len(numbers) - 1)])
        return F.rms_norm(said, (said.shape[1],), eps=1e-4) * self.mark_gain
