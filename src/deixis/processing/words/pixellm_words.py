"""PixelLM's words <-> token ids, exactly as its tokenizer of 2023 made them.

The SentencePiece model of LLaMA writes plain text; added tokens ([SEG0], <im_start>, ...) swallow
the white space on both sides, and what follows one is written as if it began a sentence.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Literal

from sentencepiece import SentencePieceProcessor, SentencePieceTrainer

from deixis.errors import WeightsError
from deixis.processing.batches.pixellm_batch import IMAGE
from deixis.processing.vocabulary import find_groups

Malformed = Literal["keep", "drop_all"]
IMAGE_MARK = "<image>"
IMAGE_START, IMAGE_END = "<im_start>", "<im_end>"
TYPED = "\ufdd0"  # stands in a template for what a person typed; no character of any text


def group_names(size: int) -> tuple[str, ...]:
    """Return the codebook tokens of one group, in reading order; a lone one has no number."""
    return ("[SEG]",) if size == 1 else tuple(f"[SEG{i}]" for i in range(size))


class PixelLMVocabulary:
    """A SentencePiece model and the tokens that PixelLM added to it.

    Args:
        model: the bytes of ``tokenizer.model``.
        added: token -> id, among them the group and <im_start>, <im_end>.
        group_size: L * K.

    Raises:
        WeightsError: bytes that are no model, tokens that are missing or share an id.
    """

    def __init__(self, model: bytes, added: Mapping[str, int], group_size: int) -> None:
        self.model = model
        try:
            self.pieces = SentencePieceProcessor(model_proto=model)
        except RuntimeError as error:
            raise WeightsError(
                "tokenizer.model: expected a SentencePiece model, got other bytes. "
                "Copy the file again."
            ) from error
        self.bos, self.eos, self.unknown = (
            self.pieces.bos_id(), self.pieces.eos_id(), self.pieces.unk_id(),
        )  # fmt: skip
        self.pad = self.unknown  # as published
        self.added = dict(added)
        names = group_names(group_size)
        self._check(names)
        self.group = tuple(self.added[name] for name in names)
        self.image_start, self.image_end = self.added[IMAGE_START], self.added[IMAGE_END]
        own = {self.pieces.id_to_piece(i): i for i in (self.unknown, self.bos, self.eos)}
        self._special = {**own, **self.added}
        longest_first = sorted(self._special, key=len, reverse=True)
        self._split = re.compile(f"({'|'.join(map(re.escape, longest_first))})")
        self._word_of = {number: word for word, number in self._special.items()}

    def _check(self, names: Sequence[str]) -> None:
        needed = (*names, IMAGE_START, IMAGE_END)
        missing = [name for name in needed if name not in self.added]
        if missing:
            raise WeightsError(
                f"added tokens: expected {', '.join(needed)}, got none for "
                f"{', '.join(missing)}. Was the tokenizer made for another number of tokens?"
            )
        ids = [self.added[name] for name in needed]
        if len(set(ids)) != len(ids) or min(self.added.values()) < 0:
            raise WeightsError(
                f"added tokens: expected {len(needed)} different ids for {', '.join(needed)}, got "
                f"{ids}. Take added_tokens.json of the checkpoint; a tokenizer of another version "
                f"may give all groups one id."
            )

    @classmethod
    def load(cls, folder: Path, group_size: int) -> "PixelLMVocabulary":
        """Read ``tokenizer.model`` and ``added_tokens.json`` of a folder.

        Raises:
            OSError, ValueError: a file is missing or broken.
        """
        added = json.loads((folder / "added_tokens.json").read_text(encoding="utf-8"))
        fits = isinstance(added, dict) and all(type(number) is int for number in added.values())
        if not fits:
            raise WeightsError("added_tokens.json: expected token names and their ids.")
        return cls((folder / "tokenizer.model").read_bytes(), added, group_size)

    @classmethod
    def train(cls, texts: Sequence[str], group_size: int, size: int) -> "PixelLMVocabulary":
        """Train byte-fallback BPE on texts; ``size`` counts the added tokens too."""
        names = (*group_names(group_size), IMAGE_START, IMAGE_END)
        model = BytesIO()
        SentencePieceTrainer.train(
            sentence_iterator=iter([*texts]),
            model_writer=model,
            vocab_size=size - len(names),
            model_type="bpe",
            byte_fallback=True,
            normalization_rule_name="identity",
            remove_extra_whitespaces=False,
            character_coverage=1.0,
            hard_vocab_limit=False,
            minloglevel=2,
        )
        pieces = SentencePieceProcessor(model_proto=model.getvalue()).get_piece_size()
        added = {name: pieces + i for i, name in enumerate(names)}
        return cls(model.getvalue(), added, group_size)

    def save(self, folder: Path) -> None:
        """Write ``tokenizer.model`` and ``added_tokens.json``."""
        (folder / "tokenizer.model").write_bytes(self.model)
        text = json.dumps(self.added, indent=1)
        (folder / "added_tokens.json").write_text(text, encoding="utf-8")

    def __len__(self) -> int:
        return int(max(self.pieces.get_piece_size(), *(i + 1 for i in self.added.values())))

    # -- words to ids -----------------------------------------------------------------------------

    def encode(self, text: str, typed: Sequence[str] = ()) -> list[int]:
        """Return the ids of a text; each TYPED in it stands for the next of ``typed``.

        What people typed is plain text: "[SEG0]" in it is no codebook token.
        """
        typing = iter(typed)
        parts = [part for part in self._split.split(text) if part]
        ids: list[int] = []
        for index, part in enumerate(parts):
            if part in self._special:
                ids.append(self._special[part])
                continue
            if index and parts[index - 1] in self.added:
                part = part.lstrip()
            if index + 1 < len(parts) and parts[index + 1] in self.added:
                part = part.rstrip()
            plain = re.sub(TYPED, lambda _: next(typing), part)
            ids += self.pieces.encode(plain) if plain else []
        return ids

    def encode_prompt(self, text: str, typed: Sequence[str] = ()) -> list[int]:
        """Return the ids of a prompt, beginning with <s>; IMAGE stands where ``<image>`` does."""
        typing = iter(typed)
        ids = [self.bos]
        for index, chunk in enumerate(text.split(IMAGE_MARK)):
            own = [next(typing) for _ in range(chunk.count(TYPED))]
            ids += [*([IMAGE] if index else []), *self.encode(chunk, own)]
        return ids

    # -- ids to words -----------------------------------------------------------------------------

    def segments(self, ids: Sequence[int]) -> Iterator[tuple[int | None, str, int]]:
        """Yield (special token or None, its text or that of a run of words, first position)."""
        run: list[int] = []
        known = self.pieces.get_piece_size()  # embeddings may have rows that no word uses
        for position, token in enumerate([*ids, None]):
            if token is not None and token not in self._word_of and token != IMAGE:
                run.append(token)
                continue
            if run:
                words = self.pieces.decode([piece for piece in run if piece < known])
                yield None, words, position - len(run)
                run = []
            if token is not None and token != IMAGE:
                yield token, self._word_of[token], position

    def transcript(self, ids: Sequence[int]) -> str:
        """Return ids as the published code shows them: special tokens kept, spaces as there."""
        runs: list[list[tuple[int | None, str]]] = [[]]
        for token, text, _ in self.segments(ids):
            if token is not None and text in self.added:
                runs += [[(token, text)], []]
            else:
                runs[-1].append((token, text))
        return " ".join(_joined(run) for run in runs if run)

    def groups(
        self, ids: Sequence[int], malformed: Malformed = "keep"
    ) -> tuple[list[list[int]], int]:
        """Return the positions of each target's tokens, and how many targets are left out.

        "keep": complete groups in order. "drop_all": the published rule, which takes any group
        tokens as they come and refuses them all if their number does not fill whole groups.
        """
        size = len(self.group)
        starts, unfinished = find_groups(ids, self.group)
        if malformed == "keep":
            return [[start + i for i in range(size)] for start in starts], unfinished
        own = set(self.group)
        places = [position for position, token in enumerate(ids) if token in own]
        if len(places) % size:
            return [], len(starts) + unfinished
        return [places[first : first + size] for first in range(0, len(places), size)], 0


def _joined(run: Sequence[tuple[int | None, str]]) -> str:
    """Return a run of words and <s>, </s>, <unk>: a space goes before what stands before one of
    these, unless it is the first or follows another."""
    out, held, after_special = "", "", False
    for index, (token, text) in enumerate(run):
        if token is None:
            held, after_special = text, False
            continue
        out += ("" if after_special or not index else " ") + held + text
        held, after_special = "", True
    return out + held
