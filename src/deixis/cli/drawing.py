"""`deixis scenes show`: what scenes look like, with their true masks and answers."""

from pathlib import Path

from deixis.cli.asking.arguments import check_folder


def show_scenes(out: Path, *, task: str, count: int, seed: int, split: str) -> None:
    """Write a contact sheet with the true masks and answers of the first samples."""
    from deixis.scenes.questions import make_sample
    from deixis.viz.overlay import contact_sheet

    check_folder(out.parent)
    samples = [make_sample(split, task, seed, index) for index in range(count)]
    truths = [sample.answer for sample in samples if sample.answer]
    titles = [f"{sample.id}  {sample.type}" for sample in samples]
    contact_sheet(samples, truths, columns=min(4, count), titles=titles).save(out)
    print(out)
