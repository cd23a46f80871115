"""What all ways of asking share: settings, the model, and an answer on the terminal or in files."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from deixis.cli.asking.arguments import check_settings
from deixis.cli.installed import check_model
from deixis.reasoning.memory import ObjectMemory
from deixis.structures.numbering import frame_key, image_name, ordinal

if TYPE_CHECKING:
    from deixis.reasoning.reasoner import Reasoner
    from deixis.structures.answers import GroundedAnswer, Target
    from deixis.structures.images import ImageSet
    from deixis.structures.samples import Sample


SILENT = "(the model wrote no words)"  # as untrained ones do


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Which model answers, where, and where its answers go."""

    model: str
    device: str | None = None
    dtype: str | None = None
    out: Path | None = None
    json: bool = False

    def check(self) -> None:
        """Refuse what cannot work, before anything heavy is loaded."""
        check_settings(self.device, self.dtype, self.out)
        check_model(self.model)


def numbered(sample: Sample, memory: ObjectMemory) -> Sample:
    """Return the sample with an id for every prompt; without a model.

    Raises:
        DataError: one object on two images, or a handle in the question that nobody bears.
    """
    question = sample.question
    prompts = memory.register(question.prompts, sample.images, moving=True)
    memory.mentioned_in(question.text, sample.images, prompts)
    return replace(sample, question=replace(question, prompts=prompts))


def load_reasoner(settings: Settings) -> Reasoner:
    """Import torch and load the model."""
    from deixis.reasoning.reasoner import load

    return load(settings.model, device=settings.device, dtype=settings.dtype)


@contextmanager
def stdout_kept() -> Iterator[None]:
    """Send whatever libraries print to stderr, so that stdout holds the answer and nothing else."""
    with redirect_stdout(sys.stderr):
        yield


def document_of(answer: GroundedAnswer, images: ImageSet, model: str) -> dict[str, object]:
    """Return the JSON document of an answer."""
    from deixis.structures.wire import answer_to_json

    return answer_to_json(answer, images, model=model)


def write_out(out: Path, sample: Sample, answer: GroundedAnswer, model: str) -> None:
    """Write pictures, masks and ``answer.json``."""
    from deixis.viz.export import write_answer

    document = document_of(answer, sample.images, model)
    write_answer(out, sample.images, answer, document, sample.question.prompts)


def print_answer(answer: GroundedAnswer, images: ImageSet) -> None:
    """Write an answer for a person: the words, then where each target is."""
    from rich.console import Console
    from rich.text import Text

    from deixis.viz.overlay import colours_of

    console, words = Console(soft_wrap=True, highlight=False), Text(answer.text or SILENT)
    colours = [f"rgb({r},{g},{b})" for r, g, b in colours_of(answer)]
    for (start, stop), colour in zip(answer.spans, colours, strict=True):
        words.stylize(f"bold {colour}", start, stop)
    console.print(words)
    for position, (target, colour) in enumerate(zip(answer.targets, colours, strict=True)):
        number = ordinal(position) if target.object_id is None else target.object_id
        line = Text(f"  [{number}] {target.phrase}", style=colour)
        console.print(line.append(f"  {_where(target, images)}", style="default"))
    for target in answer.absent:
        console.print(Text(f"  not found: {target.phrase}", style="dim"))
    if answer.caution:
        console.print(Text(f"  Caution: {answer.caution}", style="yellow"))


def _where(target: Target, images: ImageSet) -> str:
    """Say where a target is: its box in a picture, the frames in which it shows in a clip."""
    places = []
    for image, span in enumerate(images.spans):
        shown = [index for index in span if index in target.masks]
        if shown and images.is_clip(image):
            first, last = frame_key(images, shown[0]), frame_key(images, shown[-1])
            places.append(f"{len(shown)} of {len(span)} frames, {first} to {last}")
        elif shown:
            x0, y0, x1, y1 = target.masks[shown[0]].box or (0, 0, 0, 0)
            places.append(f"{image_name(image)} ({x0}, {y0}, {x1}, {y1})")
    return "; ".join(places)
