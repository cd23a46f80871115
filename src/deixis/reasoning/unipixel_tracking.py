"""Following objects along a clip, frame by frame: from any frame both ways, corrected, saved.

A point or a box is asked of the language decoder, which turns it into hidden tokens (UniPixel,
arXiv:2509.18094); a mask is remembered as it is (SAM 2, arXiv:2408.00714). Every frame on which an
object is known anchors it.
"""

import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from deixis.decoding.sweeping import Anchor, Sweeps, Wanted
from deixis.errors import DataError
from deixis.processing.unipixel import check_images
from deixis.reasoning.unipixel_looks import Drawn, Looks
from deixis.structures.answers import GroundedAnswer
from deixis.structures.files import write_whole
from deixis.structures.images import ImageSet
from deixis.structures.masks import Mask
from deixis.structures.numbering import frame_key, ordinal
from deixis.structures.prompts import Box, Point, Prompt, Region
from deixis.structures.samples import Question, Sample

VERSION = 1  # of the file


class Engine(Protocol):
    """What tracking needs of the engine that answers: see ``UniPixelEngine``."""

    model: Any
    processor: Any
    looks: Looks

    def frames_drawn(self, images: ImageSet, keep: Sequence[int] = ()) -> tuple[int, ...]: ...

    def see(self, images: ImageSet, keep: Sequence[int] = ()) -> Any: ...

    def asked(
        self, known: Any, text: str, prompts: Sequence[Point | Box]
    ) -> tuple[list[int], Tensor]: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class TrackedFrame:
    """What shows in one frame: by object, its mask if it shows, and how sure that is.

    Attributes:
        index: of the frame in the clip, from 0.
        masks: object id -> where it is; absent ones are not in it.
        scores: object id -> estimated IoU of the mask, in [0, 1].
        presence: object id -> how sure that it is there at all, in [0, 1].
    """

    index: int
    masks: Mapping[int, Mask]
    scores: Mapping[int, float]
    presence: Mapping[int, float]


