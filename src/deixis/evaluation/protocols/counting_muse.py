"""What is counted of MUSE: questions of an image weigh together; a judge may read the words.

Shapes: M predicted and N true masks of (H, W) pixels.
"""

from collections.abc import Sequence

import numpy as np

from deixis.data.annotations.rows import LazySamples
from deixis.errors import ConfigError
from deixis.evaluation.protocols.counting import LOGIT, Counting, in_place, logits_of, masks_of
from deixis.evaluation.protocols.judging import Judge
from deixis.evaluation.protocols.judging_names import fitting, named
from deixis.metrics.images import muse
from deixis.metrics.images.labels import Counts
from deixis.metrics.images.lisa import UNION_EPSILON
from deixis.metrics.sums import FAILED, Part, Tally
from deixis.structures.answers import GroundedAnswer
from deixis.structures.samples import Sample

SILENT = f"{FAILED}judge silent"
JUDGED = "judged/"  # before the sums in which matches whose words do not fit count as missed
JUDGED_BY = "a match whose words do not fit counts as missed; our reading of an unpublished step"


class Questions(Counting):
    """MUSE: targets are matched with what is drawn, and what is left over counts."""

    judge: Judge | None = None

    def __init__(self, samples: LazySamples, metric: str, protocol: str) -> None:
        super().__init__(samples, metric, protocol)
        self.wants_logits = not self.clean
        if not self.clean:
            self.notes = {"logits": f"of masks: {LOGIT:g} inside, {-LOGIT:g} outside"}

    def use(self, judge: Judge) -> None:
        """Let a judge say whether words fit, and say who it is.

        Raises:
            ConfigError: the clean protocol, which has no such step.
        """
        if self.clean:
            raise ConfigError("--judge: expected the published protocol of muse, got clean.")
        self.judge, self.notes["judge"] = judge, f"{judge.note}; {JUDGED_BY}"

    def measure(self, index: int, sample: Sample, predicted: GroundedAnswer) -> Tally:
        """Return the tally of a sample."""
        true = (self.samples.labels(index) == 1).astype(np.uint8)
        if self.clean:
            logits = logits_of(masks_of(predicted, true.shape[1:]))
            return self.protocol.measure(logits, self.samples.labels(index))
        logits = _drawn(predicted, true.shape[1:])
        compared = muse.compare(logits, true)
        tally = self.protocol.measure([compared], 0)
        image = sample.id.split("/")[0]
        tally += Tally.of([(f"image/{image}", len(logits), len(true))], samples=0)
        if self.judge is not None:
            tally += self._judged(self.judge, sample, predicted, compared, true)
        return tally

    def result(self, tally: Tally) -> dict[str, float]:
        """Return the figures: an image weighs the larger of its predictions and targets."""
        if self.clean:
            return self.protocol.result(tally)
        images = [name for name in tally.sums if name.startswith("image/")]
        heavy = sum(max(int(tally.top(n)), tally.bottom(n)) for n in images)
        weight = Tally.of([("giou", 0, heavy)], samples=0)
        figures = self.protocol.result(tally + weight)
        own = {n.removeprefix(JUDGED): v for n, v in tally.sums.items() if n.startswith(JUDGED)}
        if own:
            judged = self.protocol.result(Tally(tally.samples, own) + weight)
            figures |= {f"{name}_judged": value for name, value in judged.items()}
            fit = Tally(tally.samples, {"fit": own.get("fit", (0, 0))})
            figures |= fit.result()
        return figures

    def _judged(
        self,
        judge: Judge,
        sample: Sample,
        predicted: GroundedAnswer,
        compared: muse.Compared,
        true: np.ndarray,
    ) -> Tally:
        """Return the sums of a question once its words were judged."""
        assert sample.answer is not None  # the evaluator checks
        phrases = [target.phrase for target in sample.answer.targets]
        if len(phrases) != len(true):  # some are empty
            phrases = [f"object {number}" for number, _ in enumerate(true, start=1)]
        drawn = predicted.drawn or (True,) * len(predicted.targets)
        shown = [i for i, shows in enumerate(drawn) if shows]  # of each target, its drawing
        partners = [compared.partners[i] if i < len(compared.partners) else None for i in shown]
        found = [None if j is None else named(phrases[j], true[j]) for j in partners]
        words = fitting(judge, sample.question.text, predicted, found)
        wrong = {i for i, fits in zip(shown, words, strict=True) if fits is False}
        matched = [i for i, partner in enumerate(compared.partners) if partner is not None]
        parts: list[Part] = []
        for number, pair in enumerate(compared.pairs):
            void = number < len(matched) and matched[number] in wrong
            parts += _sums(pair, void)
        pairs = [fits for j, fits in zip(partners, words, strict=True) if j is not None]
        parts += [(f"{JUDGED}fit", fits is not False, 1) for fits in pairs]
        parts += [(SILENT, 1, 0)] * words.count(None)
        return Tally.of(parts, samples=0)


def _sums(pair: Counts, void: bool) -> list[Part]:
    """Return the sums of a pair; of one that is void, nothing is shared."""
    union = int(pair.union[1])
    shared = 0 if void else int(pair.intersection[1])
    score = shared / (union + UNION_EPSILON) if union else float(not void)
    return [(f"{JUDGED}giou", score, 0), (f"{JUDGED}ciou", shared, union)]


def _drawn(predicted: GroundedAnswer, size: Sequence[int]) -> np.ndarray:
    """Return the logits (M, H, W) of all that was drawn; of masks, where only these are known."""
    if predicted.logits is None:
        return logits_of(in_place(masks_of(predicted, size), predicted))
    own = [one.whole() for one in predicted.logits]
    return np.stack(own) if own else np.zeros((0, *size), dtype=np.float32)
