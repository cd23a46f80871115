"""What is measured of one question: the true answer beside the predicted one, in exact sums.

These are our own, clean metrics of whole answers; published ones are in `deixis.metrics.protocols`.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from math import fsum

from deixis.errors import ConfigError
from deixis.metrics.contour import FrameScore, boundary_f, mean_over_frames, region_j
from deixis.metrics.matching import Pair, match
from deixis.metrics.overlap import visible_frames
from deixis.metrics.sums import Part, Tally
from deixis.metrics.wording import same_answer
from deixis.structures.answers import GroundedAnswer, Target
from deixis.structures.images import ImageSet

BINS = 10  # of the calibration error
HIT = 0.5  # IoU above which a target counts as found


@dataclass(frozen=True)
class Case:
    """One question: the true answer beside the predicted one."""

    images: ImageSet
    truth: GroundedAnswer
    predicted: GroundedAnswer

    @cached_property
    def pairs(self) -> tuple[Pair, ...]:
        """Every target of both answers, with its partner or without."""
        return match(self.truth, self.predicted)

    @property
    def true_targets(self) -> int:
        """How many targets the truth has."""
        return sum(pair.true is not None for pair in self.pairs)

    @property
    def predicted_targets(self) -> int:
        """How many targets the prediction has."""
        return sum(pair.predicted is not None for pair in self.pairs)

    def images_of(self, target: Target) -> frozenset[int]:
        """Return the images, clips being one, in which a target shows."""
        return frozenset(self.images.image_of(frame) for frame in visible_frames(target))

    def over_pairs(self, score: Callable[[Pair], float]) -> float:
        """Return the mean of a score over all pairs; 1 where there is no target at all."""
        scores = [score(pair) for pair in self.pairs]
        return fsum(scores) / len(scores) if scores else 1.0

    def over_frames(self, score: FrameScore, pair: Pair) -> float:
        """Return the mean of a score over all frames, a missing side being empty in each."""
        return mean_over_frames(score, pair.true, pair.predicted, len(self.images))


def _giou(case: Case) -> Iterable[Part]:
    yield "giou", case.over_pairs(lambda pair: pair.iou), 1


def _giou_where_targets(case: Case) -> Iterable[Part]:
    return _giou(case) if case.pairs else ()


def _ciou(case: Case) -> Iterable[Part]:
    shared = sum(pair.intersection for pair in case.pairs)
    yield "ciou", shared, sum(pair.union for pair in case.pairs)


def _miou(case: Case) -> Iterable[Part]:
    yield "miou", fsum(pair.iou for pair in case.pairs), len(case.pairs)


def _recall(case: Case) -> Iterable[Part]:
    hits = sum(pair.iou > HIT for pair in case.pairs if pair.matched)
    yield "recall", hits, case.true_targets


def _image_accuracy(case: Case) -> Iterable[Part]:
    right = sum(
        case.images_of(pair.true) == case.images_of(pair.predicted)
        for pair in case.pairs
        if pair.true is not None and pair.predicted is not None
    )
    yield "image_accuracy", right, case.true_targets


def _answer_accuracy(case: Case) -> Iterable[Part]:
    if case.truth.conclusion is not None:
        right = same_answer(case.truth.conclusion, case.predicted.conclusion)
        yield "answer_accuracy", right, 1


def _n_acc(case: Case) -> Iterable[Part]:
    if not case.true_targets:
        yield "n_acc", not case.predicted_targets, 1


def _t_acc(case: Case) -> Iterable[Part]:
    if case.true_targets:
        yield "t_acc", case.predicted_targets > 0, 1


def _presence_ece(case: Case) -> Iterable[Part]:
    """Whatever the answer says is there, or is not, with how sure it is, against whether it is."""
    matched = {id(pair.predicted) for pair in case.pairs if pair.matched}
    missed = case.true_targets - len(matched)
    said = [(target.presence, id(target) in matched) for target in case.predicted.targets]
    said += [(target.presence, i < missed) for i, target in enumerate(case.predicted.absent)]
    for presence, there in said:
        if presence is not None:
            place = min(int(presence * BINS), BINS - 1)
            yield f"presence_ece/{place}", presence - there, 1


def _j(case: Case) -> Iterable[Part]:
    yield "j", case.over_pairs(lambda pair: case.over_frames(region_j, pair)), 1


def _f(case: Case) -> Iterable[Part]:
    yield "f", case.over_pairs(lambda pair: case.over_frames(boundary_f, pair)), 1


MEASURES: Mapping[str, Callable[[Case], Iterable[Part]]] = {
    "giou": _giou,
    "giou_where_targets": _giou_where_targets,  # reported as giou
    "ciou": _ciou,
    "miou": _miou,
    "recall": _recall,
    "image_accuracy": _image_accuracy,
    "answer_accuracy": _answer_accuracy,
    "n_acc": _n_acc,
    "t_acc": _t_acc,
    "presence_ece": _presence_ece,
    "j": _j,
    "f": _f,
}


def measure(
    images: ImageSet, truth: GroundedAnswer, predicted: GroundedAnswer, names: Iterable[str]
) -> Tally:
    """Return the tally of one sample for the named measures.

    Raises:
        ConfigError: a name that is no measure.
        ShapeError: masks of one frame that have different sizes.
    """
    case, tally = Case(images, truth, predicted), Tally(samples=1)
    for name in names:
        if name not in MEASURES:
            raise ConfigError(
                f'metric: expected one of {", ".join(MEASURES)}, got "{name}". Correct the name.'
            )
        tally.merge(Tally.of(MEASURES[name](case), samples=0))
    return tally
