"""Which way of counting a figure is meant: the published ones by name, and a clean one beside.

"published" stands for the first of a metric's protocols, the one that its papers' numbers follow.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from deixis.config import pick
from deixis.metrics.clips import davis, expressions, revos, volumes
from deixis.metrics.images import boxes, classes, gcg, gres, lisa, muse, unipixel
from deixis.metrics.sums import Tally
from deixis.metrics.words import choices, judged, phrases


@dataclass(frozen=True, slots=True, kw_only=True)
class Protocol:
    """One way to count a metric.

    Attributes:
        measure: returns the tally of one sample; tallies add up exactly.
        result: returns the figures of a tally.
        says: what it does that another would do otherwise.
    """

    measure: Callable[..., Tally]
    result: Callable[[Tally], dict[str, float]]
    says: str


def _clean_davis(true: Any, predicted: Any, voids: Any = None) -> Tally:
    return davis.measure(true, predicted, voids, clean=True)


LISA = Protocol(
    measure=lisa.measure,
    result=lisa.result,
    says="pairs by position; 1e-5 in every union; pixels under two polygons in no class",
)
PROTOCOLS: Mapping[str, Mapping[str, Protocol]] = {
    "masks": {
        "lisa": LISA,
        "pixellm": LISA,
        "glamm": LISA,
        "sa2va": Protocol(
            measure=lisa.measure_sa2va,
            result=lisa.result_sa2va,
            says="as LISA; a missing prediction is an empty mask; nothing added to the count",
        ),
        "segzero": Protocol(
            measure=unipixel.measure_segzero,
            result=unipixel.result_segzero,
            says="the first mask alone; samples drop where both masks are empty",
        ),
        "clean": Protocol(
            measure=lisa.measure_clean,
            result=Tally.result,
            says="best pairs; nothing added; whoever is left over counts 0",
        ),
    },
    "mask_and_box": {
        "unipixel": Protocol(
            measure=unipixel.measure,
            result=unipixel.result,
            says="boxes end at the last pixel, of components from 10 pixels on; 5 decimals",
        ),
        "clean": Protocol(
            measure=unipixel.measure_clean,
            result=Tally.result,
            says="boxes around all pixels, far edges included",
        ),
    },
    "gres": {
        "rela": Protocol(
            measure=gres.measure,
            result=gres.result,
            says="believes the model's flag that nothing is meant, not its mask",
        ),
        "clean": Protocol(
            measure=gres.measure_clean,
            result=Tally.result,
            says="an empty mask says that nothing is meant",
        ),
    },
    "grec": {
        "grefcoco": Protocol(
            measure=boxes.measure_grec,
            result=Tally.result,
            says="pairs greedily, by the generalised IoU of boxes",
        ),
        "clean": Protocol(
            measure=boxes.measure_grec_clean,
            result=Tally.result,
            says="best pairs, by the plain IoU of boxes",
        ),
    },
    "precision_at_k": {
        "mdetr": Protocol(
            measure=boxes.measure_precision,
            result=Tally.result,
            says="right is a generalised IoU of 0.5; equal scores fall by coordinates",
        ),
        "clean": Protocol(
            measure=boxes.measure_precision_clean,
            result=Tally.result,
            says="right is a plain IoU of 0.5",
        ),
    },
    "muse": {
        "pixellm": Protocol(
            measure=muse.measure,
            result=lisa.result,
            says="surplus predictions are compared as raw logits, so confident ones score 1",
        ),
        "clean": Protocol(
            measure=muse.measure_clean,
            result=Tally.result,
            says="best pairs by IoU; whoever is left over counts 0",
        ),
    },
    "gcg": {
        "glamm": Protocol(
            measure=gcg.measure,
            result=Tally.result,
            says="greedy pairs; recall ends at the first pair whose phrases differ",
        ),
        "clean": Protocol(
            measure=gcg.measure_clean,
            result=Tally.result,
            says="best pairs; masks left over count 0",
        ),
    },
    "clips": {
        "davis": Protocol(
            measure=davis.measure,
            result=davis.result,
            says="a mask of the whole image has no boundary; quarters wrap beyond 256 frames",
        ),
        "clean": Protocol(
            measure=_clean_davis,
            result=davis.result,
            says="the image's edge bounds masks too; clips of any length",
        ),
    },
    "expressions": {
        "mevis": Protocol(
            measure=expressions.measure,
            result=expressions.result,
            says="the mean over expressions; a missing prediction is 0",
        ),
        "unipixel": Protocol(
            measure=expressions.measure,
            result=expressions.result_in_percent,
            says="as MeViS, in percent with 2 decimals",
        ),
        "clean": Protocol(
            measure=expressions.measure_clean,
            result=expressions.result,
            says="as MeViS; the image's edge bounds masks too",
        ),
    },
    "revos": {
        "visa": Protocol(
            measure=revos.measure,
            result=revos.result,
            says="A and R on grey values in bytes; rounds each expression; overall of two means",
        ),
        "clean": Protocol(
            measure=revos.measure_clean,
            result=revos.result_clean,
            says="A and R on masks; overall is the mean over expressions",
        ),
    },
    "pixelqa": {
        "unipixel": Protocol(
            measure=volumes.measure,
            result=volumes.result,
            says="F is an F1 of pixels; both empty is 0; the mean over objects",
        ),
        "clean": Protocol(
            measure=volumes.measure_clean,
            result=Tally.result,
            says="F is of boundaries; both empty is 1; the mean over samples",
        ),
    },
    "choices": {
        "unipixel": Protocol(
            measure=choices.measure,
            result=Tally.result,
            says="the first letter of the first word",
        ),
        "videorefer": Protocol(
            measure=choices.measure_videorefer,
            result=Tally.result,
            says='the first "(X)", else "X)", else the first character',
        ),
        "mvbench": Protocol(
            measure=choices.measure_exact, result=Tally.result, says="right if the texts are equal"
        ),
        "clean": Protocol(
            measure=choices.measure_clean,
            result=Tally.result,
            says="the option that the answer names, in whatever words",
        ),
    },
    "judged": {
        "videorefer": Protocol(
            measure=judged.measure,
            result=judged.result,
            says="each aspect over the entries that have it",
        ),
        "clean": Protocol(
            measure=judged.measure_clean,
            result=judged.result,
            says="entries with all four scores within 0 to 5",
        ),
    },
    "classes": {
        "lisa": Protocol(
            measure=classes.measure,
            result=classes.result,
            says="classes that never show score 0; 255 is left out",
        ),
        "clean": Protocol(
            measure=classes.measure,
            result=classes.result_clean,
            says="classes that never show are left out",
        ),
    },
    "siou": {
        "osprey": Protocol(
            measure=phrases.measure,
            result=Tally.result,
            says="words by white space; case and punctuation tell them apart",
        ),
        "clean": Protocol(
            measure=phrases.measure_clean,
            result=Tally.result,
            says="case and punctuation do not count; two empty phrases agree",
        ),
    },
}


def find_protocol(metric: str, name: str = "published") -> tuple[str, Protocol]:
    """Return a protocol of a metric with its own name.

    Args:
        metric: a key of `PROTOCOLS`.
        name: one of the metric's protocols, or "published" for the first.

    Raises:
        ConfigError: there is none of that name.
    """
    known = pick(PROTOCOLS, metric, "metric")
    name = next(iter(known)) if name == "published" else name
    return name, pick(known, name, f"protocol of {metric}")
