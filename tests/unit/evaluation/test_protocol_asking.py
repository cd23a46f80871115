"""How protocols ask: their words, given answers, logits; and every family on every data set."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scene_sets import write_scenes

from deixis.data.images.reasoning import open_muse
from deixis.evaluation.answering import asking
from deixis.evaluation.answering.asking import blind, notes, put
from deixis.evaluation.answering.baselines import make_baseline
from deixis.evaluation.answering.keeping import Kept
from deixis.evaluation.protocols.counting import in_place
from deixis.evaluation.protocols.published import WAYS, open_published
from deixis.evaluation.running.benchmarks import Task
from deixis.evaluation.running.evaluator import evaluate
from deixis.metrics.images import muse
from deixis.reasoning.given import TARGET, Given
from deixis.structures.answers import GroundedAnswer, Target
from deixis.structures.logits import MaskLogits, Step
from deixis.structures.masks import Mask


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scenes")
    write_scenes(folder)
    return folder


class Listener:
    """Answers with the truth's number of empty logits, and notes what it is asked."""

    name, fingerprint = "listener", "f"

    def __init__(self, family):
        self.family, self.heard, self.given, self.kept = family, [], [], []

    def answer_batch(self, samples, *, logits=False):
        self.heard += samples
        self.kept.append(logits)
        return [GroundedAnswer(text="") for _ in samples]

    def answer_given(self, samples, given, *, logits=False):
        self.given += given
        return self.answer_batch(samples, logits=logits)


def asked(root, name, protocol, family="pixellm"):
    listener = Listener(family)
    benchmark = open_published(name, root, protocol=protocol)
    report = evaluate(listener, benchmark)
    return listener, report["configuration"]


def test_pixellm_reads_masks_of_referring_sets_from_given_answers(root):
    listener, setting = asked(root, "refcoco", "pixellm")
    first, *_ = open_published("refcoco", root).samples
    assert listener.heard[0].question.text == (
        f"What is {first.question.text} in this image? Please output segmentation mask."
    )
    assert set(listener.given) == {Given(begun=f"{TARGET}.", whole=True)}
    assert all(sample.answer is None and not sample.type for sample in listener.heard)
    assert setting["asked"] == asking.FORCED
    several, _ = asked(root, "multi-refcoco", "published")
    lengths = [given.begun.count(TARGET) for given in several.given]
    assert max(lengths) == 6
    assert f"{TARGET} and {TARGET}." in {given.begun for given in several.given}
    one, _ = asked(root, "reason_seg", "pixellm")
    assert one.heard[0].question.text.endswith("? Please output segmentation mask.") or (
        one.heard[0].question.text.endswith(" Please output segmentation mask.")
    )


def test_other_protocols_and_other_families_write_their_answers_and_the_report_says_so(root):
    listener, setting = asked(root, "refcoco", "lisa")
    assert not listener.given
    assert "asked" not in setting
    listener, setting = asked(root, "refcoco", "pixellm", family="deixis")
    assert not listener.given
    assert setting["asked"].startswith("answers written freely; published ones are pixellm's")


def test_unipixel_is_asked_in_its_own_words_and_begins_the_answers_of_choices(root):
    listener, _ = asked(root, "mevis", "unipixel", family="unipixel")
    assert listener.heard[0].question.text.startswith("Please segment the ")
    assert listener.heard[0].question.text.endswith(" in this video.")
    listener, setting = asked(root, "pixelqa-point", "unipixel", family="unipixel")
    (given,) = listener.given
    assert (given.begun, given.whole) == ("The best option is (", False)
    assert given.located.endswith("\nOptions:\n(A) yes\n(B) no")
    assert listener.heard[0].question.text == given.located + asking.ONLY
    assert "given answers" in setting["asked"]
    listener, _ = asked(root, "mvbench", "unipixel", family="unipixel")
    assert [given.begun for given in listener.given] == ["Best Option: ("]


