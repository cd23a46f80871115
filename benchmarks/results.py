"""Times a claim, prints it, and keeps the last result beside the script that measured it."""

import json
import os
import platform
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from statistics import median
from time import perf_counter


def seconds(action: Callable[[], object], rounds: int) -> list[float]:
    """Return how long each of some rounds took."""
    taken = []
    for _ in range(rounds):
        start = perf_counter()
        action()
        taken.append(round(perf_counter() - start, 4))
    return taken


def record(script: str, claim: str, figure: float, bound: str, **sides: object) -> None:
    """Print a figure with its bound, such as "< 0.4", and write both sides as JSON.

    Ends the script with exit code 1 where the claim does not hold.
    """
    sign, limit = bound.split()
    holds = figure < float(limit) if sign == "<" else figure >= float(limit)
    result = {
        "claim": claim,
        "figure": round(figure, 4),
        "bound": bound,
        "holds": holds,
        **sides,
        "cores": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        "torch": version("torch"),
    }
    path = Path(script).with_suffix(".json")
    path.write_text(json.dumps(result, indent=2) + "\n")
    print(f"{claim}: {figure:.3f} ({bound}: {'holds' if holds else 'FAILS'})")
    if not holds:
        raise SystemExit(1)


def middle(values: list[float]) -> float:
    """Return the median."""
    return float(median(values))
