"""The commands of `deixis curate m4seg` and their options."""

from pathlib import Path
from typing import Annotated, Literal

import typer

m4seg = typer.Typer(help="M4Seg: questions about several images.", no_args_is_help=True)

Split = Literal["train", "val", "test"]
Root = Annotated[Path, typer.Option(help="The folder with annotations, images and records.")]
File = Annotated[Path, typer.Option(help="The records.")]
Out = Annotated[Path, typer.Option("--out", help="The file to write.")]
Seed = Annotated[int, typer.Option(min=0, max=2**63 - 1)]
Positive = Annotated[int, typer.Option(min=1)]


@m4seg.command("stats")
def stats(
    root: Annotated[Path, typer.Option(help="The folder with the records.")],
    split: Split = "test",
    file: Annotated[Path | None, typer.Option(help="The records, if there are several.")] = None,
) -> None:
    """Count what a split holds, and say which records were put aside."""
    from deixis.cli.curating import m4seg_stats

    m4seg_stats(root, split, file)


@m4seg.command("scenes")
def scenes(out: Out, split: Split = "train", worlds: Positive = 200, seed: Seed = 0) -> None:
    """Write our scenes as a source of pictures with part annotations (--out: a folder)."""
    from deixis.cli.curating import m4seg_scenes

    m4seg_scenes(out, split, worlds, seed)


@m4seg.command("make")
def make(
    root: Root,
    out: Out,
    split: Split = "train",
    sets: Positive = 100,
    seed: Seed = 0,
    fewest: Annotated[int, typer.Option(help="Images of a set, at least.")] = 2,
    most: Annotated[int, typer.Option(help="Images of a set, at most.")] = 5,
    workers: Positive = 1,
    ray: Annotated[bool, typer.Option("--ray", help="Workers of Ray, on any machines.")] = False,
    author: Annotated[
        Literal["rules", "endpoint", "replay"], typer.Option(help="Who writes the questions.")
    ] = "rules",
    url: Annotated[str | None, typer.Option(help="Of an OpenAI-compatible API.")] = None,
    model: Annotated[str | None, typer.Option(help="Its name there.")] = None,
    budget: Annotated[float | None, typer.Option(help="Most that may be spent.")] = None,
    prices: Annotated[
        tuple[float, float], typer.Option(help="Of a million tokens read, and written.")
    ] = (0.0, 0.0),
    replies: Annotated[Path | None, typer.Option(help="What was answered; kept, replayed.")] = None,
) -> None:
    """Make records from annotated pictures; goes on where it was stopped."""
    from deixis.cli.curating import Writer, m4seg_make
    from deixis.curation.making import Order

    order = Order(root=root, split=split, sets=sets, seed=seed, fewest=fewest, most=most)
    writer = Writer(
        author=author, url=url, model=model, budget=budget, prices=prices, replies=replies
    )
    m4seg_make(order, out, writer, workers, on_ray=ray)


@m4seg.command("review")
def review(
    root: Root, file: File, out: Out, split: Split = "train", count: Positive = 100
) -> None:
    """Write a page on which a person accepts or rejects records."""
    from deixis.cli.curating import m4seg_review

    m4seg_review(root, split, file, out, count)


@m4seg.command("accept")
def accept(
    file: File, decisions: Annotated[Path, typer.Option(help="What the page saved.")], out: Out
) -> None:
    """Write the records that nobody has rejected."""
    from deixis.cli.curating import m4seg_accept

    m4seg_accept(file, decisions, out)


@m4seg.command("jsonl")
def jsonl(root: Root, file: File, out: Out, split: Split = "train") -> None:
    """Write records as samples of our own, for data:FILE.jsonl."""
    from deixis.cli.curating import m4seg_jsonl

    m4seg_jsonl(root, split, file, out)
