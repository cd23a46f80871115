"""`make demo`: one question of every task, several turns, and pictures of what was answered."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from deixis.cli.asking.arguments import check_folder
from deixis.cli.faults import run
from deixis.scenes.questions import TASKS, make_sample
from deixis.structures.answers import GroundedAnswer
from deixis.structures.samples import Question, Sample
from deixis.viz.captions import stacked
from deixis.viz.export import whole_folder, write_animation, write_page
from deixis.viz.overlay import card, contact_sheet, overlay_frames

if TYPE_CHECKING:
    from PIL import Image

    from deixis.reasoning.reasoner import Reasoner

SPLIT, SEED = "test", 2026
MORE = 2  # further questions of each task, on the overview
Figures = list[tuple[str, "Image.Image | bytes"]]


def main() -> None:
    """Write the demo into the folder that the first argument names."""
    run(lambda: start(Path(sys.argv[1] if sys.argv[1:] else "demo")))


def start(folder: Path) -> None:
    """Check the folder, load the package's model and show what it does."""
    check_folder(folder)
    from deixis.reasoning.reasoner import load

    show(folder, load())


def show(folder: Path, reasoner: Reasoner) -> None:
    """Ask, print the answers and write pictures and ``index.html``."""
    figures: Figures = []
    with whole_folder(folder) as draft:
        for task in TASKS:
            figures += show_task(reasoner, task, draft)
        figures.append(show_turns(reasoner, draft))
        show_overview(reasoner, draft)
        write_page(draft / "index.html", "Deixis: answers in words and in pixels", figures)
    names = sorted(path.name for path in folder.iterdir() if path.suffix in (".png", ".gif"))
    print(f"\n{len(names)} pictures in {folder}/: {', '.join(names)}")
    print(f"Open {folder}/index.html to see them all.")


def show_task(reasoner: Reasoner, task: str, folder: Path) -> Figures:
    """Answer the first question of a task; write a card, and an animation where it shows a clip."""
    sample = make_sample(SPLIT, task, SEED, 0)
    (answer,) = reasoner.answer_batch([sample.without_answer()])
    print_turn(task, sample, answer)
    picture = card(sample, answer, title=task)
    picture.save(folder / f"{task}.png")
    figures: Figures = [(task, picture)]
    for image in range(len(sample.images.lengths)):
        times = sample.images.times[image]
        if times is not None:
            path = folder / f"{task}.gif"
            frames = overlay_frames(sample.images, image, answer, sample.question.prompts)
            write_animation(path, frames, times)
            figures.append((f"{task}, moving", path.read_bytes()))
    return figures


def show_turns(reasoner: Reasoner, folder: Path) -> tuple[str, Image.Image]:
    """Talk in turns: what the first answer found is named [1], and asked about again."""
    later = (make_sample(SPLIT, "multi", SEED, index) for index in count(MORE + len(TASKS)))
    sample = next(one for one in later if not one.question.prompts)
    questions = [sample.question.text, "What is [1]?", "What colour is [1]?"]
    cards: list[Image.Image] = []
    for text in questions:
        if cards and not len(reasoner.memory):
            break  # the first answer found nothing to come back to
        answer = reasoner.answer(sample.images, text)
        turn = replace(sample, question=Question(text=text), answer=None)
        print_turn("turns", turn, answer)
        cards.append(card(turn, answer, width=520))
    picture = stacked(cards, gap=0, padding=0)
    picture.save(folder / "turns.png")
    return "several turns", picture


def show_overview(reasoner: Reasoner, folder: Path) -> None:
    """Write a sheet with more questions of every task."""
    keys = [(task, index) for task in TASKS for index in range(1, 1 + MORE)]
    samples = [make_sample(SPLIT, task, SEED, index) for task, index in keys]
    answers = reasoner.answer_batch([sample.without_answer() for sample in samples])
    titles = [
        f"{task}: {_verdict(s, a)}" for (task, _), s, a in zip(keys, samples, answers, strict=True)
    ]
    contact_sheet(samples, answers, columns=6, titles=titles, width=330).save(
        folder / "overview.png"
    )


def print_turn(task: str, sample: Sample, answer: GroundedAnswer) -> None:
    """Print a question, its answer and, where the scene knows it, the truth."""
    print(f"\n{task}: {sample.question.text}\n  -> {answer.text}")
    if sample.answer is not None:
        print(f"  ({_verdict(sample, answer)})")


def _verdict(sample: Sample, answer: GroundedAnswer) -> str:
    """Say how the answer compares with the truth of the scene."""
    from deixis.metrics.tally import measure

    assert sample.answer is not None
    names: Sequence[str] = ("giou", "answer_accuracy")
    found = measure(sample.images, sample.answer, answer, names).result()
    words = []
    if sample.answer.targets or answer.targets:
        words.append(f"masks overlap {100 * found['giou']:.0f} % with the truth")
    if sample.answer.conclusion is not None:
        right = "right" if found["answer_accuracy"] == 1 else "wrong"
        words.append(f'{right}, the truth is "{sample.answer.conclusion}"')
    return "; ".join(words) or "rightly nothing"


if __name__ == "__main__":
    main()
