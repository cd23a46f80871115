"""Looking at frames, and what is kept of it: the same images are not looked at twice.

Few frames are kept whole. Of many, every frame keeps what is pooled, which is all that reading a
question takes; the maps that masks are drawn from are twenty times as large, and only some frames
keep theirs: those with prompts, and those that were drawn last.

Shapes: F frames of a batch.
"""

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

import torch
from torch import Tensor

from deixis.nn.proposals import Proposals
from deixis.relation.objects import Look

WHOLE = 96  # frames, of all batches together, that are kept with their maps
POOLED = 2048  # frames, of all batches together, that are kept at all
DRAWN = 8  # frames of one batch of many that keep their maps, about 2 MB each
CHUNK = 16  # frames that are looked at together


@dataclass(eq=False, kw_only=True, slots=True)
class Sight:
    """What the frames of one batch show.

    Attributes:
        look: at all frames; of many it has no maps.
        maps: frame -> a look at it alone, with maps; the one used last is last.
    """

    look: Look
    maps: OrderedDict[int, Look] = field(default_factory=OrderedDict)

    @property
    def whole(self) -> bool:
        """Whether every frame has its maps in ``look``."""
        return len(self.look.fine) == len(self.look.kept)


class Looking:
    """Looks at frames by a model's vision, and keeps what it saw within bounds."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self._kept: OrderedDict[tuple[str, ...], Sight] = OrderedDict()

    def forget(self) -> None:
        """Forget everything, since the model is no longer the same."""
        self._kept.clear()

    def see(self, keys: Sequence[str], pixels: Tensor, wanted: Iterable[int] = ()) -> Sight:
        """Return what frames show, or remember it.

        Args:
            keys: (F) content hashes.
            pixels: (F, 3, H, W) uint8.
            wanted: frames whose maps will be asked for, since prompts point into them.
        """
        key = tuple(keys)
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        whole = len(key) <= WHOLE
        self._make_room(len(key), len(key) if whole else 0)
        sight = self._see(pixels, set(range(len(key)) if whole else wanted))
        if len(key) <= POOLED:
            self._kept[key] = sight
        return sight

    def view(self, sight: Sight, pixels: Tensor, wanted: Iterable[int]) -> Look:
        """Return the look at all frames in which at least the wanted ones have their maps."""
        frames = sorted(set(wanted))
        if sight.whole or not frames:
            return sight.look
        some = self.maps(sight, pixels, frames)
        kept = torch.full_like(sight.look.kept, -1)
        kept[frames] = some.kept
        proposals = replace(sight.look.proposals, masks=some.proposals.masks)
        return replace(
            sight.look,
            proposals=proposals,
            fine=some.fine,
            pixels=some.pixels,
            words=some.words,
            kept=kept,
        )

    def maps(self, sight: Sight, pixels: Tensor, frames: Sequence[int]) -> Look:
        """Return a look at some frames of many, in this order, with their maps; those that have
        lost theirs are looked at again."""
        missing = [frame for frame in frames if frame not in sight.maps]
        for start in range(0, len(missing), CHUNK):
            some = missing[start : start + CHUNK]
            seen = self._look(pixels[some])
            sight.maps.update(
                {frame: among(seen, seen.kept[i : i + 1]) for i, frame in enumerate(some)}
            )
        for frame in frames:
            sight.maps.move_to_end(frame)
        found = Look.join([sight.maps[frame] for frame in frames])
        while len(sight.maps) > DRAWN:
            sight.maps.popitem(last=False)
        return found

    # -- inside -----------------------------------------------------------------------------

    def _look(self, pixels: Tensor) -> Look:
        look: Look = self.model.vision.look(pixels.to(self.model.device))
        return look

    def _see(self, pixels: Tensor, wanted: set[int]) -> Sight:
        """Look at all frames, a chunk at a time; only the wanted ones keep their maps."""
        chunks: list[Look] = []
        maps: OrderedDict[int, Look] = OrderedDict()
        for start in range(0, len(pixels), CHUNK):
            chunk = self._look(pixels[start : start + CHUNK])
            if len(wanted) < len(pixels):
                here = sorted(wanted & set(range(start, start + len(chunk.kept))))
                maps.update({f: among(chunk, chunk.kept[f - start, None]) for f in here})
                chunk = chunk.thinned(torch.zeros_like(chunk.kept, dtype=torch.bool))
            chunks.append(chunk)
        return Sight(look=Look.join(chunks), maps=maps)

    def _make_room(self, frames: int, maps: int) -> None:
        """Forget the oldest before more is seen, so that both together stay within the bounds."""
        while self._kept and (
            frames + sum(len(key) for key in self._kept) > POOLED
            or maps + sum(len(key) for key in self._kept if len(key) <= WHOLE) > WHOLE
        ):
            self._kept.popitem(last=False)


def among(look: Look, frames: Tensor) -> Look:
    """Return a look at some frames (N,) alone, in memory of its own; all of them have maps."""
    place = look.kept[frames]
    pooled = {f.name: getattr(look.proposals, f.name) for f in fields(Proposals)}
    pooled = {name: value[place if name == "masks" else frames] for name, value in pooled.items()}
    values = {f.name: getattr(look, f.name) for f in fields(Look) if f.name != "proposals"}
    values = {
        name: value[place if name in ("fine", "pixels", "words") else frames]
        for name, value in values.items()
    }
    values["kept"] = torch.arange(len(frames), device=look.kept.device)
    return Look(proposals=Proposals(**pooled), **values)
