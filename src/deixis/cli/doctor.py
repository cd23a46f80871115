"""`deixis doctor`: whether this machine can answer questions, and if not, what to do."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from time import perf_counter
from typing import Literal

from deixis.cli.installed import installed
from deixis.errors import ConfigError, DeixisError

State = Literal["good", "note", "bad"]
MARKS = {"good": "[green]ok[/]", "note": "[yellow]--[/]", "bad": "[red]!![/]"}
REPORT = "conversion.json"  # beside the weights of a converted checkpoint
ANSWERS = (32, 512)  # tokens of a short and of a long answer
OLDEST, NEWEST = (3, 11), (3, 13)
NEEDED_GIB = 2.0
# beside a CPU torch, torchvision raises on import, and transformers then fails to import too
PROBE = "import torchvision, transformers; transformers.CLIPImageProcessor"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report."""

    what: str
    state: State
    text: str


def examine(model: str) -> Iterator[Finding]:
    """Yield what was found, cheap checks first."""
    checks: tuple[Callable[[], Finding], ...] = (
        _python,
        lambda: _package("torch"),
        lambda: _package("transformers"),
        _torchvision,
        _video,
        _memory,
        _devices,
        _models,
    )
    for check in checks:
        yield check()
    if (Path(model) / REPORT).is_file():
        yield from _converted(Path(model))
    else:
        yield _question(model)


def report(model: str) -> bool:
    """Write the findings as they come; say whether nothing was bad."""
    from rich.console import Console
    from rich.markup import escape

    console, healthy = Console(soft_wrap=True, highlight=False), True
    for finding in examine(model):
        healthy &= finding.state != "bad"
        text = escape(finding.text)
        console.print(f"{MARKS[finding.state]}  {finding.what:<14} {text}")
    return healthy


def _python() -> Finding:
    here = sys.version_info[:2]
    if OLDEST <= here <= NEWEST:
        return Finding("Python", "good", f"{platform.python_version()} on {platform.platform()}")
    wanted = f"{OLDEST[0]}.{OLDEST[1]} to {NEWEST[0]}.{NEWEST[1]}"
    return Finding(
        "Python", "bad", f"expected {wanted}, got {platform.python_version()}. Use one of these."
    )


def _package(name: str) -> Finding:
    try:
        return Finding(name, "good", version(name))
    except PackageNotFoundError:
        return Finding(name, "bad", f"expected it installed, got none. Run: pip install {name}")


def _torchvision() -> Finding:
    if find_spec("torchvision") is None:
        return Finding("torchvision", "good", "not installed, and not needed")
    probe = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, text=True)
    if probe.returncode == 0:
        return Finding("torchvision", "good", f"{version('torchvision')}, works (not needed)")
    reason = (probe.stderr.strip().splitlines() or ["no reason given"])[-1]
    return Finding(
        "torchvision",
        "bad",
        f"expected it absent or working, got a broken one that breaks transformers too "
        f"({reason}). Run: pip uninstall torchvision",
    )


def _video() -> Finding:
    if find_spec("av") is None:
        return Finding("video", "note", "no PyAV: video files need pip install 'deixis[video]'")
    try:
        import av
    except (ImportError, OSError) as error:
        return Finding(
            "video", "bad", f"expected PyAV to load ffmpeg's libraries, got: {error}. Reinstall av."
        )
    found = {name: ".".join(map(str, number)) for name, number in av.library_versions.items()}
    return Finding(
        "video", "good", f"PyAV {av.__version__}, libavcodec {found.get('libavcodec', 'unknown')}"
    )


def _memory() -> Finding:
    if not hasattr(os, "sysconf"):
        return Finding("memory", "note", "cannot be told on this system")
    page = os.sysconf("SC_PAGE_SIZE") / 2**30
    total, free = (os.sysconf(name) * page for name in ("SC_PHYS_PAGES", "SC_AVPHYS_PAGES"))
    text = f"{total:.1f} GiB, {free:.1f} GiB of it free; {os.cpu_count()} cores"
    return Finding("memory", "good" if total >= NEEDED_GIB else "note", text)


