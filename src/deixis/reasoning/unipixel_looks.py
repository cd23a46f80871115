"""What UniPixel's image encoder sees of a clip, each frame once, and what is drawn there, gathered.

Shapes: R objects in one frame, h w mask cells.
"""

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from deixis.decoding.promptable import FrameFeatures
from deixis.decoding.sweeping import Look, Shown
from deixis.processing.unipixel import CHUNK
from deixis.structures.answers import Target
from deixis.structures.images import ImageSet
from deixis.structures.masks import Mask

SHORT = 16  # frames of a clip whose features are kept for further questions; 10 MB each in float32
KEPT = 32  # frames of all short clips together
BACKWARD = 16  # frames that are read at once where a clip is followed backward: files run forward


class Looks:
    """Looks at frames when they are asked for, and remembers those of short clips.

    Args:
        model: UniPixel.
        processor: its words and sizes.
    """

    def __init__(self, model: Any, processor: Any) -> None:
        self.model, self.processor = model, processor
        self._seen: OrderedDict[str, FrameFeatures] = OrderedDict()

    def forget(self) -> None:
        """Forget all frames."""
        self._seen.clear()

    def at(self, images: ImageSet, frames: Sequence[int]) -> Look:
        """Return what looks at ``frames`` of a clip, which are asked for by their places."""
        keep = len(frames) <= SHORT

        def look(places: Sequence[int]) -> Iterator[FrameFeatures]:
            for block in blocks(places):
                yield from self._look(images, [frames[place] for place in block], keep=keep)

        return look

    def _look(
        self, images: ImageSet, wanted: Sequence[int], *, keep: bool
    ) -> Iterator[FrameFeatures]:
        """Yield the features of some frames; the new ones are read forward."""
        keys = {one: images[one].key for one in wanted} if keep else {}
        found = {one: self._seen[key] for one, key in keys.items() if key in self._seen}
        new = sorted(set(wanted) - set(found))
        chunks = self.processor.frames(images, new)
        here = (chunk.to(self.model.device, self.model.dtype) for chunk in chunks)
        for one, seen in zip(new, self.model.tracker.looks(here), strict=True):
            found[one] = seen
            if keep:
                self._seen[keys[one]] = seen
        while len(self._seen) > KEPT:
            self._seen.popitem(last=False)
        yield from (found[one] for one in wanted)


def blocks(places: Sequence[int]) -> Iterator[list[int]]:
    """Yield places a few at a time while they rise, and more of them while they fall.

    Example:
        >>> [block for block in blocks([3, 4, 5, 6, 7, 2, 1, 0])]
        [[3, 4, 5, 6], [7], [2, 1, 0]]
    """
    block: list[int] = []
    for place in places:
        falls = len(block) > 1 and block[1] < block[0]
        turns = len(block) > 1 and (place < block[-1]) is not falls
        steps_back = len(block) == 1 and place < block[0] - 1
        if len(block) == (BACKWARD if falls else CHUNK) or turns or steps_back:
            yield block
            block = []
        block.append(place)
    if block:
        yield block


@dataclass(kw_only=True)
class Drawn:
    """One object while it is followed."""

    object_id: int | None
    masks: dict[int, Mask] = field(default_factory=dict)
    scores: dict[int, float] = field(default_factory=dict)
    presence: dict[int, float] = field(default_factory=dict)

    def add(self, frame: int, mask: Mask, shown: Shown, place: int) -> None:
        """Keep what is known of a frame; its mask where it shows the object."""
        self.presence[frame] = float(shown.presence_logits[place].sigmoid())
        self.masks.pop(frame, None)
        self.scores.pop(frame, None)
        if mask.area:
            self.masks[frame] = mask
            self.scores[frame] = float(shown.score[place].clamp(0, 1))

    def done(self) -> Target:
        """Return the target: its score is the mean over the frames that show it, its presence the
        highest of all frames."""
        scores = [self.scores[frame] for frame in sorted(self.scores)]
        return Target(
            phrase="",
            masks=dict(sorted(self.masks.items())),
            object_id=self.object_id,
            score=sum(scores) / len(scores) if scores else None,
            presence=max(self.presence.values(), default=0.0),
        )
