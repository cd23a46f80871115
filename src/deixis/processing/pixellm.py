"""Samples <-> tensors for PixelLM: ``encode`` walks the road forward, ``decode`` back.

Shapes: I images, H canvas side, B rows, N tokens, M targets, h w cells of masks.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from deixis.errors import DataError, WeightsError
from deixis.processing.batches.pixellm_batch import (
    IGNORED,
    GroupSlots,
    PixelLMBatch,
    PixelLMTruth,
)
from deixis.processing.pixels import cut_logits
from deixis.processing.words.concluding import conclusion
from deixis.processing.words.pixellm_prompts import (
    END,
    LLAVA_V1,
    Template,
    Turn,
    grounded_text,
    spoken,
    turn_texts,
)
from deixis.processing.words.pixellm_words import TYPED, PixelLMVocabulary, group_names
from deixis.structures.answers import GroundedAnswer, Target, kept_logits
from deixis.structures.images import Frame
from deixis.structures.masks import Mask
from deixis.structures.placement import Placement
from deixis.structures.samples import Sample

# ImageNet's, as SAM has them and as the released models were trained, not CLIP's own.
MEAN = (123.675, 116.28, 103.53)
STD = (58.395, 57.12, 57.375)


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One conversation: its tokens, and the labels of those that are learned."""

    ids: list[int]
    labels: list[int]


def place_longest(size: tuple[int, int], canvas: int) -> Placement:
    """Return how an image of (height, width) lies on a square: its longest side fills it."""
    scale = canvas / max(size)
    height, width = (max(1, int(side * scale + 0.5)) for side in size)
    return Placement(original=size, resized=(height, width), canvas=(canvas, canvas))


def resize_pixels(pixels: np.ndarray, placement: Placement) -> np.ndarray:
    """Return RGB uint8 pixels (H, W, 3) at the size that they have on the canvas."""
    height, width = placement.resized
    small = Image.fromarray(pixels).resize((width, height), Image.Resampling.BILINEAR)
    return np.array(small)


def place_image(frame: Frame, canvas: int) -> tuple[Tensor, Placement]:
    """Return an image normalised on its canvas (3, H, H), zeros right of and below it."""
    placement = place_longest(frame.size, canvas)
    height, width = placement.resized
    pixels = torch.from_numpy(resize_pixels(frame.pixels, placement)).permute(2, 0, 1).float()
    pixels = (pixels - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]
    return F.pad(pixels, (0, canvas - width, 0, canvas - height)), placement


def restore_logits(logits: Tensor, placement: Placement) -> Tensor:
    """Bring mask logits (M, h, w) of a canvas to the pixels of the original image (M, H, W)."""
    if not len(logits):
        return logits.new_zeros(0, *placement.original, dtype=torch.float32)
    height, width = placement.resized
    whole = F.interpolate(logits.float()[:, None], placement.canvas, mode="bilinear")
    image = whole[:, :, :height, :width]
    return F.interpolate(image, placement.original, mode="bilinear")[:, 0]


def mask_scores(logits: Tensor) -> Tensor:
    """Return (M,): the mean probability of the pixels (M, H, W) that belong to each mask."""
    own = logits > 0
    total = (logits.sigmoid() * own).flatten(1).sum(1)
    return total / (own.flatten(1).sum(1) + 1e-6)


