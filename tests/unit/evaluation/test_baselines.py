"""What luck gives: low scores on real scenes, and answers that fit the images."""

import numpy as np
import pytest

from deixis.errors import ConfigError
from deixis.evaluation.answering.baselines import everything, laid_over, make_baseline
from deixis.evaluation.running.benchmarks import open_benchmark
from deixis.evaluation.running.evaluator import evaluate
from deixis.structures.answers import GroundedAnswer, Target
from deixis.structures.images import Frame, ImageSet
from deixis.structures.masks import Mask
from deixis.structures.samples import Question, Sample


@pytest.mark.parametrize(("name", "limit"), [("shuffle", 0.15), ("random", 0.3)])
def test_luck_gives_little_on_refer(name, limit):
    benchmark = open_benchmark("refer", count=150, seed=2024)
    metrics = evaluate(make_baseline(name, benchmark), benchmark)["metrics"]
    assert 0 < metrics["giou"] < limit


def test_shuffle_gives_each_question_the_next_one_s_truth(benchmark):
    baseline = make_baseline("shuffle", benchmark)
    asked = [benchmark.samples[i].without_answer() for i in (2, 9)]
    answers = baseline.answer_batch(asked)
    for answer, place in zip(answers, (3, 0), strict=True):
        truth = benchmark.samples[place].answer
        assert (answer.text, answer.conclusion) == (truth.text, truth.conclusion)
        assert [t.masks for t in answer.targets] == [t.masks for t in truth.targets]


def test_masks_stay_only_where_an_image_of_their_size_is():
    pictures = [Frame.from_array(np.zeros((*size, 3), dtype=np.uint8)) for size in [(4, 5), (6, 7)]]
    sample = Sample(images=ImageSet.pictures(pictures), question=Question(text="Where?"))
    small = Mask(np.eye(4, 5, dtype=bool))
    targets = (
        Target(phrase="one", masks={0: small, 1: small, 2: small}),
        Target(phrase="two", masks={1: small}),
    )
    kept = laid_over(
        GroundedAnswer(text="one two", targets=targets, spans=((0, 3), (4, 7))), sample
    )
    assert [target.masks for target in kept.targets] == [{0: small}]
    assert kept.spans == ((0, 3),)


def test_random_points_at_any_object_or_part_and_always_at_the_same():
    benchmark = open_benchmark("multi", count=6, seed=5)
    asked = [sample.without_answer() for sample in benchmark.samples]
    answers = make_baseline("random", benchmark).answer_batch(asked)
    for place, answer in enumerate(answers):
        assert answer.targets[0].masks in list(everything(benchmark.samples, place))
    again = make_baseline("random", benchmark).answer_batch(asked[3:])
    assert [a.targets[0].masks for a in again] == [a.targets[0].masks for a in answers[3:]]


def test_every_true_target_is_among_the_objects_and_parts():
    benchmark = open_benchmark("refer", count=8, seed=6)
    for place, sample in enumerate(benchmark.samples):
        assert sample.answer.targets[0].masks in list(everything(benchmark.samples, place))


def test_an_unknown_baseline_or_one_without_scenes_is_refused(benchmark):
    with pytest.raises(ConfigError, match=r'one of shuffle, random, oracle, empty, got "shufle"'):
        make_baseline("shufle", benchmark)
    with pytest.raises(ConfigError, match=r"expected scenes:TASK, got painted\. Only scenes"):
        make_baseline("random", benchmark)
