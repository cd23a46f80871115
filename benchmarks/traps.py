"""How much each trap of the published protocols moves a figure: answers of the shipped weights.

    python benchmarks/traps.py [--count 40] [--seed N [--keep DIR]]

writes scenes in the published layouts, lets deixis-tiny answer each question once, and scores the
same answers as published and without the trap. Writes docs/traps.json and fills docs/benchmarks.md
(``pages.py``). Figures are those of a small model; what is shown is the difference.
"""

import argparse
import json
import secrets
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pages
import trap_sets as sets

from deixis import load
from deixis.data.annotations.rows import LazySamples
from deixis.evaluation.answering.asking import blind
from deixis.evaluation.answering.keeping import Kept
from deixis.evaluation.protocols import counting
from deixis.evaluation.protocols.published import open_published
from deixis.evaluation.running.evaluator import evaluate
from deixis.metrics.clips import davis
from deixis.metrics.images import boxes, gcg, lisa, unipixel
from deixis.metrics.images.precision import AveragePrecision
from deixis.metrics.sums import Tally
from deixis.metrics.words import choices
from deixis.metrics.words.phrases import word_iou_clean
from deixis.structures.answers import GroundedAnswer
from deixis.structures.samples import Sample

TOGETHER = 16
PERCENT = 100.0


@dataclass
class Trap:
    """One trap and what it did to one figure.

    Attributes:
        number: in the list of traps of the specification.
        published: the figure with the trap; clean: without, both as shares.
    """

    number: int
    what: str
    data: str
    figure: str
    published: float
    clean: float
    samples: int


Answered = tuple[int, Sample, GroundedAnswer]


class Measured:
    """Answers of one reasoner to data sets below one root, each question asked once."""

    def __init__(self, reasoner: Any, root: Path) -> None:
        self.root = root
        self.kept = Kept(reasoner, root / "kept")

    def figures(self, name: str, protocol: str) -> dict[str, float]:
        """Return what a protocol makes of the answers."""
        benchmark = open_published(name, self.root, protocol=protocol)
        found: dict[str, float] = evaluate(self.kept, benchmark, batch_size=TOGETHER)["metrics"]
        return found

    def answers(self, name: str, protocol: str = "clean") -> tuple[LazySamples, list[Answered]]:
        """Return the samples and each with its index and its answer."""
        samples: Any = open_published(name, self.root, protocol=protocol).samples
        said = self.kept.answer_batch([blind(samples[i]) for i in range(len(samples))])
        return samples, [(i, samples[i], answer) for i, answer in enumerate(said)]