class ClipTracking:
    """Objects of one clip; ``run`` yields frames as they are drawn, and can be left at any time.

    Args:
        engine: answers with UniPixel.
        images: one clip or one picture.
        prompts: points, boxes and regions on any frames; those of one object bear one id. Those
            without an id are numbered.

    Raises:
        DataError: no prompt, one outside the clip, several images, or a prompt on a frame that is
            not drawn.

    Example:
        tracking = reasoner.track("clip.mp4", [Point(image=96, x=212, y=90, object_id=1)])
        for frame in tracking.run():
            save(frame.index, frame.masks)
        tracking.correct([Point(image=140, x=80, y=64, object_id=1)])
        for frame in tracking.run():  # this object once more
            save(frame.index, frame.masks)
    """

    def __init__(
        self, engine: Engine, images: ImageSet, prompts: Sequence[Prompt]
    ) -> None:
        check_images(images)
        self.engine, self.images = engine, images
        keep = sorted({prompt.image for prompt in prompts})
        _check_prompts(images, prompts)
        self.frames = engine.frames_drawn(images, keep)
        self.anchors: dict[int, list[Anchor]] = {}
        self.found: dict[int, Drawn] = {}
        self._rows: list[int] = []
        self._sweeps: Sweeps | None = None
        self.correct(prompts)

    def correct(self, prompts: Sequence[Prompt]) -> None:
        """Add what is known, of objects that are followed or of new ones; ``run`` follows them.

        Objects that are not among them keep their masks, if they have been followed to the end.

        Raises:
            DataError: as when it was made.
        """
        if not prompts:
            raise DataError("prompts: expected at least one point, box or mask, got none.")
        _check_prompts(self.images, prompts)
        numbered = self._numbered(prompts)
        for object_id, anchor in list(self._known(numbered)):  # all of them, or none
            self.anchors.setdefault(object_id, []).append(anchor)
        again = {prompt.object_id for prompt in numbered}
        if self._sweeps is not None and not self.finished:
            again |= set(self._rows)
        self._rows = [one for one in self.anchors if one in again]
        wanted = [Wanted(anchors=tuple(self.anchors[one])) for one in self._rows]
        self._sweeps = Sweeps(self.engine.model.tracker, wanted, len(self.frames))

    @property
    def finished(self) -> bool:
        """Whether every frame of the current run has been drawn."""
        return self._sweeps is not None and self._sweeps.done == len(self._sweeps.plan)

    def run(self) -> Iterator[TrackedFrame]:
        """Yield each frame as it is drawn: onward from the first known one, then backward.

        Only the objects that are followed now are in it: after a correction the corrected ones.
        """
        assert self._sweeps is not None
        look = self.engine.looks.at(self.images, self.frames)
        for place, shown in self._sweeps.run(look):
            index = self.frames[place]
            ids = [self._rows[row] for row in shown.rows.tolist()]
            for position, object_id in enumerate(ids):
                drawn = self.found.setdefault(object_id, Drawn(object_id=object_id))
                logits = shown.mask_logits[position]
                mask = self.engine.processor.mask(logits, self.images[index].size)
                drawn.add(index, mask, shown, position)
            yield self.frame(index, ids)

    def frame(self, index: int, object_ids: Iterable[int] | None = None) -> TrackedFrame:
        """Return what is known of a frame so far."""
        drawn = [self.found[one] for one in object_ids or self.found if one in self.found]
        shown = [one for one in drawn if index in one.presence]
        return TrackedFrame(
            index=index,
            masks={_id(one): one.masks[index] for one in shown if index in one.masks},
            scores={_id(one): one.scores[index] for one in shown if index in one.masks},
            presence={_id(one): one.presence[index] for one in shown},
        )

    def answer(self) -> GroundedAnswer:
        """Return all that was drawn so far as an answer: "[1] [2]", a target for each object."""
        targets = [replace(one.done(), phrase=f"[{_id(one)}]") for one in self.found.values()]
        there = [target for target in targets if target.masks]
        ends = [sum(len(t.phrase) + 1 for t in there[: place + 1]) for place in range(len(there))]
        return GroundedAnswer(
            text=" ".join(target.phrase for target in there),
            targets=tuple(there),
            spans=tuple(
                (end - 1 - len(t.phrase), end - 1) for t, end in zip(there, ends, strict=True)
            ),
            absent=tuple(target for target in targets if not target.masks),
        )

    # -- files -----------------------------------------------------------------------------------

    def save(self, path: Path | str) -> None:
        """Write all that is known, so that ``load`` goes on after the last frame that was drawn.

        Raises:
            DataError: the file cannot be written.
        """
        assert self._sweeps is not None
        content = {
            "version": VERSION,
            "clip": _clip_key(self.images),
            "frames": list(self.frames),
            "rows": list(self._rows),
            "anchors": {
                one: [{"frame": a.frame, "hidden": a.hidden, "mask": a.mask} for a in anchors]
                for one, anchors in self.anchors.items()
            },
            "found": {one: _plain(drawn) for one, drawn in self.found.items()},
            "sweeps": self._sweeps.state(),
        }
        file = io.BytesIO()
        torch.save(content, file)
        write_whole(path, file.getvalue())

    @classmethod
    def load(
        cls, path: Path | str, engine: Engine, images: ImageSet
    ) -> "ClipTracking":
        """Read what ``save`` wrote, about the same clip and for the same model.

        Raises:
            DataError: no such file, another file, or one about another clip.
        """
        saved = _read(path, engine)
        if saved["clip"] != _clip_key(images):
            raise DataError(
                f"{path}: expected a run over this clip, got one over a clip of "
                f"{saved['clip'][0]} frames that is not the same. Give the clip it began with."
            )
        tracking = cls.__new__(cls)
        tracking.engine, tracking.images = engine, images
        tracking.frames = tuple(saved["frames"])
        tracking._rows = list(saved["rows"])
        tracking.anchors = {
            one: [Anchor(**a) for a in anchors] for one, anchors in saved["anchors"].items()
        }
        tracking.found = {one: _drawn(one, plain) for one, plain in saved["found"].items()}
        tracking._sweeps = Sweeps.from_state(engine.model.tracker, saved["sweeps"])
        return tracking

    # -- inside ----------------------------------------------------------------------------------

    def _numbered(self, prompts: Sequence[Prompt]) -> list[Prompt]:
        free = max([0, *self.anchors, *(prompt.object_id or 0 for prompt in prompts)])
        numbered: list[Prompt] = []
        for prompt in prompts:
            if prompt.object_id is None:
                free = ordinal(free)
                prompt = replace(prompt, object_id=free)
            numbered.append(prompt)
        return numbered

    @torch.inference_mode()
    def _known(self, prompts: Sequence[Prompt]) -> Iterator[tuple[int, Anchor]]:
        """Yield what each prompt says about its object on its frame."""
        engine = self.engine
        for index in sorted({prompt.image for prompt in prompts}):
            here = [prompt for prompt in prompts if prompt.image == index]
            place = self._place(index)
            sparse = [prompt for prompt in here if isinstance(prompt, Point | Box)]
            if sparse:
                known = engine.see(self.images, [index])
                asked = " and ".join(f"[{one}]" for one in dict.fromkeys(map(_id, sparse)))
                order, hidden = engine.asked(known, f"Where is {asked}?", sparse)
                for object_id, tokens in zip(order, hidden, strict=True):
                    yield object_id, Anchor(frame=place, hidden=tokens.clone())
            regions: dict[int, Mask] = {}
            for prompt in here:
                if isinstance(prompt, Region):
                    earlier = regions.get(_id(prompt))
                    regions[_id(prompt)] = earlier.joined(prompt.mask) if earlier else prompt.mask
            for object_id, mask in regions.items():
                canvas = engine.processor.canvas_mask(mask).to(engine.model.device)
                yield object_id, Anchor(frame=place, mask=canvas)

    def _place(self, index: int) -> int:
        if index not in self.frames:
            drawn = ", ".join(frame_key(self.images, frame) for frame in self.frames)
            raise DataError(
                f"prompt: expected one on a frame that is drawn ({drawn}), got "
                f'{frame_key(self.images, index)}. Draw all frames with frames="all".'
            )
        return self.frames.index(index)


