"""Samples <-> tensors for PRIMA: ``encode`` walks the road forward, ``decode`` back.

Shapes: F frames, B rows, N tokens, T tokens of the Q-Former's text, M targets, h w mask cells.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import Tensor

from deixis.errors import DataError, WeightsError
from deixis.processing.batch import Layout, Output
from deixis.processing.batches.prima_batch import PrimaBatch, PrimaTruth, SegSlots
from deixis.processing.frames.prima_pixels import eva_pixels, sam_masks, sam_pixels
from deixis.processing.lessons.prima_training import train_asker, train_vocabulary
from deixis.processing.pixels import cut_logits
from deixis.processing.words.concluding import conclusion
from deixis.processing.words.prima_words import LlamaVocabulary, PrimaWords, Spoken, slots_written
from deixis.structures.answers import GroundedAnswer, Target
from deixis.structures.images import ImageSet
from deixis.structures.logits import MaskLogits
from deixis.structures.masks import Mask
from deixis.structures.numbering import heard_by, image_name, ordinal, read_image_names
from deixis.structures.samples import Sample

TOKENIZER_KEYS = {"added_tokens", "model", "pre_tokenizer"}
ASKER = "question_tokenizer.json"
IGNORED = -100  # a label that is not learned


class PrimaProcessor:
    """Knows the words and the two views of one model.

    Args:
        config: of the model.
        words: its tokenizers.
    """

    def __init__(self, config: Any, words: PrimaWords) -> None:
        self.config = config
        self.words = words
        self.keeps_logits = False  # whether answers about one image bring what was drawn

    @classmethod
    def from_texts(cls, config: Any, texts: Sequence[str]) -> "PrimaProcessor":
        """Train both tokenizers on texts and complete the config with their ids."""
        vocabulary = train_vocabulary(texts, config)
        heard = texts
        if config.question_view == "image":
            heard = [heard_by(image, text) for text in texts for image in range(2)]
        asker = train_asker(heard, config.qformer_config.vocab_size)
        return cls(config, PrimaWords(vocabulary, asker, config))

    @classmethod
    def from_pretrained(cls, folder: str | Path, config: Any) -> "PrimaProcessor":
        """Read both tokenizers of a model folder.

        Raises:
            WeightsError: a file is missing, broken, or of another model.
        """
        try:
            vocabulary = LlamaVocabulary.load(Path(folder), 1)
            asker = _read_asker(Path(folder) / ASKER)
        except (OSError, ValueError) as error:
            raise WeightsError(
                f"{folder}: expected tokenizer.model, added_tokens.json and {ASKER} of a PRIMA, "
                f"got: {error}. Copy the whole model folder."
            ) from error
        sizes = len(vocabulary), asker.get_vocab_size()
        most = config.text_config.vocab_size, config.qformer_config.vocab_size
        if sizes[0] > most[0] or sizes[1] > most[1]:
            raise WeightsError(
                f"{folder}: expected tokenizers of at most {most[0]} and {most[1]} tokens by "
                f"config.json, got {sizes[0]} and {sizes[1]}. Copy the whole model folder."
            )
        return cls(config, PrimaWords(vocabulary, asker, config))

    def save_pretrained(self, folder: str | Path) -> None:
        """Write both tokenizers."""
        self.words.vocabulary.save(Path(folder))
        self.words.asker.save(str(Path(folder) / ASKER))

    # -- forward ----------------------------------------------------------------------------

    def encode(self, samples: Sequence[Sample], *, with_truth: bool = False) -> PrimaBatch:
        """Return one batch; samples that share an ``ImageSet`` share its frames.

        Raises:
            DataError: too many images, clips, prompts, or a question about an image that is not
                there or that is too long.
        """
        for sample in samples:
            self._check(sample)
        sets = {id(s.images): s.images for s in samples}
        number = {key: index for index, key in enumerate(sets)}
        rows = torch.tensor([number[id(s.images)] for s in samples])
        frames = [frame for images in sets.values() for frame in images]
        canvas = self.config.sam_config.vision_config.image_size
        views = [sam_pixels(frame, canvas) for frame in frames]
        layout = _layout(list(sets.values()))
        offsets = [layout.frames(int(row)).start for row in rows]
        told = [self._told(sample, with_truth=with_truth) for sample in samples]
        tokens, held = _padded([ids for ids, _ in told], self.words.vocabulary.pad)
        heard = [
            self.words.asked(sample.question.text, image)
            for sample in samples
            for image in range(len(sample.images))
        ]
        text, text_held = _padded(heard, 0)
        slots, truth = self._truth(samples, told, offsets) if with_truth else (_no_slots(), None)
        side = self.config.vision_config.image_size
        return PrimaBatch(
            pixels=torch.stack([eva_pixels(frame, side) for frame in frames]),
            canvas=torch.stack([pixels for pixels, _ in views]),
            layout=layout,
            set_of_row=rows,
            tokens=tokens,
            images=tokens == self.config.image_token,
            held=held,
            text=text,
            text_held=text_held,
            slots=slots,
            placements=tuple(placement for _, placement in views),
            truth=truth,
        )

    def _check(self, sample: Sample) -> None:
        """Refuse what PRIMA cannot read.

        Raises:
            DataError: see ``encode``.
        """
        count, most = len(sample.images), self.config.most_images
        if any(sample.images.is_clip(image) for image in range(len(sample.images.lengths))):
            raise DataError("images: expected pictures, got a clip. PRIMA reads sets of pictures.")
        if count > most:
            raise DataError(
                f"images: expected 1 to {most} for this model, got {count}. Ask about fewer."
            )
        if sample.question.prompts:
            raise DataError(
                f"prompts: expected none, got {len(sample.question.prompts)}. PRIMA reads words "
                f"and pictures; describe what you point at."
            )
        missing = [i for i in read_image_names(sample.question.text) if not 0 <= i < count]
        if missing:
            raise DataError(
                f"question: expected images 1 to {count}, got {image_name(missing[0])}. "
                f"Images are numbered in the order given."
            )

    def _told(self, sample: Sample, *, with_truth: bool) -> tuple[list[int], int]:
        """Return the tokens of a row and how many are the prompt; a long answer is cut."""
        question, count = sample.question.text, len(sample.images)
        if with_truth and sample.answer is not None:
            ids, known = self.words.written(question, count, sample.answer)
        else:
            ids = self.words.prompt(question, count)
            known = len(ids)
        most = self.config.most_tokens - (self.config.rows_per_image - 1) * count
        if known > most:
            raise DataError(
                f"question: expected at most {most} tokens with its prompt beside {count} "
                f"images, got {known}. Ask a shorter one."
            )
        return ids[:most], known

    def _truth(
        self,
        samples: Sequence[Sample],
        told: Sequence[tuple[list[int], int]],
        offsets: Sequence[int],
    ) -> tuple[SegSlots, PrimaTruth]:
        slots, masks, names = list[tuple[int, int, int]](), list[Tensor](), list[tuple[Any, ...]]()
        labels = []
        for row, (sample, (ids, known)) in enumerate(zip(samples, told, strict=True)):
            labels.append([IGNORED] * known + ids[known:])
            columns = [c for c in range(known, len(ids)) if ids[c] == self.config.seg_token]
            written = slots_written(sample.answer) if sample.answer else []
            for column, (target, image) in zip(columns, written, strict=False):
                slots.append((row, column, offsets[row] + image))
                masks.append(torch.from_numpy(target.masks[image].pixels).float())
                same = id(target) if self.config.alignment_by == "object" else target.phrase.lower()
                names.append((row, same))
        number = {name: index for index, name in enumerate(dict.fromkeys(names))}
        row_, column_, frame_ = torch.tensor(slots, dtype=torch.long).reshape(-1, 3).unbind(1)
        return SegSlots(row=row_, column=column_, frame=frame_), PrimaTruth(
            labels=_padded(labels, IGNORED)[0],
            masks=tuple(masks),
            alike=torch.tensor([number[name] for name in names], dtype=torch.long),
        )

    # -- backward ---------------------------------------------------------------------------

    def read(self, written: Sequence[Sequence[int]], batch: PrimaBatch) -> list[Spoken]:
        """Read what was written in each row."""
        counts = batch.layout.num_images[batch.set_of_row].tolist()
        return [self.words.read(ids, n) for ids, n in zip(written, counts, strict=True)]

    def slots(self, written: Sequence[Sequence[int]], batch: PrimaBatch) -> SegSlots:
        """Return the [SEG] of written rows that name an image which is there; ``column`` counts
        the written tokens."""
        spoken = self.read(written, batch)
        starts = [batch.layout.frames(int(g)).start for g in batch.set_of_row]
        found = [
            (row, slot.column, starts[row] + slot.image)
            for row, said in enumerate(spoken)
            for slot in said.slots
            if slot.image is not None
        ]
        row, column, frame = torch.tensor(found, dtype=torch.long).reshape(-1, 3).unbind(1)
        return SegSlots(row=row, column=column, frame=frame)

    def decode(
        self, written: Sequence[Sequence[int]], output: Output, batch: PrimaBatch
    ) -> list[GroundedAnswer]:
        """Join what was written with what was drawn, in the pixels of the original images.

        Args:
            written: the answer's tokens of each row.
            output: one mask for each of ``slots(written, batch)``, in that order.
            batch: what was asked.

        Returns:
            One answer per row. The [SEG] of one phrase in different images are one target; a
            second one in the same image is another target of that phrase. What names no image
            that is there is left out of the masks, and the answer's caution says so.
        """
        small: list[MaskLogits] = []
        drawn = self._drawn(output, batch, small)
        starts = [batch.layout.frames(int(g)).start for g in batch.set_of_row]
        counts = batch.layout.num_images[batch.set_of_row].tolist()
        spoken = self.read(written, batch)
        answers = []
        for said, start, count in zip(spoken, starts, counts, strict=True):
            answer = _answer(said, drawn, start, count)
            if self.keeps_logits and count == 1:
                answer = replace(answer, logits=tuple(small))
            answers.append(answer)
            small.clear()
        return answers

    def _drawn(
        self, output: Output, batch: PrimaBatch, small: list[MaskLogits]
    ) -> Iterator[tuple[int, Mask, float]]:
        """Yield the frame, the mask and the estimated IoU of every slot, and note its logits."""
        masks, scores = output.mask_logits.detach().cpu(), output.score.tolist()
        for frame, logits, score in zip(output.frame.tolist(), masks, scores, strict=True):
            whole = sam_masks(logits[None], batch.placements[frame])[0] > 0
            if self.keeps_logits:
                small.append(cut_logits(logits, batch.placements[frame]))
            yield frame, Mask(whole.numpy()), score


def _answer(
    said: Spoken, drawn: Iterator[tuple[int, Mask, float]], start: int, count: int
) -> GroundedAnswer:
    """Return the answer of one row; takes its masks from ``drawn``."""
    text, spans = said.text, list(said.phrases)
    targets: list[tuple[int | None, dict[int, Mask], list[float]]] = []
    lost: list[str] = []
    for slot in said.slots:
        last = targets[-1] if targets and targets[-1][0] == slot.phrase else None
        if last is None or slot.phrase is None or slot.image in last[1]:
            targets.append((slot.phrase, {}, []))
        if slot.image is None:
            named = slot.named
            lost.append("no image" if named is None else f"{image_name(named)} of {count}")
            continue
        frame, mask, score = next(drawn)
        targets[-1][1][frame - start] = mask
        targets[-1][2].append(score)
    named_targets: list[tuple[Target, tuple[int, int]]] = []
    for phrase, masks, scores in targets:
        if phrase is None:  # a mask that no words name gets a name in the text
            name = f"target {ordinal(len(named_targets))}"
            text = f"{text} {name}".strip()
            spans.append((len(text) - len(name), len(text)))
        span = spans[-1 if phrase is None else phrase]
        held = {frame: mask for frame, mask in masks.items() if mask.area}
        mean = sum(scores) / len(scores) if held else None
        named_targets.append((Target(phrase=text[slice(*span)], masks=held, score=mean), span))
    caution = None
    if lost:
        caution = f"{len(lost)} of {len(said.slots)} masks left out: they name {', '.join(lost)}."
    return GroundedAnswer(
        text=text,
        targets=tuple(target for target, _ in named_targets if target.masks),
        spans=tuple(span for target, span in named_targets if target.masks),
        absent=tuple(target for target, _ in named_targets if not target.masks),
        conclusion=conclusion(text),
        caution=caution,
        drawn=tuple(bool(target.masks) for target, _ in named_targets),
    )


def _read_asker(path: Path) -> Tokenizer:
    """Read the Q-Former's tokenizer.

    Raises:
        OSError, ValueError: the file is missing or no tokenizer.
    """
    text = path.read_text(encoding="utf-8")
    stored = json.loads(text)
    if not isinstance(stored, dict) or not stored.keys() >= TOKENIZER_KEYS:
        raise ValueError(f"{path.name} with other JSON")
    return Tokenizer.from_str(text)


def _layout(sets: Sequence[ImageSet]) -> Layout:
    counts = [len(images) for images in sets]
    index = torch.tensor([g for g, n in enumerate(counts) for _ in range(n)], dtype=torch.long)
    return Layout(
        set=index,
        image=torch.tensor([i for n in counts for i in range(n)], dtype=torch.long),
        time=torch.zeros(len(index)),
        clip=torch.zeros(len(index), dtype=torch.bool),
        num_images=torch.tensor(counts, dtype=torch.long),
    )


def _no_slots() -> SegSlots:
    empty = torch.zeros(0, dtype=torch.long)
    return SegSlots(row=empty, column=empty, frame=empty)


def _padded(rows: Sequence[Sequence[int]], fill: int) -> tuple[Tensor, Tensor]:
    """Return rows of unequal length as (B, N), filled from the left, and which are there."""
    most = max((len(row) for row in rows), default=0)
    out = torch.full((len(rows), most), fill, dtype=torch.long)
    for index, row in enumerate(rows):
        out[index, : len(row)] = torch.tensor(row, dtype=torch.long)
    lengths = torch.tensor([len(row) for row in rows], dtype=torch.long)
    return out, torch.arange(most) < lengths[:, None]
