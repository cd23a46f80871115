"""`deixis curate m4seg ...`: count what a split holds, make one, look it over, write it anew."""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deixis.errors import ConfigError

SHOWN = 10  # faults that are told one by one


def m4seg_stats(root: Path, split: str, file: Path | None) -> None:
    """Print the counts of a split as JSON; faults go to stderr."""
    from deixis.data.m4seg import open_m4seg, statistics

    data = open_m4seg(root, split, file=file)
    for fault in data.rejected[:SHOWN]:
        print(fault, file=sys.stderr)
    if len(data.rejected) > SHOWN:
        print(f"... and {len(data.rejected) - SHOWN} more", file=sys.stderr)
    print(json.dumps(statistics(data), indent=1))


@dataclass(frozen=True, slots=True, kw_only=True)
class Writer:
    """Who writes the questions: rules, an endpoint, or a recorded run."""

    author: str
    url: str | None
    model: str | None
    budget: float | None
    prices: tuple[float, float]
    replies: Path | None


def m4seg_make(
    order: Any, out: Path, writer: Writer, workers: int, *, on_ray: bool = False
) -> None:
    """Make a split and print its balance as JSON."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    from deixis.curation.making import make

    author = _author(writer, order, out)
    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        row = bar.add_task("", total=order.sets)
        report = make(
            order,
            out,
            author,
            workers=workers,
            on_ray=on_ray,
            progress=lambda done, total: bar.update(row, completed=done, total=total),
        )
    print(json.dumps(report, indent=1))


def _author(writer: Writer, order: Any, out: Path) -> Any:
    """Return who writes; what an endpoint will cost is said before it is asked.

    Raises:
        ConfigError: an endpoint without address, model or budget, or a replay without replies.
    """
    if writer.author == "rules":
        return None
    from deixis.curation.endpoint import Endpoint, EndpointAuthor, ReplayAuthor, estimate
    from deixis.curation.making import ordered_sets

    replies = writer.replies or out.with_name(f"{out.name}.replies.jsonl")
    if writer.author == "replay":
        return ReplayAuthor(replies)
    if writer.url is None or writer.model is None or writer.budget is None:
        raise ConfigError(
            "author endpoint: expected --url, --model and --budget, got "
            f"{writer.url}, {writer.model} and {writer.budget}. Give all three."
        )
    endpoint = Endpoint(
        url=writer.url,
        model=writer.model,
        budget=writer.budget,
        price_in=writer.prices[0],
        price_out=writer.prices[1],
    )
    likely = estimate(ordered_sets(order), endpoint)
    print(f"likely cost: {likely:.2f} of a budget of {writer.budget:g}", file=sys.stderr)
    return EndpointAuthor(endpoint, replies)


def m4seg_review(root: Path, split: str, file: Path, out: Path, count: int) -> None:
    """Write the page for a person, and say how many records it shows."""
    from deixis.curation.review import write_page

    print(f"{out}: {write_page(root, split, file, out, count=count)} records")


def m4seg_accept(file: Path, decisions: Path, out: Path) -> None:
    """Write the records that nobody has rejected."""
    from deixis.curation.review import accepted

    stay, go = accepted(file, decisions, out)
    print(f"{out}: {stay} records; {go} rejected")


def m4seg_jsonl(root: Path, split: str, file: Path, out: Path) -> None:
    """Write records as our own samples."""
    from deixis.curation.review import write_jsonl

    print(f"{out}: {write_jsonl(root, split, file, out)} samples")


def m4seg_scenes(out: Path, split: str, worlds: int, seed: int) -> None:
    """Write our scenes as a source, in the layout of PACO-LVIS."""
    from deixis.curation.scenes import write_source

    print(write_source(out, split, worlds=worlds, seed=seed))