def _devices() -> Finding:
    try:
        import torch
    except (ImportError, OSError) as error:
        return Finding("devices", "bad", f"expected torch to load, got: {error}. Reinstall torch.")
    names = [f"cpu ({torch.get_num_threads()} threads)"]
    names += [
        f"cuda:{i} ({torch.cuda.get_device_name(i)})" for i in range(torch.cuda.device_count())
    ]
    if torch.backends.mps.is_available():
        names.append("mps")
    return Finding("devices", "good", ", ".join(names))


def _models() -> Finding:
    try:
        names = [f"{one.name} ({one.parameters / 1e6:.1f} M)" for one in installed()]
    except DeixisError as error:
        return Finding("models", "bad", str(error))
    if not names:
        return Finding("models", "bad", "expected one in the package, got none. Reinstall deixis.")
    return Finding("models", "good", ", ".join(names))


def _question(model: str) -> Finding:
    """Ask a question whose answer is known, from pixels to masks."""
    from deixis.scenes.questions import make_sample

    sample = make_sample("test", "refer", 0, 0)
    try:
        from deixis.reasoning.reasoner import load

        start = perf_counter()
        reasoner = load(model)
        loaded = perf_counter()
        answer = reasoner.answer(sample.images, sample.question.text)
        done = perf_counter()
    except (DeixisError, ImportError, OSError, RuntimeError) as error:
        text = " ".join(str(error).split())
        return Finding("a question", "bad", f"expected an answer, got: {text}")
    return Finding(
        "a question",
        "good",
        f'"{sample.question.text}" -> "{answer.text}" '
        f"(loaded in {loaded - start:.1f} s, answered in {done - loaded:.2f} s)",
    )


def _converted(folder: Path) -> Iterator[Finding]:
    """Audit a converted checkpoint: its tensors, what it needs, and its first answer again."""
    from deixis.conversion.audit import audit

    try:
        yield Finding("tensors", "good", audit(folder))
        yield _needs(folder)
        yield _first_answer(folder)
    except (DeixisError, OSError, ValueError, KeyError) as error:
        yield Finding("tensors", "bad", " ".join(str(error).split()))


def _needs(folder: Path) -> Finding:
    """Say what one answer needs, per dtype and length, beside what there is."""
    from deixis.conversion.memory import interpreter, memory_needed

    try:
        needed = memory_needed(folder, ANSWERS)  # first: it brings the family's libraries
    except ConfigError as error:
        return Finding("it needs", "note", str(error))
    base, total = interpreter(), _total_memory()
    parts = []
    for dtype, by_length in needed.items():
        sizes = (f"{(base + by_length[n]) / 2**30:.2f} GiB for {n} tokens" for n in ANSWERS)
        parts.append(f"{dtype} {', '.join(sizes)}")
    fits = total is None or any(base + by[ANSWERS[0]] <= total for by in needed.values())
    text = "; ".join(parts)
    if not fits:
        text += f"; more than the {total / 2**30:.1f} GiB here" if total else ""
    return Finding("it needs", "good" if fits else "note", text)


def _total_memory() -> float | None:
    if not hasattr(os, "sysconf"):
        return None
    return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))


def _first_answer(folder: Path) -> Finding:
    """Ask what was asked when the folder was made, and compare the answers."""
    from deixis.conversion.audit import smoke_of
    from deixis.conversion.smoke import smoke_answer

    then, start = smoke_of(folder), perf_counter()
    now = smoke_answer(folder)
    text = f'"{now["answer"]}", {now["targets"]} targets ({perf_counter() - start:.1f} s)'
    if now["sha256"] == then["sha256"]:
        return Finding("a question", "good", f"the same answer as when it was made: {text}")
    return Finding(
        "a question",
        "note",
        f"another answer than when it was made: {text}, then {then['answer']!r}. "
        f"Other processors round otherwise; on the same machine this is a fault.",
    )
