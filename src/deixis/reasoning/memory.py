"""ObjectMemory: what a conversation has pointed at, so that later turns can say [2] or [cup].

Ids are whole numbers from 1; a name is a second handle. Masks are kept with the content hash of
their frame, so that they are found again among other images, in another order, in another process.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from deixis.errors import DataError
from deixis.structures.answers import GroundedAnswer, Target
from deixis.structures.files import write_whole
from deixis.structures.images import ImageSet
from deixis.structures.masks import Mask
from deixis.structures.numbering import Clips, frame_key, ordinal
from deixis.structures.prompts import Box, Point, Prompt, Region
from deixis.structures.wire import MemoryJson, ObjectJson, RememberedJson, RleJson, read_json

HANDLE = re.compile(r"\[([^\[\]\n]{1,64})\]")  # [2] or [cup]
GOOD_MATCH = 0.5  # how well a target must fit a prompt to be what the person pointed at


@dataclass(frozen=True, kw_only=True, slots=True)
class Seen:
    """Where an object was: a mask, and which frame it belongs to."""

    index: int  # flat frame index when it was seen
    key: str  # Frame.key
    mask: Mask


@dataclass(frozen=True, kw_only=True, slots=True)
class Remembered:
    """One object of the conversation."""

    id: int
    name: str | None
    phrase: str
    seen: tuple[Seen, ...]

    @property
    def handle(self) -> str:
        """What a person writes for it: "[2]", or "[2], [cup]"."""
        return f"[{self.id}], [{self.name}]" if self.name else f"[{self.id}]"


class ObjectMemory:
    """The objects of one conversation, by id, in the order in which they came."""

    def __init__(self) -> None:
        self._objects: dict[int, Remembered] = {}
        self._given = 0  # the highest id that was ever given; ids are not used twice

    # -- a turn of the conversation ------------------------------------------------------------

    def register(
        self, prompts: Sequence[Prompt], images: Clips, *, moving: bool = False
    ) -> tuple[Prompt, ...]:
        """Give every prompt an id: one name is one object; nameless ones are objects of their own.

        Regions of one object in one frame are joined; its points and boxes stay as they are.

        Args:
            prompts: as a person gave them.
            images: what they lie on.
            moving: whether an object may be pointed at on several frames of a clip.

        Raises:
            DataError: prompts of one object on different images, or a name that cannot be one.
        """
        self._given = max([self._given, *(p.object_id or 0 for p in prompts)])
        ids: dict[str, int] = {}
        named: list[Prompt] = []
        for prompt in prompts:
            object_id = prompt.object_id
            if prompt.name is not None:
                name = _fold(_checked_name(prompt.name))
                known = self._named(name)
                if name not in ids:
                    ids[name] = known.id if known else object_id or self._new_id()
                object_id = ids[name]
            named.append(replace(prompt, object_id=object_id or self._new_id()))
        return _joined(named, images, moving)

    def mentioned_in(
        self, text: str, images: ImageSet, prompts: Sequence[Prompt] = ()
    ) -> tuple[Region, ...]:
        """Return the remembered masks of every "[2]" or "[cup]" in a text, as prompts.

        An object comes back once for each image that it was seen in; of a clip, on the frame that
        shows most of it. Handles of ``prompts`` need no memory.

        Raises:
            DataError: a handle that nobody knows, or whose images are not among these.
        """
        given = {_fold(h) for p in prompts for h in (p.name, str(p.object_id)) if h}
        handles = dict.fromkeys(_fold(h) for h in HANDLE.findall(text))
        objects = {self.find(h).id: self.find(h) for h in handles if h not in given}
        return tuple(region for one in objects.values() for region in _regions(one, images))

    def remember(
        self, answer: GroundedAnswer, images: ImageSet, prompts: Sequence[Prompt] = ()
    ) -> GroundedAnswer:
        """Keep the targets of an answer, and return it with an id for each of them.

        A target that covers what a prompt points at gets that prompt's id and name. A region that
        no target covers is remembered as it was drawn.

        Args:
            answer: what was said about the images.
            images: what it was said about.
            prompts: what the person pointed with, as ``register`` returned them.
        """
        ids = [target.object_id for target in answer.targets]
        self._given = max([self._given, *(i or 0 for i in (*ids, *(p.object_id for p in prompts)))])
        by_id: dict[int, list[Prompt]] = {}
        for prompt in prompts:
            if prompt.object_id:
                by_id.setdefault(prompt.object_id, []).append(prompt)
        for object_id, group in by_id.items():
            if object_id not in ids:
                free = [i for i, taken in enumerate(ids) if taken is None]
                best = max(free, key=lambda i: _fit(answer.targets[i], group), default=None)
                if best is not None and _fit(answer.targets[best], group) >= GOOD_MATCH:
                    ids[best] = object_id
        numbered = [i if i is not None else self._new_id() for i in ids]
        for object_id, target in zip(numbered, answer.targets, strict=True):
            self._keep(object_id, target, images, by_id.get(object_id, []))
        for object_id in by_id.keys() - set(numbered):
            self._keep(object_id, _drawn(by_id[object_id]), images, by_id[object_id])
        targets = zip(answer.targets, numbered, strict=True)
        return replace(answer, targets=tuple(replace(t, object_id=i) for t, i in targets))

    # -- what a person does with it ------------------------------------------------------------

    def find(self, handle: int | str) -> Remembered:
        """Return the object of an id or a name.

        Raises:
            DataError: nobody knows it; the message lists what is known.
        """
        text = str(handle).strip()
        known = self._objects.get(int(text)) if text.isdecimal() else self._named(_fold(text))
        if known is None:
            others = "; ".join(one.handle for one in self) or "nothing yet"
            raise DataError(
                f"[{text}]: expected an object of this conversation ({others}), got an unknown "
                f"one. Point at it first, or ask for it in words."
            )
        return known

    def rename(self, handle: int | str, name: str) -> None:
        """Give an object a name.

        Raises:
            DataError: an unknown handle, or a name that is taken or cannot be one.
        """
        one, taken = self.find(handle), self._named(_fold(_checked_name(name)))
        if taken is not None and taken.id != one.id:
            raise DataError(
                f'name: expected one that is free, got "{name}", which is [{taken.id}]. '
                f"Choose another, or forget that object."
            )
        self._objects[one.id] = replace(one, name=name.strip())

    def forget(self, handle: int | str | None = None) -> None:
        """Forget one object, or everything.

        Raises:
            DataError: an unknown handle.
        """
        if handle is None:
            self._objects.clear()
        else:
            del self._objects[self.find(handle).id]

    def __iter__(self) -> Iterator[Remembered]:
        return iter(self._objects.values())

    def __len__(self) -> int:
        return len(self._objects)

    # -- files ---------------------------------------------------------------------------------

    def save(self, path: Path | str) -> None:
        """Write the memory as JSON, wholly or not at all.

        Raises:
            DataError: the file cannot be written.
        """
        objects = [
            ObjectJson(
                id=one.id,
                name=one.name,
                phrase=one.phrase,
                seen=[
                    RememberedJson(
                        index=s.index, key=s.key, mask=RleJson.model_validate(s.mask.to_rle())
                    )
                    for s in one.seen
                ],
            )
            for one in self
        ]
        memory = MemoryJson(version=1, given=self._given, objects=objects)
        write_whole(path, memory.model_dump_json(indent=1) + "\n")

    @classmethod
    def load(cls, path: Path | str) -> ObjectMemory:
        """Read what ``save`` wrote.

        Raises:
            DataError: no such file, or one that is no memory.
        """
        try:
            content = Path(path).read_bytes()
        except OSError as error:
            raise DataError(f"{path}: expected a saved memory, got: {error.strerror}.") from error
        read = read_json(MemoryJson, content, str(path))
        memory = cls()
        for one in read.objects:
            if one.id in memory._objects:
                raise DataError(f"{path}: objects: expected every id once, got {one.id} twice.")
            seen = tuple(
                Seen(index=s.index, key=s.key, mask=Mask.from_rle(s.mask.model_dump()))
                for s in one.seen
            )
            memory._objects[one.id] = Remembered(
                id=one.id, name=one.name, phrase=one.phrase, seen=seen
            )
        memory._given = max([read.given, *memory._objects])
        return memory

    # -- inside --------------------------------------------------------------------------------

    def _new_id(self) -> int:
        self._given = ordinal(self._given)
        return self._given

    def _named(self, name: str) -> Remembered | None:
        return next((one for one in self if one.name and _fold(one.name) == name), None)

    def _keep(
        self, object_id: int, target: Target, images: ImageSet, prompts: Sequence[Prompt]
    ) -> None:
        """Remember a target; what was known under its id and is not seen now stays."""
        old = self._objects.get(object_id)
        seen = {
            images[index].key: Seen(index=index, key=images[index].key, mask=mask)
            for index, mask in sorted(target.masks.items())
            if mask.area
        }
        earlier = {s.key: s for s in old.seen} if old else {}
        if not seen and not earlier:
            return
        name = next((p.name for p in prompts if p.name), old.name if old else None)
        self._objects[object_id] = Remembered(
            id=object_id,
            name=name.strip() if name else None,
            phrase=target.phrase or (old.phrase if old else name or ""),
            seen=tuple({**earlier, **seen}.values()),
        )


def _regions(one: Remembered, images: ImageSet) -> list[Region]:
    """The largest mask of an object in each image where it was seen."""
    best: dict[int, Region] = {}
    for seen in one.seen:
        index = _index_of(seen, images)
        if index is not None:
            region = Region(image=index, mask=seen.mask, object_id=one.id, name=one.name)
            image = images.image_of(index)
            if image not in best or best[image].mask.area < seen.mask.area:
                best[image] = region
    if not best:
        raise DataError(
            f"{one.handle}: expected an image in which it was seen, got others. "
            f"Give that image again, or point at the object in these."
        )
    return [best[image] for image in sorted(best)]


def _index_of(seen: Seen, images: ImageSet) -> int | None:
    """The frame of this content: where it was, or anywhere."""
    if seen.index < len(images) and images[seen.index].key == seen.key:
        return seen.index
    return next((i for i, frame in enumerate(images) if frame.key == seen.key), None)


def _joined(prompts: Sequence[Prompt], images: Clips, moving: bool) -> tuple[Prompt, ...]:
    """Check that each object is on one image, and join its regions in the place of the first."""
    places: dict[int | None, int] = {}
    regions: dict[tuple[int | None, int], int] = {}
    kept: list[Prompt] = []
    for prompt in prompts:
        first = places.setdefault(prompt.object_id, prompt.image)
        together = moving and any(first in s and prompt.image in s for s in images.spans)
        if first != prompt.image and not together:
            raise DataError(
                f"prompts of [{prompt.name or prompt.object_id}]: expected all on one image, got "
                f"{frame_key(images, first)} and {frame_key(images, prompt.image)}. "
                f"Give two objects two names."
            )
        place = regions.get((prompt.object_id, prompt.image))
        if not isinstance(prompt, Region) or place is None:
            if isinstance(prompt, Region):
                regions[prompt.object_id, prompt.image] = len(kept)
            kept.append(prompt)
        else:
            earlier = kept[place]
            assert isinstance(earlier, Region)
            kept[place] = replace(earlier, mask=earlier.mask.joined(prompt.mask))
    return tuple(kept)


def _fit(target: Target, prompts: Sequence[Prompt]) -> float:
    """How well a target covers what one object's prompts point at, in [0, 1]."""
    return sum(_covers(target.masks.get(p.image), p) for p in prompts) / len(prompts)


