"""Words <-> token ids: special tokens, and how an answer is written so that it can be read back.

An answer is written as its codebook groups first (locate), then the sentence, in which ``<g>`` and
``</g>`` enclose the phrase of the next group and ``<c>`` and ``</c>`` the conclusion:

    <seg0><seg1><seg0><seg1>The<g> red mug</g> and the<g> blue kite</g>. There are<c> 2</c>.</s>
"""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from deixis.errors import WeightsError
from deixis.structures.answers import GroundedAnswer, Target

PAD, BOS, EOS, REF, MEM, ANSWER = "<pad>", "<bos>", "</s>", "<ref>", "<mem>", "<answer>"
NAME, NAME_END, CONCLUDE, CONCLUDE_END = "<g>", "</g>", "<c>", "</c>"
SPECIAL = (PAD, BOS, EOS, REF, MEM, ANSWER, NAME, NAME_END, CONCLUDE, CONCLUDE_END)
_TOKENIZER_KEYS = {"added_tokens", "decoder", "model", "pre_tokenizer"}
_WORD = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)?")


def words_of(text: str) -> list[str]:
    """Return the lower-case words of a text, without numbers and punctuation."""
    return _WORD.findall(text.lower())


def groups_of(answer: GroundedAnswer) -> list[tuple[Target, tuple[int, int] | None]]:
    """Return the targets, present and absent, in the order of their groups, each with its name.

    Groups stand in the order in which the text names them. What has no name of its own, because
    the text does not mention it or only inside another name, comes last, with None.
    """
    found: list[tuple[Target, tuple[int, int] | None]] = []
    found += zip(answer.targets, answer.spans, strict=True)
    for target in answer.absent:
        taken = [span for _, span in found if span]
        found.append((target, next(iter(_places(answer.text, target.phrase, taken)), None)))
    named, unnamed, end = [], [], 0
    for target, span in sorted(found, key=lambda item: item[1] or (len(answer.text), 0)):
        if span and span[0] >= end:
            named.append((target, span))
            end = span[1]
        else:
            unnamed.append((target, None))
    return [*named, *unnamed]


def find_groups(ids: Sequence[int], group: Sequence[int]) -> tuple[list[int], int]:
    """Return where complete groups begin, and how many were begun and not finished.

    A run of group tokens that is no group counts once, and again wherever a group begins in it.
    """
    starts, unfinished, position, broken = [], 0, 0, False
    while position < len(ids):
        token = ids[position]
        if token in group:
            if list(ids[position : position + len(group)]) == list(group):
                starts.append(position)
                position, broken = position + len(group), False
                continue
            unfinished += token == group[0] or not broken
        position, broken = position + 1, token in group
    return starts, unfinished


def _places(
    text: str, phrase: str, taken: Sequence[tuple[int, int]]
) -> list[tuple[int, int]]:
    """Return where a phrase stands in a text, outside of the ranges that are taken."""
    starts = [m.start() for m in re.finditer(f"(?={re.escape(phrase)})", text)] if phrase else []
    spans = [(start, start + len(phrase)) for start in starts]
    return [s for s in spans if all(s[1] <= a or b <= s[0] for a, b in taken)]


@dataclass(frozen=True, kw_only=True, slots=True)
class Written:
    """An answer as read back from tokens.

    Attributes:
        text: what a person reads.
        names: character ranges of the named phrases, in order; range i names group i.
        conclusion: the short answer, or None.
        groups: number of complete groups.
        unfinished: number of groups begun and not finished.
        starts: for each complete group, the position of its first token.
    """

    text: str
    names: tuple[tuple[int, int], ...]
    conclusion: str | None
    groups: int
    unfinished: int
    starts: tuple[int, ...]


