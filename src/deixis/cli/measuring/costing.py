"""`deixis flops`: what one question about N images costs, station by station."""

import json
from typing import Any


def flops(model: str, images: int, answer_tokens: int, *, as_json: bool) -> None:
    """Print the operations of a model."""
    from deixis.evaluation.costing.cost import count_operations

    report = count_operations(model, images, answer_tokens)
    if as_json:
        print(json.dumps(report))
        return
    _show(report)


def _show(report: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    title = f"{report['model']}: {report['images']} images, {report['answer_tokens']} tokens"
    table = Table(title=title)
    table.add_column("station")
    table.add_column("TFLOPs", justify="right")
    for station, tera in report["stations"].items():
        table.add_row(station.replace("_", " "), f"{tera:.3f}")
    table.add_row("total", f"{report['total_tflops']:.3f}", style="bold")
    Console().print(table)
