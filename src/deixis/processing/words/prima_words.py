"""PRIMA's words: the prompt that names the images, and answers whose [SEG] say their image.

A first mention is written ``<p> mug </p> [SEG] (IMAGE2)``, or with the name before the mask,
``<p> mug </p> (IMAGE2) [SEG]``. Whatever a model writes is read back by the rules of the
specification (1.4): identifiers, stray parentheses, mentions without a mask and masks without an
image are all understood or said to be left out.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from tokenizers import Tokenizer

from deixis.errors import WeightsError
from deixis.processing.words.pixellm_words import IMAGE_END, IMAGE_MARK, IMAGE_START, TYPED
from deixis.processing.words.pixellm_words import PixelLMVocabulary as LlamaVocabulary
from deixis.structures.answers import GroundedAnswer, Target
from deixis.structures.numbering import heard_by, index_of, ordinal

SYSTEM = (
    "A chat between a curious human and an artificial intelligence assistant. The assistant gives "
    "helpful, detailed, and polite answers to the human's questions."
)
MASK, PHRASE, PHRASE_END = "[SEG]", "<p>", "</p>"
SPECIAL = {  # published token -> where the config has its id
    MASK: "seg_token",
    PHRASE: "phrase_token",
    PHRASE_END: "phrase_end_token",
    IMAGE_START: "image_start_token",
    IMAGE_END: "image_end_token",
}
OPEN, CLOSE, SEG = "\ue000", "\ue001", "\ue002"  # phrases and masks while an answer is read
_NAMED = re.compile(r"image\s*(\d+)", re.IGNORECASE)
_NAMES_AFTER_MARKS = re.compile(
    rf"(?<=[{CLOSE}{SEG}])(\s*\(\s*image\s*\d+\s*\)*)+", re.IGNORECASE
)
_UNFINISHED_NAME = re.compile(rf"(?<=[{CLOSE}{SEG}])\s*(?:\([^)]*)?$")
_SPACE_AFTER_MARK = re.compile(rf"(?<=[{CLOSE}{SEG}])\s+(?=[,.;:!?)'])")
_NUMBER_OF_PHRASE = re.compile(r"_\d+\b")


@dataclass(frozen=True, kw_only=True, slots=True)
class SpokenSlot:
    """A [SEG] of an answer.

    Attributes:
        column: which token of the answer it is.
        image: the index of its image in the set, or None where it names none that is there.
        named: the index that it names, there or not.
        phrase: number of the phrase that it belongs to, or None before the first.
    """

    column: int
    image: int | None
    named: int | None
    phrase: int | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Spoken:
    """An answer as read back: what a person reads, its phrases (start, stop), and its slots."""

    text: str
    phrases: tuple[tuple[int, int], ...]
    slots: tuple[SpokenSlot, ...]


def image_list(count: int) -> str:
    """Return how the prompt begins: every placeholder with its image's name."""
    marks = f"{IMAGE_START}{IMAGE_MARK}{IMAGE_END}"
    names = [f"{marks} (IMAGE{ordinal(i)})" for i in range(count)]
    if count == 1:
        return f"The {names[0]} provides an overview of the picture.\n"
    joined = " and ".join(names) if count == 2 else f"{', '.join(names[:-1])}, and {names[-1]}"
    return f"The {joined} provide an overview of the pictures.\n"


def slots_written(answer: GroundedAnswer) -> list[tuple[Target, int]]:
    """Return (target, flat frame) of every [SEG] of a true answer, in reading order."""
    named = [target for _, targets in _by_span(answer) for target in targets]
    return [(target, frame) for target in named for frame in sorted(target.masks)]


