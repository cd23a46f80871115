"""`deixis ask --chat`: several questions about the same images, with a memory of objects."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from deixis.cli.asking.arguments import Asked, check_settings, make_sample, read_prompts
from deixis.cli.asking.telling import (
    Settings,
    load_reasoner,
    numbered,
    print_answer,
    stdout_kept,
    write_out,
)
from deixis.cli.faults import say
from deixis.errors import DataError, DeixisError
from deixis.reasoning.memory import ObjectMemory
from deixis.structures.numbering import image_name, ordinal
from deixis.structures.samples import Question, Sample

if TYPE_CHECKING:
    from deixis.reasoning.reasoner import Reasoner
    from deixis.structures.images import ImageSet
    from deixis.structures.prompts import Prompt

HELP = """Ask in words; [2] or [cup] means an object of this conversation.
  /objects           what the conversation has pointed at
  /rename 2 cup      give an object a name
  /forget 2          forget an object; without a number, all
  /save F  /load F   the memory, as a file
  /point 1:x,y=NAME  point at something in the next question; also /box and /mask
  /quit              leave"""


def converse(asked: Asked, settings: Settings) -> None:
    """Answer questions from stdin until it ends or says /quit.

    The arguments are images; the last one may be the first question. A turn that cannot be
    answered says why, and the conversation goes on.
    """
    check_settings(settings.device, settings.dtype, settings.out)
    paths, question = _split(asked.inputs)
    sample = make_sample(paths, question, asked)
    settings.check()
    with stdout_kept():
        reasoner = load_reasoner(settings)
    chat = Conversation(reasoner, sample.images, settings, list(sample.question.prompts))
    if question:
        chat.take(question)
    for line in _lines():
        if not chat.take(line):
            break


@dataclass
class Conversation:
    """Images, a reasoner with its memory, and what was pointed at for the next question."""

    reasoner: Reasoner
    images: ImageSet
    settings: Settings
    prompts: list[Prompt] = field(default_factory=list)
    turns: int = 0

    def take(self, line: str) -> bool:
        """Do what a line says; False means that it was the last one."""
        text = line.strip()
        if text in ("/quit", "/exit"):
            return False
        try:
            if text.startswith("/"):
                self.obey(*text[len("/") :].partition(" ")[::2])
            elif text:
                self.answer(text)
        except DeixisError as error:
            say(str(error))
        return True

    def answer(self, text: str) -> None:
        """Answer a question; what was pointed at is used up."""
        turn = numbered(make_turn(self.images, text, tuple(self.prompts)), self.reasoner.memory)
        with stdout_kept():
            answer = self.reasoner.answer(self.images, text, turn.question.prompts)
        print_answer(answer, self.images)
        self.turns = ordinal(self.turns)
        if self.settings.out is not None:
            write_out(self.settings.out / f"turn_{self.turns}", turn, answer, self.reasoner.name)
        self.prompts.clear()

    def obey(self, command: str, rest: str) -> None:
        """Carry out a command.

        Raises:
            DataError: an unknown one, or one whose words are missing or wrong.
        """
        commands: Mapping[str, Callable[[str], None]] = {
            "objects": self._list,
            "rename": self._rename,
            "forget": lambda handle: self.reasoner.memory.forget(_handle(handle) or None),
            "save": lambda path: self.reasoner.memory.save(_needed(path, "/save FILE")),
            "load": self._load,
            "point": lambda typed: self._point(Asked(inputs=(), points=(typed.strip(),))),
            "box": lambda typed: self._point(Asked(inputs=(), boxes=(typed.strip(),))),
            "mask": lambda typed: self._point(Asked(inputs=(), masks=(typed.strip(),))),
            "help": lambda _: print(HELP),
        }
        if command not in commands:
            raise DataError(
                f"/{command}: expected one of {', '.join(f'/{name}' for name in commands)} and "
                f"/quit, got something else. See /help."
            )
        commands[command](rest)

    def _list(self, _: str) -> None:
        for one in self.reasoner.memory:
            seen = sorted({self.images.image_of(s.index) for s in one.seen if self._here(s.index)})
            places = ", ".join(image_name(image) for image in seen)
            print(f"  {one.handle}  {one.phrase}  {places}".rstrip())
        if not len(self.reasoner.memory):
            print("  nothing yet")

    def _here(self, index: int) -> bool:
        return index < len(self.images)

    def _rename(self, rest: str) -> None:
        handle, _, name = rest.strip().partition(" ")
        form = "/rename 2 cup"
        self.reasoner.memory.rename(_handle(_needed(handle, form)), _needed(name, form))

    def _load(self, path: str) -> None:
        self.reasoner.memory = ObjectMemory.load(_needed(path, "/load FILE"))

    def _point(self, asked: Asked) -> None:
        self.prompts += read_prompts(self.images, asked)
        make_turn(self.images, "", tuple(self.prompts))


def make_turn(images: ImageSet, text: str, prompts: tuple[Prompt, ...]) -> Sample:
    """Return a turn as a sample, which checks that its prompts fit the images."""
    return Sample(images=images, question=Question(text=text, prompts=prompts))


def _split(inputs: Sequence[str]) -> tuple[list[str], str]:
    """Return the image paths, and the first question where the last argument is one."""
    paths = list(inputs)
    question = paths.pop() if paths and not os.path.exists(paths[-1]) else ""
    if not paths:
        raise DataError(
            "images: expected at least one to talk about, got none. "
            "Write: deixis ask IMAGE... --chat."
        )
    return paths, question.strip()


def _lines() -> Iterator[str]:
    """Yield lines of stdin; a person sees a prompt."""
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="surrogateescape")
    asking = sys.stdin.isatty()
    while True:
        if asking:
            print("> ", end="", file=sys.stderr, flush=True)
        line = sys.stdin.readline()
        if not line:
            return
        yield line


def _needed(text: str, form: str) -> str:
    if not text.strip():
        raise DataError(f"chat: expected {form}, got less. Write it again.")
    return text.strip()


def _handle(text: str) -> str:
    """Return a handle without the brackets that a person may write around it."""
    return text.strip().removeprefix("[").removesuffix("]")
