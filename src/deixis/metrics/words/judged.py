"""VideoRefer-Bench-D: four scores that a language model gives a description, and their means."""

import re

from deixis.metrics.sums import FAILED, Tally

ASPECTS = (
    "Subject Correspondence",
    "Appearance Description",
    "Temporal Description",
    "Hallucination Detection",
)
SCORED = re.compile(r"\d+\.\s*([A-Za-z][A-Za-z ]*):\s*(\d+(?:\.\d+)?)")
UNANSWERED = f"{FAILED}no judgement"
UNSCORED = f"{FAILED}judgement without a score"


def scores_in(judgement: str) -> dict[str, float]:
    """Return every "N. Name: number" of a judgement, as the official parser finds them."""
    return {name: float(number) for name, number in SCORED.findall(judgement)}


def measure(judgement: str | None) -> Tally:
    """Tally one entry: each aspect that its judgement has.

    An entry without a judgement is left out, and one without any score changes nothing; both are
    counted by name.
    """
    if judgement is None:
        return Tally.of([(UNANSWERED, 1, 0)])
    found = scores_in(judgement)
    parts = [(aspect, found[aspect], 1) for aspect in ASPECTS if aspect in found]
    return Tally.of(parts if parts else [(UNSCORED, 1, 0)])


def measure_clean(judgement: str | None) -> Tally:
    """Tally one entry only if it has all four aspects, each within 0 to 5."""
    found = scores_in(judgement or "")
    good = all(0 <= found.get(aspect, -1) <= 5 for aspect in ASPECTS)
    if judgement is None or not good:
        return Tally.of([(UNANSWERED if judgement is None else UNSCORED, 1, 0)])
    return Tally.of((aspect, found[aspect], 1) for aspect in ASPECTS)


def result(tally: Tally) -> dict[str, float]:
    """Return the mean of each aspect and, as "All", the mean of the four; what is missing is 0."""
    means = {a: tally.top(a) / tally.bottom(a) if tally.bottom(a) else 0.0 for a in ASPECTS}
    return {**means, "All": sum(means.values()) / len(ASPECTS)}
