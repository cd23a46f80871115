"""Sums from which metrics are made: shards merged, in any order, equal all at once exactly.

Every metric is a quotient of two sums. They are kept as whole multiples of the smallest float64,
so adding them never rounds; only the final division does.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from fractions import Fraction

UNIT = 2**1074  # float64 values are whole multiples of 1 / UNIT
FAILED = "failed/"  # before the names of what went wrong, which are counted too

Part = tuple[str, float, int]  # (which sum, its numerator, its denominator)


@dataclass
class Tally:
    """Exact sums of some samples; ``+`` merges."""

    samples: int = 0
    sums: dict[str, tuple[int, int]] = field(default_factory=dict)  # in units of 1 / UNIT, 1

    @classmethod
    def of(cls, parts: Iterable[Part], *, samples: int = 1) -> "Tally":
        """Return the tally of parts (name, numerator, denominator); equal names add up."""
        tally = cls(samples=samples)
        for name, top, bottom in parts:
            tally.merge(Tally(0, {name: (exactly(top), int(bottom))}))
        return tally

    def __add__(self, other: "Tally") -> "Tally":
        merged = Tally(self.samples, dict(self.sums))
        merged.merge(other)
        return merged

    def merge(self, other: "Tally") -> None:
        """Add what another tally has counted."""
        self.samples += other.samples
        for name, (top, bottom) in other.sums.items():
            ours = self.sums.get(name, (0, 0))
            self.sums[name] = (ours[0] + top, ours[1] + bottom)

    def result(self) -> dict[str, float]:
        """Return each metric in [0, 1]; one that no sample defines is left out."""
        found = {name for name, (_, bottom) in self.sums.items() if bottom}
        metrics = {name: self.quotient(name) for name in found if "/" not in name}
        if {"j", "f"} <= found:
            metrics["jf"] = self.quotient("j", "f")
        bins = [name for name in found if name.startswith("presence_ece/")]
        if bins:
            metrics["presence_ece"] = self.quotient(*bins)
        return dict(sorted(metrics.items()))

    def quotient(self, *names: str) -> float:
        """Return the sums of some names, each taken as positive, over all they are divided by."""
        top = sum(abs(self.sums[name][0]) for name in names)
        return float(Fraction(top, UNIT * sum(self.sums[name][1] for name in names)))

    def top(self, name: str) -> float:
        """Return a numerator, rounded once; 0 where nothing was counted."""
        return float(Fraction(self.sums.get(name, (0, 0))[0], UNIT))

    def bottom(self, name: str) -> int:
        """Return a denominator; 0 where nothing was counted."""
        return self.sums.get(name, (0, 0))[1]

    def failures(self) -> dict[str, int]:
        """Return what went wrong, by name, and how often."""
        return {
            name.removeprefix(FAILED): top // UNIT
            for name, (top, _) in sorted(self.sums.items())
            if name.startswith(FAILED)
        }


def exactly(value: float) -> int:
    """Return a number as whole multiples of 1 / `UNIT`."""
    if isinstance(value, int):
        return value * UNIT
    numerator, denominator = value.as_integer_ratio()
    return numerator * (UNIT // denominator)