def _by_span(answer: GroundedAnswer) -> list[tuple[tuple[int, int], list[Target]]]:
    """Return the spans in order, each with its targets; one that overlaps an earlier span goes
    with that, for the text can carry it only once."""
    found: list[tuple[tuple[int, int], list[Target]]] = []
    pairs = sorted(zip(answer.spans, answer.targets, strict=True), key=lambda pair: pair[0])
    for span, group in groupby(pairs, key=lambda pair: pair[0]):
        targets = [target for _, target in group]
        if found and span[0] < found[-1][0][1]:
            found[-1][1].extend(targets)
        else:
            found.append((span, targets))
    return found


class PrimaWords:
    """The language decoder's tokens and the Q-Former's.

    Args:
        vocabulary: of the language decoder, LLaMA's with GLaMM's tokens added.
        asker: of the Q-Former, which reads the bare question.
        config: of the model.

    Raises:
        WeightsError: the special tokens are not those of the config.
    """

    def __init__(self, vocabulary: LlamaVocabulary, asker: Tokenizer, config: Any) -> None:
        self.vocabulary, self.asker, self.config = vocabulary, asker, config
        for name, key in SPECIAL.items():
            got = vocabulary.added.get(name)
            if got != getattr(config, key):
                raise WeightsError(
                    f"added tokens: expected {name} with the id {getattr(config, key)} of "
                    f"config.json ({key}), got {got}. Take the tokenizer of the same checkpoint."
                )
        asker.enable_truncation(config.most_question, direction="left")

    def prompt(self, question: str, count: int) -> list[int]:
        """Return the ids of the prompt about ``count`` images, placeholders included."""
        return self.vocabulary.encode_prompt(_prompt(count), [question])

    def written(self, question: str, count: int, answer: GroundedAnswer) -> tuple[list[int], int]:
        """Return the ids of prompt and true answer, and how many of them are the prompt."""
        text, said = self.marked(answer)
        whole = self.vocabulary.encode_prompt(f"{_prompt(count)} {text}", [question, *said])
        ids = [*whole, self.vocabulary.eos]
        prompt = self.prompt(question, count)
        pairs = enumerate(zip(prompt, ids, strict=False))
        return ids, next((i for i, (a, b) in pairs if a != b), len(prompt))

    def marked(self, answer: GroundedAnswer) -> tuple[str, list[str]]:
        """Return an answer with phrases, [SEG] and image names written into its text, and its own
        words, for which TYPED stands: they are plain text, whatever they look like."""
        first = self.config.image_name == "before"
        out, said, cursor = "", list[str](), 0
        for (start, stop), targets in _by_span(answer):
            frames = [frame for target in targets for frame in sorted(target.masks)]
            segs = " ".join(_seg_of(frame, name_first=first) for frame in frames)
            between = answer.text[cursor:start].rstrip()
            between = between.lstrip() if first else between
            said += [*([between] if between else []), answer.text[start:stop]]
            out += f"{TYPED} " if between else ""
            out += f"{PHRASE} {TYPED} {PHRASE_END} {segs}"
            cursor = stop
        rest = answer.text[cursor:].lstrip() if first else answer.text[cursor:]
        return out + (TYPED if rest else ""), [*said, *([rest] if rest else [])]

    def asked(self, question: str, image: int) -> list[int]:
        """Return the question in the Q-Former's ids, as it reads it while it looks into an image;
        of a long one the end."""
        if self.config.question_view == "image":
            question = heard_by(image, question)
        return list(self.asker.encode(question).ids)

    # -- reading ----------------------------------------------------------------------------

    def read(self, ids: Sequence[int], count: int) -> Spoken:
        """Read back whatever a model wrote about ``count`` images; never fails."""
        raw, columns = self._raw(ids)
        places = [at for at, char in enumerate(raw) if char == SEG]
        images = [self._image(raw, at, count) for at in places]
        text, phrases, owners = _without_marks(raw)
        slots = tuple(
            SpokenSlot(
                column=column,
                image=image if image is not None and 0 <= image < count else None,
                named=image,
                phrase=owner,
            )
            for column, image, owner in zip(columns, images, owners, strict=True)
        )
        return Spoken(text=text, phrases=phrases, slots=slots)

    def so_far(self, ids: Sequence[int]) -> str:
        """Return the text of an answer that is being written, as far as nothing can change it:
        without a phrase that is still open or an image name that is not whole."""
        raw, _ = self._raw(ids)
        if raw.rfind(OPEN) > raw.rfind(CLOSE):
            raw = raw[: raw.rfind(OPEN)]
        return _without_marks(_UNFINISHED_NAME.sub("", raw))[0]

    def _image(self, raw: str, at: int, count: int) -> int | None:
        """Return the image that the [SEG] at a place names: by its own name; else the image that
        was spoken of last; else the only one there is."""
        if self.config.image_name == "after":
            own = re.split(f"[{OPEN}{SEG}]", raw[at + 1 :], maxsplit=1)[0]
            if match := _NAMED.search(own):
                return index_of(int(match[1]))
        before = _NAMED.findall(raw[:at])
        if before:
            return index_of(int(before[-1]))
        return 0 if count == 1 else None

    def _raw(self, ids: Sequence[int]) -> tuple[str, list[int]]:
        """Return the text with one character for each mark, and the columns of the [SEG]."""
        config = self.config
        marks = {
            config.phrase_token: OPEN,
            config.phrase_end_token: CLOSE,
            config.seg_token: SEG,
        }
        eos, special = self.vocabulary.eos, set(self.vocabulary.added.values())
        silent = {self.vocabulary.bos, self.vocabulary.pad, *(special - set(marks))}
        text, run, columns = "", list[int](), list[int]()
        for column, token in enumerate([*ids, eos]):
            if token not in marks and token != eos:
                run += [] if token in silent or token < 0 else [token]
                continue
            text += self._said(run)
            run = []
            if token == eos:
                break
            text += marks[token]
            columns += [column] if token == config.seg_token else []
        return text, columns

    def _said(self, ids: list[int]) -> str:
        """Return the text of some tokens, with the space that the first one begins with."""
        known = [token for token in ids if token < len(self.vocabulary)]
        if not known:
            return ""
        said = re.sub(f"[{OPEN}{CLOSE}{SEG}]", "", self.vocabulary.pieces.decode(known))
        led = self.vocabulary.pieces.id_to_piece(known[0]).startswith("\u2581")
        return f" {said}" if led and not said.startswith(" ") else said