def test_a_model_of_ours_is_asked_for_logits_where_they_are_scored(root):
    listener, setting = asked(root, "muse", "pixellm")
    assert listener.kept == [True]
    assert setting["logits"] == "the model's own"
    benchmark = open_published("muse", root)
    report = evaluate(make_baseline("oracle", benchmark), benchmark)
    assert report["configuration"]["logits"] == "of masks: 10 inside, -10 outside"
    listener, setting = asked(root, "muse", "clean")
    assert listener.kept == [False]
    assert "logits" not in setting


class Drawing(Listener):
    """Answers each question with the truth, and logits of which one more is drawn than asked."""

    def __init__(self, samples):
        super().__init__("pixellm")
        self.truths = {sample.question.text: sample for sample in samples}

    def answer_batch(self, samples, *, logits=False):
        super().answer_batch(samples, logits=logits)
        return [self.draw(sample, logits) for sample in samples]

    def draw(self, sample, logits):
        text = sample.question.text.removesuffix(" Please output segmentation mask.")
        truth = self.truths[text].answer
        size = sample.images[0].size
        values = [np.where(t.masks[0].pixels, 3.0, -2.0) for t in truth.targets]
        values.append(np.full(size, 0.75))  # only within [0, 1] a surplus mask is counted
        steps = (Step(extent=size, size=size),)
        kept = [MaskLogits(values=v.astype(np.float32), steps=steps) for v in values]
        targets = [Target(phrase="it", masks={0: Mask(v > 0)}) for v in values]
        spans = tuple((0, 2) for _ in targets)
        drawn = (True,) * len(targets)
        answer = GroundedAnswer(text="it", targets=tuple(targets), spans=spans, drawn=drawn)
        return replace(answer, logits=tuple(kept)) if logits else answer


def test_muse_scores_the_logits_that_were_drawn_and_a_run_gone_on_with_the_same(root, tmp_path):
    samples = open_muse(root, "val")
    benchmark = open_published("muse", root)
    kept = Kept(Drawing(samples), tmp_path)
    report = evaluate(kept, benchmark)
    again = evaluate(Kept(Drawing([]), tmp_path), open_published("muse", root))
    assert again["metrics"] == report["metrics"]
    heavy = top = shared = union = 0
    for index, sample in enumerate(samples):
        true = (samples.labels(index) == 1).astype(np.uint8)
        drawn = [*(np.where(t, 3.0, -2.0) for t in true), np.full(true[0].shape, 0.75)]
        logits = np.stack(drawn)
        compared = muse.compare(logits.astype(np.float32), true)
        heavy += max(len(logits), len(true))
        for pair in compared.pairs:
            i, u = int(pair.intersection[1]), int(pair.union[1])
            top, shared, union = top + (i / (u + 1e-5) if u else 1.0), shared + i, union + u
        assert sample.answer.targets
    assert report["metrics"]["giou"] == pytest.approx(top / (heavy + 1e-5), abs=1e-9)
    assert report["metrics"]["ciou"] == pytest.approx(shared / (union + 1e-10), abs=1e-9)
    plain = evaluate(Plain(samples), open_published("muse", root))
    assert plain["metrics"] != report["metrics"]


class Plain(Drawing):
    """The same masks of another system, whose logits nobody knows."""

    family = None

    def __init__(self, samples):
        super().__init__(samples)
        self.family = None

    def answer_batch(self, samples, **_):
        return [self.draw(sample, False) for sample in samples]


