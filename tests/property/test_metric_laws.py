"""Laws of the metrics: symmetry, bounds, order, and shards that merge exactly."""

from random import Random

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from deixis.metrics.contour import boundary_f, region_j
from deixis.metrics.overlap import iou, overlap
from deixis.metrics.sums import Tally
from deixis.metrics.tally import MEASURES, measure
from deixis.structures.answers import GroundedAnswer, Target
from deixis.structures.images import Frame, ImageSet
from deixis.structures.masks import Mask

SIZE = (6, 7)
FRAMES = 3
CLIP = ImageSet.clip(
    [Frame.from_array(np.zeros((*SIZE, 3), dtype=np.uint8))] * FRAMES, [0.0, 0.5, 1.0]
)
NAMES = [name for name in MEASURES if name != "giou_where_targets"]

masks = st.integers(0, 2 ** (SIZE[0] * SIZE[1]) - 1).map(
    lambda bits: Mask(
        np.array([bits >> i & 1 for i in range(SIZE[0] * SIZE[1])], dtype=bool).reshape(SIZE)
    )
)
probabilities = st.none() | st.floats(0, 1)
targets = st.builds(
    Target,
    phrase=st.just("x"),
    masks=st.dictionaries(st.integers(0, FRAMES - 1), masks, max_size=FRAMES),
    presence=probabilities,
)


@st.composite
def answers(draw) -> GroundedAnswer:
    found = tuple(draw(st.lists(targets, max_size=3)))
    missing = st.builds(Target, phrase=st.just("y"), masks=st.just({}), presence=probabilities)
    return GroundedAnswer(
        text="x",
        targets=found,
        spans=((0, 1),) * len(found),
        conclusion=draw(st.sampled_from([None, "1", "one", "two"])),
        absent=tuple(draw(st.lists(missing, max_size=1))),
    )


def tallies(pairs) -> list[Tally]:
    return [measure(CLIP, truth, predicted, NAMES) for truth, predicted in pairs]


@given(one=targets, other=targets)
@settings(max_examples=60, deadline=None)
def test_iou_is_symmetric_bounded_and_one_only_for_equal_pixels(one, other):
    value = iou(*overlap(one, other))
    assert value == iou(*overlap(other, one))
    assert 0 <= value <= 1
    shown = [{i: m for i, m in t.masks.items() if m.area} for t in (one, other)]
    assert (value == 1) == (shown[0] == shown[1])


@given(one=masks, other=masks)
@settings(max_examples=60, deadline=None)
def test_frame_scores_are_symmetric_bounded_and_one_for_equal_masks(one, other):
    for score in (region_j, boundary_f):
        assert score(one, other) == score(other, one)
        assert 0 <= score(one, other) <= 1
        assert score(one, one) == 1


@given(pairs=st.lists(st.tuples(answers(), answers()), max_size=6))
@settings(max_examples=30, deadline=None)
def test_every_metric_is_a_fraction(pairs):
    total = sum(tallies(pairs), Tally())
    assert all(0 <= value <= 1 for value in total.result().values())


@given(
    pairs=st.lists(st.tuples(answers(), answers()), max_size=7),
    cut=st.integers(0, 7),
    chance=st.randoms(use_true_random=False),
)
@settings(max_examples=40, deadline=None)
def test_shards_merged_in_any_order_equal_all_at_once_exactly(pairs, cut, chance: Random):
    found = tallies(pairs)
    whole = sum(found, Tally())
    shuffled = chance.sample(found, len(found))
    merged = sum(shuffled[cut:], Tally()) + sum(shuffled[:cut], Tally())
    assert merged == whole
    assert merged.result() == whole.result()


@given(truth=answers(), predicted=answers(), chance=st.randoms(use_true_random=False))
@settings(max_examples=40, deadline=None)
def test_the_order_of_targets_does_not_matter(truth, predicted, chance: Random):
    mixed = GroundedAnswer(
        text=predicted.text,
        targets=tuple(chance.sample(predicted.targets, len(predicted.targets))),
        spans=predicted.spans,
        conclusion=predicted.conclusion,
        absent=predicted.absent,
    )
    names = ["giou", "miou", "n_acc", "t_acc", "answer_accuracy"]
    before, after = measure(CLIP, truth, predicted, names), measure(CLIP, truth, mixed, names)
    assert np.allclose(list(before.result().values()), list(after.result().values()), atol=1e-8)


@given(truth=answers())
@settings(max_examples=30, deadline=None)
def test_the_truth_itself_gets_every_point(truth):
    found = measure(CLIP, truth, truth, [n for n in NAMES if n != "presence_ece"]).result()
    assert set(found.values()) <= {1.0}