def _prompt(count: int) -> str:
    return f"{SYSTEM} USER: {image_list(count)}{TYPED} ASSISTANT:"


def _seg_of(image: int, *, name_first: bool) -> str:
    name = f"(IMAGE{ordinal(image)})"
    return f"{name} {MASK}" if name_first else f"{MASK} {name}"


def _without_marks(raw: str) -> tuple[str, tuple[tuple[int, int], ...], list[int | None]]:
    """Return what a person reads, the phrases in it, and the phrase of each [SEG]."""
    tidy = _NAMES_AFTER_MARKS.sub("", raw)
    tidy = _SPACE_AFTER_MARK.sub("", tidy)
    tidy = re.sub(rf"\s*{OPEN}\s*", f" {OPEN}", re.sub(rf"\s*([{CLOSE}{SEG}])", r"\1", tidy))
    tidy = re.sub(r"\s+", " ", tidy).strip()
    text, phrases, owners, opened = "", list[tuple[int, int]](), list[int | None](), -1
    for piece in re.split(f"([{OPEN}{CLOSE}{SEG}])", tidy):
        if piece == OPEN:
            opened = len(text)
        elif piece == CLOSE:
            if 0 <= opened < len(text):
                phrases.append((opened, len(text)))
            opened = -1
        elif piece == SEG:
            owners.append(len(phrases) - 1 if phrases else None)
        else:
            text += _NUMBER_OF_PHRASE.sub("", piece) if opened >= 0 else piece
    return text, tuple(phrases), owners