class Traps:
    """All traps that answers can show, over sets of so many samples."""

    def __init__(self, reasoner: Any, folder: Path, count: int, seed: int) -> None:
        self.reasoner, self.folder, self.count, self.seed = reasoner, folder, count, seed
        self.found: list[Trap] = []

    def _at(self, name: str) -> Path:
        return self.folder / name

    @cached_property
    def several(self) -> list[sets.Shown]:
        """Pictures with several targets each."""
        return sets.scenes("many", self.count, self.seed)

    @cached_property
    def single(self) -> list[sets.Shown]:
        """Pictures with one target each."""
        return sets.scenes("refer", self.count, self.seed)

    @cached_property
    def moving(self) -> list[sets.Shown]:
        """Clips with one target each."""
        return sets.scenes("clip", self.count // 2, self.seed, several=True)

    def _note(self, *values: Any) -> None:
        self.found.append(Trap(*values))
        print(self.found[-1], file=sys.stderr)

    def referring(self) -> None:
        """Traps 3 to 6 and 15: small numbers, float32, polygons, pairs by position, boxes."""
        root = self._at("referring")
        sets.write_referring(root, self.single, self.several)
        measured = Measured(self.reasoner, root)
        samples, rows = measured.answers("refcoco+")
        total, plain, united = lisa.Float32Meter(), Tally(), Tally()
        for index, _, answer in rows:
            true = samples.labels(index)
            masks = counting.masks_of(answer, true.shape[1:])
            total.add(true, masks)
            plain += lisa.measure(true, masks)
            united += lisa.measure(np.minimum(true, 1), masks)
        small = lisa.result(united)["giou"]
        exact = united.top("giou") / united.bottom("giou")
        n = len(rows)
        self._note(3, "1e-5 in the count of masks", "refcoco+", "giou", small, exact, n)
        with_floats, sums = total.result()["ciou"], lisa.result(plain)["ciou"]
        self._note(4, "sums in float32", "refcoco+", "ciou", with_floats, sums, n)
        for figure in ("giou", "ciou"):
            values = lisa.result(plain)[figure], lisa.result(united)[figure]
            what = "polygons added: pixels under two are in no class"
            self._note(5, what, "refcoco+", figure, *values, n)
        pairs = (measured.figures("multi-refcoco+", p) for p in ("pixellm", "clean"))
        one, other = (figures["giou"] for figures in pairs)
        what, n = "pairs by position, surplus dropped", self._length(root, "multi-refcoco+")
        self._note(6, what, "multi-refcoco+", "giou", one, other, n)
        self._boxes(measured)

    def _boxes(self, measured: Measured) -> None:
        samples, rows = measured.answers("refcoco+")
        tallies = [Tally(), Tally()]
        for index, _, answer in rows:
            true = counting.signed(samples.labels(index)[0])
            mask = counting.first_mask(answer, true.shape)
            box = boxes.corners(samples.more(index)[0])
            for place, measure in enumerate((unipixel.measure, unipixel.measure_clean)):
                tallies[place] += measure(true, mask, box)
        values = (tally.quotient("box_accuracy") for tally in tallies)
        what = "boxes end at the last pixel, parts below 10 pixels are dropped"
        self._note(15, what, "refcoco+", "box accuracy", *values, len(rows))

    def general(self) -> None:
        """Traps 2 and 17: who says that nothing is meant, and which IoU boxes need."""
        root, count = self._at("general"), self.count // 2
        absent = sets.scenes("absent", count, self.seed)
        sets.write_general(root, self.several[:count], absent)
        measured = Measured(self.reasoner, root)
        found = {p: measured.figures("grefcoco", p) for p in ("rela", "clean")}
        n = self._length(root, "grefcoco")
        for figure, scale in (("giou", PERCENT), ("n_acc", 1.0)):
            one, other = found["rela"][figure] / scale, found["clean"][figure]
            what = "nothing is meant if the model says so, not if its mask is empty"
            self._note(2, what, "grefcoco", figure, one, other, n)
        self._both_empty(measured)
        one, other = (measured.figures("grefcoco", p)["f1_score"] for p in ("grec", "grec-clean"))
        what = "greedy pairs by the generalised IoU of boxes"
        self._note(17, what, "grefcoco", "f1_score", one, other, n)

    def _both_empty(self, measured: Measured) -> None:
        samples, rows = measured.answers("grefcoco")
        kept, dropped = Tally(), Tally()
        for index, _, answer in rows:
            true = samples.labels(index)
            guess = counting.union_of(answer, 1, true.shape[1:])
            kept += lisa.measure(true, guess)
            dropped += unipixel.measure_segzero(true[0], guess[0])
        values = lisa.result(kept)["giou"], unipixel.result_segzero(dropped)["giou"]
        what = "two empty masks count as 1 (LISA), or are left out (Seg-Zero: without)"
        self._note(2, what, "grefcoco", "giou", *values, len(rows))

    def reason_seg(self) -> None:
        """Traps 8 and 9: what is ignored, and which texts are asked."""
        root = self._at("reason_seg")
        sets.write_reason_seg(root, self.single)
        measured = Measured(self.reasoner, root)
        samples, rows = measured.answers("reason_seg", "lisa")
        every, asked = measured.answers("reason_seg", "unipixel")
        firsts = {sample.question.text: answer for _, sample, answer in rows}
        background, ignored, one_text = Tally(), Tally(), Tally()
        for index, sample, answer in asked:
            true = every.labels(index)
            tally = lisa.measure(true, counting.first_mask(answer, true.shape[1:])[None])
            background += tally
            if sample.question.text in firsts:
                one_text += tally
        for index, _, answer in rows:
            true = samples.labels(index)
            ignored += lisa.measure(true, counting.first_mask(answer, true.shape[1:])[None])
        what = "ignored regions become background"
        values = lisa.result(one_text)["giou"], lisa.result(ignored)["giou"]
        self._note(8, what, "reason_seg", "giou", *values, len(rows))
        values = lisa.result(background)["giou"], lisa.result(one_text)["giou"]
        what = "every text is asked, not the first"
        self._note(9, what, "reason_seg", "giou", *values, len(asked))

    def muse(self) -> None:
        """Trap 7: surplus predictions as raw logits."""
        root = self._at("muse")
        sets.write_muse(root, sets.scenes("many", 2 * self.count, self.seed))
        measured = Measured(self.reasoner, root)
        found = {p: measured.figures("muse", p) for p in ("pixellm", "clean")}
        for figure in ("giou", "ciou"):
            values = (found[p][figure] for p in ("pixellm", "clean"))
            what = "surplus predictions are compared as raw logits"
            self._note(7, what, "muse", figure, *values, self._length(root, "muse"))

    def clips(self) -> None:
        """Traps 10 to 13 and 19: grey values, means of means, tolerance, edges, running numbers."""
        root = self._at("clips")
        sets.write_clips(root, self.moving)
        measured, n = Measured(self.reasoner, root), len(self.moving)
        published, clean = (measured.figures("revos", p) for p in ("visa", "clean"))
        for figure, what in (
            ("a", "grey values: object pixels of 255 are wrong"),
            ("r", "grey values: a false pixel weighs 255 times"),
        ):
            name = f"overall/{figure}"
            values = published[name] / PERCENT, clean[name] / PERCENT
            self._note(10, what, "revos", figure.upper(), *values, n)
        values = published["overall/jf"] / PERCENT, clean["overall/jf"] / PERCENT
        self._note(11, "rounded, and the mean of two means", "revos", "jf", *values, n)
        self._frames(measured)
        sorted_names = measured.figures("ref_davis17", "mevis")["jf"]
        sets.write_numbers(root, self.moving, of_file=True)
        file_order = measured.figures("ref_davis17", "mevis")["jf"]
        what = "numbers of masks run over the file, not over sorted names"
        self._note(19, what, "ref_davis17", "jf", file_order, sorted_names, n)

    def _frames(self, measured: Measured) -> None:
        """Score the same frames at another size, and with the image's edge as a boundary."""
        samples, rows = measured.answers("mevis")
        names = ("as it is", "half", "four times", "edge")
        scores: dict[str, list[float]] = {name: [] for name in names}
        for index, _, answer in rows:
            true = samples.labels(index) > 0
            guess = counting.union_of(answer, len(true), true.shape[1:])
            for one, other in zip(true, guess, strict=True):
                scores["as it is"].append(davis.frame_f(one, other))
                scores["half"].append(davis.frame_f(one[::2, ::2], other[::2, ::2]))
                large = [side.repeat(4, 0).repeat(4, 1) for side in (one, other)]
                scores["four times"].append(davis.frame_f(*large))
                scores["edge"].append(davis.frame_f_clean(one, other))
        means = {name: float(np.mean(values)) for name, values in scores.items()}
        n, whole = len(rows), means["as it is"]
        self._note(12, "masks of half the size", "mevis", "f", means["half"], whole, n)
        self._note(12, "masks of four times the size", "mevis", "f", means["four times"], whole, n)
        what = "the image's edge bounds no mask"
        self._note(13, what, "mevis", "f", whole, means["edge"], n)

    def pixelqa(self) -> None:
        """Traps 14 and 18: volumes instead of boundaries, and the first letter of an answer."""
        root = self._at("pixelqa")
        more = sets.scenes("pixelqa", 3 * self.count, self.seed, several=True)
        wanted = [one for one in more if sets.usable(one)][: self.count // 2]
        sets.write_regions(root, wanted)
        measured, n = Measured(self.reasoner, root), len(wanted)
        found = {p: measured.figures("pixelqa-box", p) for p in ("unipixel", "clean")}
        for figure, what in (
            ("j", "means over objects; both empty is 0"),
            ("f", "an F1 of pixels, not of boundaries"),
        ):
            one, other = found["unipixel"][figure] / PERCENT, found["clean"][figure]
            self._note(14, what, "pixelqa-box", figure, one, other, n)
        self._letters(measured, n)

    def _letters(self, measured: Measured, n: int) -> None:
        """Grade the option that each answer comes to, said in a sentence."""
        _, rows = measured.answers("videorefer-q")
        tallies = [Tally(), Tally(), Tally()]
        for _, sample, answer in rows:
            assert sample.answer is not None
            assert sample.answer.conclusion is not None
            options = [f"({a}) {b}" for a, b in counting.OPTION.findall(sample.question.text)]
            said = [one[1] for one in options if one[4:] == answer.conclusion]
            text, true = f"The answer is ({said[0]})." if said else "", sample.answer.conclusion
            tallies[0] += choices.measure(text, true, len(options))
            tallies[1] += choices.measure_videorefer(text.replace("(", "").replace(")", ""), true)
            tallies[2] += choices.measure_clean(text, true, options)
        one, two, clean = (tally.quotient("accuracy") for tally in tallies)
        what = 'UniPixel reads the first letter of "The answer is (B)."'
        self._note(18, what, "videorefer-q", "accuracy", one, clean, n)
        what = 'VideoRefer reads the first letter of "The answer is B."'
        self._note(18, what, "videorefer-q", "accuracy", two, clean, n)

    def captions(self) -> None:
        """Trap 16: AP by the order of predictions, and a recall that stops early."""
        root = self._at("captions")
        sets.write_captions(root, self.several)
        kept = Measured(self.reasoner, root).kept
        samples: Any = open_published("grandf", root, protocol="clean").samples
        asked = [
            Sample(images=samples[i].images, question=type(samples[i].question)(text=one.question))
            for i, one in enumerate(self.several)
        ]
        orders = [AveragePrecision(), AveragePrecision()]
        tallies = [Tally(), Tally()]
        for index, answer in enumerate(kept.answer_batch(asked)):
            truth = samples[index].answer.targets
            true = [t.masks[0].to_rle() for t in truth]
            guess = [t for t in answer.targets if 0 in t.masks]
            rles = [t.masks[0].to_rle() for t in guess]
            rows = [{"segmentation": t.masks[0].to_rle(), "area": t.masks[0].area} for t in truth]
            for order, those in zip(orders, (rles, rles[::-1]), strict=True):
                order.add(f"{index:03d}", rows, those)
            sides = true, [t.phrase for t in truth], rles, [t.phrase for t in guess]
            tallies[0] += gcg.measure(*sides, word_iou_clean)
            tallies[1] += gcg.measure_clean(*sides, word_iou_clean)
        n = len(asked)
        one, other = (order.result()["ap50"] for order in orders)
        self._note(16, "AP by the order of an image's masks", "grandf", "ap50", one, other, n)
        whole = orders[0].result_clean()["ap50"]
        self._note(16, "AP as a curve of equal scores", "grandf", "ap50", one, whole, n)
        for figure, what in (
            ("recall", "recall ends at the first pair whose phrases differ"),
            ("miou", "masks left over are free"),
        ):
            values = (tally.quotient(figure) for tally in tallies)
            self._note(16, what, "grandf", figure, *values, n)

    def classes(self) -> None:
        """Trap 2 for classes: one that never shows scores 0."""
        root = self._at("classes")
        sets.write_classes(root, self.several)
        measured = Measured(self.reasoner, root)
        one, other = (measured.figures("ade20k", p)["miou"] for p in ("lisa", "clean"))
        what = "classes that never show score 0"
        self._note(2, what, "ade20k", "miou", one, other, self._length(root, "ade20k"))

    def groundmore(self) -> None:
        """Trap 20: the truth is empty outside the action."""
        root = self._at("groundmore")
        sets.write_groundmore(root, self.moving)
        measured = Measured(self.reasoner, root)
        published = measured.figures("groundmore", "davis")["jf"]
        path = root / "groundmore/test_v2.json"
        path.write_text(path.read_text().replace("00:11", "00:30"))
        whole = measured.figures("groundmore", "davis")["jf"]
        what = "the truth is empty outside the action that is asked about"
        self._note(20, what, "groundmore", "jf", published, whole, len(self.moving))

    def _length(self, root: Path, name: str) -> int:
        return len(open_published(name, root, protocol="clean").samples)


def main() -> None:
    """Measure, write and fill."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--count", type=int, default=40)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--keep", type=Path, help="keep sets and answers here, to go on later")
    arguments = parser.parse_args()
    seed = secrets.randbelow(2**31) if arguments.seed is None else arguments.seed
    reasoner = load("deixis-tiny", device="cpu")
    with TemporaryDirectory() as folder:
        place = arguments.keep or Path(folder)
        traps = Traps(reasoner, place, arguments.count, seed)
        steps: tuple[Callable[[], None], ...] = (
            *(traps.referring, traps.general, traps.reason_seg, traps.muse, traps.clips),
            *(traps.pixelqa, traps.captions, traps.classes, traps.groundmore),
        )
        for step in steps:
            step()
    rows = sorted(traps.found, key=lambda trap: trap.number)
    values = [
        {k: round(v, 6) if isinstance(v, float) else v for k, v in vars(one).items()}
        for one in rows
    ]
    fixed = {"model": "deixis-tiny", "fingerprint": reasoner.fingerprint}
    found = {**fixed, "count": arguments.count, "seed": seed, "traps": values}
    pages.TRAPS.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    pages.main()


if __name__ == "__main__":
    main()
