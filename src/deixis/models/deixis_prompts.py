"""What a person points with, as tokens: <ref> for points and boxes, <mem> for masks.

Both are told what shows there, in which image, and which noticed object it is. Shapes: R prompts,
G sets, O objects per set, D language width.
"""

import torch
from torch import Tensor, nn

from deixis.models.deixis_config import DeixisConfig
from deixis.processing.batch import Batch
from deixis.prompting.pointed import pointed_at
from deixis.prompting.regions import RegionPrompts
from deixis.prompting.sparse import SparsePrompts
from deixis.relation.objects import Look, Objects, blend


class Prompting(nn.Module):
    """Prompt slots to tokens (R, D)."""

    def __init__(self, config: DeixisConfig) -> None:
        super().__init__()
        self.kinds = {kind: len(names) for kind, names in config.words.items()}
        width = config.text_config.hidden_size
        local = config.fine_width + sum(self.kinds.values())
        self.sparse = SparsePrompts(width, local_width=local)
        self.regions = RegionPrompts(local, width)
        self.gain = nn.Parameter(torch.full((3,), 0.5))

    def forward(
        self,
        batch: Batch,
        look: Look,
        objects: Objects,
        words: dict[str, Tensor],
        entities: nn.Embedding | None,
    ) -> Tensor:
        """Return (R, D); ``entities`` is None where the model has no object tokens."""
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
        entity = torch.zeros_like(shown)
        if entities is not None:
            token = objects.token_of[slots.frame, at.proposal.clamp(min=0)]
            known = (at.proposal >= 0) & (token >= 0)
            thing = objects.entity[layout.set[slots.frame], token.clamp(min=0)]
            entity = entities(thing % entities.num_embeddings) * known[:, None]
        shares = local[:, -sum(self.kinds.values()) :].split(list(self.kinds.values()), 1)
        named = sum(s @ words[k] for k, s in zip(self.kinds, shares, strict=True))
        number = words["number"][layout.image[slots.frame].clamp(max=len(words["number"]) - 1)]
        return blend([shown, entity, named + number], self.gain)
