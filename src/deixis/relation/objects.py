"""Object tokens: what the vision part noticed, one row per thing and image, told to the language.

A picture's proposals are one row each; what is linked along a clip is one row with its path.

Shapes: F frames, P proposals per frame, G sets, O objects per set (padded), W observed width,
D language width, parts = number of part words, h w cells.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deixis.nn.fourier import fourier_code
from deixis.nn.proposals import Proposals
from deixis.relation.deeds import Deeds
from deixis.relation.entities import PATH_WIDTH, Linking, link, paths
from deixis.relation.likeness import Likeness
from deixis.relation.neighbours import LIMITS, Compared, Neighbours

BANDS = 4
GEOMETRY_WIDTH = 6 * 2 * BANDS + 7 + PATH_WIDTH + 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Look:
    """What is kept of F frames after looking at them once.

    Attributes:
        proposals: the objects of each frame.
        observed: (F, P, W) pooled features and probabilities of words.
        looks: (F, P, L) what is compared to find a thing again (``relation/likeness.py``).
        part_moments: (F, P, parts, 3) cells of each part, and their summed x and y.
        coarse: (F, C, h16, w16) features for the relation.
        fine, words: (K, ., h, w) features and probabilities of all words, parts last, of the
            frames that are kept; of a long clip few are, and masks are drawn at a second look.
            ``proposals.masks`` are those of the kept frames, too.
        pixels: (K, 3, H, W) uint8 of the frames that are kept.
        kept: (F,) where a frame stands among the kept ones, -1 where it is not.
    """

    proposals: Proposals
    observed: Tensor
    looks: Tensor
    part_moments: Tensor
    coarse: Tensor
    fine: Tensor
    pixels: Tensor
    words: Tensor
    kept: Tensor

    @classmethod
    def join(cls, looks: Sequence["Look"]) -> "Look":
        """Return one look at the frames of several, in order."""
        if len(looks) == 1:
            return looks[0]

        def joined(name: str, rows: Sequence[Any]) -> Tensor:
            return torch.cat([getattr(row, name) for row in rows])

        parts = [look.proposals for look in looks]
        proposals = Proposals(**{f.name: joined(f.name, parts) for f in fields(Proposals)})
        names = [f.name for f in fields(cls) if f.name not in ("proposals", "kept")]
        here = joined("kept", looks) >= 0
        kept = torch.where(here, here.cumsum(0) - 1, -1)
        return cls(proposals=proposals, kept=kept, **{name: joined(name, looks) for name in names})

    def thinned(self, frames: Tensor) -> "Look":
        """Return the look with only some of its kept frames kept, ``frames`` (F,) bool."""
        index = self.kept[frames & (self.kept >= 0)]
        return replace(
            self,
            proposals=replace(self.proposals, masks=self.proposals.masks[index].clone()),
            fine=self.fine[index].clone(),
            pixels=self.pixels[index].clone(),
            words=self.words[index].clone(),
            kept=torch.where(frames, frames.cumsum(0) - 1, -1),
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Objects:
    """The things of G sets, one row per thing and image.

    Attributes:
        valid: (G, O).
        observed: (G, O, W).
        geometry: (G, O, GEOMETRY_WIDTH).
        measures: (G, O, N) x, y, log of the size, and how it moves: what neighbours compare.
        image, entity: (G, O); rows with one entity are one thing.
        parts: (G, O, parts) which parts show and can be meant.
        place: (G, O, 1 + parts, 2) centre of the whole and of each part, in [0, 1].
        token_of: (F, P) the row of each proposal in its set, -1 where there is none.
    """

    valid: Tensor
    observed: Tensor
    geometry: Tensor
    measures: Tensor
    image: Tensor
    entity: Tensor
    parts: Tensor
    place: Tensor
    token_of: Tensor

    @property
    def moving(self) -> Tensor:
        """(G, O, 1): 1 for the things of a clip, 0 for those of a picture."""
        return self.geometry[..., -1:]


def no_objects(look: Look, num_images: Tensor, num_parts: int) -> Objects:
    """Return a table in which no proposal is a thing: one row per set (G,), which is not valid."""
    device, num_sets = num_images.device, len(num_images)
    return Objects(
        valid=torch.zeros(num_sets, 1, dtype=torch.bool, device=device),
        observed=torch.zeros(num_sets, 1, 0, device=device),
        geometry=torch.zeros(num_sets, 1, GEOMETRY_WIDTH, device=device),
        measures=torch.zeros(num_sets, 1, len(LIMITS), device=device),
        image=torch.zeros(num_sets, 1, dtype=torch.long, device=device),
        entity=torch.zeros(num_sets, 1, dtype=torch.long, device=device),
        parts=torch.zeros(num_sets, 1, num_parts, dtype=torch.bool, device=device),
        place=torch.zeros(num_sets, 1, 1 + num_parts, 2, device=device),
        token_of=torch.full(look.proposals.valid.shape, -1, device=device),
    )


def pool_words(
    maps: Sequence[Tensor], proposals: Proposals, parts: Tensor, colours: Tensor
) -> Tensor:
    """Return (F, P, W): means of maps (F, C, h, w), and how often a part has a colour.

    Only cells of objects are read; there are few of them, and many pairs.
    """
    held = proposals.masks.flatten(2).sum(1) > 0  # (F, hw)
    most = max([1, *held.sum(1).tolist()])
    cells = held.to(torch.uint8).argsort(dim=1, descending=True, stable=True)[:, :most]
    frame = torch.arange(len(held), device=held.device)[:, None]

    def of_cells(values: Tensor) -> Tensor:
        return values.permute(0, 2, 3, 1).flatten(1, 2)[frame, cells]  # (F, n, C)

    masks, part, colour = of_cells(proposals.masks), of_cells(parts), of_cells(colours)
    share = masks / masks.sum(1, keepdim=True).clamp(min=1e-6)  # (F, n, P)
    pairs = (part[..., None] * colour[:, :, None]).flatten(2)
    rows = torch.cat([*map(of_cells, maps), pairs], 2)
    return torch.einsum("fnp,fnc->fpc", share, rows)


def part_moments(proposals: Proposals, parts: Tensor) -> Tensor:
    """Return (F, P, parts, 3): cells of each part inside each proposal, and their x and y."""
    height, width = parts.shape[-2:]
    y = (torch.arange(height, device=parts.device) + 0.5) / height
    x = (torch.arange(width, device=parts.device) + 0.5) / width
    weight = torch.stack(
        [
            torch.ones(height, width, device=parts.device),
            x.expand(height, width),
            y[:, None].expand(height, width),
        ]
    ).flatten(1)  # (3, hw)
    weighted = proposals.masks.flatten(2)[:, :, None] * weight  # (F, P, 3, hw)
    return torch.einsum("fpkn,fan->fpak", weighted, parts.flatten(2))


def gather_objects(
    look: Look,
    *,
    set_of_frame: Tensor,
    image: Tensor,
    clip: Tensor,
    num_sets: int,
    rule: Linking,
    likeness: Likeness,
    least_part: float,
) -> Objects:
    """Link proposals to things and put them in rows, sorted by image."""
    proposals = look.proposals
    valid, centre = proposals.valid.cpu().numpy(), proposals.centre.cpu().numpy()
    looks = look.looks.detach().float().cpu().numpy()
    sets, images, clips = (x.cpu().numpy() for x in (set_of_frame, image, clip))
    token_of = np.full(valid.shape, -1, dtype=np.int64)
    entity_rows, image_rows, path_rows = [], [], []
    for index in range(num_sets):
        frames = np.flatnonzero(sets == index)
        entity = link(
            looks[frames],
            centre[frames],
            valid[frames],
            images[frames],
            clips[frames],
            rule,
            likeness,
        )
        many = entity.max(initial=0) + 1
        keys = np.where(entity >= 0, images[frames][:, None] * many + entity, -1)
        rows, inverse = np.unique(keys, return_inverse=True)
        start = 1 if len(rows) and rows[0] < 0 else 0
        token_of[frames] = inverse.reshape(keys.shape) - start
        rows = rows[start:]
        entity_rows.append(rows % many)
        image_rows.append(rows // many)
        path_rows.append(
            _paths(token_of[frames], centre[frames], images[frames], clips[frames], len(rows))
        )
    return _table(
        look,
        torch.from_numpy(token_of),
        set_of_frame,
        entity_rows,
        image_rows,
        path_rows,
        least_part,
    )


def _paths(
    tokens: np.ndarray, centre: np.ndarray, image: np.ndarray, clip: np.ndarray, num: int
) -> np.ndarray:
    """Describe how each row of one set moves: (O, PATH_WIDTH + 1); zeros for pictures."""
    out = np.zeros((num, PATH_WIDTH + 1))
    for number in np.unique(image[clip]):
        frames = np.flatnonzero(image == number)
        here = np.unique(tokens[frames][tokens[frames] >= 0])
        if not len(here):
            continue
        hit = tokens[frames][None] == here[:, None, None]  # (n, S, P)
        at = (hit[..., None] * centre[frames][None]).sum(2)
        out[here, :-1] = paths(at, hit.any(2))
        out[here, -1] = 1
    return out


def _table(
    look: Look,
    token_of: Tensor,
    set_of_frame: Tensor,
    entity_rows: list[np.ndarray],
    image_rows: list[np.ndarray],
    path_rows: list[np.ndarray],
    least_part: float,
) -> Objects:
    device = look.observed.device
    num_sets, width = len(entity_rows), max(1, *(len(r) for r in entity_rows), 1)
    token_of = token_of.to(device)
    flat = torch.where(token_of >= 0, set_of_frame[:, None] * width + token_of, num_sets * width)
    weight = look.proposals.area * (token_of >= 0)  # (F, P)

    def mean(values: Tensor) -> Tensor:
        """Average (F, P, K) over the proposals of each row, by area: (G, O, K)."""
        total = values.new_zeros(num_sets * width + 1, values.shape[-1])
        total = total.index_add(0, flat.flatten(), (values * weight[..., None]).flatten(0, 1))
        mass = weight.new_zeros(num_sets * width + 1).index_add(0, flat.flatten(), weight.flatten())
        return (total / mass.clamp(min=1e-9)[:, None])[:-1].unflatten(0, (num_sets, width))

    def padded(rows: list[np.ndarray], dtype: torch.dtype) -> Tensor:
        out = torch.zeros(num_sets, width, *rows[0].shape[1:], dtype=dtype)
        for index, row in enumerate(rows):
            out[index, : len(row)] = torch.from_numpy(row)
        return out.to(device)

    proposals = look.proposals
    place = mean(torch.cat([proposals.centre, proposals.box, proposals.area[..., None]], -1))
    moments = mean(look.part_moments.flatten(2)).unflatten(2, (-1, 3))  # (G, O, parts, 3)
    centres = moments[..., 1:] / moments[..., :1].clamp(min=1e-6)
    path = padded(path_rows, torch.float32)
    geometry = torch.cat([fourier_code(place[..., :6], BANDS), place, path], -1)
    size = place[..., 6:].clamp(min=1e-5).log() / 2
    measures = torch.cat([place[..., :2], size, path[..., -9:-1]], -1)
    counts = torch.tensor([len(r) for r in entity_rows], device=device)
    return Objects(
        valid=torch.arange(width, device=device) < counts[:, None],
        observed=mean(look.observed),
        geometry=geometry,
        measures=measures,
        image=padded(image_rows, torch.long),
        entity=padded(entity_rows, torch.long),
        parts=moments[..., 0] >= least_part,
        place=torch.cat([place[:, :, None, :2], centres], 2),
        token_of=token_of,
    )


class ObjectTokens(nn.Module):
    """Objects to rows (G, O, D) of the language decoder.

    Probabilities of words become sums of the words' own embeddings: what is seen speaks the
    language of the question. Each ingredient has one size at the start, and a learned gain.

    Args:
        kinds: kind of word -> how many words, in the order of ``Objects.observed``.
        pooled_width: width of the pooled features that stand before them.
        pair_width: number of (part, colour) pairs that stand behind them.
        most_entities: rows of the table that tells which rows are one thing.
        neighbours: whether each object is told of the others (``relation/neighbours.py``).
        deeds: whether it is told in words what it does in a clip (``relation/deeds.py``).
    """

    def __init__(
        self,
        kinds: dict[str, int],
        pooled_width: int,
        pair_width: int,
        width: int,
        most_entities: int,
        neighbours: bool,
        deeds: bool,
    ) -> None:
        super().__init__()
        self.kinds = list(kinds)
        self.sizes = [pooled_width, *kinds.values(), pair_width]
        self.pooled = nn.Linear(pooled_width, width)
        self.pairs = nn.Linear(pair_width, width)
        self.geometry = nn.Sequential(
            nn.Linear(GEOMETRY_WIDTH, width), nn.GELU(), nn.Linear(width, width)
        )
        self.entity = nn.Embedding(most_entities, width)
        self.gain = nn.Parameter(torch.full((len(kinds) + 5,), 0.3))
        self.neighbours = Neighbours(kinds, width) if neighbours else None
        self.neighbours_gain = nn.Parameter(torch.full((5,), 0.3)) if neighbours else None
        self.deeds = Deeds(width) if deeds else None

    def compared(self, objects: Objects) -> Compared:
        """Compare the objects of each set with one another."""
        words = self.known_words(objects)
        return Compared.of(objects.measures, objects.image, objects.valid, words)

    def known_words(self, objects: Objects) -> dict[str, Tensor]:
        """Return kind -> (G, O, words): how surely each object is known by each word."""
        _, *probabilities, _ = objects.observed.split(self.sizes, -1)
        return dict(zip(self.kinds, probabilities, strict=True))

    def forward(
        self, objects: Objects, known: Compared, words: dict[str, Tensor], numbers: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """Return (G, O, D), and logits of what each does in a clip, if anybody asks.

        Args:
            objects: the table.
            known: its pairs.
            words: kind -> (words, D) embeddings.
            numbers: (images, D) embeddings of the images' numbers.
        """
        dtype = self.gain.dtype
        pooled, *probabilities, pairs = objects.observed.to(dtype).split(self.sizes, -1)
        entity = self.entity(objects.entity % self.entity.num_embeddings)
        number = numbers[objects.image.clamp(max=len(numbers) - 1)]
        seen = [p @ words[kind] for kind, p in zip(self.kinds, probabilities, strict=True)]
        ingredients = [
            self.pooled(pooled),
            self.pairs(pairs),
            self.geometry(objects.geometry.to(dtype)),
            entity,
            number,
            *seen,
        ]
        content = blend(ingredients, self.gain)
        if self.neighbours is not None and self.neighbours_gain is not None:
            content = content + blend(self.neighbours(content, known), self.neighbours_gain)
        if self.deeds is None:
            return content, None
        logits = self.deeds(content)
        return content + self.deeds.tell(logits, objects.moving, words["deed"]), logits


def blend(ingredients: list[Tensor], gain: Tensor) -> Tensor:
    """Bring each ingredient (..., D) to root mean square 1, then sum them by their gains."""
    width = ingredients[0].shape[-1]
    return sum(  # type: ignore[return-value]
        F.rms_norm(x, (width,), eps=1e-4) * g for x, g in zip(ingredients, gain, strict=True)
    )
