"""Answers questions with UniPixel: prompts become masks, masks become tokens, tokens an answer.

The published system runs twice over a clip: once to draw what prompts point at, once to answer
with it. Here both are one request: the clip is seen once, and the language decoder reads it once
and goes on from there (arXiv:2509.18094, object memory; specification section 7).

Shapes: B rows, N tokens, D language width, M targets, K hidden tokens, C width of SAM, T frames,
P merged cells.
"""

import re
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import torch
from torch import Tensor

from deixis.decoding.sweeping import Anchor, Shown, Sweeps, Wanted
from deixis.errors import ConfigError
from deixis.language.generate import Reading, read_on
from deixis.language.prefix import go_on_from, read_prefixes
from deixis.models.unipixel import filled
from deixis.processing.unipixel import check_images, pointing
from deixis.processing.words.unipixel_text import SEG, localize, prefilled, refer, region_prefix
from deixis.prompting.regions import pool_touched
from deixis.reasoning.given import TARGET, Given
from deixis.reasoning.unipixel_answers import Known, Row, UniPixelAnswering
from deixis.reasoning.unipixel_looks import Drawn, Looks
from deixis.reasoning.unipixel_tracking import ClipTracking
from deixis.structures.answers import Target
from deixis.structures.images import ImageSet
from deixis.structures.logits import MaskLogits
from deixis.structures.masks import Mask
from deixis.structures.prompts import Box, Point, Prompt
from deixis.structures.samples import Sample

KEPT_CLIPS = 2  # whose features are kept for further questions
WISHES = re.compile(r"\b(segment\w*|masks?|outline|locali[sz]e)\b", re.IGNORECASE)

Masks = dict[int, Mask]  # frame -> where an object is


