"""Laws of packed masks, boundaries, assignments and every published and clean protocol."""

from itertools import permutations
from random import Random

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from deixis.metrics.clips import davis, expressions, revos, volumes
from deixis.metrics.contour import boundary_f_of
from deixis.metrics.images import boxes, classes, gcg, gres, lisa, muse, unipixel
from deixis.metrics.matching import assign
from deixis.metrics.packed import PackedMasks, rle_ious
from deixis.metrics.sums import Tally
from deixis.metrics.words import choices, judged, phrases
from deixis.structures.masks import Mask

SIZE = (7, 9)
LIMITS = settings(max_examples=40, deadline=None)
GREC = (boxes.measure_grec, boxes.measure_grec_clean)
PRECISION = (boxes.measure_precision, boxes.measure_precision_clean)


def as_mask(bits: int) -> np.ndarray:
    flat = [bits >> i & 1 for i in range(SIZE[0] * SIZE[1])]
    return np.array(flat, dtype=bool).reshape(SIZE)


full = 2 ** (SIZE[0] * SIZE[1]) - 1
masks = (st.integers(0, full) | st.sampled_from([0, full, 1, 2**62])).map(as_mask)
several = st.lists(masks, min_size=1, max_size=4).map(np.stack)
box = st.tuples(*[st.integers(0, 20)] * 2, *[st.integers(1, 20)] * 2).map(boxes.corners)
gains = st.integers(0, 4).flatmap(
    lambda n: st.lists(
        st.lists(st.integers(0, 8).map(lambda v: v / 8), min_size=4, max_size=4),
        min_size=n,
        max_size=n,
    ).map(lambda rows: np.array(rows).reshape(n, 4))
)


@given(ours=several, theirs=several)
@LIMITS
def test_packed_and_run_lengths_give_the_ious_of_pixels_both_ways(ours, theirs):
    found = PackedMasks(ours).ious(PackedMasks(theirs))
    rles = [[Mask(mask).to_rle() for mask in side] for side in (ours, theirs)]
    assert np.array_equal(found, PackedMasks(theirs).ious(PackedMasks(ours)).T)
    assert np.array_equal(found, rle_ious(*rles))
    assert ((found >= 0) & (found <= 1)).all()
    same = [[np.array_equal(a, b) for b in theirs] for a in ours]
    assert np.array_equal(found == 1, same)


@given(one=masks, other=masks, tolerance=st.sampled_from([0.008, 0.2, 1, 2, 5]))
@LIMITS
def test_frame_scores_are_symmetric_bounded_and_one_for_equal_frames(one, other, tolerance):
    for score in (davis.frame_f, davis.frame_f_clean):
        value = score(one, other, None, tolerance)
        assert value == score(other, one, None, tolerance)
        assert 0 <= value <= 1
        assert score(one, one, None, tolerance) == 1
    assert davis.frame_j(one, other) == davis.frame_j(other, one)


@given(one=masks, other=masks, void=masks)
@LIMITS
def test_what_lies_under_void_pixels_changes_nothing(one, other, void):
    painted = one | void, other & ~void
    assert davis.frame_j(one, other, void) == davis.frame_j(*painted, void)
    assert davis.frame_f(one, other, void) == davis.frame_f(*painted, void)
    labels = np.where(void, 255, one).astype(np.uint8)
    before, after = lisa.measure([labels], [other]), lisa.measure([labels], [painted[1]])
    assert before == after


@given(one=masks, other=masks, margin=st.integers(0, 70))
@LIMITS
def test_boundaries_far_from_the_edge_do_not_depend_on_the_frame(one, other, margin):
    framed = [np.pad(side, 3) for side in (one, other)]
    wide = [np.pad(side, margin) for side in framed]
    assert boundary_f_of(*framed, 2) == boundary_f_of(*wide, 2)


@given(gain=gains)
@LIMITS
def test_no_assignment_is_better(gain):
    rows, columns = assign(gain)
    assert len(rows) == min(gain.shape)
    assert len(set(columns.tolist())) == len(columns)
    n = len(gain)
    best = max(sum(gain[i, j] for i, j in enumerate(p)) for p in permutations(range(4), n))
    assert gain[rows, columns].sum() == best


@given(true=several, predicted=several, chance=st.randoms(use_true_random=False))
@LIMITS
def test_clean_counts_do_not_depend_on_the_order_of_targets(true, predicted, chance: Random):
    mixed = predicted[chance.sample(range(len(predicted)), len(predicted))]
    before = lisa.measure_clean(true, predicted).result()["giou"]
    assert abs(before - lisa.measure_clean(true, mixed).result()["giou"]) < 1e-12
    assert 0 <= before <= 1
    assert lisa.measure_clean(true, true).result() in ({"giou": 1, "ciou": 1}, {"giou": 1})


