"""Follows objects both ways in time from the frames on which they are known.

SAM 2's tracking (arXiv:2408.00714) with several known frames, and backward as well as forward: from
its first known frame an object is followed to the end of the clip, then from there to its start.
What nobody has pointed at is asked of each frame until it shows. Objects that are known on the same
frames are rows of one batch; a run can be stopped after any frame and taken up again.

Shapes: O objects, R of them in a group, K hidden tokens, C width, h w mask cells, S side of SAM's
canvas.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor

from deixis.decoding.promptable import Drawing, FrameFeatures
from deixis.decoding.tracking import FrameMemory, Kept, Tracker
from deixis.errors import ShapeError

MOST_HELD = 8  # known frames whose features are kept, so that they are looked at once

Look = Callable[[Sequence[int]], Iterator[FrameFeatures]]  # the frames wanted, in that order


@dataclass(frozen=True, kw_only=True, slots=True)
class Anchor:
    """What is known of one object on one frame: hidden tokens (K, C) that ask for it, or its mask
    (S, S), 0 and 1 on SAM's canvas."""

    frame: int
    hidden: Tensor | None = None
    mask: Tensor | None = None

    def __post_init__(self) -> None:
        if (self.hidden is None) is (self.mask is None):
            raise ShapeError(
                f"anchor on frame index {self.frame}: expected hidden tokens or a mask, got "
                f"{'neither' if self.hidden is None else 'both'}. Give one of them."
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """One object: where it is known; or hidden tokens (K, C), asked of each frame till it shows."""

    anchors: tuple[Anchor, ...] = ()
    hidden: Tensor | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Shown:
    """Objects ``rows`` (R,) in one frame: mask logits (R, h, w), estimated IoU (R,), presence
    logits (R,)."""

    rows: Tensor
    mask_logits: Tensor
    score: Tensor
    presence_logits: Tensor

    @classmethod
    def of(cls, rows: Tensor, drawing: Drawing) -> "Shown":
        """Name the objects of a drawing."""
        return cls(
            rows=rows,
            mask_logits=drawing.mask_logits,
            score=drawing.score.float(),
            presence_logits=drawing.presence_logits[:, 0].float(),
        )

    @classmethod
    def joined(cls, parts: Sequence["Shown"]) -> "Shown":
        """Return what several groups show, in the order of the objects."""
        order = torch.cat([part.rows for part in parts]).argsort()
        names = [one.name for one in fields(cls)]
        return cls(**{n: torch.cat([getattr(p, n) for p in parts])[order] for n in names})


@dataclass(kw_only=True)
class Group:
    """Objects that are known on the same frames.

    Attributes:
        rows: (R,) which objects.
        given: known frame -> what is shown there.
        memory: what was drawn.
        backward: whether frames before the first known one are followed, too.
    """

    rows: Tensor
    given: dict[int, Shown]
    memory: FrameMemory
    backward: bool = True

    @property
    def first(self) -> int:
        """The first known frame."""
        return min(self.memory.anchors)


class Sweeps:
    """One run over a clip: forward, then backward.

    Args:
        tracker: draws and remembers.
        wanted: the objects.
        length: frames of the clip.

    Raises:
        ShapeError: an anchor on a frame that the clip has not.
    """

    def __init__(self, tracker: Tracker, wanted: Sequence[Wanted], length: int) -> None:
        for frame in [anchor.frame for one in wanted for anchor in one.anchors]:
            if not 0 <= frame < length:
                raise ShapeError(
                    f"anchor: expected a frame index below {length}, got {frame}. "
                    f"Point at a frame of the clip."
                )
        self.tracker, self.length = tracker, length
        self.wanted = tuple(wanted)
        self.waiting = [row for row, one in enumerate(wanted) if not one.anchors]
        self.groups: list[Group] = []
        self.done = 0  # frames of the plan
        self.began = self.turned = False
        self._held: dict[int, FrameFeatures] = {}

    @property
    def plan(self) -> list[tuple[int, int]]:
        """Which frames are drawn, in order, each with the direction: 1 forward, -1 backward."""
        firsts = [min(a.frame for a in one.anchors) for one in self.wanted if one.anchors]
        waits = len(firsts) < len(self.wanted)
        start = 0 if waits else min(firsts, default=self.length)
        back = range(max(firsts, default=0) - 1, -1, -1)
        return [*((t, 1) for t in range(start, self.length)), *((t, -1) for t in back)]

    @torch.inference_mode()
    def run(self, look: Look) -> Iterator[tuple[int, Shown]]:
        """Yield what shows in each frame as soon as it is drawn; goes on where it stopped.

        A frame comes once for each object. It is looked at twice if objects that are known on
        different frames are followed through it in both directions.
        """
        if not self.began:
            self._begin(look)
        left = self.plan[self.done :]
        stream = look([t for t, _ in left if t not in self._held])
        for t, step in left:
            frame = self._held[t] if t in self._held else next(stream)
            if step < 0 and not self.turned:
                self._turn()
            shown = self._forward(t, frame) if step > 0 else self._backward(t, frame)
            self.done += 1
            if shown:
                yield t, Shown.joined(shown)

    # -- inside ----------------------------------------------------------------------------------

    def _begin(self, look: Look) -> None:
        """Draw the known frames, and put objects that are known on the same ones together."""
        members: dict[tuple[int, ...], list[int]] = {}
        for row, one in enumerate(self.wanted):
            if one.anchors:
                members.setdefault(tuple(sorted({a.frame for a in one.anchors})), []).append(row)
        drawn: dict[tuple[int, ...], dict[int, tuple[Shown, Kept]]] = {key: {} for key in members}
        frames = sorted({frame for key in members for frame in key})
        for frame, features in zip(frames, look(frames), strict=True):
            if len(self._held) < MOST_HELD:
                self._held[frame] = features
            for key, rows in members.items():
                if frame in key:
                    drawn[key][frame] = self._known(frame, features, rows)
        for key, rows in members.items():
            anchors = {frame: kept for frame, (_, kept) in drawn[key].items()}
            self.groups.append(
                Group(
                    rows=torch.tensor(rows),
                    given={frame: shown for frame, (shown, _) in drawn[key].items()},
                    memory=self.tracker.begin_at(anchors, self.length, last=key[0] - 1),
                )
            )
        self.began = True

    def _known(self, frame: int, features: FrameFeatures, rows: list[int]) -> tuple[Shown, Kept]:
        """Draw the objects of a group in a frame on which they are known; the last word counts."""
        anchors = [
            next(a for a in reversed(self.wanted[row].anchors) if a.frame == frame) for row in rows
        ]
        asked = [i for i, anchor in enumerate(anchors) if anchor.hidden is not None]
        given = [i for i, anchor in enumerate(anchors) if anchor.mask is not None]
        parts: list[tuple[Drawing, Kept]] = []
        if asked:
            hidden = torch.stack([a.hidden for a in anchors if a.hidden is not None])
            drawing = self.tracker.draw_first(features, hidden)
            parts.append((drawing, self._remembered(features, drawing)))
        if given:
            masks = torch.stack([a.mask for a in anchors if a.mask is not None])
            parts.append(self.tracker.given(features, masks))
        order = torch.tensor([*asked, *given])
        shown = [
            Shown.of(torch.tensor(rows)[places], drawing)
            for places, (drawing, _) in zip(
                order.split([len(one) for one in (asked, given) if one]), parts, strict=True
            )
        ]
        back = order.argsort().to(parts[0][1].pointer.device)
        remembered = [kept.masks for _, kept in parts if kept.masks is not None]
        kept = Kept(
            masks=torch.cat(remembered)[back] if len(remembered) == len(parts) else None,
            pointer=torch.cat([kept.pointer for _, kept in parts])[back],
        )
        return Shown.joined(shown), kept

    def _remembered(self, frame: FrameFeatures, drawing: Drawing) -> Kept:
        """Return what is kept of a frame; of a picture no masks, for nothing looks back."""
        if self.length > 1:
            return self.tracker.remember(frame, drawing)
        return Kept(masks=None, pointer=self.tracker.points_to(drawing))

    def _forward(self, t: int, frame: FrameFeatures) -> list[Shown]:
        shown = []
        for group in self.groups:
            if t in group.given:
                group.memory.pass_by()
                shown.append(group.given[t])
            elif t > group.first:
                shown.append(self._next(group, frame, last=t + 1 == self.length))
        return shown + self._await(t, frame)

    def _backward(self, t: int, frame: FrameFeatures) -> list[Shown]:
        groups = [group for group in self.groups if group.backward and t < group.first]
        return [self._next(group, frame, last=t == 0) for group in groups]

    def _next(self, group: Group, frame: FrameFeatures, *, last: bool) -> Shown:
        drawing = self.tracker.draw_next(frame, group.memory)
        if not last:
            group.memory.add(self.tracker.remember(frame, drawing))
        return Shown.of(group.rows, drawing)

    def _await(self, t: int, frame: FrameFeatures) -> list[Shown]:
        """Ask for what has not shown yet; what shows now is followed from here."""
        if not self.waiting:
            return []
        hidden = [self.wanted[row].hidden for row in self.waiting]
        drawing = self.tracker.draw_first(frame, torch.stack([h for h in hidden if h is not None]))
        rows = torch.tensor(self.waiting)
        here = drawing.there[:, 0].cpu()
        shown = Shown.of(rows, drawing)
        if here.any():
            came = drawing[torch.nonzero(here)[:, 0].to(drawing.score.device)]
            if t + 1 < self.length:
                anchors = {t: self.tracker.remember(frame, came)}
                memory = self.tracker.begin_at(anchors, self.length, last=t)
                self.groups.append(
                    Group(rows=rows[here], given={}, memory=memory, backward=False)
                )
            self.waiting = rows[~here].tolist()
        return [shown]

    def _turn(self) -> None:
        """Go back from the first known frame of each group; what came after it is forgotten."""
        for group in self.groups:
            anchors, first = group.memory.anchors, group.first
            group.memory = self.tracker.begin_at(anchors, self.length, last=first, step=-1)
        self.turned = True

    # -- to be kept ------------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """Return all that goes on needs, as tensors, numbers, lists and dicts."""
        return {
            "length": self.length,
            "wanted": [_plain(one) for one in self.wanted],
            "waiting": list(self.waiting),
            "groups": [_plain_group(group) for group in self.groups],
            "done": self.done,
            "began": self.began,
            "turned": self.turned,
        }

    @classmethod
    def from_state(cls, tracker: Tracker, state: dict[str, Any]) -> "Sweeps":
        """Return a run that goes on where another one, whose state this is, stopped."""
        wanted = [
            Wanted(anchors=tuple(Anchor(**a) for a in one["anchors"]), hidden=one["hidden"])
            for one in state["wanted"]
        ]
        run = cls(tracker, wanted, state["length"])
        run.waiting, run.done = list(state["waiting"]), state["done"]
        run.began, run.turned = state["began"], state["turned"]
        run.groups = [_group_of(tracker, one, run.length) for one in state["groups"]]
        return run


def _plain(wanted: Wanted) -> dict[str, Any]:
    return {"anchors": [_fields(a) for a in wanted.anchors], "hidden": wanted.hidden}


def _fields(one: Any) -> dict[str, Any]:
    """Return the fields of a dataclass as they are."""
    return {f.name: getattr(one, f.name) for f in fields(one)}


def _plain_group(group: Group) -> dict[str, Any]:
    memory = group.memory
    return {
        "rows": group.rows,
        "backward": group.backward,
        "given": {frame: _fields(shown) for frame, shown in group.given.items()},
        "anchors": {frame: _fields(kept) for frame, kept in memory.anchors.items()},
        "recent": list(memory.recent),
        "pointers": list(memory.pointers),
        "last": memory.last,
        "step": memory.step,
    }


def _group_of(tracker: Tracker, plain: dict[str, Any], length: int) -> Group:
    anchors = {frame: Kept(**kept) for frame, kept in plain["anchors"].items()}
    memory = tracker.begin_at(anchors, length, last=plain["last"], step=plain["step"])
    memory.recent.extend(plain["recent"])
    memory.pointers.extend(plain["pointers"])
    return Group(
        rows=plain["rows"],
        backward=plain["backward"],
        given={frame: Shown(**shown) for frame, shown in plain["given"].items()},
        memory=memory,
    )