class Vocabulary:
    """A byte-level tokenizer with Deixis's special tokens and ``group_size`` codebook tokens."""

    def __init__(self, tokenizer: Tokenizer, group_size: int) -> None:
        self.tokenizer = tokenizer
        self.group_size = group_size
        names = (*SPECIAL, *self.group_tokens(group_size))
        found = {name: tokenizer.token_to_id(name) for name in names}
        ids = {name: i for name, i in found.items() if i is not None}
        missing = [name for name in names if name not in ids]
        if missing:
            raise WeightsError(
                f"tokenizer: expected the special tokens {', '.join(names)}, "
                f"got none for {', '.join(missing)}. Was it trained for another model?"
            )
        self.pad, self.bos, self.eos = ids[PAD], ids[BOS], ids[EOS]
        self.ref, self.mem, self.answer = ids[REF], ids[MEM], ids[ANSWER]
        self.name, self.name_end = ids[NAME], ids[NAME_END]
        self.conclude, self.conclude_end = ids[CONCLUDE], ids[CONCLUDE_END]
        self.group = tuple(ids[t] for t in self.group_tokens(group_size))

    @staticmethod
    def group_tokens(size: int) -> tuple[str, ...]:
        """Return the codebook tokens of one group, in reading order."""
        return tuple(f"<seg{i}>" for i in range(size))

    @classmethod
    def train(cls, texts: Iterable[str], group_size: int, size: int = 1500) -> "Vocabulary":
        """Train byte-level BPE on texts; bytes make every other input writable too."""
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=size,
            special_tokens=[*SPECIAL, *cls.group_tokens(group_size)],
            initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
            show_progress=False,
        )
        tokenizer.train_from_iterator(texts, trainer)
        return cls(tokenizer, group_size)

    @classmethod
    def load(cls, path: Path, group_size: int) -> "Vocabulary":
        """Read ``tokenizer.json``.

        Raises:
            OSError, ValueError: the file is missing or no tokenizer.
        """
        text = path.read_text(encoding="utf-8")
        stored = json.loads(text)
        if not isinstance(stored, dict) or not stored.keys() >= _TOKENIZER_KEYS:
            raise WeightsError(
                f"{path.name}: expected a tokenizer with {', '.join(sorted(_TOKENIZER_KEYS))}, "
                f"got other JSON."
            )
        return cls(Tokenizer.from_str(text), group_size)

    def save(self, path: Path) -> None:
        """Write ``tokenizer.json``."""
        self.tokenizer.save(str(path))

    def __len__(self) -> int:
        return self.tokenizer.get_vocab_size()

    def plain(self, text: str) -> list[int]:
        """Return the ids of a text in which special tokens, if any, are ordinary characters."""
        pieces = re.split(r"(<[^<>]*>)", text)
        ids: list[int] = []
        for piece in pieces:  # a typed "<seg0>" must not become the real one
            halves = [piece[:1], piece[1:]] if piece.startswith("<") else [piece]
            for half in filter(None, halves):
                ids += self.tokenizer.encode(half, add_special_tokens=False).ids
        return ids

    def word_ids(self, word: str) -> list[int]:
        """Return the ids of a word as it stands inside a sentence."""
        return self.plain(" " + word)

    # -- answers ----------------------------------------------------------------------------

    def write(self, answer: GroundedAnswer) -> list[int]:
        """Write a true answer as tokens, groups first."""
        text, groups = answer.text, groups_of(answer)
        spans = [span for _, span in groups if span]
        marks = [(*span, self.name, self.name_end) for span in spans]
        last = _places(text, answer.conclusion or "", spans)[-1:]
        marks += [(*span, self.conclude, self.conclude_end) for span in last]
        ids = list(self.group) * len(groups)
        cursor = 0
        for start, stop, opening, closing in sorted(marks):
            lead = start - 1 if start > cursor and text[start - 1] == " " else start
            ids += [*self.plain(text[cursor:lead]), opening]
            ids += [*self.plain(text[lead:stop]), closing]
            cursor = stop
        return [*ids, *self.plain(text[cursor:]), self.eos]

    def read(self, ids: Sequence[int]) -> Written:
        """Read back whatever a model wrote; never fails."""
        ids = list(ids)
        ids = ids[: ids.index(self.eos)] if self.eos in ids else ids
        starts, unfinished = find_groups(ids, self.group)
        pieces: list[tuple[str, list[int]]] = [("", [])]
        for token in ids:
            if token in (self.name, self.name_end, self.conclude, self.conclude_end):
                pieces.append((self.tokenizer.id_to_token(token) or "", []))
            elif token not in (
                self.pad, self.bos, self.ref, self.mem, self.answer, *self.group,
            ):  # fmt: skip
                pieces[-1][1].append(token)
        return self._assembled(pieces, tuple(starts), unfinished)

    def _assembled(
        self, pieces: list[tuple[str, list[int]]], starts: tuple[int, ...], unfinished: int
    ) -> Written:
        text, names, conclusion = "", [], None
        for mark, ids in pieces:
            piece = self.tokenizer.decode(ids, skip_special_tokens=False) if ids else ""
            stripped = piece.strip()
            start = len(text) + len(piece) - len(piece.lstrip())
            text += piece
            if mark == NAME and stripped:
                names.append((start, start + len(stripped)))
            elif mark == CONCLUDE and stripped and conclusion is None:
                conclusion = stripped
        lead = len(text) - len(text.lstrip())
        return Written(
            text=text.strip(),
            names=tuple((a - lead, b - lead) for a, b in names),
            conclusion=conclusion,
            groups=len(starts),
            unfinished=unfinished,
            starts=starts,
        )