def _id(one: Any) -> int:
    assert one.object_id is not None, "everything here is numbered"
    return int(one.object_id)


def _check_prompts(images: ImageSet, prompts: Sequence[Prompt]) -> None:
    """Refuse a prompt on a frame that is not there, beside its frame, or of another size."""
    for prompt in prompts:
        if not 0 <= prompt.image < len(images):
            raise DataError(
                f"prompt: expected a frame index below {len(images)}, got {prompt.image}. "
                f"Point at a frame of the clip."
            )
    Sample(images=images, question=Question(text="", prompts=tuple(prompts)))


def _clip_key(images: ImageSet) -> list[Any]:
    """What tells one clip from another: how long it is, and its first and last frame."""
    return [len(images), images[0].key, images[-1].key]


def _plain(drawn: Drawn) -> dict[str, Any]:
    rle = {frame: mask.to_rle() for frame, mask in drawn.masks.items()}
    return {"masks": rle, "scores": drawn.scores, "presence": drawn.presence}


def _drawn(object_id: int, plain: dict[str, Any]) -> Drawn:
    masks = {frame: Mask.from_rle(rle) for frame, rle in plain["masks"].items()}
    return Drawn(
        object_id=object_id, masks=masks, scores=plain["scores"], presence=plain["presence"]
    )


def _read(path: Path | str, engine: Engine) -> dict[str, Any]:
    import pickle

    try:
        saved = torch.load(path, map_location=engine.model.device, weights_only=True)
    except OSError as error:
        raise DataError(f"{path}: expected a saved run, got: {error.strerror}.") from error
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError) as error:
        raise DataError(
            f"{path}: expected a saved run over a clip, got another file or a broken one. "
            f"Give what ClipTracking.save wrote."
        ) from error
    if not isinstance(saved, dict) or saved.get("version") != VERSION:
        raise DataError(
            f"{path}: expected a saved run of version {VERSION}, got another file. "
            f"Give what ClipTracking.save wrote."
        )
    return saved