class UniPixelEngine:
    """Runs questions through one model, and remembers the last clips.

    Args:
        model: UniPixel.
        processor: its words and sizes.

    Attributes:
        frames: which frames are drawn: "all", as the published benchmarks do, or those that are
            "sampled" for reading, as the published demo does.
    """

    def __init__(self, model: Any, processor: Any) -> None:
        self.model, self.processor = model, processor
        self.frames: Literal["all", "sampled"] = "all"
        self._known: OrderedDict[tuple[Any, ...], Known] = OrderedDict()
        self.looks = Looks(model, processor)

    def forget(self) -> None:
        """Forget all clips, since the model is no longer the same."""
        self._known.clear()
        self.looks.forget()

    @torch.inference_mode()
    def run(
        self, samples: Sequence[Sample], *, live: bool = False, given: Sequence[Given] = ()
    ) -> "UniPixelAnswering":
        """Begin to answer questions together; masks are drawn when all words are written.

        Args:
            samples: what is asked.
            live: makes no difference: all objects of an answer are drawn in one batch.
            given: for each sample how its answer begins; targets in it are drawn, as published.

        Raises:
            DataError: what UniPixel cannot read.
        """
        given = given or [Given()] * len(samples)
        rows = [self._row(sample, one) for sample, one in zip(samples, given, strict=True)]
        prefixes = [row.known.head for row in rows]
        reading = go_on_from(self.model.language, prefixes)
        states = self._read(reading, [row.ids for row in rows], [row.memory for row in rows])
        seg, asked = self.processor.vocabulary.seg, {}
        for index, row in enumerate(rows):
            start = len(row.ids) - len(row.begun)
            columns = [start + i for i, token in enumerate(row.begun) if token == seg]
            if columns:
                asked[index] = [states[index, column - 1] for column in columns]
        return UniPixelAnswering(
            model=self.model,
            processor=self.processor,
            engine=self,
            rows=rows,
            reading=reading,
            written=[[] for _ in rows],
            asked=asked,
        )

    def _row(self, sample: Sample, given: Given) -> "Row":
        """Turn the prompts of a sample into masks, and these into what the question begins with."""
        check_images(sample.images)
        sparse, objects = pointing(sample)
        known = self.see(sample.images, sorted({p.image for p in sparse} | _frames(objects)))
        text = self.processor.typed(_with_ids(sample))
        located = text if given.located is None else self.processor.typed(given.located)
        drawn = self.draw_prompts(known, located, sparse) if sparse else {}
        objects |= {number: dict(target.masks) for number, target in drawn.items()}
        ids, memory = self.processor.question(text), None
        if objects:
            touched = self.processor.regions(objects, sample.images, known.view)
            shown = touched.flatten(2).any(2).T.tolist()
            prefix = region_prefix(dict(zip(objects, shown, strict=True)), len(known.view.read))
            ids = self.processor.question(prefix + text)
            memory = self._memory(known, touched.to(self.model.device))
        begun = self.processor.vocabulary.encode(given.begun.replace(TARGET, SEG))
        return Row(
            known=known,
            ids=[*ids, *begun],
            memory=memory,
            drawn=drawn,
            wishes=bool(WISHES.search(text)),
            begun=begun,
            whole=given.whole,
        )

    # -- vision ----------------------------------------------------------------------------------

    def see(self, images: ImageSet, keep: Sequence[int] = ()) -> Known:
        """Return what is known of a clip, frames of ``keep`` among those that are read."""
        key = (tuple(frame.key for frame in images), self.processor.frames_read(images, keep))
        if key not in self._known:
            self._known[key] = self._new(images, keep)
        self._known.move_to_end(key)
        while len(self._known) > KEPT_CLIPS:
            self._known.popitem(last=False)
        return self._known[key]

    def _new(self, images: ImageSet, keep: Sequence[int]) -> Known:
        model, device = self.model, self.model.device
        view = self.processor.view(images, keep)
        grids = torch.tensor([view.grid], device=device)
        patches = view.patches.to(device, model.dtype)
        features = model.vision(patches, grid_thw=grids).pooler_output  # (P, E)
        tokens = view.head[None].to(device)
        where = tokens == model.config.video_token_id
        embedded = model.language.embed_tokens(tokens)
        embedded = filled(embedded, where, model.merge(features), "video")
        held = torch.ones_like(tokens, dtype=torch.bool)
        head = read_prefixes(model.language, embedded, held, view.positions.to(device))[0]
        return Known(images=images, view=view, features=features, head=head)

    def frames_drawn(self, images: ImageSet, keep: Sequence[int] = ()) -> tuple[int, ...]:
        """Return which frames of a clip are drawn.

        Raises:
            ConfigError: ``frames`` is neither "all" nor "sampled".
        """
        if self.frames == "all":
            return tuple(range(len(images)))
        if self.frames == "sampled":
            return tuple(self.processor.frames_read(images, keep))
        raise ConfigError(f'frames: expected "all" or "sampled", got "{self.frames}".')

    def track(self, images: ImageSet, prompts: Sequence[Prompt]) -> ClipTracking:
        """Follow what prompts point at along a clip, frame by frame; nothing is drawn yet.

        Raises:
            DataError: see ``ClipTracking``.
        """
        return ClipTracking(self, images, prompts)

    # -- prompts -----------------------------------------------------------------------------------

    def draw_prompts(
        self, known: Known, text: str, prompts: Sequence[Point | Box]
    ) -> dict[int, Target]:
        """Return what points and boxes mean: id -> a target with masks in all frames.

        The answer that asks for the masks is given, not written, as published.
        """
        order, hidden = self.asked(known, text, prompts)
        frames = self.frames_drawn(known.images, known.view.read)
        wanted = [
            self.pointed(one, [frames.index(p.image) for p in prompts if p.object_id == number])
            for number, one in zip(order, hidden, strict=True)
        ]
        return dict(zip(order, self.draw(known, wanted, order), strict=True))

    def asked(
        self, known: Known, text: str, prompts: Sequence[Point | Box]
    ) -> tuple[list[int], Tensor]:
        """Return the ids of what points and boxes mean, and hidden tokens (O, K, C) of each."""
        by_id: dict[int, list[Point | Box]] = {}
        for prompt in prompts:
            by_id.setdefault(int(prompt.object_id or 0), []).append(prompt)
        asked, order = refer(localize(text), {one: len(mine) for one, mine in by_id.items()})
        placed = [prompt for one in order for prompt in by_id[one]]
        refs = self.processor.prompts(placed, known.images, known.view)
        device = self.model.device
        given = self.model.prompting(
            refs.coords.to(device), refs.is_box.to(device), refs.time.to(device)
        )
        vocabulary = self.processor.vocabulary
        ids = self.processor.question(asked) + vocabulary.encode(prefilled(order))
        reading = go_on_from(self.model.language, [known.head])
        states = self._read(reading, [ids], [given], self.model.config.ref_token_id)
        columns = [place for place, token in enumerate(ids) if token == vocabulary.seg]
        return order, self.model.ask(states[0, [column - 1 for column in columns]])

    def pointed(self, hidden: Tensor, places: Sequence[int]) -> Wanted:
        """Return an object that was pointed at in some places of what is drawn.

        The published system begins at the first frame, wherever it was pointed at.
        """
        known = [0] if self.model.config.published_start else sorted(set(places))
        return Wanted(anchors=tuple(Anchor(frame=place, hidden=hidden) for place in known))

    def named(self, hidden: Tensor) -> Wanted:
        """Return an object that words named: followed from the first frame that shows it."""
        published = self.model.config.published_start
        return self.pointed(hidden, [0]) if published else Wanted(hidden=hidden)

    def _memory(self, known: Known, touched: Tensor) -> Tensor:
        """Return (R, D): tokens of what each object covers in each pair of frames."""
        features = known.features
        if not self.model.config.aligned_pooling:
            grids = torch.tensor([known.view.grid], device=features.device)
            features = features[self.model.window_order(grids)]
        return self.model.regions(pool_touched(features, touched))

    # -- language ----------------------------------------------------------------------------------

    def _read(
        self,
        reading: Reading,
        rows: Sequence[Sequence[int]],
        given: Sequence[Tensor | None],
        slot: int | None = None,
    ) -> Tensor:
        """Read ids after what is read already; return their states (B, N, D).

        Args:
            given: for each row the vectors of its slots, of kind ``slot``, or <mem>.
        """
        device, config = self.model.device, self.model.config
        width = max(len(ids) for ids in rows)
        pad = self.processor.vocabulary.pad
        padded = [[*ids, *[pad] * (width - len(ids))] for ids in rows]
        tokens = torch.tensor(padded, device=device)
        lengths = torch.tensor([len(ids) for ids in rows], device=device)
        held = torch.arange(width, device=device) < lengths[:, None]
        embedded = self.model.language.embed_tokens(tokens)
        vectors = [one for one in given if one is not None]
        if vectors:
            kind = config.mem_token_id if slot is None else slot
            embedded = filled(embedded, tokens == kind, torch.cat(vectors), "prompt")
        return read_on(self.model.language, reading, embedded, held)

    # -- decoding ----------------------------------------------------------------------------------

    def draw(
        self, known: Known, wanted: Sequence[Wanted], ids: Sequence[int | None]
    ) -> list[Target]:
        """Return a nameless target for each object, along the frames that are drawn."""
        targets = [Drawn(object_id=number) for number in ids]
        small: dict[int, MaskLogits] = {}
        for index, shown in self.follow(known, wanted):
            size = known.images[index].size
            for place, row in enumerate(shown.rows.tolist()):
                mask = self.processor.mask(shown.mask_logits[place], size)
                targets[row].add(index, mask, shown, place)
                if self.processor.keeps_logits and index == 0:
                    small[row] = self.processor.small_logits(shown.mask_logits[place], size)
        return [replace(one.done(), logits=small.get(row)) for row, one in enumerate(targets)]

    def follow(self, known: Known, wanted: Sequence[Wanted]) -> Iterator[tuple[int, Shown]]:
        """Yield flat frame indices and what shows there, in the order in which it is drawn."""
        frames = self.frames_drawn(known.images, known.view.read)
        look = self.looks.at(known.images, frames)
        if not self.model.config.frames_alone:
            for place, shown in Sweeps(self.model.tracker, wanted, len(frames)).run(look):
                yield frames[place], shown
            return
        hidden = torch.stack([tokens_of(one) for one in wanted])
        rows, every = torch.arange(len(wanted)), range(len(frames))
        drawings = self.model.follow(hidden, look(every), len(frames))
        yield from ((f, Shown.of(rows, d)) for f, d in zip(frames, drawings, strict=True))


def tokens_of(wanted: Wanted) -> Tensor:
    """Return the hidden tokens (K, C) that ask for an object."""
    hidden = wanted.hidden if wanted.hidden is not None else wanted.anchors[0].hidden
    assert hidden is not None, "frames that are drawn alone are asked, not compared"
    return hidden


def _frames(objects: Mapping[int, Masks]) -> set[int]:
    """Return the frames on which masks were given, of each object one that shows most."""
    return {max(shown, key=lambda frame: shown[frame].area) for shown in objects.values()}


def _with_ids(sample: Sample) -> str:
    """Return a question in which names of objects are their ids: "[cup]" becomes "[2]"."""
    text = sample.question.text
    for prompt in sample.question.prompts:
        if prompt.name and prompt.object_id:
            handle = re.compile(re.escape(f"[{prompt.name}]"), re.IGNORECASE)
            text = handle.sub(f"[{prompt.object_id}]", text)
    return text
