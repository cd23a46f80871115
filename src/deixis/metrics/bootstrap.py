"""How sure a figure is: 95 % intervals by drawing samples again with replacement."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from deixis.metrics.sums import Tally, exactly

DRAWS = 500
TAIL = 2.5  # percent on either side
Result = Callable[[Tally], dict[str, float]]


def intervals(
    tallies: Sequence[Tally], result: Result, *, draws: int = DRAWS, seed: int = 0
) -> dict[str, list[float]]:
    """Return the 95 % interval of each figure over so many draws of as many samples.

    Args:
        tallies: one a sample.
        result: returns the figures of a tally.
        draws: how often samples are drawn.
        seed: of the draws.
    """
    found = _figures(tallies, result, weights_of(len(tallies), draws, seed))
    return {name: ends_of(values) for name, values in found.items()}


def differences(
    ours: Sequence[Tally],
    theirs: Sequence[Tally],
    result: Result,
    *,
    draws: int = DRAWS,
    seed: int = 0,
) -> dict[str, list[float]]:
    """Return the 95 % interval of ours less theirs, the same samples drawn on both sides."""
    weights = weights_of(len(ours), draws, seed)
    one, other = _figures(ours, result, weights), _figures(theirs, result, weights)
    return {name: ends_of(one[name] - other[name]) for name in one if name in other}


def as_sums(tally: Tally) -> dict[str, list[float]]:
    """Return a sample's sums as numbers: {name: [numerator, denominator]}."""
    return {name: [tally.top(name), tally.bottom(name)] for name in tally.sums}


def from_sums(sums: Mapping[str, Sequence[float]], samples: int = 1) -> Tally:
    """Return the tally that `as_sums` wrote."""
    return Tally(
        samples, {name: (exactly(float(v[0])), round(v[1])) for name, v in sums.items()}
    )


def weights_of(count: int, draws: int, seed: int) -> np.ndarray:
    """Return how often each sample is drawn, (draws, count)."""
    generator = np.random.default_rng(seed)
    return generator.multinomial(count, np.full(count, 1 / max(count, 1)), size=draws)


def _figures(
    tallies: Sequence[Tally], result: Result, weights: np.ndarray
) -> dict[str, np.ndarray]:
    """Return the values of each figure over the draws in which it is defined everywhere."""
    names = sorted({name for tally in tallies for name in tally.sums})
    sums = np.array(
        [[(t.top(name), t.bottom(name)) for name in names] for t in tallies], dtype=np.float64
    ).reshape(len(tallies), len(names), 2)
    flat = sums.reshape(len(tallies), -1)
    drawn = (weights.astype(np.float64) @ flat).reshape(-1, len(names), 2)
    found: dict[str, list[float]] = {}
    for row in drawn:
        drawn_ones = {n: v for n, v in zip(names, row.tolist(), strict=True) if any(v)}
        figures = result(from_sums(drawn_ones, len(tallies)))
        for name, value in figures.items():
            found.setdefault(name, []).append(value)
    return {n: np.array(values) for n, values in found.items() if len(values) == len(drawn)}


def ends_of(values: np.ndarray) -> list[float]:
    """Return the ends of the middle 95 % of values (draws,)."""
    low, high = np.percentile(values, [TAIL, 100 - TAIL])
    return [float(low), float(high)]
