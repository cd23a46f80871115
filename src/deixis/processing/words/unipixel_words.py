"""UniPixel's words <-> token ids: Qwen2.5's tokenizer and its slots."""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

from deixis.errors import WeightsError
from deixis.processing.words.unipixel_text import (
    CLIP_BEGIN,
    CLIP_END,
    CLIP_PAD,
    END,
    MEM,
    REF,
    SEG,
    TURN,
)

FILE = "tokenizer.json"
TOKENIZER_KEYS = {"added_tokens", "decoder", "model", "pre_tokenizer"}
STOPS = re.compile(r"[.,:;]\s+|\n|\band\s+")
STOP = "<|endoftext|>"
SPECIAL = (STOP, TURN, END, CLIP_BEGIN, CLIP_END, CLIP_PAD, REF, SEG, MEM)


@dataclass(frozen=True, kw_only=True, slots=True)
class Said:
    """An answer as a person reads it, and which part of it names each target."""

    text: str
    names: tuple[tuple[int, int], ...]


class UniPixelVocabulary:
    """A tokenizer that knows the slots.

    Raises:
        WeightsError: a slot is missing.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        found = {name: tokenizer.token_to_id(name) for name in SPECIAL}
        missing = [name for name, number in found.items() if number is None]
        if missing:
            raise WeightsError(
                f"tokenizer: expected the tokens {', '.join(SPECIAL)}, got none for "
                f"{', '.join(missing)}. Copy {FILE} of the UniPixel model."
            )
        self.id_of = {name: number for name, number in found.items() if number is not None}
        self.end, self.seg = self.id_of[END], self.id_of[SEG]
        self.pad = self.id_of[STOP]

    def __len__(self) -> int:
        return int(self.tokenizer.get_vocab_size(with_added_tokens=True))

    @classmethod
    def load(cls, folder: Path) -> "UniPixelVocabulary":
        """Read ``tokenizer.json`` of a folder.

        Raises:
            WeightsError: it is missing or broken.
        """
        try:
            content = (folder / FILE).read_text(encoding="utf-8")
            keys = set(json.loads(content))
        except (OSError, ValueError, TypeError) as error:
            raise WeightsError(
                f"{folder / FILE}: expected Qwen2.5's tokenizer with UniPixel's slots, got: "
                f"{error}. Copy the whole model folder."
            ) from error
        if not keys >= TOKENIZER_KEYS:
            raise WeightsError(
                f"{folder / FILE}: expected a tokenizer with {', '.join(sorted(TOKENIZER_KEYS))}, "
                f"got other JSON. Copy the file again."
            )
        return cls(Tokenizer.from_str(content))

    @classmethod
    def train(cls, texts: Iterable[str], size: int) -> "UniPixelVocabulary":
        """Learn a tokenizer of at most ``size`` tokens, all bytes among them."""
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        trainer = trainers.BpeTrainer(
            vocab_size=size - len(SPECIAL), initial_alphabet=alphabet, show_progress=False
        )
        tokenizer.train_from_iterator(texts, trainer)
        tokenizer.add_special_tokens([AddedToken(name, special=True) for name in SPECIAL])
        return cls(tokenizer)

    def save(self, folder: Path) -> None:
        """Write ``tokenizer.json``."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / FILE).write_text(self.tokenizer.to_str(), encoding="utf-8")

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text whose slots are meant."""
        return list(self.tokenizer.encode(text, add_special_tokens=False).ids)

    def read(self, ids: Sequence[int]) -> Said:
        """Return what written ids say, without slots; a <seg> is named by the words before it.

        Where there are none, it is named by its number: "[1]".
        """
        text = ""
        names: list[tuple[int, int]] = []
        for piece in self._pieces(ids):
            if piece is not None:
                text += piece if text else piece.lstrip()
                continue
            text = text.rstrip()
            start = _name_start(text, names[-1][1] if names else 0)
            if start >= len(text):
                text += f"{' ' if text else ''}[{len(names) + 1}]"
                start = text.rindex("[")
            names.append((start, len(text)))
        stripped = text.rstrip()
        return Said(text=stripped, names=tuple((a, min(b, len(stripped))) for a, b in names))

    def _pieces(self, ids: Sequence[int]) -> list[str | None]:
        """Return stretches of text, and None for each <seg>; other slots say nothing."""
        pieces: list[str | None] = []
        words: list[int] = []
        silent = set(self.id_of.values()) - {self.seg}
        for token in ids:
            if token == self.seg:
                pieces += [self.tokenizer.decode(words), None]
                words = []
            elif token not in silent:
                words.append(token)
        return [*pieces, self.tokenizer.decode(words)]


def _name_start(text: str, after: int) -> int:
    """Return where the words before a slot begin: after a stop, an "and", or another slot."""
    stops = [match.end() for match in STOPS.finditer(text, after)]
    start = stops[-1] if stops else after
    return start + len(text[start:]) - len(text[start:].lstrip())


def protect(text: str) -> str:
    """Return a typed text in which nothing is read as a slot: "<|seg|>" becomes "<| seg|>"."""
    for name in SPECIAL:
        text = text.replace(name, name.replace("<|", "<| "))
    return text


def token_ids(vocabulary: UniPixelVocabulary) -> dict[str, Any]:
    """Return what a config says of a vocabulary's slots."""
    return {
        "video_token_id": vocabulary.id_of[CLIP_PAD],
        "vision_start_token_id": vocabulary.id_of[CLIP_BEGIN],
        "vision_end_token_id": vocabulary.id_of[CLIP_END],
        "ref_token_id": vocabulary.id_of[REF],
        "seg_token_id": vocabulary.id_of[SEG],
        "mem_token_id": vocabulary.id_of[MEM],
    }