def test_answers_with_logits_are_kept_apart_from_those_without(root, tmp_path):
    samples = open_muse(root, "val")
    reasoner = Drawing(samples)
    kept = Kept(reasoner, tmp_path)
    one = [blind(samples[0])]
    kept.answer_batch(one)
    assert kept.answer_batch(one)[0].logits is None
    assert len(reasoner.heard) == 1
    assert kept.answer_batch(one, logits=True)[0].logits is not None
    assert kept.answer_batch(one, logits=True)[0].drawn == (True,) * 3
    assert len(reasoner.heard) == 2
    file = next(path for path in tmp_path.rglob("*.json"))
    row = json.loads(file.read_text())
    row["logits"][0]["size"] = [1, 1]
    file.write_text(json.dumps(row))
    kept.answer_batch(one, logits=True)
    assert len(reasoner.heard) == 3


def test_an_empty_drawing_keeps_its_place():
    masks = np.zeros((2, 3, 4), dtype=bool)
    masks[0, 0, 0] = masks[1, 1, 1] = True
    answer = GroundedAnswer(text="", drawn=(True, False, True))
    placed = in_place(masks, answer)
    assert placed.any((1, 2)).tolist() == [True, False, True]
    assert np.array_equal(placed[[0, 2]], masks)
    assert in_place(masks, GroundedAnswer(text="")) is masks


def test_nothing_is_noted_of_whoever_is_no_model_of_ours():
    task = Task(measures=(), asking=asking.PIXELLM_NAMES, wants_logits=True)
    assert notes(make_baseline, task) == {}
    assert put(Listener(None), Task(measures=()), []) == []


# -- every family on every data set ----------------------------------------------------------------


@pytest.fixture(scope="module")
def families(make_tiny, make_pixellm):
    """Return small models of random weights: their figures are low, the road is what is shown."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "reasoning"))
    from unipixel_clips import random_parts

    from deixis.reasoning.reasoner import Reasoner

    return {
        "deixis": Reasoner(*make_tiny(), name="deixis"),
        "pixellm": Reasoner(*make_pixellm(), name="pixellm"),
        "unipixel": Reasoner(*random_parts(), name="unipixel"),
        "prima": Reasoner(*random_prima(), name="prima"),
    }


def random_prima():
    """Return a tiny PRIMA of random weights."""
    import torch

    from deixis.models.prima import PrimaModel, prima_tiny
    from deixis.processing.prima import PrimaProcessor

    config = prima_tiny()
    config.most_answer = 8
    processor = PrimaProcessor.from_texts(config, ["Where is the red cup? The red cup."] * 3)
    with torch.random.fork_rng():
        torch.manual_seed(2)
        return PrimaModel(config).eval(), processor


CLIPS = {
    *("mevis", "revos", "ref_sav", "lvvis", "ref_youtube_vos", "ref_davis17", "groundmore"),
    *("vicas", "videorefer-d", "videorefer-q", "pixelqa-point", "pixelqa-box", "pixelqa-mixed"),
    *("mvbench", "video_mme"),
}


@pytest.mark.parametrize("family", ["deixis", "pixellm", "unipixel", "prima"])
def test_tiny_models_go_through_every_reader_and_metric(root, families, family):
    reasoner = families[family]
    for name, ways in WAYS.items():
        if name in CLIPS and family in {"pixellm", "prima"}:
            continue  # they look at pictures
        if name == "video_mme" and not list(root.glob("*.parquet")):
            continue  # without pyarrow there is no such file
        published = next(iter(ways))
        own = family if family in ways else published
        benchmark = open_published(name, root, protocol=own, count=1)
        if name == "grandf":
            benchmark.task.counts.scored = False  # Java takes seconds: once is enough
        if name == "videorefer-d":
            benchmark.task.counts.use(Generous())
        report = evaluate(reasoner, benchmark)
        assert report["samples"] == 1, name
        assert report["metrics"], name
        assert all(np.isfinite(value) for value in report["metrics"].values()), name


class Generous:
    """A judge who gives whatever was said three points."""

    note = "generous"

    def ask(self, true, said):
        names = ("Subject Correspondence", "Appearance Description", "Temporal Description")
        rows = (*names, "Hallucination Detection")
        return "\n".join(f"{i}. {name}: 3" for i, name in enumerate(rows, start=1))
