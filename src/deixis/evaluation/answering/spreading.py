"""One evaluation over many processes or machines, by Ray: the report is that of one process.

Every worker opens the model for itself and answers whole batches, the same ones that a single
process would make; the questions travel as paths, so all machines must see the data in one place.
"""

from collections.abc import Callable, Sequence
from typing import Any

from deixis.errors import ConfigError
from deixis.extras import start_ray
from deixis.reasoning.given import Given
from deixis.structures.answers import GroundedAnswer
from deixis.structures.samples import Sample


class Spread:
    """Answers as one reasoner does, with a share of every large batch on each worker.

    Args:
        load: opens the reasoner, in each worker anew.
        workers: how many there are.
        batch_size: questions that a worker answers together.
        on_gpu: whether each takes a GPU of its own, else a core.

    Raises:
        ConfigError: no worker.
        MissingExtra: Ray is not installed.
    """

    def __init__(
        self, load: Callable[[], Any], *, workers: int, batch_size: int, on_gpu: bool = False
    ) -> None:
        if workers < 1:
            raise ConfigError(f"workers: expected at least 1, got {workers}. Ask for more.")
        ray, self._ours = start_ray(workers)
        self._ray = ray
        needs = {"num_gpus": 1} if on_gpu else {"num_cpus": 1}
        make = ray.remote(**needs)(Worker)
        self._workers = [make.remote(load) for _ in range(workers)]
        self.batch_size = batch_size
        self.name, self.fingerprint, self.family = ray.get(self._workers[0].who.remote())

    @property
    def together(self) -> int:
        """How many questions to ask at once, so that all workers have a batch."""
        return self.batch_size * len(self._workers)

    def answer_batch(
        self, samples: Sequence[Sample], *, logits: bool = False
    ) -> list[GroundedAnswer]:
        """Return one answer per sample."""
        return self._answered(samples, None, logits)

    def answer_given(
        self, samples: Sequence[Sample], given: Sequence[Given], *, logits: bool = False
    ) -> list[GroundedAnswer]:
        """Return one answer per sample, begun as given."""
        return self._answered(samples, list(given), logits)

    def close(self) -> None:
        """Let the workers go, and Ray where it was started here."""
        for worker in self._workers:
            self._ray.kill(worker)
        if self._ours:
            self._ray.shutdown()

    def _answered(
        self, samples: Sequence[Sample], given: list[Given] | None, logits: bool
    ) -> list[GroundedAnswer]:
        size, coming = self.batch_size, []
        for number, start in enumerate(range(0, len(samples), size)):
            worker = self._workers[number % len(self._workers)]
            some = list(samples[start : start + size])
            mine = None if given is None else given[start : start + size]
            coming.append(worker.answer.remote(some, mine, logits))
        try:
            parts = self._ray.get(coming)
        except self._ray.exceptions.RayTaskError as error:
            raise error.as_instanceof_cause() from None
        return [answer for part in parts for answer in part]


class Worker:
    """One reasoner, wherever Ray puts it."""

    def __init__(self, load: Callable[[], Any]) -> None:
        self.reasoner = load()

    def who(self) -> tuple[str, str | None, str | None]:
        """Return the name, the fingerprint and the family of the reasoner."""
        one = self.reasoner
        return one.name, getattr(one, "fingerprint", None), getattr(one, "family", None)

    def answer(
        self, samples: Sequence[Sample], given: Sequence[Given] | None, logits: bool
    ) -> list[GroundedAnswer]:
        """Return one answer per sample."""
        keep = {"logits": True} if logits else {}
        answers: list[GroundedAnswer] = (
            self.reasoner.answer_batch(samples, **keep)
            if given is None
            else self.reasoner.answer_given(samples, given, **keep)
        )
        return answers
