"""Several processes that train one model: each learns from its share of every step's image sets.

accelerate shares the gradients (DDP; gloo on CPUs); here stands only who takes what, and how a run
file that wants ``processes`` gets them. torchrun does as well: its variables say which process
this is.
"""

import logging
import os
import socket
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from multiprocessing import parent_process
from threading import Thread
from typing import Any, TypeVar

from torch import nn

from deixis.errors import ConfigError, DeixisError

T = TypeVar("T")


def is_first() -> bool:
    """Tell whether this process writes what the training leaves; of one process it is the one."""
    return _number("RANK", 0) == 0


def is_one_of_many() -> bool:
    """Tell whether a launcher has started this process beside others."""
    return _number("WORLD_SIZE", 1) > 1


def number_of_processes() -> int:
    """Return how many processes train together."""
    return _number("WORLD_SIZE", 1)


def our_share(sets: Sequence[T], costs: Sequence[float]) -> list[T]:
    """Return those of a step's image sets that this process learns from: the dearest is dealt
    first, always to the process that has least to do."""
    if not is_one_of_many():
        return list(sets)
    shares: list[list[int]] = [[] for _ in range(number_of_processes())]
    for i in sorted(range(len(sets)), key=lambda i: (-costs[i], i)):
        least = min(shares, key=lambda share: sum(costs[j] for j in share))
        least.append(i)
    return [sets[i] for i in sorted(shares[_number("RANK", 0)])]


def noted_by_all(
    parts: Mapping[str, float], share: float, questions: int
) -> tuple[Mapping[str, float], int]:
    """Return the parts of the loss over the sets of all processes, of which this one's count
    ``share`` times as much as the average, and how many questions these are."""
    if not is_one_of_many():
        return parts, questions
    from accelerate.utils import gather_object

    sums: dict[str, float] = defaultdict(float)
    all_noted = gather_object([(dict(parts), share, questions)])
    for theirs, weight, _ in all_noted:
        for name, value in theirs.items():
            sums[name] += weight * value / len(all_noted)
    return sums, sum(count for *_, count in all_noted)


def as_forward(wrapped: nn.Module, model: nn.Module, function: Callable[..., T], *inputs: Any) -> T:
    """Call ``function(model, *inputs)`` as the forward pass of what accelerate has wrapped around
    the model: only what passes through it has its gradients shared."""
    if wrapped is model:
        return function(model, *inputs)

    def once(*given: Any) -> T:
        del model.forward  # what the function calls is the model's own
        return function(model, *given)

    vars(model)["forward"] = once
    try:
        found: T = wrapped(*inputs)
        return found
    finally:
        vars(model).pop("forward", None)


def start(processes: int, function: Callable[..., object], *arguments: Any) -> None:
    """Call a function in several processes at once, each with its part of the CPU's cores.

    Raises:
        ConfigError: what one of them raised, in its words.
    """
    from torch.multiprocessing import (
        ProcessExitedException,
        ProcessRaisedException,
        get_context,
        spawn,
    )

    said = get_context("spawn").SimpleQueue()
    with _environment(_addresses(processes)):
        try:
            spawn(_run, (processes, said, function, arguments), nprocs=processes)
        except (ProcessRaisedException, ProcessExitedException) as error:
            if said.empty():
                raise
            raise ConfigError(said.get()) from error


def _run(
    rank: int, processes: int, said: Any, function: Callable[..., object], arguments: Sequence[Any]
) -> None:
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(processes)}
    Thread(target=_end_with_parent, daemon=True).start()
    from torch import distributed

    try:
        function(*arguments)
    except DeixisError as error:
        said.put(str(error))
        raise
    finally:
        if distributed.is_initialized():
            distributed.destroy_process_group()
    _end_at_once()


def _end_at_once() -> None:
    """End a process that has done its work, with no farewell of torch's threads: under load, one
    that is still about aborts the process, and what was learned would count as failed."""
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def _end_with_parent() -> None:
    """End this process with the one that started it, which may be killed without a word."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _addresses(processes: int) -> dict[str, str]:
    """Return the variables that all processes share; a free door of this machine is among them."""
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        port = door.getsockname()[1]
    threads = max(1, (os.cpu_count() or 1) // processes)
    return {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "GLOO_SOCKET_IFNAME": "lo",
        "OMP_NUM_THREADS": str(threads),
        "TORCH_CPP_LOG_LEVEL": "ERROR",  # DDP warns where every weight happens to be used
    }


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ |= values
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _number(name: str, default: int) -> int:
    return int(os.environ.get(name, default))
