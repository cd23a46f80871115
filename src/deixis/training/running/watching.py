"""How a training is watched: loss parts, their journal, the display, the judge and the pictures."""

import json
import logging
import time
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

logger = logging.getLogger("deixis.training")

PLAIN_LINE_EVERY = 30.0  # seconds, where there is no terminal to draw on


class Window:
    """Sums since the last line of the journal; saved with a checkpoint, so that no line changes."""

    def __init__(self) -> None:
        self.parts: dict[str, float] = defaultdict(float)
        self.steps = 0
        self.questions = 0
        self.seconds = 0.0  # of training alone: without judging, painting and saving
        self.seconds_in_all = 0.0

    def add(self, parts: Mapping[str, float], questions: int) -> None:
        """Count the parts of the loss of one step."""
        for name, value in parts.items():
            self.parts[name] += value
        self.steps += 1
        self.questions += questions

    def spend(self, seconds: float) -> None:
        """Count the time of one step."""
        self.seconds += seconds
        self.seconds_in_all += seconds

    def close(self) -> dict[str, Any]:
        """Return the means over the steps and begin anew."""
        parts = {name: value / self.steps for name, value in self.parts.items()}
        line = {
            "loss": sum(parts.values()),
            "parts": parts,
            "seconds": round(self.seconds_in_all, 3),
            "questions_per_second": round(self.questions / max(self.seconds, 1e-9), 2),
        }
        self.parts, self.steps, self.questions, self.seconds = defaultdict(float), 0, 0, 0.0
        return line

    def state(self) -> dict[str, Any]:
        """Return what must be kept to go on exactly here."""
        return {**vars(self), "parts": dict(self.parts)}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what ``state`` had returned."""
        self.__dict__.update(state)
        self.parts = defaultdict(float, state["parts"])


class Journal:
    """``metrics.jsonl`` and tensorboard of a run: one line for each log and each judgement."""

    def __init__(self, folder: Path, stage: str, *, before: int, resumed: int) -> None:
        """Open at a stage that goes on after step ``resumed``, with ``before`` steps ahead of it.

        Lines that an interrupted training wrote after that step are taken back: they come again.
        """
        from torch.utils.tensorboard import SummaryWriter

        self.path = folder / "metrics.jsonl"
        self.stage = stage
        self.before = before
        self._take_back(resumed)
        self.board = SummaryWriter(str(folder / "tensorboard"), purge_step=before + resumed + 1)

    def write(self, step: int, values: Mapping[str, Any]) -> None:
        """Append one line, and one point for every number in it."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"stage": self.stage, "step": step, **values}) + "\n")
        for name, value in values.items():
            points = value if isinstance(value, Mapping) else {"": value}
            for inner, number in points.items():
                tag = f"{name}/{inner}" if inner else name
                self.board.add_scalar(tag, number, self.before + step)
        self.board.flush()

    def close(self) -> None:
        """Let go of the files."""
        self.board.close()

    def _take_back(self, resumed: int) -> None:
        if not self.path.exists():
            return
        kept = []
        for text in self.path.read_text(encoding="utf-8").splitlines():
            try:
                line = json.loads(text)
            except ValueError:  # the line that a kill cut short
                continue
            if line["stage"] != self.stage or line["step"] <= resumed:
                kept.append(text + "\n")
        new = self.path.with_name(".metrics.jsonl.new")
        new.write_text("".join(kept), encoding="utf-8")
        new.replace(self.path)


class Display:
    """Progress with the time left: a bar on a terminal, a plain line now and then elsewhere."""

    def __init__(self, title: str, steps: int, done: int, *, quiet: bool = False) -> None:
        self.title, self.steps, self.done = title, steps, done
        self.console = Console(stderr=True, quiet=quiet)
        self.said = self.began = time.monotonic()
        self.first = done
        self.bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}"),
            TimeRemainingColumn(),
            console=self.console,
            disable=not self.console.is_terminal,
        )
        self.task = self.bar.add_task(title, total=steps, completed=done, note="")
        self.note = ""
        self.bar.start()

    def advance(self) -> None:
        """Count one step."""
        self.done += 1
        self.bar.update(self.task, completed=self.done)
        now = time.monotonic()
        if not self.console.is_terminal and now - self.said >= PLAIN_LINE_EVERY:
            self.said = now
            self.console.print(self.line(now), highlight=False, soft_wrap=True)

    def line(self, now: float) -> str:
        """Return the plain line: how far, how well, how long still."""
        left = (now - self.began) / max(self.done - self.first, 1) * (self.steps - self.done)
        clock = f"{int(left // 3600)}:{int(left % 3600 // 60):02d}:{int(left % 60):02d}"
        return f"{self.title}: step {self.done} of {self.steps}, {self.note}{clock} left"

    def show(self, line: Mapping[str, Any]) -> None:
        """Show the newest means."""
        self.note = f"loss {line['loss']:.3f}, {line['questions_per_second']:.0f} questions/s, "
        self.bar.update(self.task, note=self.note.rstrip(", "))

    def say(self, text: str) -> None:
        """Say something once, and write it into the log."""
        if self.console.quiet:
            return
        logger.info(text)
        self.console.print(text, highlight=False, soft_wrap=True)

    def close(self) -> None:
        """Stop drawing."""
        self.bar.stop()
