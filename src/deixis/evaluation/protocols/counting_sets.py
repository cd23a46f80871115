"""What is counted in protocols whose figures need the whole set: classes, captions, judgements."""

import shutil
from importlib.util import find_spec

import numpy as np

from deixis.data.annotations.rows import LazySamples
from deixis.errors import ConfigError
from deixis.evaluation.protocols.counting import Counting
from deixis.evaluation.protocols.judging import Judge
from deixis.metrics.images.gcg import Similarity
from deixis.metrics.images.precision import AveragePrecision
from deixis.metrics.sums import Tally
from deixis.metrics.words.captions import Captions
from deixis.metrics.words.phrases import word_iou_clean
from deixis.structures.answers import GroundedAnswer, Target
from deixis.structures.samples import Sample

NOTHING = 254  # a label of no class, of pixels that no target covers
SIMILARITY = "shared words, not comparable: published recall compares by BERT (--phrases DIR)"


class Classes(Counting):
    """Classes of pixels: targets by name, a later one over an earlier."""

    def __init__(self, samples: LazySamples, metric: str, protocol: str) -> None:
        super().__init__(samples, metric, protocol)
        self.names: tuple[str, ...] = samples.more(0)

    def measure(self, index: int, sample: Sample, predicted: GroundedAnswer) -> Tally:
        """Return the tally of a sample."""
        true = self.samples.labels(index)[0]
        guess = np.full(true.shape, NOTHING, dtype=np.uint8)
        numbers = {name: number for number, name in enumerate(self.names)}
        for target in predicted.targets:
            if target.phrase in numbers and 0 in target.masks:
                guess[target.masks[0].pixels] = numbers[target.phrase]
        return self.protocol.measure(true, guess, len(self.names))


class GroundedCaptions(Counting):
    """Grounded captions: masks with phrases, mask AP, and the captions' own scores."""

    def __init__(self, samples: LazySamples, metric: str, protocol: str) -> None:
        super().__init__(samples, metric, protocol)
        self.precision, self.captions = AveragePrecision(), Captions()
        self.notes = {"similarity": SIMILARITY}
        self.similarity: Similarity = word_iou_clean
        self.scored = find_spec("pycocoevalcap") is not None and shutil.which("java") is not None
        if not self.scored:
            missing = "left out: they need pycocoevalcap (deixis[metrics]) and Java 17"
            self.notes = {**self.notes, "METEOR and CIDEr": missing}

    def compare_by(self, name: str, similarity: Similarity) -> None:
        """Compare phrases in another way than by shared words, and say in which."""
        self.similarity, self.notes["similarity"] = similarity, name

    def measure(self, index: int, sample: Sample, predicted: GroundedAnswer) -> Tally:
        """Return the tally of a sample, and keep its masks and captions for the end."""
        assert sample.answer is not None  # the evaluator checks
        true, guess = _shown(sample.answer), _shown(predicted)
        rles = [target.masks[0].to_rle() for target in guess]
        annotations = [
            {"segmentation": target.masks[0].to_rle(), "area": target.masks[0].area}
            for target in true
        ]
        key = f"{index:09d}"
        self.precision.add(key, annotations, rles)
        self.captions.add(key, [sample.answer.text], predicted.text)
        return self.protocol.measure(
            [one["segmentation"] for one in annotations],
            [target.phrase for target in true],
            rles,
            [target.phrase for target in guess],
            self.similarity,
        )

    def overall(self) -> dict[str, float]:
        """Return AP50, and METEOR and CIDEr where they can be had."""
        found = self.precision.result_clean() if self.clean else self.precision.result()
        figures = {name: found[name] for name in ("ap", "ap50")}
        if self.scored:
            words = self.captions.result()
            figures |= {name: words[name] for name in ("METEOR", "CIDEr")}
        return figures

    def overall_intervals(self) -> dict[str, list[float]]:
        """Return the 95 % intervals of these figures."""
        found = self.precision.intervals_clean() if self.clean else self.precision.intervals()
        return {**found, **(self.captions.intervals() if self.scored else {})}


class Judged(Counting):
    """VideoRefer-Bench-D: a language model scores each description."""

    judge: Judge | None = None

    def use(self, judge: Judge) -> None:
        """Let a judge score, and say who it is."""
        self.judge, self.notes["judge"] = judge, judge.note

    def measure(self, index: int, sample: Sample, predicted: GroundedAnswer) -> Tally:
        """Return the tally of a sample."""
        if self.judge is None:
            raise ConfigError(
                "videorefer-d: expected a judge, got none. Give --judge with the address of an "
                "OpenAI-compatible endpoint, or a file of earlier judgements."
            )
        assert sample.answer is not None  # the evaluator checks
        return self.protocol.measure(self.judge.ask(sample.answer.text, predicted.text))


def _shown(answer: GroundedAnswer) -> list[Target]:
    return [target for target in answer.targets if 0 in target.masks and target.masks[0].area]