@given(true=several, predicted=several)
@LIMITS
def test_muse_pairs_everyone_exactly_once(true, predicted):
    logits = np.where(predicted, 3.0, -3.0)
    compared = muse.compare(logits, true)
    assert len(compared.pairs) == max(len(true), len(predicted))
    assert sum(compared.matched) == min(len(true), len(predicted))
    assert 0 <= muse.measure_clean(logits, true).result()["giou"] <= 1


@given(one=box, other=box)
@LIMITS
def test_box_ious_are_symmetric_and_the_generalised_one_is_no_larger(one, other):
    plain, general = boxes.box_ious([one], [other]), boxes.generalised_ious([one], [other])
    assert plain == boxes.box_ious([other], [one])
    assert -1 <= general[0, 0] <= plain[0, 0] <= 1
    assert boxes.generalised_ious([one], [one])[0, 0] == 1


def _alike(one: str, other: str) -> float:
    return float(one == other)


def every_tally(true: np.ndarray, predicted: np.ndarray) -> list[Tally]:
    """Return a tally of every protocol for masks, of one sample."""
    rles = [[Mask(mask).to_rle() for mask in side] for side in (true, predicted)]
    names = [["a"] * len(side) for side in rles]
    sides = rles[0], names[0], rles[1], names[1], _alike
    one, other = true[0], predicted[0]
    clips = true[:1], predicted[:1]
    bytes_ = [clip.astype(np.uint8) for clip in clips]
    logits = np.where(predicted, 2.0, -2.0)
    return [
        lisa.measure(true, predicted),
        lisa.measure_clean(true, predicted),
        lisa.measure_sa2va(true, list(predicted)),
        muse.measure([muse.compare(logits, true)], max(len(true), len(predicted))),
        muse.measure_clean(logits, true),
        gcg.measure(*sides),
        gcg.measure_clean(*sides),
        unipixel.measure(one, other, (0, 0, 5, 5)),
        unipixel.measure_clean(one, other, (0, 0, 5, 5)),
        unipixel.measure_segzero(one, other),
        gres.measure(one, other, no_target=not one.any(), predicted_none=not other.any()),
        gres.measure_clean(one, other),
        davis.measure(*clips),
        davis.measure(*clips, clean=True),
        expressions.measure(*clips),
        expressions.measure_clean(*clips),
        revos.measure(*bytes_, bytes_[0], int(one.any())),
        revos.measure_clean(*bytes_, bytes_[0], int(one.any())),
        volumes.measure(clips[0][None], clips[1][None]),
        volumes.measure_clean(clips[0][None], clips[1][None]),
        *tallies_of_boxes_and_words(true, predicted),
    ]


def tallies_of_boxes_and_words(true: np.ndarray, predicted: np.ndarray) -> list[Tally]:
    """Return a tally of every protocol for boxes, classes, letters and phrases, of one sample."""
    theirs, ours = (
        [box for box in map(boxes.tight_box, side) if box is not None] for side in (true, predicted)
    )
    scores = [1 - place / 10 for place in range(len(ours))]
    maps = [side[0].astype(np.uint8) + side[-1] for side in (true, predicted)]
    points = int(predicted.sum()) % 7
    said = ["", "B", "(B) a mug", "The answer is B", "a mug"][points % 5]
    rated = None if points == 6 else "\n".join(
        f"{i}. {name}: {points}" for i, name in enumerate(judged.ASPECTS, start=1)
    )
    options = ["(A) a cup", "(B) a mug"]
    return [
        *(measure(theirs, ours, scores, no_target=not theirs) for measure in GREC),
        *(measure((0, 0, 5, 5), ours, scores) for measure in PRECISION),
        classes.measure(*maps, 3),
        choices.measure(said, "B", 2, "kind"),
        choices.measure_videorefer(said, "(B) a mug", "kind"),
        choices.measure_exact(said, "a mug"),
        choices.measure_clean(said, "B", options),
        judged.measure(rated),
        judged.measure_clean(rated),
        phrases.measure(said, "a mug"),
        phrases.measure_clean(said, ""),
    ]


@given(
    samples=st.lists(st.tuples(several, several), min_size=1, max_size=5),
    cut=st.integers(0, 5),
    chance=st.randoms(use_true_random=False),
)
@settings(max_examples=15, deadline=None)
def test_shards_of_every_protocol_merge_exactly_in_any_order(samples, cut, chance: Random):
    found = [every_tally(*sample) for sample in samples]
    for tallies in zip(*found, strict=True):
        mixed = chance.sample(tallies, len(tallies))
        merged = sum(mixed[cut:], Tally()) + sum(mixed[:cut], Tally())
        assert merged == sum(tallies, Tally())
