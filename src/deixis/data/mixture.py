"""Which scenes each step of a training is made of: (seed, step) -> draws, weighted.

A step's draws depend on nothing but the seed and the step, so a mixture that is resumed, or read
by any number of workers in any order, equals the one that is run through.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import blake2b

import numpy as np

from deixis.errors import ConfigError


@dataclass(frozen=True, kw_only=True, slots=True)
class Share:
    """One task of a mixture.

    Attributes:
        weight: how many of the sets, relative to the other tasks.
        questions: how many about each set.
        pool: so many worlds, which return with other questions; None: a new world every time.
        kinds: (kind of question, how many times as often as usual); the others as usual.
        worn: share of the sets whose pictures are worn.
    """

    task: str
    weight: float = 1.0
    questions: int = 1
    pool: int | None = None
    kinds: tuple[tuple[str, float], ...] = ()
    worn: float = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Draw:
    """One image set of a step: the world's key, and which questions about it."""

    split: str
    task: str
    seed: int
    index: int
    questions: int
    salt: int = 0  # 0 with new worlds; in a pool it tells one visit of a world from the next
    kinds: tuple[tuple[str, float], ...] = field(default=(), repr=False)
    worn: float = field(default=0.0, repr=False)  # how likely its pictures are worn


class Mixture:
    """Draws image sets by task, in the shares that the weights say.

    The shares hold within every step up to one set, so that steps weigh about the same.

    Raises:
        ConfigError: no tasks, a weight that is not positive, or no sets.
    """

    def __init__(
        self,
        shares: Sequence[Share],
        *,
        seed: int,
        sets_per_step: int,
        split: str = "train",
    ) -> None:
        if not shares or sets_per_step < 1:
            raise ConfigError(
                f"mixture: expected at least one task and one set per step, "
                f"got {len(shares)} and {sets_per_step}. Name a task under data."
            )
        for share in shares:
            if not share.weight > 0:
                raise ConfigError(
                    f"mixture: expected a positive weight of {share.task}, got {share.weight:g}. "
                    f"Leave the task out instead."
                )
        self.shares = tuple(shares)
        self.seed = seed
        self.split = split
        self.sets_per_step = sets_per_step
        weights = np.array([share.weight for share in shares], dtype=np.float64)
        self._edges = np.cumsum(weights / weights.sum())

    def draws(self, step: int) -> list[Draw]:
        """Return the image sets of a step (from 0), in mixed order."""
        entropy = np.random.SeedSequence(self.seed, spawn_key=(step,))
        random = np.random.Generator(np.random.Philox(entropy))
        places = (random.random() + np.arange(self.sets_per_step)) / self.sets_per_step
        chosen = np.searchsorted(self._edges, random.permutation(places), side="right")
        chosen = np.minimum(chosen, len(self.shares) - 1)  # the last edge may round below 1
        first = step * self.sets_per_step
        return [self._draw(self.shares[share], first + i, random) for i, share in enumerate(chosen)]

    def _draw(self, share: Share, number: int, random: np.random.Generator) -> Draw:
        return Draw(
            split=self.split,
            task=share.task,
            seed=self.seed,
            index=number if share.pool is None else int(random.integers(share.pool)),
            questions=share.questions,
            salt=0 if share.pool is None else number + 1,
            kinds=share.kinds,
            worn=share.worn,
        )


def stage_seed(seed: int, stage: str) -> int:
    """Return a seed of a stage's own (0 to 2^63 - 1), so that stages do not repeat worlds."""
    digest = blake2b(f"{seed}/{stage}".encode(), digest_size=8).digest()
    return int.from_bytes(digest) >> 1
