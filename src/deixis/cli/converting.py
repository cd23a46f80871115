"""`deixis convert`: a bar while weights are written, then what was made and how to use it."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from pathlib import Path


def convert(source: str, out: Path, family: str, tower: str | None) -> None:
    """Convert a published checkpoint and say what came of it."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn

    from deixis.conversion.convert import convert as convert_checkpoint

    columns = ("{task.description}", BarColumn(), DownloadColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    hidden = not console.is_terminal
    with Progress(*columns, console=console, transient=True, disable=hidden) as bar:
        row = bar.add_task("reading", total=None)

        def show(what: str, done: int, total: int) -> None:
            bar.update(row, description=what, completed=done, total=total)

        with redirect_stdout(sys.stderr):
            report = convert_checkpoint(source, out, family, tower, show)
    sizes = ", ".join(f"{count / 1e6:.1f} M {name}" for name, count in report["parameters"].items())
    smoke = report["smoke"]
    print(
        f"{out}: {report['filled']} tensors ({sizes}) from {report['used']}, "
        f"{len(report['dropped'])} left out; checksum {report['checksum'][:16]}\n"
        f'a first answer: "{smoke["answer"]}" with {smoke["targets"]} targets\n'
        f'Ask it: deixis ask IMAGE "QUESTION" --model {out}'
    )
