"""What UniPixel is taught about one clip, as a row of a batch.

Specification sections 4.3, 6 and 9.

Shapes: B rows, N tokens, T frames that are drawn, O objects, S side of SAM's canvas.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from deixis.processing.batches.unipixel_batch import RefPrompts, UniPixelBatch, UniPixelTruth
from deixis.processing.frames.unipixel_frames import mrope_positions, sam_frames, sam_masks
from deixis.processing.unipixel import SECONDS, ClipView, UniPixelProcessor
from deixis.processing.words.unipixel_text import (
    IGNORED,
    SEG,
    Turn,
    conversation,
    learned,
    region_prefix,
)
from deixis.structures.answers import GroundedAnswer, Target
from deixis.structures.images import ImageSet
from deixis.structures.masks import Mask
from deixis.structures.prompts import Box, Point


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """What was asked for: the phrase of a target, its question, and the point or box that it was
    pointed at with."""

    phrase: str
    question: str
    prompt: Point | Box | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Lesson:
    """One sample as it is read: see ``UniPixelBatch``, of which it is a row.

    Attributes:
        asked: each target.
        refs: (O,) number of the first <ref> that points at each target, -1 for none.
        spoken: of each piece of an answer in words that is about one thing the last column, and the
            columns of the <ref> and <mem> that show it.
        cover: (O, P) how much of each merged cell that is read shows each target in the frame in
            which it is drawn first; a thing that moves is elsewhere in the others.
    """

    ids: list[int]
    labels: list[int]
    patches: Tensor
    grid: tuple[int, int, int]
    clip: Tensor
    size: tuple[int, int]
    prompts: RefPrompts
    touched: Tensor | None
    masks: Tensor
    asked: tuple[Wanted, ...] = ()
    refs: tuple[int, ...] = ()
    spoken: tuple[tuple[int, tuple[int, ...]], ...] = ()
    cover: Tensor


@dataclass(frozen=True, kw_only=True, slots=True)
class Exchange:
    """A turn of a conversation, its slots written in; what its <ref> and its <seg> stand for.

    Attributes:
        spoken: what its answer begins with, up to where it is no longer about an object, and that.
    """

    turn: Turn
    prompts: tuple[Point | Box, ...] = ()
    targets: tuple[Target, ...] = ()
    spoken: tuple[tuple[str, int], ...] = ()

    @property
    def asked(self) -> list[Wanted]:
        """Each target, with the first point or box that shows it, where one does."""
        first: dict[int | None, Point | Box] = {}
        for prompt in self.prompts:
            first.setdefault(prompt.object_id, prompt)
        shown = [*first.values()] if first else [None] * len(self.targets)
        pairs = zip(self.targets, shown, strict=False)  # what is told in words has no targets
        return [
            Wanted(phrase=target.phrase, question=self.turn.question, prompt=prompt)
            for target, prompt in pairs
        ]


@dataclass(kw_only=True)
class Plan:
    """What is asked about a clip.

    Attributes:
        read: frames that are read.
        turns: one after another.
        regions: object id -> frame -> mask, for the <mem> slots before the first question.
        drawn: frames that are drawn, in that order; all that are read if not given.
    """

    images: ImageSet
    read: list[int]
    turns: list[Exchange] = field(default_factory=list)
    regions: dict[int, dict[int, Mask]] = field(default_factory=dict)
    drawn: list[int] = field(default_factory=list)


def written(plan: Plan, processor: UniPixelProcessor, most: int) -> Lesson:
    """Return a plan as ids and labels, pixels and masks; turns behind ``most`` ids are left out."""
    images = plan.images
    view = processor.view_of(images, plan.read)
    kept, touched, owners = list(plan.turns), None, list[int]()
    if plan.regions:
        touched = processor.regions(plan.regions, images, view)
        shown = touched.flatten(2).any(2).T.tolist()
        shows = dict(zip(plan.regions, shown, strict=True))
        before = region_prefix(shows, len(view.read))
        owners = [one for one, pairs in shows.items() for there in pairs if there]
        first = kept[0].turn
        kept[0] = replace(kept[0], turn=replace(first, question=before + first.question))
    cells = view.cells[0] * view.cells[1] * view.grid[0]
    while True:
        text = conversation([one.turn for one in kept], cells)
        ids, labels = learned(text, processor.vocabulary.encode)
        if len(ids) <= most or len(kept) == 1:
            break
        kept.pop()
    side, drawn = processor.config.sam_config.image_size, plan.drawn or plan.read
    frames = [images[index] for index in drawn]
    targets = [target for turn in kept for target in turn.targets]
    prompts = [prompt for turn in kept for prompt in turn.prompts]
    asked = tuple(one for turn in kept for one in turn.asked)
    number = {id(prompt): place for place, prompt in enumerate(prompts)}
    return Lesson(
        ids=ids,
        labels=labels,
        patches=view.patches,
        grid=view.grid,
        clip=torch.cat([sam_frames(frame.pixels[None], side) for frame in frames]),
        size=frames[0].size,
        prompts=processor.prompts(prompts, images, view),
        touched=touched,
        masks=true_masks(targets, drawn, frames[0].size, side),
        asked=asked,
        refs=tuple(number.get(id(one.prompt), -1) for one in asked),
        spoken=tuple(spoken_of(kept, ids, labels, owners, processor)),
        cover=_cover(targets, view, drawn),
    )


def spoken_of(
    turns: Sequence[Exchange],
    ids: Sequence[int],
    labels: Sequence[int],
    owners: Sequence[int],
    processor: UniPixelProcessor,
) -> Iterator[tuple[int, tuple[int, ...]]]:
    """Yield ``Lesson.spoken``; ``owners`` are the objects of each <mem>."""
    config, encode = processor.config, processor.vocabulary.encode
    pointed = [prompt.object_id for turn in turns for prompt in turn.prompts]
    mems, refs = (
        [column for column, one in enumerate(ids) if one == slot]
        for slot in (config.mem_token_id, config.ref_token_id)
    )
    shown = defaultdict(list)
    for column, owner in (*zip(mems, owners, strict=True), *zip(refs, pointed, strict=True)):
        shown[owner].append(column)
    starts = [
        column
        for column, label in enumerate(labels)
        if label != IGNORED and labels[column - 1] == IGNORED
    ]
    for start, turn in zip(starts, turns, strict=True):
        for said, one in turn.spoken:
            if one in shown:
                yield start + len(encode(said)) - 1, tuple(shown[one])


def _cover(targets: Sequence[Target], view: ClipView, drawn: Sequence[int]) -> Tensor:
    """Return (O, P) how much of each merged cell of a view, which shows two frames, is of each
    target in the first frame that is drawn and shows it."""
    cover = torch.zeros(len(targets), view.grid[0], *view.cells)
    for own, target in zip(cover, targets, strict=True):
        first = next((frame for frame in drawn if frame in target.masks), None)
        if first in view.read:
            mask = torch.from_numpy(target.masks[first].pixels).float()
            own[view.read.index(first) // 2] = F.adaptive_avg_pool2d(mask[None], view.cells)[0]
    return cover.flatten(1)


def true_masks(
    targets: Sequence[Target], drawn: Sequence[int], size: tuple[int, int], side: int
) -> Tensor:
    """Return (T, O, S, S) bool: where each target is in the frames that are drawn."""
    if not targets:
        return torch.zeros(len(drawn), 0, side, side, dtype=torch.bool)
    whole = torch.zeros(len(drawn), len(targets), *size, dtype=torch.bool)
    for place, frame in enumerate(drawn):
        for row, target in enumerate(targets):
            if frame in target.masks:
                whole[place, row] = torch.from_numpy(target.masks[frame].pixels)
    return sam_masks(whole, side)


def collate(lessons: Sequence[Lesson], processor: UniPixelProcessor) -> UniPixelBatch:
    """Return lessons as one batch, padded on the right."""
    width = max(len(one.ids) for one in lessons)
    pad = processor.vocabulary.pad
    tokens = torch.tensor([[*one.ids, *[pad] * (width - len(one.ids))] for one in lessons])
    held = torch.arange(width) < torch.tensor([[len(one.ids)] for one in lessons])
    labels = [[*one.labels, *[IGNORED] * (width - len(one.labels))] for one in lessons]
    grids = torch.tensor([one.grid for one in lessons])
    step = processor.config.vision_config.tokens_per_second * SECONDS
    positions, _ = mrope_positions(
        tokens, held, grids, video_token=processor.config.video_token_id, step=step
    )
    return UniPixelBatch(
        tokens=tokens,
        held=held,
        positions=positions,
        patches=torch.cat([one.patches for one in lessons]),
        grids=grids,
        clips=tuple(one.clip for one in lessons),
        sizes=tuple(one.size for one in lessons),
        prompts=RefPrompts(
            coords=torch.cat([one.prompts.coords for one in lessons]),
            is_box=torch.cat([one.prompts.is_box for one in lessons]),
            time=torch.cat([one.prompts.time for one in lessons]),
        ),
        regions=tuple(one.touched for one in lessons),
        truth=UniPixelTruth(
            labels=torch.tensor(labels), masks=tuple(one.masks for one in lessons)
        ),
    )


def answered(
    answer: GroundedAnswer, protect: Callable[[str], str]
) -> tuple[str, list[Target]]:
    """Return an answer's text with a <seg> behind each phrase, and the targets in that order."""
    order = sorted(range(len(answer.spans)), key=lambda i: answer.spans[i][1])
    text, done = "", 0
    for index in order:
        stop = answer.spans[index][1]
        text += f"{protect(answer.text[done:stop])} {SEG}"
        done = stop
    return text + protect(answer.text[done:]), [answer.targets[index] for index in order]