class PixelLMProcessor:
    """Knows the words and the canvas of one model.

    Args:
        config: of the model.
        vocabulary: its tokenizer.
        template: how conversations are written.

    Raises:
        WeightsError: a tokenizer that does not belong to the config.
    """

    def __init__(
        self, config: Any, vocabulary: PixelLMVocabulary, template: Template = LLAVA_V1
    ) -> None:
        ids = [*vocabulary.group, vocabulary.image_start, vocabulary.image_end]
        wanted = [*config.group_tokens, config.image_start_token, config.image_end_token]
        most = config.text_config.vocab_size
        if ids != wanted or len(vocabulary) > most:
            raise WeightsError(
                f"tokenizer: expected at most {most} tokens and the ids {wanted} of config.json "
                f"for the group, <im_start> and <im_end>, got {len(vocabulary)} and {ids}. "
                f"Take tokenizer and config of one model."
            )
        self.config = config
        self.vocabulary = vocabulary
        self.template = template
        self.keeps_logits = False  # whether answers bring what was drawn

    @classmethod
    def from_texts(cls, config: Any, texts: Sequence[str]) -> "PixelLMProcessor":
        """Train a tokenizer on texts and complete the config with its ids."""
        asked = [text for pair in turn_texts([("", "")], image=False) for text in pair]
        vocabulary = PixelLMVocabulary.train(
            [*texts, *asked * 20], config.group_size, config.text_config.vocab_size
        )
        config.group_tokens = list(vocabulary.group)
        config.image_start_token = vocabulary.image_start
        config.image_end_token = vocabulary.image_end
        return cls(config, vocabulary)

    @classmethod
    def from_pretrained(cls, folder: str | Path, config: Any) -> "PixelLMProcessor":
        """Read ``tokenizer.model`` and ``added_tokens.json`` of a model folder.

        Raises:
            WeightsError: a file is missing, broken, or of another model.
        """
        try:
            vocabulary = PixelLMVocabulary.load(Path(folder), config.group_size)
            return cls(config, vocabulary)
        except (OSError, ValueError) as error:
            raise WeightsError(
                f"{folder}: expected tokenizer.model and added_tokens.json of a PixelLM, "
                f"got: {error} Copy the whole model folder."
            ) from error

    def save_pretrained(self, folder: str | Path) -> None:
        """Write ``tokenizer.model`` and ``added_tokens.json``."""
        self.vocabulary.save(Path(folder))

    @property
    def group_text(self) -> str:
        """One target as it is written."""
        return " ".join(group_names(self.config.group_size))

    # -- forward ----------------------------------------------------------------------------------

    def conversation(self, turns: Sequence[Turn], *, image: bool = True) -> Row:
        """Write a conversation whose text may hold codebook tokens; answers are learned.

        The last answer may be missing: it is to be written. Labels cover each answer from its
        first token to its end.
        """
        texts = turn_texts(turns, image=image, template=self.template)
        return self._row([(prompt, [], reply, []) for prompt, reply in texts])

    def question(self, text: str, *, image: bool = True) -> list[int]:
        """Return the prompt of a typed question, in which nothing is a codebook token."""
        (prompt, _), = turn_texts([(TYPED, None)], image=image, template=self.template)
        return self._row([(prompt, [text.lstrip()], "", [])]).ids

    def answered(
        self, text: str, answer: GroundedAnswer, *, image: bool = True
    ) -> tuple[Row, list[int]]:
        """Write a typed question and its true answer, a group after each name.

        Also returns which target of the answer each group is.
        """
        written, typed, order = grounded_text(answer, self.group_text)
        (prompt, reply), = turn_texts([(TYPED, written)], image=image, template=self.template)
        return self._row([(prompt, [text.lstrip()], reply, typed)]), order

    def _row(self, turns: Sequence[tuple[str, list[str], str, list[str]]]) -> Row:
        """Write turns of (prompt, typed, reply, typed); ``</s>`` parts them for the tokenizer."""
        ids: list[int] = []
        labels: list[int] = []
        for prompt, asked, reply, answered in turns:
            head = self.vocabulary.encode_prompt(prompt, asked)
            whole = self.vocabulary.encode_prompt(prompt + reply, [*asked, *answered])
            ids += whole[bool(ids) :]  # <s> opens the first turn only
            labels += [IGNORED] * (len(head) - bool(labels)) + whole[len(head) :]
        return Row(ids=ids, labels=labels)

    def begun(self, text: str, reply: str, *, whole: bool) -> list[int]:
        """Return the prompt of a typed question and how its answer begins, or all of it.

        Unlike what was typed, the answer may hold codebook tokens.
        """
        (prompt, answer), = turn_texts([(TYPED, reply)], image=True, template=self.template)
        answer = answer if whole else answer.partition(END)[0].rstrip()
        return self._row([(prompt, [text.lstrip()], answer, [])]).ids

    def encode(
        self,
        samples: Sequence[Sample],
        *,
        with_truth: bool = False,
        replies: Sequence[tuple[str, bool]] = (),
    ) -> PixelLMBatch:
        """Return one batch; samples that share an ``ImageSet`` share its image.

        Args:
            samples: what is asked.
            with_truth: whether their answers are learned.
            replies: how each answer begins, and whether that is all of it; empty: not at all.

        Raises:
            DataError: several images, prompts, or more words than the model reads.
        """
        for sample in samples:
            _check_sample(sample)
        sets = {id(sample.images): sample.images for sample in samples}
        number = {key: index for index, key in enumerate(sets)}
        rows, masks = [], []
        for index, sample in enumerate(samples):
            reply = replies[index] if replies else None
            row, own = self.taught(sample) if with_truth else (self._asked(sample, reply), [])
            rows.append(row)
            masks += own
        return self.collate(
            rows,
            [images[0] for images in sets.values()],
            [number[id(sample.images)] for sample in samples],
            masks=masks if with_truth else None,
        )

    def _asked(self, sample: Sample, reply: tuple[str, bool] | None) -> Row:
        ids = self.question(sample.question.text)
        _check_length(len(ids), self.config.most_question)
        if reply is not None and reply[0]:
            ids = self.begun(sample.question.text, reply[0], whole=reply[1])
        return Row(ids=ids, labels=[IGNORED] * len(ids))

    def taught(self, sample: Sample) -> tuple[Row, list[Tensor]]:
        """Return a sample's row with its answer, and the masks (H, W) bool of its groups.

        Raises:
            DataError: several images, or prompts.
        """
        _check_sample(sample)
        answer = sample.answer or GroundedAnswer(text="")
        row, order = self.answered(sample.question.text, answer)
        size = sample.images[0].size
        masks = [answer.targets[index].masks.get(0) for index in order]
        return row, [
            torch.zeros(size, dtype=torch.bool) if m is None else torch.from_numpy(m.pixels)
            for m in masks
        ]

    def collate(
        self,
        rows: Sequence[Row],
        images: Sequence[Frame],
        image_of_row: Sequence[int],
        *,
        masks: Sequence[Tensor] | None = None,
    ) -> PixelLMBatch:
        """Return one batch of written rows.

        Args:
            rows: conversations.
            images: every image once.
            image_of_row: which image each row is about, -1 for a row of words only.
            masks: true masks (H, W) of all groups of all rows, in order; without them the
                batch is asked, not learned.
        """
        canvas = self.config.canvas
        placed = [place_image(frame, canvas) for frame in images]
        tokens, held = _padded([row.ids for row in rows], self.vocabulary.pad)
        truth = None
        if masks is not None:
            labels, _ = _padded([row.labels for row in rows], IGNORED)
            truth = PixelLMTruth(labels=labels, masks=tuple(masks))
        return PixelLMBatch(
            pixels=torch.stack([p for p, _ in placed]) if placed else torch.zeros(
                0, 3, canvas, canvas
            ),
            placements=tuple(placement for _, placement in placed),
            image=torch.tensor(list(image_of_row), dtype=torch.long),
            tokens=tokens,
            held=held,
            slots=self.slots([row.ids for row in rows]),
            truth=truth,
        )

    def slots(self, rows: Sequence[Sequence[int]]) -> GroupSlots:
        """Return where the groups of rows of ids stand, by the config's rule for malformed ones."""
        found = [
            (number, columns)
            for number, ids in enumerate(rows)
            for columns in self.vocabulary.groups(ids, self.config.malformed)[0]
        ]
        columns = torch.tensor([columns for _, columns in found], dtype=torch.long)
        return GroupSlots(
            row=torch.tensor([number for number, _ in found], dtype=torch.long),
            column=columns.reshape(-1, self.config.group_size),
        )

    # -- backward ---------------------------------------------------------------------------------

    def targets(self, logits: Tensor, placement: Placement) -> list[Target]:
        """Turn mask logits (M, h, w) into nameless targets in the pixels of the image."""
        found = []
        for one in logits:  # one by one: a large photograph takes much room
            whole = restore_logits(one[None], placement)
            mask = Mask((whole[0] > 0).cpu().numpy())
            found.append(
                Target(
                    phrase="",
                    masks={0: mask} if mask.area else {},
                    score=float(mask_scores(whole)[0]),
                    logits=cut_logits(one, placement) if self.keeps_logits else None,
                )
            )
        return found

    def text(self, ids: Sequence[int], *, groups: bool = True) -> str:
        """Return what a person reads of an answer, whole or begun; ``groups`` as drawn."""
        columns = self.vocabulary.groups(ids, self.config.malformed)[0] if groups else []
        return spoken(ids, columns, self.vocabulary).text

    def decode(self, ids: Sequence[int], targets: Sequence[Target]) -> GroundedAnswer:
        """Join what was written with what was drawn, one target per group that counts.

        A target without a mask is absent; what the model began and did not finish is reported.
        Targets whose groups the prompt held, before these, are left out.
        """
        columns, unfinished = self.vocabulary.groups(ids, self.config.malformed)
        targets = targets[max(0, len(targets) - len(columns)) :]
        read = spoken(ids, columns[: len(targets)], self.vocabulary)
        named = [
            Target(
                phrase=read.text[a:b],
                masks=target.masks,
                score=target.score if target.masks else None,
            )
            for target, (a, b) in zip(targets, read.names, strict=True)
        ]
        present = [(t, span) for t, span in zip(named, read.names, strict=True) if t.masks]
        return GroundedAnswer(
            text=read.text,
            targets=tuple(t for t, _ in present),
            spans=tuple(span for _, span in present),
            absent=tuple(t for t in named if not t.masks),
            conclusion=conclusion(read.text),
            unfinished=unfinished,
            drawn=tuple(bool(t.masks) for t in named),
            logits=kept_logits(targets),
        )


def _check_sample(sample: Sample) -> None:
    if len(sample.images) != 1:
        raise DataError(
            f"images: expected one for PixelLM, got {len(sample.images)}. "
            f"Ask about each image alone, or use a model that relates images."
        )
    if sample.question.prompts:
        raise DataError(
            f"prompts: expected none for PixelLM, which reads words only, got "
            f"{len(sample.question.prompts)}. Say in words what is meant."
        )


def _check_length(got: int, most: int) -> None:
    if got > most:
        raise DataError(
            f"question: expected at most {most} tokens with its template, got {got}. "
            f"Ask more shortly."
        )


def _padded(rows: Sequence[Sequence[int]], pad: int) -> tuple[Tensor, Tensor]:
    """Return (B, N) ids and (B, N) which are there."""
    width = max((len(row) for row in rows), default=0)
    ids = torch.tensor([[*row, *[pad] * (width - len(row))] for row in rows], dtype=torch.long)
    lengths = torch.tensor([len(row) for row in rows], dtype=torch.long)
    return ids.reshape(len(rows), width), torch.arange(width) < lengths[:, None]
