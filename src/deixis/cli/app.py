"""The commands and their options; what they do is one call each, imported when it is needed."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from deixis.cli.m4seg import m4seg

app = typer.Typer(
    name="deixis",
    help="Answers about images in words and in pixels.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
scenes = typer.Typer(help="Draw scenes whose truth is known exactly.", no_args_is_help=True)
app.add_typer(scenes, name="scenes")
curate = typer.Typer(help="Make data sets and look into them.", no_args_is_help=True)
curate.add_typer(m4seg, name="m4seg")
app.add_typer(curate, name="curate")
data = typer.Typer(help="Look into data sets of others.", no_args_is_help=True)
app.add_typer(data, name="data")

Task = Literal["refer", "many", "multi", "absent", "region", "clip", "pixelqa", "plain", "compose"]
Split = Literal["train", "val", "test"]
TaskOption = Annotated[Task, typer.Option(help="What is asked.")]
Model = Annotated[str, typer.Option(help="A model's name or folder.")]
Device = Annotated[str | None, typer.Option(help="cpu, cuda, cuda:0, mps; default: the best.")]
Dtype = Annotated[str | None, typer.Option(help="float32, bfloat16 or float16.")]
Count = Annotated[int, typer.Option(min=1, help="How many samples.")]
Seed = Annotated[int, typer.Option(min=0, max=2**63 - 1, help="Of the scenes.")]
Folder = Annotated[Path | None, typer.Option("--out", help="Folder for what is written.")]


def show_version(wanted: bool) -> None:
    """Print the version and leave."""
    if wanted:
        from importlib.metadata import version

        print(f"deixis {version('deixis')}")
        raise typer.Exit


@app.callback()
def start(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=show_version, is_eager=True, help="Show the version and leave."
        ),
    ] = False,
) -> None:
    """Answers about images in words and in pixels."""


@app.command()
def ask(
    inputs: Annotated[
        list[str] | None,
        typer.Argument(metavar='IMAGE... "QUESTION"', help="The question is last."),
    ] = None,
    point: Annotated[list[str] | None, typer.Option(metavar="2:x,y[=NAME]")] = None,
    box: Annotated[list[str] | None, typer.Option(metavar="1:x0,y0,x1,y1[=NAME]")] = None,
    mask: Annotated[list[str] | None, typer.Option(metavar="1:mask.png[=NAME]")] = None,
    model: Model = "deixis-tiny",
    out: Folder = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
    chat: Annotated[bool, typer.Option("--chat", help="Go on with questions from stdin.")] = False,
    batch: Annotated[
        Path | None, typer.Option(metavar="FILE.jsonl", help="One request a line; resumable.")
    ] = None,
    device: Device = None,
    dtype: Dtype = None,
) -> None:
    """Ask about images: pictures, clips, folders of frames.

    Images are numbered from 1 in the order given; 2@17 is frame 17 of image 2, a clip, and 2@3.2s
    the frame that it shows after 3.2 seconds.
    """
    from deixis.cli.asking.answering import Asked, Settings, ask

    asked = Asked(inputs=inputs or (), points=point or (), boxes=box or (), masks=mask or ())
    settings = Settings(model=model, device=device, dtype=dtype, out=out, json=json)
    ask(asked, settings, chat=chat, batch=batch)


@app.command("eval")
def evaluate(
    benchmark: Annotated[
        str | None,
        typer.Argument(metavar="scenes:TASK", help="Or data:FILE.jsonl, or a data set's name."),
    ] = None,
    model: Model = "deixis-tiny",
    count: Annotated[
        int | None, typer.Option(min=1, help="How many samples; default: all, of scenes 500.")
    ] = None,
    seed: Seed = 0,
    split: Annotated[str | None, typer.Option(help="Default: the one usually evaluated.")] = None,
    out: Annotated[Path | None, typer.Option(metavar="REPORT.json", help="The report.")] = None,
    pictures: Annotated[int, typer.Option(min=0, help="So many worst and best cases.")] = 0,
    baseline: Annotated[
        str | None, typer.Option(help="oracle, empty, or what luck gives: shuffle, random.")
    ] = None,
    root: Annotated[Path | None, typer.Option(help="The folder of the data set.")] = None,
    protocol: Annotated[str, typer.Option(help="published, clean, or one by name.")] = "published",
    predictions: Annotated[
        Path | None, typer.Option(help="Score these answers of another system.")
    ] = None,
    judge: Annotated[
        str | None, typer.Option(metavar="URL|FILE", help="Who scores words: videorefer-d, muse.")
    ] = None,
    judge_model: Annotated[str | None, typer.Option(help="The judge's name there.")] = None,
    phrases: Annotated[
        str | None, typer.Option(metavar="DIR|minilm", help="BERT to compare grandf's phrases by.")
    ] = None,
    quarantine: Annotated[
        Path | None, typer.Option(metavar="FILE.jsonl", help="Write broken records there, go on.")
    ] = None,
    compare: Annotated[
        tuple[Path, Path] | None, typer.Option(metavar="A.json B.json", help="Two reports.")
    ] = None,
    keep: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Keep answers: another metric is quick.")
    ] = None,
    shard: Annotated[
        str | None, typer.Option(metavar="2/5", help="Only answer this share into --keep.")
    ] = None,
    submission: Annotated[
        Path | None, typer.Option(metavar="OUT.zip", help="Only write what a server scores.")
    ] = None,
    workers: Annotated[
        int, typer.Option(min=0, help="So many processes or machines of Ray answer.")
    ] = 0,
    batch_size: Annotated[int, typer.Option(min=1, help="Questions asked at once.")] = 16,
    device: Device = None,
    dtype: Dtype = None,
) -> None:
    """Measure a model on questions whose answers are known; goes on where it was stopped."""
    from deixis.cli.measuring.evaluating import measure
    from deixis.cli.measuring.wanted import Asked, Settings

    settings = Settings(
        model=model,
        device=device,
        dtype=dtype,
        batch_size=batch_size,
        out=out,
        keep=keep,
        shard=shard,
        submission=submission,
        workers=workers,
    )
    asked = Asked(
        name=benchmark,
        count=count,
        seed=seed,
        split=split,
        root=root,
        protocol=protocol,
        judge=judge,
        judge_model=judge_model,
        phrases=phrases,
        quarantine=quarantine,
    )
    answered = baseline, predictions
    measure(asked, settings, pictures=pictures, answered=answered, compare=compare)


@app.command()
def train(
    runs: Annotated[list[str], typer.Argument(metavar="RUN.yaml... [a.b=value ...]")],
    out: Folder = None,
) -> None:
    """Train models; finished runs are skipped, interrupted ones go on."""
    from deixis.cli.training import train

    train(runs, out)


@scenes.command("make")
def make_scenes(
    task: TaskOption,
    out: Annotated[Path, typer.Option("--out", help="Folder for images and samples.")],
    count: Count = 100,
    seed: Seed = 0,
    split: Split = "test",
) -> None:
    """Write images, questions and their true answers."""
    from deixis.scenes.writing import make_dataset

    print(make_dataset(task, count, seed, split, out))


@scenes.command("show")
def show_scenes(
    task: TaskOption,
    out: Annotated[Path, typer.Option("--out", help="The picture to write.")] = Path("scenes.png"),
    count: Annotated[int, typer.Option(min=1, help="How many samples.")] = 12,
    seed: Seed = 0,
    split: Split = "test",
) -> None:
    """Write a contact sheet with the true masks and answers."""
    from deixis.cli.drawing import show_scenes

    show_scenes(out, task=task, count=count, seed=seed, split=split)


@data.command("check")
def check_data(
    name: Annotated[str, typer.Argument(help="A data set such as refcoco, or coco:FILE.json.")],
    root: Annotated[Path, typer.Option(help="The folder of the data.")],
    split: Annotated[str | None, typer.Option(help="Default: the one usually evaluated.")] = None,
    quarantine: Annotated[
        Path | None, typer.Option(metavar="FILE.jsonl", help="Write broken records there, go on.")
    ] = None,
    thorough: Annotated[bool, typer.Option("--thorough", help="Decode every picture too.")] = False,
) -> None:
    """Read every record: how many there are, which are broken and why, which files are missing."""
    from deixis.cli.measuring.published import check

    check(name, root, split, quarantine, thorough=thorough)


@app.command()
def models(
    folders: Annotated[list[Path] | None, typer.Argument(help="Folders with models.")] = None,
) -> None:
    """List what is installed and what could be converted."""
    from deixis.cli.installed import print_models

    print_models(folders or [])


@app.command()
def convert(
    source: Annotated[str, typer.Argument(help="A folder, or owner/name[@revision] on a hub.")],
    out: Annotated[Path, typer.Argument(help="The new folder.")],
    family: Annotated[str, typer.Option(help="What the checkpoint is of, for example pixellm.")],
    vision_tower: Annotated[
        str | None, typer.Option(metavar="SOURCE", help="Where a tower published apart is.")
    ] = None,
) -> None:
    """Turn a published checkpoint into a folder that deixis opens; goes on where it was stopped."""
    from deixis.cli.converting import convert

    convert(source, out, family, vision_tower)


@app.command()
def flops(
    model: Annotated[str, typer.Option(help="A preset's name, or a folder.")] = "prima",
    images: Annotated[int, typer.Option(help="How many are asked about.")] = 3,
    answer_tokens: Annotated[int, typer.Option(help="How long the answer is.")] = 128,
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Count the operations of one question, by station, without any weights."""
    from deixis.cli.measuring.costing import flops

    flops(model, images, answer_tokens, as_json=json)


@app.command()
def doctor(model: Model = "deixis-tiny") -> None:
    """Check this machine, and answer one question from pixels to masks."""
    from deixis.cli.doctor import report

    if not report(model):
        raise typer.Exit(1)
