"""Makes an M4Seg: sets drawn in order, asked about, checked, written; killed and started again, the
same file.

What is done stands line by line beside the result; an author is never asked twice about a set.
"""

import hashlib
import json
import os
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deixis.curation.drafts import KINDS, Author
from deixis.curation.entities import read_pictures
from deixis.curation.records import make_records
from deixis.curation.rules import RuleAuthor
from deixis.curation.sets import PictureSet, Sampler
from deixis.curation.spreading import lines_by_ray
from deixis.errors import ConfigError, DataError

AHEAD = 32  # sets that a worker may be ahead of what is written, so that memory stays flat
TOLD = 100  # faults that the report tells one by one
CHUNK = 16  # sets that travel to a process together
REPEATS = 1000  # draws in a row that were all drawn before, from which there is nothing new

Progress = Callable[[int, int], None]
Line = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is to be made.

    Attributes:
        root, split: where the sources' annotations are.
        sets: how many. fewest, most: pictures of a set.
    """

    root: Path
    split: str
    sets: int
    seed: int = 0
    fewest: int = 2
    most: int = 5


def make(
    order: Order,
    out: Path,
    author: Author | None = None,
    *,
    workers: int = 1,
    on_ray: bool = False,
    progress: Progress | None = None,
) -> Mapping[str, Any]:
    """Write ``out`` (a JSON list of records) and return the balance report, which stands beside it.

    Args:
        author: the rules if not given; any other is asked from threads, ``workers`` at a time.
        on_ray: whether the rules' workers are Ray's, maybe on several machines, not processes here.
        progress: is told how many sets are done, of how many.

    Raises:
        ConfigError: no set to make, or the beginnings of another order beside ``out``.
        DataError: no annotations, or fewer different sets than ordered.
    """
    if on_ray and author is not None:
        raise ConfigError("ray: expected the author rules, got another. An endpoint needs none.")
    if order.sets < 1 or workers < 1:
        raise ConfigError(
            f"sets and workers: expected 1 or more, got {order.sets} and {workers}."
        )
    found = read_pictures(order.root, order.split)
    sampler = Sampler(found.pictures, order.seed, fewest=order.fewest, most=order.most)
    who = author or RuleAuthor(order.seed)
    partial = Partial(out.with_name(f"{out.name}.partial.jsonl"), _header(order, who))
    groups = _different(sampler, order.sets)
    for _ in range(partial.done):
        next(groups)
    with ExitStack() as stack:
        lines = _mapped(who, groups, workers if author else 1, stack)
        if on_ray:
            lines = lines_by_ray(prepared, order, _chunks(groups), workers)
        elif author is None and workers > 1:
            lines = _in_processes(order, groups, workers, stack)
        for line in lines:
            partial.append(line)
            if progress:
                progress(partial.done, order.sets)
    report = {**_finish(partial, out), "annotations_put_aside": len(found.faults)}
    out.with_name(f"{out.stem}.report.json").write_text(json.dumps(report, indent=1))
    partial.path.unlink()
    return report


def ordered_sets(order: Order) -> Iterator[PictureSet]:
    """Yield the sets of an order, as ``make`` will ask about them.

    Raises:
        DataError: no annotations, or fewer different sets than ordered.
    """
    found = read_pictures(order.root, order.split)
    sampler = Sampler(found.pictures, order.seed, fewest=order.fewest, most=order.most)
    return _different(sampler, order.sets)


class Partial:
    """Finished sets, one a line, on the disk when ``append`` returns.

    Raises:
        ConfigError: the file belongs to another order.
    """

    def __init__(self, path: Path, header: Line) -> None:
        self.path, self.done = path, 0
        whole = path.read_bytes() if path.exists() else b""
        kept = whole[: whole.rfind(b"\n") + 1]
        if len(kept) < len(whole):
            os.truncate(path, len(kept))  # a line that a kill has cut
        if not kept:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._write(header)
            return
        first, *rest = kept.splitlines()
        if json.loads(first) != header:
            raise ConfigError(
                f"{path}: expected the beginnings of this order, got those of another. "
                f"Delete the file, or write elsewhere."
            )
        self.done = len(rest)

    def append(self, line: Line) -> None:
        """Add a finished set."""
        self._write(line)
        self.done += 1

    def lines(self) -> Iterator[Line]:
        """Yield the finished sets in order."""
        with self.path.open(encoding="utf-8") as file:
            next(file)
            yield from (json.loads(line) for line in file)

    def _write(self, line: Line) -> None:
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line, separators=(",", ":")) + "\n")
            file.flush()
            os.fsync(file.fileno())


def make_line(author: Author, group: PictureSet) -> Line:
    """Return what a set has become: its number, records, and why drafts were rejected."""
    records, faults = make_records(group, author.write(group))
    return {"set": group.number, "records": records, "faults": faults}


def _different(sampler: Sampler, count: int) -> Iterator[PictureSet]:
    """Yield so many sets of which no two have the same pictures, in order.

    Raises:
        DataError: there are not so many.
    """
    seen: set[bytes] = set()
    number, repeated = 0, 0
    while len(seen) < count:
        group = sampler.draw(number)
        key = hashlib.blake2b(repr(group.key).encode(), digest_size=8).digest()
        number += 1
        if key in seen:
            repeated += 1
            if repeated == REPEATS:
                raise DataError(
                    f"sets: expected {count} different ones, got {len(seen)} from these pictures. "
                    f"Ask for fewer, or add sources."
                )
            continue
        seen.add(key)
        repeated = 0
        yield group


def _mapped(
    author: Author, groups: Iterator[PictureSet], workers: int, stack: ExitStack
) -> Iterator[Line]:
    """Yield the lines of sets in order, asking from threads where there are several."""
    if workers == 1:
        return (make_line(author, group) for group in groups)
    pool = stack.enter_context(ThreadPoolExecutor(workers))
    return _ahead(pool, make_line, ((author, group) for group in groups), workers)


def _in_processes(
    order: Order, groups: Iterator[PictureSet], workers: int, stack: ExitStack
) -> Iterator[Line]:
    """Yield the lines of sets in order, written by rules in processes; sets travel as numbers."""
    made = ProcessPoolExecutor(workers, initializer=_prepare, initargs=(order,))
    pool = stack.enter_context(made)
    for lines in _ahead(pool, _lines_of, ((chunk,) for chunk in _chunks(groups)), workers):
        yield from lines


def _chunks(groups: Iterator[PictureSet]) -> Iterator[list[int]]:
    chunk: list[int] = []
    for group in groups:
        chunk.append(group.number)
        if len(chunk) == CHUNK:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _ahead(
    pool: Executor, work: Callable[..., Any], items: Iterator[tuple[Any, ...]], workers: int
) -> Iterator[Any]:
    """Yield results in the order of the items, some of them worked at ahead of time."""
    waiting: deque[Future[Any]] = deque()
    for item in items:
        waiting.append(pool.submit(work, *item))
        if len(waiting) > workers + AHEAD // CHUNK:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def prepared(order: Order) -> Callable[[Sequence[int]], list[Line]]:
    """Open the sources of an order, and return what writes the lines of sets by number."""
    found = read_pictures(order.root, order.split)
    sampler = Sampler(found.pictures, order.seed, fewest=order.fewest, most=order.most)
    author = RuleAuthor(order.seed)
    return lambda numbers: [make_line(author, sampler.draw(number)) for number in numbers]


_HERE: dict[str, Callable[[Sequence[int]], list[Line]]] = {}  # what a worker process has opened


def _prepare(order: Order) -> None:
    _HERE["lines"] = prepared(order)


def _lines_of(numbers: Sequence[int]) -> list[Line]:
    return _HERE["lines"](numbers)


def _finish(partial: Partial, out: Path) -> dict[str, Any]:
    """Write the records as one JSON list, whole or not at all, and return their balance."""
    kinds: Counter[str] = Counter()
    sources: Counter[str] = Counter()
    images: Counter[int] = Counter()
    names: Counter[str] = Counter()
    rejected, records, whole = list[str](), 0, 0
    draft = out.with_name(f".{out.name}.{os.getpid()}")
    with draft.open("w", encoding="utf-8") as file:
        file.write("[")
        for line in partial.lines():
            rejected += line["faults"][: max(0, TOLD - len(rejected))]
            whole += not line["faults"]
            for record in line["records"]:
                file.write(",\n" if records else "\n")
                file.write(json.dumps(record))
                records += 1
                kinds[record["kind"]] += 1
                sources[record["dataset_name"]] += 1
                images[len(record["img_ids"])] += 1
                names.update(g["name"] for group in record["groundings"].values() for g in group)
        file.write("\n]\n")
    draft.replace(out)
    return {
        "sets": partial.done,
        "whole_sets": whole,
        "records": records,
        "kinds": {kind: kinds[kind] for kind in KINDS},
        "sources": dict(sources.most_common()),
        "images_per_set": dict(sorted(images.items())),
        "most_named": dict(names.most_common(50)),
        "first_faults": rejected,
    }


def _header(order: Order, author: Author) -> Line:
    return {
        "root": str(order.root),
        "split": order.split,
        "sets": order.sets,
        "seed": order.seed,
        "images": [order.fewest, order.most],
        "author": author.name,
    }
