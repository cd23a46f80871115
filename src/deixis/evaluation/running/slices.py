"""One evaluation, many views: the same answers tallied by what the true answer is like.

So the number of images, the size of targets, parts, several targets and things that only one
image shows are slices of one run, not runs of their own.
"""

from collections.abc import Iterable, Mapping, Sequence

from deixis.evaluation.answering.asking import blind
from deixis.evaluation.running.evaluator import Answerer
from deixis.metrics.sums import Tally
from deixis.metrics.tally import measure
from deixis.structures.answers import GroundedAnswer
from deixis.structures.images import ImageSet
from deixis.structures.samples import Sample

MEASURES = ("miou", "giou", "recall", "image_accuracy")
SMALL, LARGE = 0.02, 0.08  # shares of an image, of the smallest target
BATCH = 16


def slices_of(images: ImageSet, truth: GroundedAnswer, kind: str = "") -> tuple[str, ...]:
    """Return the names of the slices that a question of some kind belongs to; "all" is always
    one."""
    names = ["all", f"images: {len(images)}"]
    if kind:
        names.append(f"kind: {kind}")
    targets = [target for target in truth.targets if target.masks]
    if not targets:
        return (*names, "targets: none")
    shares = [
        mask.area / (mask.size[0] * mask.size[1]) for t in targets for mask in t.masks.values()
    ]
    least = min(shares)
    size = "small" if least < SMALL else "large" if least >= LARGE else "middle"
    names += ["targets: one" if len(targets) == 1 else "targets: several", f"size: {size}"]
    if any("'s " in target.phrase or " of " in target.phrase for target in targets):
        names.append("parts")
    if len(images) > 1:
        once = all(len(target.masks) == 1 for target in targets)
        names.append("shown: in one image" if once else "shown: in several images")
    return tuple(names)


def evaluate_slices(
    reasoner: Answerer, samples: Iterable[Sample], measures: Sequence[str] = MEASURES
) -> Mapping[str, dict[str, float]]:
    """Ask every question once; return the figures of each slice, with its number of samples."""
    tallies: dict[str, Tally] = {}
    batch: list[Sample] = []

    def settle() -> None:
        answers = reasoner.answer_batch([blind(sample) for sample in batch])
        for sample, said in zip(batch, answers, strict=True):
            assert sample.answer is not None, "questions of which the truth is known"
            tally = measure(sample.images, sample.answer, said, measures)
            for name in slices_of(sample.images, sample.answer, sample.type):
                tallies.setdefault(name, Tally()).merge(tally)
        batch.clear()

    for sample in samples:
        batch.append(sample)
        if len(batch) == BATCH:
            settle()
    if batch:
        settle()
    return {
        name: {**tally.result(), "samples": tally.samples}
        for name, tally in sorted(tallies.items())
    }