def _covers(mask: Mask | None, prompt: Prompt) -> float:
    if mask is None or mask.box is None:
        return 0.0
    if isinstance(prompt, Point):
        return float(mask.pixels[int(prompt.y), int(prompt.x)])
    if isinstance(prompt, Region):
        return mask.intersection(prompt.mask) / mask.union(prompt.mask)
    return _box_overlap(mask.box, prompt)


def _box_overlap(ours: tuple[int, int, int, int], box: Box) -> float:
    width = min(ours[2], box.x1) - max(ours[0], box.x0)
    height = min(ours[3], box.y1) - max(ours[1], box.y0)
    both = max(0.0, width) * max(0.0, height)
    areas = (ours[2] - ours[0]) * (ours[3] - ours[1]) + (box.x1 - box.x0) * (box.y1 - box.y0)
    return both / (areas - both)


def _drawn(prompts: Sequence[Prompt]) -> Target:
    """What a person drew, as a target without words."""
    masks = {p.image: p.mask for p in prompts if isinstance(p, Region)}
    return Target(phrase="", masks=masks)


def _fold(name: str) -> str:
    return name.strip().casefold()


def _checked_name(name: str) -> str:
    if not HANDLE.fullmatch(f"[{name}]") or not name.strip() or name.strip().isdecimal():
        raise DataError(
            f'name: expected up to 64 characters without brackets, not only digits, got "{name}". '
            f"Numbers are ids."
        )
    return name
