"""Slices: who belongs where, and that every answer is asked for once and counted in each."""

import numpy as np
import pytest

from deixis.evaluation.running.slices import evaluate_slices, slices_of
from deixis.structures.answers import GroundedAnswer, Target
from deixis.structures.images import Frame, ImageSet
from deixis.structures.masks import Mask
from deixis.structures.samples import Question, Sample

SIZE = (20, 30)


def images(count):
    frames = [Frame.from_array(np.full((*SIZE, 3), 7, np.uint8)) for _ in range(count)]
    return ImageSet.pictures(frames)


def mask(pixels):
    filled = np.zeros(SIZE, dtype=bool)
    filled.flat[:pixels] = True
    return Mask(filled)


def answer(*targets):
    """An answer of (phrase, {image: pixels})."""
    text = " ".join(phrase for phrase, _ in targets) or "none"
    at, spans = 0, []
    for phrase, _ in targets:
        spans.append((at, at + len(phrase)))
        at += len(phrase) + 1
    made = [Target(phrase=p, masks={i: mask(n) for i, n in m.items()}) for p, m in targets]
    return GroundedAnswer(text=text, targets=tuple(made), spans=tuple(spans))


@pytest.mark.parametrize(
    ("count", "targets", "names"),
    [
        (1, [("mug", {0: 6})], {"all", "images: 1", "targets: one", "size: small"}),
        (
            2,
            [("mug", {0: 60, 1: 100})],
            {"all", "images: 2", "targets: one", "size: large", "shown: in several images"},
        ),
        (
            3,
            [("mug's handle", {2: 40}), ("mug", {0: 200})],
            {
                *("all", "images: 3", "targets: several", "size: middle", "parts"),
                "shown: in one image",
            },
        ),
        (2, [], {"all", "images: 2", "targets: none"}),
    ],
)
def test_a_question_belongs_to_its_slices(count, targets, names):
    assert set(slices_of(images(count), answer(*targets))) == names


def test_a_kind_of_question_is_a_slice():
    about = images(1), answer(("mug", {0: 6}))
    assert set(slices_of(*about, "identity")) == {*slices_of(*about), "kind: identity"}


class Repeating:
    """Says the same about every question."""

    name = "repeating"

    def __init__(self, said):
        self.said, self.asked = said, 0

    def answer_batch(self, samples):
        self.asked += len(samples)
        assert all(sample.answer is None for sample in samples)
        return [self.said] * len(samples)


def test_every_slice_counts_its_own_samples():
    small, large = answer(("mug", {0: 6})), answer(("mug", {0: 300}))
    samples = [
        Sample(
            images=images(1),
            question=Question(text="?"),
            answer=truth,
            type="" if truth is small else "spatial",
        )
        for truth in [small] * 17 + [large] * 3
    ]
    reasoner = Repeating(large)
    found = evaluate_slices(reasoner, samples)
    assert reasoner.asked == 20
    assert found["all"]["samples"] == 20
    assert found["size: large"] == {
        **{"miou": 1.0, "giou": 1.0, "recall": 1.0, "image_accuracy": 1.0},
        "samples": 3,
    }
    assert found["kind: spatial"] == found["size: large"]
    assert found["size: small"]["miou"] == pytest.approx(6 / 300)
