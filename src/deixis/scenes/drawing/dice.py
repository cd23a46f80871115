"""Chance that depends on a key alone: the same on every machine, however many workers draw."""

from collections.abc import MutableSequence, Sequence
from typing import TypeVar

import numpy as np

Item = TypeVar("Item")
_WORD = 0xFFFFFFFF
_BUFFER = 256


class Dice:
    """Random choices from whole numbers below 2**64; other numbers give unrelated choices.

    Example:
        >>> Dice(7, 1).choice("abc") == Dice(7, 1).choice("abc")
        True
    """

    def __init__(self, *numbers: int) -> None:
        words = [word for number in numbers for word in (number & _WORD, number >> 32 & _WORD)]
        self._generator = np.random.Generator(np.random.Philox(np.random.SeedSequence(words)))
        self._ready: list[float] = []

    def number(self) -> float:
        """Return a number from 0 up to, but not including, 1."""
        if not self._ready:
            self._ready = self._generator.random(_BUFFER).tolist()
        return self._ready.pop()

    def between(self, low: float, high: float) -> float:
        """Return a number between two others."""
        return low + (high - low) * self.number()

    def whole(self, low: int, high: int) -> int:
        """Return a whole number from ``low`` to ``high``, both included."""
        return low + int((high - low + 1) * self.number())

    def chance(self, probability: float) -> bool:
        """Return True with this probability."""
        return self.number() < probability

    def choice(self, items: Sequence[Item]) -> Item:
        """Return one of the items."""
        return items[int(len(items) * self.number())]

    def weighted(self, table: Sequence[tuple[Item, float]]) -> Item:
        """Return one of the items of (item, weight) pairs; the weights need no fixed sum."""
        rest = self.number() * sum(weight for _, weight in table)
        for item, weight in table:
            rest -= weight
            if rest < 0:
                return item
        return table[-1][0]

    def shuffle(self, items: MutableSequence[Item]) -> None:
        """Put the items into another order, in place."""
        for i in range(len(items) - 1, 0, -1):
            j = int((i + 1) * self.number())
            items[i], items[j] = items[j], items[i]

    def sample(self, items: Sequence[Item], count: int) -> list[Item]:
        """Return ``count`` of the items in a random order, none of them twice."""
        pool = list(items)
        self.shuffle(pool)
        return pool[:count]
