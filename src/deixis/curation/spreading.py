"""Sets written on more than one machine, by Ray Data: the same functions, the same lines in order.

All machines must see the annotations in one place; what travels is the numbers of sets one way and
finished lines the other.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from deixis.extras import require, start_ray

Prepared = Callable[[Any], Callable[[Sequence[int]], list[Any]]]
BLOCK = 8  # chunks of sets that a worker is handed at once


def lines_by_ray(
    prepared: Prepared, order: Any, chunks: Iterator[Sequence[int]], workers: int
) -> Iterator[Any]:
    """Yield the lines of sets in order, written by rules on workers of Ray.

    Args:
        prepared: opens the sources of an order, once on each worker, and returns what writes the
            lines of sets by number; a function that can be named.
        order: what `prepared` is given.
        chunks: numbers of sets.
        workers: how many there are, each with a core of its own.

    Raises:
        MissingExtra: Ray is not installed.
    """
    require("pandas", extra="scale")
    ray, ours = start_ray(workers + 1)  # and a core for what reads
    from ray import data

    try:
        context = data.DataContext.get_current()
        context.execution_options.preserve_order = True
        context.enable_progress_bars = False
        rows = [{"numbers": list(chunk)} for chunk in chunks]
        if not rows:
            return
        blocks = max(1, min(len(rows), len(rows) // BLOCK + workers))
        write: Any = Lines  # Ray makes one on each worker
        made = data.from_items(rows, override_num_blocks=blocks).map(
            write, fn_constructor_args=(prepared, order), concurrency=workers
        )
        for row in made.iter_rows():
            yield from json.loads(row["lines"])
    finally:
        if ours:
            ray.shutdown()


class Lines:
    """Writes the lines of some sets, wherever Ray puts it."""

    def __init__(self, prepared: Prepared, order: Any) -> None:
        self.lines = prepared(order)

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        """Return the lines of the sets whose numbers a row holds."""
        return {"lines": json.dumps(self.lines([int(number) for number in row["numbers"]]))}
