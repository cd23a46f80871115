"""Samples <-> tensors for the unified family: ``encode`` walks the road forward, ``decode`` back.

Shapes: F frames, B rows, N question tokens, R prompts, M targets, h w cells of the mask grid.
"""

import json
import re
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from deixis.errors import WeightsError
from deixis.processing.batch import Batch, Layout, Output, PromptSlots, Truth
from deixis.processing.pixels import place_frame, place_mask, restore_masks, small_logits
from deixis.processing.vocabulary import Vocabulary, groups_of, words_of
from deixis.structures.answers import GroundedAnswer, Target, kept_logits
from deixis.structures.images import ImageSet
from deixis.structures.logits import MaskLogits
from deixis.structures.masks import Mask
from deixis.structures.numbering import index_of
from deixis.structures.placement import Placement
from deixis.structures.prompts import Box, Point, Prompt, Region
from deixis.structures.samples import Question, Sample

STRIDE = 2  # canvas pixels per cell of what is known, and of prompts
_HANDLE = re.compile(r"\[([^\[\]]+)\]")
_LETTER, _WORD, _SENTENCE = (re.compile(p, re.DOTALL) for p in (".", r"\S+", r"[.!?;](?=\s)|\n"))


class DeixisProcessor:
    """Knows the words and the canvas of one model.

    Args:
        config: of the model; its ``word_tokens`` and vocabulary size are completed here.
        vocabulary: its tokenizer.
        known_words: lower-case words that training showed; others deserve caution.
    """

    def __init__(self, config: Any, vocabulary: Vocabulary, known_words: frozenset[str]) -> None:
        self.config = config
        self.vocabulary = vocabulary
        self.known_words = known_words
        self.keeps_logits = False  # whether answers bring what was drawn in the first image

    @classmethod
    def from_texts(cls, config: Any, texts: Sequence[str]) -> "DeixisProcessor":
        """Train a tokenizer on texts and complete the config with its ids."""
        named = [word for words in config.words.values() for word in words]
        numbers = [str(i) for i in range(1, config.most_images + 1)]
        spoken = [f"a {word}." for word in named] + [f"image {n}, [{n}]." for n in numbers]
        vocabulary = Vocabulary.train(
            [*texts, *spoken * 20], config.group_size, config.text_config.vocab_size
        )
        known = frozenset(words_of(" ".join([*texts, *spoken])))
        config.word_tokens = {
            kind: [vocabulary.word_ids(word) for word in words]
            for kind, words in {**config.words, **config.told_words, "number": numbers}.items()
        }
        config.answer_token, config.group_token = vocabulary.answer, vocabulary.group[0]
        config.eos_token = vocabulary.eos
        return cls(config, vocabulary, known)

    @classmethod
    def from_pretrained(cls, folder: str | Path, config: Any) -> "DeixisProcessor":
        """Read ``tokenizer.json`` and ``words.json`` of a model folder.

        Raises:
            WeightsError: a file is missing or broken.
        """
        try:
            vocabulary = Vocabulary.load(Path(folder) / "tokenizer.json", config.group_size)
            known = json.loads((Path(folder) / "words.json").read_text(encoding="utf-8"))
            _check_fit(vocabulary, known, config)
        except (OSError, ValueError) as error:
            raise WeightsError(
                f"{folder}: expected tokenizer.json and words.json of a Deixis model, "
                f"got: {error}. Copy the whole model folder."
            ) from error
        return cls(config, vocabulary, frozenset(known))

    def save_pretrained(self, folder: str | Path) -> None:
        """Write ``tokenizer.json`` and ``words.json``."""
        self.vocabulary.save(Path(folder) / "tokenizer.json")
        text = json.dumps(sorted(self.known_words))
        (Path(folder) / "words.json").write_text(text, encoding="utf-8")

    # -- forward ----------------------------------------------------------------------------

    def encode(self, samples: Sequence[Sample], *, with_truth: bool = False) -> Batch:
        """Return one batch; samples that share an ``ImageSet`` share its frames."""
        sets: dict[int, ImageSet] = {id(s.images): s.images for s in samples}
        number = {key: index for index, key in enumerate(sets)}
        rows = torch.tensor([number[id(s.images)] for s in samples])
        placed = [place_frame(f, self.config.canvas) for images in sets.values() for f in images]
        placements = tuple(placement for _, placement in placed)
        layout = _layout(list(sets.values()))
        starts = [layout.frames(index).start for index in range(len(sets))]
        offsets = [starts[int(row)] for row in rows]
        asked = [self._question(s.question) for s in samples]
        question, held = _padded([tokens for tokens, _, _ in asked], self.vocabulary.pad)
        return Batch(
            pixels=torch.stack([pixels for pixels, _ in placed]),
            layout=layout,
            set_of_row=rows,
            question=question,
            asked=held,
            prompts=self._slots([slots for _, slots, _ in asked], offsets, placements),
            placements=placements,
            truth=self._truth(samples, offsets, placements) if with_truth else None,
            shortened=tuple(cut for _, _, cut in asked),
        )

    def _question(self, question: Question) -> tuple[list[int], list[tuple[int, Prompt]], bool]:
        """Return a question's tokens, (column, prompt) of its slots, and whether it was too long:
        then only its beginning is read."""
        numbered, names = _numbered(question.prompts)
        text = _HANDLE.sub(lambda m: f"[{names.get(m[1], m[1])}]", question.text).lower()
        most = self.config.most_question
        ids, slots = self._tokens(text, numbered)
        cut = len(ids) > most
        if cut:
            ids, slots = self._tokens(self._beginning(text, numbered), numbered)
        return ids[:most], [(column, prompt) for column, prompt in slots if column < most], cut

    def _tokens(
        self, text: str, numbered: dict[int, list[Prompt]]
    ) -> tuple[list[int], list[tuple[int, Prompt]]]:
        """Return a text's tokens and (column, prompt) of its slots; what it does not mention of
        what a person points at stands in front."""
        unsaid = [i for i in numbered if f"[{i}]" not in text]
        text = " ".join([*(f"[{i}]" for i in unsaid), text])
        ids, slots, said = [self.vocabulary.bos], [], set()
        for piece in re.split(r"(\[\d+\])", " " + text.strip()):
            ids += self.vocabulary.plain(piece)
            handle = piece[1:-1] if re.fullmatch(r"\[\d+\]", piece) else ""
            if handle.isdigit() and int(handle) in numbered and handle not in said:
                said.add(handle)
                for prompt in numbered[int(handle)]:
                    slots.append((len(ids), replace(prompt, object_id=int(handle))))
                    region = isinstance(prompt, Region)
                    ids.append(self.vocabulary.mem if region else self.vocabulary.ref)
        return ids, slots

    def _beginning(self, text: str, numbered: dict[int, list[Prompt]]) -> str:
        """Return as many whole sentences of a text as can be read; whole words, where that would
        leave out more than half of them; characters, where a single word is too long."""

        def tokens(end: int) -> int:
            return len(self._tokens(text[:end], numbered)[0])

        longest = 0
        for border in (_LETTER, _WORD, _SENTENCE):
            ends = [match.end() for match in border.finditer(text)]
            fitting = bisect_right(ends, self.config.most_question, key=tokens)
            end = ends[fitting - 1] if fitting else 0
            longest = end if 2 * end >= longest else longest
        return text[:longest]

    def _slots(
        self,
        slots: Sequence[Sequence[tuple[int, Prompt]]],
        offsets: Sequence[int],
        placements: Sequence[Placement],
    ) -> PromptSlots:
        flat = [(r, c, p, offsets[r] + p.image) for r, row in enumerate(slots) for c, p in row]
        height, width = (side // STRIDE for side in self.config.canvas)
        boxes = [_corners(prompt, placements[frame]) for _, _, prompt, frame in flat]
        masks = [
            place_mask(torch.from_numpy(prompt.mask.pixels), placements[frame], STRIDE)
            if isinstance(prompt, Region)
            else _filled(box, height, width)
            for (_, _, prompt, frame), box in zip(flat, boxes, strict=True)
        ]
        return PromptSlots(
            row=torch.tensor([r for r, *_ in flat], dtype=torch.long),
            column=torch.tensor([c for _, c, *_ in flat], dtype=torch.long),
            frame=torch.tensor([f for *_, f in flat], dtype=torch.long),
            number=torch.tensor([_number(p) for _, _, p, _ in flat], dtype=torch.long),
            kind=torch.tensor([_kind(p) for _, _, p, _ in flat], dtype=torch.long),
            coords=torch.tensor(boxes, dtype=torch.float32).reshape(-1, 2, 2),
            masks=torch.stack(masks) if masks else torch.zeros(0, height, width),
        )

    def _truth(
        self, samples: Sequence[Sample], offsets: Sequence[int], placements: Sequence[Placement]
    ) -> Truth:
        written: list[list[int]] = []
        targets: list[tuple[int, int]] = []
        masks: list[tuple[int, int, Tensor]] = []
        for row, sample in enumerate(samples):
            answer = sample.answer or GroundedAnswer(text="")
            most = self.config.most_answer // self.config.group_size
            groups = groups_of(answer)[:most]
            written.append(self._written(answer, len(groups)))
            for order, (target, _) in enumerate(groups):
                for image, mask in target.masks.items():
                    frame = offsets[row] + image
                    pixels = torch.from_numpy(mask.pixels)
                    covered = place_mask(pixels, placements[frame], self.config.mask_stride)
                    masks.append((len(targets), frame, covered))
                targets.append((row, order))
        cells = tuple(side // self.config.mask_stride for side in self.config.canvas)
        return Truth(
            tokens=_padded(written, self.vocabulary.pad)[0],
            row=torch.tensor([r for r, _ in targets], dtype=torch.long),
            order=torch.tensor([o for _, o in targets], dtype=torch.long),
            target=torch.tensor([t for t, _, _ in masks], dtype=torch.long),
            frame=torch.tensor([f for _, f, _ in masks], dtype=torch.long),
            masks=torch.stack([m for *_, m in masks]) if masks else torch.zeros(0, *cells),
            pointing=torch.tensor([_points(s.answer) for s in samples]),
        )

    def _written(self, answer: GroundedAnswer, groups: int) -> list[int]:
        """Return an answer's tokens, not too many; its groups come first or last."""
        ids, begin = self.vocabulary.write(answer), groups * self.config.group_size
        if not self.config.name_first:
            return ids[: self.config.most_answer]
        return ids[begin : self.config.most_answer] + ids[:begin]

    # -- backward ---------------------------------------------------------------------------

    def targets(
        self, outputs: Iterable[tuple[Output, int]], presence: Tensor, batch: Batch
    ) -> dict[int, Target]:
        """Turn mask logits into targets in the pixels of the original images.

        Args:
            outputs: what was drawn, and the flat frame of the batch that its frame 0 is.
            presence: (M, S) of every target.
            batch: what was asked.

        Returns:
            Target number -> target without a phrase; what is empty or not present has no mask.
        """
        masks: dict[int, dict[int, Mask]] = {index: {} for index in range(len(presence))}
        scores = [0.0] * len(presence)
        small: dict[int, MaskLogits] = {}
        for output, start in outputs:
            self._draw(masks, small, output, start, presence, batch)
            scores = output.score.tolist()
        return {
            index: Target(
                phrase="",
                masks=dict(sorted(mine.items())),
                score=scores[index] if mine else None,
                presence=float(presence[index].max()),
                logits=small.get(index),
            )
            for index, mine in masks.items()
        }

    def _draw(
        self,
        masks: dict[int, dict[int, Mask]],
        small: dict[int, MaskLogits],
        output: Output,
        start: int,
        presence: Tensor,
        batch: Batch,
    ) -> None:
        logits = output.mask_logits.float().cpu()
        rows = zip(output.target.tolist(), output.frame.tolist(), logits, strict=True)
        for target, local, drawn in rows:
            frame = start + local
            if presence[target, batch.layout.image[frame]] <= self.config.presence_threshold:
                continue
            mask = Mask(restore_masks(drawn[None], batch.placements[frame])[0].numpy())
            place = frame - self._first_frame(batch, frame)
            if mask.area:
                masks[target][place] = mask
            if self.keeps_logits and place == 0:
                small[target] = small_logits(drawn, batch.placements[frame])

    @staticmethod
    def _first_frame(batch: Batch, frame: int) -> int:
        return batch.layout.frames(int(batch.layout.set[frame])).start

    def decode(self, ids: Sequence[int], targets: Sequence[Target]) -> GroundedAnswer:
        """Join what was written with what was drawn, one target per complete group.

        Whatever was written gives a valid answer: a group that no words name gets a phrase that
        is put into the text, and a target without a mask is absent.
        """
        read = self.vocabulary.read(ids)
        text, names = read.text, list(read.names[: len(targets)])
        for number in range(len(names), len(targets)):
            joint = " " if text else ""
            phrase = f"target {number + 1}"
            start = len(text) + len(joint)
            text += joint + phrase
            names.append((start, start + len(phrase)))
        named = [
            Target(
                phrase=text[a:b],
                masks=target.masks,
                score=target.score if target.masks else None,
                presence=target.presence,
            )
            for target, (a, b) in zip(targets, names, strict=True)
        ]
        present = [(t, span) for t, span in zip(named, names, strict=True) if t.masks]
        return GroundedAnswer(
            text=text,
            targets=tuple(t for t, _ in present),
            spans=tuple(span for _, span in present),
            conclusion=read.conclusion,
            absent=tuple(t for t in named if not t.masks),
            unfinished=read.unfinished,
            drawn=tuple(bool(t.masks) for t in named),
            logits=kept_logits(targets),
        )


def _number(prompt: Prompt) -> int:
    assert prompt.object_id is not None, "slots have numbers"
    return index_of(prompt.object_id)


def _check_fit(vocabulary: Vocabulary, known: Any, config: Any) -> None:
    """Refuse a tokenizer or a list of words that does not belong to the config.

    Raises:
        WeightsError: it belongs to another model.
    """
    ids = (vocabulary.pad, vocabulary.eos, vocabulary.answer, vocabulary.group[0])
    wanted = (config.pad_token, config.eos_token, config.answer_token, config.group_token)
    most = config.text_config.vocab_size
    if ids != wanted or len(vocabulary) > most:
        raise WeightsError(
            f"tokenizer.json: expected at most {most} tokens and the special ids {wanted} of "
            f"config.json, got {len(vocabulary)} and {ids}."
        )
    if not isinstance(known, list) or not all(isinstance(word, str) for word in known):
        raise WeightsError("words.json: expected a list of words, got other JSON.")


def _numbered(prompts: Iterable[Prompt]) -> tuple[dict[int, list[Prompt]], dict[str, int]]:
    """Return id -> prompts, and name -> id; prompts without an id get the next free ones."""
    prompts = list(prompts)
    taken = {p.object_id for p in prompts if p.object_id is not None}
    free = (i for i in range(1, len(prompts) + len(taken) + 2) if i not in taken)
    numbered: dict[int, list[Prompt]] = {}
    names: dict[str, int] = {}
    for prompt in prompts:
        known = prompt.object_id or names.get(prompt.name or "")
        number = known if known else next(free)
        numbered.setdefault(number, []).append(prompt)
        if prompt.name:
            names[prompt.name] = number
    return dict(sorted(numbered.items())), names


def _points(answer: GroundedAnswer | None) -> bool:
    return answer is not None and bool(answer.targets or answer.absent)


def _kind(prompt: Prompt) -> int:
    return 0 if isinstance(prompt, Point) else 1 if isinstance(prompt, Box) else 2


def _corners(prompt: Prompt, placement: Placement) -> list[list[float]]:
    """Return the prompt's corners (x, y) in [0, 1] of the canvas; a point twice."""
    if isinstance(prompt, Point):
        corners = [[prompt.x, prompt.y]] * 2
    elif isinstance(prompt, Box):
        corners = [[prompt.x0, prompt.y0], [prompt.x1, prompt.y1]]
    else:
        x0, y0, x1, y1 = prompt.mask.box or (0, 0, 1, 1)
        corners = [[x0, y0], [x1, y1]]
    height, width = placement.canvas
    return [[float(x / width), float(y / height)] for x, y in placement.apply(np.array(corners))]


def _filled(corners: list[list[float]], height: int, width: int) -> Tensor:
    """Return the cells (h, w) that corners in [0, 1] enclose, at least one."""
    (x0, y0), (x1, y1) = corners
    left, top = min(int(x0 * width), width - 1), min(int(y0 * height), height - 1)
    right = max(left + 1, round(x1 * width))
    bottom = max(top + 1, round(y1 * height))
    out = torch.zeros(height, width)
    out[top:bottom, left:right] = 1.0
    return out


def _padded(rows: Sequence[Sequence[int]], pad: int) -> tuple[Tensor, Tensor]:
    """Return (B, N) ids and (B, N) which are there."""
    width = max(1, *(len(row) for row in rows)) if rows else 1
    ids = torch.tensor([[*row, *[pad] * (width - len(row))] for row in rows], dtype=torch.long)
    lengths = torch.tensor([len(row) for row in rows])
    return ids.reshape(len(rows), width), torch.arange(width) < lengths[:, None]


def _layout(sets: Sequence[ImageSet]) -> Layout:
    rows = [
        (index, image, _moment(images, image, step), images.is_clip(image))
        for index, images in enumerate(sets)
        for image, span in enumerate(images.spans)
        for step in range(len(span))
    ]
    return Layout(
        set=torch.tensor([r[0] for r in rows]),
        image=torch.tensor([r[1] for r in rows]),
        time=torch.tensor([r[2] for r in rows]),
        clip=torch.tensor([r[3] for r in rows]),
        num_images=torch.tensor([len(images.lengths) for images in sets]),
    )


def _moment(images: ImageSet, image: int, step: int) -> float:
    times = images.times[image]
    if times is None or len(times) < 2:
        return 0.0
    return (times[step] - times[0]) / (times[-1] - times[0])
