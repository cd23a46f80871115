"""PixelLM's conversations as text, and the way back: which words of an answer a group follows."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from deixis.processing.words.pixellm_words import (
    IMAGE_END,
    IMAGE_MARK,
    IMAGE_START,
    TYPED,
    PixelLMVocabulary,
)
from deixis.structures.answers import GroundedAnswer

END = "</s>"  # of an answer
IMAGE_PROMPT = f"{IMAGE_START}{IMAGE_MARK}{IMAGE_END}\n"


@dataclass(frozen=True, kw_only=True, slots=True)
class Template:
    """How a conversation is written.

    Attributes:
        opening: before the first turn; again: before every further one.
        system: before the first question, inside its turn.
        ask, reply: a question that waits for its answer, and the answer.
    """

    opening: str = ""
    again: str = ""
    system: str = ""
    ask: str
    reply: str


# What the released models were trained with, the 13B too.
LLAVA_V1 = Template(
    opening="A chat between a curious human and an artificial intelligence assistant. "
    "The assistant gives helpful, detailed, and polite answers to the human's questions. ",
    ask="USER: {question} ASSISTANT:",
    reply=" {answer}</s>",
)
LLAVA_LLAMA_2 = Template(
    again="<s>",
    system="<<SYS>>\nYou are a helpful language and vision assistant. You are able to understand "
    "the visual content that the user provides, and assist the user with a variety of tasks using "
    "natural language.\n<</SYS>>\n\n",
    ask="[INST] {question} [/INST]",
    reply=" {answer} </s>",
)
Turn = tuple[str, str | None]  # a question, and its answer where one is given


def turn_texts(
    turns: Sequence[Turn], *, image: bool, template: Template = LLAVA_V1
) -> list[tuple[str, str]]:
    """Return (prompt, reply) of each turn; the image, if there is one, opens the first question."""
    texts = []
    for index, (question, answer) in enumerate(turns):
        before = template.again if index else template.opening
        asked = question if index else template.system + IMAGE_PROMPT * image + question
        reply = "" if answer is None else template.reply.format(answer=answer)
        texts.append((before + template.ask.format(question=asked), reply))
    return texts


def grounded_text(answer: GroundedAnswer, group: str) -> tuple[str, list[str], list[int]]:
    """Return an answer with a group after each name, as template and typed pieces.

    Also returns which target each group is, in the order of the text.
    """
    order = sorted(range(len(answer.spans)), key=lambda index: answer.spans[index][1])
    text, typed, cursor = "", [], 0
    for index in order:
        stop = answer.spans[index][1]
        text += f"{TYPED} {group} "
        typed.append(answer.text[cursor:stop])
        cursor = stop
    rest = answer.text[cursor:]
    if rest:
        text += TYPED
        typed.append(rest)
    return text.rstrip(), typed, order


# -- the way back -----------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class Spoken:
    """An answer as read back: its text, and where it names each target."""

    text: str
    names: tuple[tuple[int, int], ...]


_CLAUSE = re.compile(r"[.!?;:\n]\s*")  # ends what a name may be taken from
_COPULA = re.compile(r"\s+(?:is|are|was|were)$")
_JOINER = re.compile(r"(?:\s|,|(?:and|or)\s)*", re.IGNORECASE)
_ASSENT = re.compile(r"(?:sure|yes|okay|ok|certainly|of course)", re.IGNORECASE)  # names nothing
_BETWEEN = re.compile(r"[\s,]*(?:and|or)?[\s,]*", re.IGNORECASE)
_COMMA = re.compile(r",\s*")
_LIST = re.compile(r",\s*(?:and\s+|or\s+)?|\s+(?:and|or)\s+", re.IGNORECASE)


def spoken(
    ids: Sequence[int], targets: Sequence[Sequence[int]], vocabulary: PixelLMVocabulary
) -> Spoken:
    """Read an answer: each group is named by the words that it follows.

    Of "x, y and z are G, G and G." each group takes one name of the list; a group without words
    is called "target 1", "target 2", ... in the text.

    Args:
        ids: the answer's tokens.
        targets: positions of each target's tokens, in order.
        vocabulary: that the answer is written in.
    """
    ends = {columns[-1] for columns in targets}
    said = _Saying()
    for token, words, position in vocabulary.segments(ids):
        if token == vocabulary.eos:
            break
        if token is None:
            said.add(words)
        elif position in ends:
            said.groups += 1
    return said.done()


class _Saying:
    """The text so far, its names, and the groups that stand at its end."""

    def __init__(self) -> None:
        self.text, self.groups, self.mark = "", 0, 0
        self.names: list[tuple[int, int]] = []

    def add(self, words: str) -> None:
        if self.groups and _BETWEEN.fullmatch(words):
            return  # joins two groups
        self.name_groups()
        self.text = _beside(self.text, words)

    def name_groups(self) -> None:
        """Name the groups at the end by the words since the groups before them."""
        if not self.groups:
            return
        found = _names(self.text[self.mark :], self.groups)
        if found:
            self.names += [(self.mark + start, self.mark + stop) for start, stop in found]
        else:
            for index in range(self.groups):
                joint = "" if index == 0 else " and" if index == self.groups - 1 else ","
                phrase = f"target {len(self.names) + 1}"
                self.text = _beside(self.text + joint, phrase)
                self.names.append((len(self.text) - len(phrase), len(self.text)))
        self.groups, self.mark = 0, len(self.text)

    def done(self) -> Spoken:
        self.name_groups()
        return Spoken(text=self.text.rstrip(), names=tuple(self.names))


def _names(words: str, count: int) -> list[tuple[int, int]]:
    """Return where the names of ``count`` groups stand in the words before them, if they do."""
    stop = len(words.rstrip())
    start = max((m.end() for m in _CLAUSE.finditer(words, 0, stop) if m.end() < stop), default=0)
    copula = _COPULA.search(words[:stop], start)
    stop = copula.start() if copula else stop
    parts, cursor = [], start
    for joint in (_COMMA if count == 1 else _LIST).finditer(words, start, stop):
        parts.append((cursor, joint.start()))
        cursor = joint.end()
    trimmed = []
    for first, last in [*parts, (cursor, stop)]:
        joiner = _JOINER.match(words, first, last)
        first = joiner.end() if joiner else first
        if not _ASSENT.fullmatch(words, first, last):
            trimmed.append((first, last))
    found = trimmed[-count:]
    named = all(re.search(r"\w", words[first:last]) for first, last in found)
    return found if named and len(found) == count else []


def _beside(text: str, words: str) -> str:
    """Put words after a text, with a space where people write one."""
    words = words.lstrip() if not text or text[-1].isspace() else words
    close = not text or text[-1].isspace() or re.match(r"[\s.,;:!?)\]}%]", words)
    return text + ("" if close or not words else " ") + words
