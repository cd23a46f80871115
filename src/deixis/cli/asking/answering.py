"""`deixis ask`: one question, a conversation, or a file of questions."""

from __future__ import annotations

import json
from pathlib import Path

from deixis.cli.asking.arguments import Asked, check_settings, read_sample
from deixis.cli.asking.batch import answer_file
from deixis.cli.asking.chat import converse
from deixis.cli.asking.telling import (
    Settings,
    document_of,
    load_reasoner,
    numbered,
    print_answer,
    stdout_kept,
    write_out,
)
from deixis.errors import ConfigError
from deixis.reasoning.memory import ObjectMemory


def ask(asked: Asked, settings: Settings, *, chat: bool, batch: Path | None) -> None:
    """Answer one question, a conversation, or a file of questions.

    Raises:
        ConfigError: options that exclude each other.
    """
    if chat and (batch is not None or settings.json):
        other = "--batch" if batch is not None else "--json"
        raise ConfigError(f"--chat: expected no {other} beside it, got both. Leave one out.")
    if batch is not None:
        answer_file(batch, asked, settings)
    elif chat:
        converse(asked, settings)
    else:
        answer_once(asked, settings)


def answer_once(asked: Asked, settings: Settings) -> None:
    """Answer one question."""
    check_settings(settings.device, settings.dtype, settings.out)
    sample = numbered(read_sample(asked), ObjectMemory())
    settings.check()
    with stdout_kept():
        reasoner = load_reasoner(settings)
        question = sample.question
        answer = reasoner.answer(sample.images, question.text, question.prompts)
        if settings.out is not None:
            write_out(settings.out, sample, answer, reasoner.name)
    if settings.json:
        print(json.dumps(document_of(answer, sample.images, reasoner.name)))
    else:
        print_answer(answer, sample.images)
