"""The traps of published image metrics, computed by hand, and the clean counts beside them."""

import numpy as np
import pytest

from deixis.errors import DataError, ShapeError
from deixis.metrics.images import boxes, gcg, gres, lisa, muse, unipixel
from deixis.metrics.images.labels import count_labels, histogram
from deixis.metrics.images.precision import AveragePrecision
from deixis.metrics.matching import assign
from deixis.metrics.sums import Tally
from deixis.structures.masks import Mask

SIZE = (12, 10)


def block(y: int, x: int, height: int, width: int) -> np.ndarray:
    mask = np.zeros(SIZE, dtype=bool)
    mask[y : y + height, x : x + width] = True
    return mask


PIXEL, SQUARE, NOTHING = block(3, 4, 1, 1), block(2, 2, 4, 4), block(0, 0, 0, 0)
APART = block(8, 6, 4, 4)


def test_one_pixel_compared_with_itself_is_a_little_less_than_one_as_published():
    tally = lisa.measure([PIXEL], [PIXEL])
    assert lisa.result(tally)["giou"] == pytest.approx(1 / 1.00001 / 1.00001)
    assert lisa.measure_clean(PIXEL[None], PIXEL[None]).result()["giou"] == 1


def test_pixels_under_two_polygons_leave_the_target_but_not_the_prediction():
    truth = SQUARE.astype(np.uint8)
    truth[2:4, 2:4] = 2
    counts = count_labels(SQUARE, truth)
    assert (counts.intersection[1], counts.union[1], counts.true[1]) == (12, 16, 12)
    assert lisa.measure_clean(truth[None], SQUARE[None]).result()["giou"] == 1


def test_ignored_pixels_count_on_neither_side():
    truth = SQUARE.astype(np.uint8)
    truth[4:, :] = 255
    counts = count_labels(np.ones(SIZE, dtype=bool), truth)
    assert counts.union[1] == 4 * SIZE[1]
    assert counts.intersection[1] == 8


def test_surplus_predictions_are_free_as_published_and_cost_in_the_clean_count():
    masks = np.stack([SQUARE, APART])
    assert lisa.result(lisa.measure([SQUARE], masks))["giou"] == pytest.approx(1, abs=1e-4)
    assert lisa.measure_clean(SQUARE[None], masks).result()["giou"] == 0.5
    assert lisa.measure([SQUARE, APART], [SQUARE]).bottom("giou") == 2


def test_a_missing_prediction_is_an_empty_mask_for_sa2va():
    ours = lisa.result_sa2va(lisa.measure_sa2va([SQUARE, NOTHING], [None, None]))
    assert ours["giou"] == 0.5
    assert np.array_equal(lisa.united([SQUARE, APART]), SQUARE | APART)


def test_fractions_fall_into_bins_as_in_a_histogram():
    values = np.array([-3.0, 0.0, 0.49, 0.5, 1.0, 1.01], dtype=np.float32)
    assert histogram(values, 2).tolist() == [2, 2]


def test_segzero_drops_a_sample_of_two_empty_masks_and_says_so():
    tally = unipixel.measure_segzero(NOTHING, NOTHING) + unipixel.measure_segzero(SQUARE, SQUARE)
    assert tally.failures() == {"both masks empty": 1}
    assert unipixel.result_segzero(tally) == {"giou": 1.0}


def test_unipixels_box_ends_at_the_last_pixel_and_needs_ten():
    assert unipixel.predicted_box(SQUARE) == (2, 2, 5, 5)
    assert unipixel.box_overlap(SQUARE, (2, 2, 6, 6)) == 9 / 16
    assert unipixel.predicted_box(block(0, 0, 3, 3)) is None
    assert unipixel.predicted_box(block(0, 0, 2, 5)) is not None
    clean = unipixel.measure_clean(block(5, 0, 1, 9), block(5, 0, 1, 9), (0, 5, 9, 6))
    flat = unipixel.measure(block(5, 0, 1, 10), block(5, 0, 1, 10), (0, 5, 10, 6))
    assert clean.result()["box_accuracy"] == 1
    assert unipixel.result(flat) == {"giou": 100.0, "ciou": 100.0, "box_accuracy": 0.0}


def test_gres_believes_the_flag_and_the_clean_count_the_mask():
    said = gres.measure(NOTHING, SQUARE, no_target=True, predicted_none=True)
    denied = gres.measure(SQUARE, SQUARE, no_target=False, predicted_none=True)
    assert gres.result(said)["giou"] == 100
    assert gres.result(said)["n_acc"] == 1
    assert (denied.top("ciou"), denied.bottom("ciou")) == (0, 16)
    assert gres.measure_clean(NOTHING, SQUARE).result()["n_acc"] == 0
    assert gres.measure_clean(SQUARE, SQUARE).result()["giou"] == 1


def test_grec_asks_for_the_generalised_iou_and_the_clean_count_for_the_plain_one():
    true, shifted = [(0, 0, 10, 10)], [(0, 0, 14, 14)]  # IoU 100 / 196, nothing empty around
    far = [(5, 5, 17, 13)]
    for measure in (boxes.measure_grec, boxes.measure_grec_clean):
        assert measure(true, shifted, [0.9], no_target=False).result()["f1_score"] == 1
        assert measure(true, far, [0.9], no_target=False).result()["f1_score"] == 0
        assert measure(true, shifted, [0.69], no_target=False).result()["t_acc"] == 0
        assert measure([], shifted, [0.9], no_target=True).result()["n_acc"] == 0
    diagonal = [(2.9, 2.9, 12.9, 12.9)]
    assert boxes.box_iou(true[0], diagonal[0]) > boxes.generalised_ious(true, diagonal)[0, 0]


def test_precision_at_k_ranks_by_score():
    found = [(20, 20, 30, 30), (0, 0, 10, 10)]
    for measure in (boxes.measure_precision, boxes.measure_precision_clean):
        ours = measure((0, 0, 10, 10), found, [0.9, 0.8]).result()
        assert (ours["precision@1"], ours["precision@5"]) == (0, 1)
    assert boxes.measure_accuracy((0, 0, 4, 4), (0, 0, 4, 2)).result()["box_accuracy"] == 1
    just_half = boxes.measure_accuracy((0, 0, 4, 4), (0, 0, 4, 2), above=True)
    assert just_half.result()["box_accuracy"] == 0
    assert boxes.measure_accuracy((0, 0, 4, 4), None).result()["box_accuracy"] == 0


def confident(mask: np.ndarray) -> np.ndarray:
    return np.where(mask, 9.0, -9.0).astype(np.float32)


def test_confident_false_positives_score_one_in_muse_and_zero_in_the_clean_count():
    logits = np.stack([confident(APART), confident(block(0, 0, 2, 2)), confident(NOTHING)])
    compared = muse.compare(logits, SQUARE[None])
    tally = muse.measure([compared], muse.weight([(3, 1)]))
    assert lisa.result(tally)["giou"] == pytest.approx(2 / 3, abs=1e-5)
    assert lisa.result(tally)["ciou"] == 0
    assert muse.measure_clean(logits, SQUARE[None]).result()["giou"] == 0


def test_muse_pairs_whoever_fits_whatever_the_order():
    true = np.stack([SQUARE, APART, PIXEL])
    logits = np.stack([confident(mask) for mask in (PIXEL, SQUARE)])
    assert muse.pair_up(logits, true) == (2, 0)
    assert muse.pair_up(logits, true, np.random.default_rng(1)) == (2, 0)
    compared = muse.compare(logits, true)
    assert compared.matched == (True, True, False)
    assert compared.pairs[2].union[1] == APART.sum()


def test_muse_without_predictions_or_targets_leaves_everyone_alone():
    nobody = np.zeros((0, *SIZE), dtype=np.float32)
    assert muse.compare(nobody, SQUARE[None]).matched == (False,)
    assert muse.compare(confident(SQUARE)[None], nobody).partners == (None,)
    assert muse.measure_clean(nobody, SQUARE[None]).result() == {"ciou": 0.0, "giou": 0.0}


def test_points_are_blended_between_the_centres_of_pixels():
    maps = np.array([[[0.0, 4.0]]])
    places = np.array([[0.25, 0.5], [0.5, 0.5], [0.75, 0.5], [1.0, 0.5]])
    assert muse.sampled(maps, places)[0].tolist() == [0, 2, 4, 2]


def test_names_take_the_places_of_slots():
    assert muse.with_names("a [SEG] and [SEG] or [SEG]", "[SEG]", ["x", "y"]) == (
        "a (x) and (y) or [SEG]"
    )


def same(one: str, other: str) -> float:
    return float(one == other)


def rles(*masks: np.ndarray) -> list[dict]:
    return [Mask(mask).to_rle() for mask in masks]


def test_gcg_recall_stops_at_the_first_wrong_phrase_and_the_clean_count_goes_on():
    true, names = rles(SQUARE, APART), ["a cat", "a dog"]
    said = ["a cow", "a dog"]
    stopped = gcg.measure(true, names, true, said, same).result()
    assert stopped == {"miou": 1.0, "recall": 0.0}
    assert gcg.measure_clean(true, names, true, said, same).result()["recall"] == 0.5


def test_gcg_masks_left_over_are_free_as_published_and_cost_in_the_clean_count():
    sides = rles(SQUARE), ["a cat"], rles(SQUARE, APART), ["a cat", "a dog"]
    assert gcg.measure(*sides, same).result()["miou"] == 1
    assert gcg.measure_clean(*sides, same).result()["miou"] == 0.5


def test_a_phrase_too_few_is_a_failure_by_name_and_its_image_still_counts():
    for measure in (gcg.measure, gcg.measure_clean):
        tally = measure(rles(SQUARE), ["a cat"], rles(SQUARE), [], lambda a, b: 1.0)
        assert tally.failures() == {"masks and phrases differ in number": 1}
        assert (tally.top("recall"), tally.bottom("recall")) == (0, 1)


def annotation(mask: np.ndarray) -> dict:
    return {"segmentation": Mask(mask).to_rle(), "area": int(mask.sum())}


def test_average_precision_merges_in_any_order_and_refuses_an_image_twice():
    shards = []
    for name, found in (("b", SQUARE), ("a", APART)):
        shard = AveragePrecision()
        shard.add(name, [annotation(SQUARE)], rles(found))
        shards.append(shard)
    one, other = AveragePrecision(), AveragePrecision()
    for shard in shards:
        one.merge(shard)
    for shard in reversed(shards):
        other.merge(shard)
    assert one.result() == other.result()
    assert one.result_clean() == {"ap": 0.25, "ap50": 0.25}  # recall 1/2 at precision 1/2
    with pytest.raises(DataError, match="image b: expected once, got it twice"):
        one.merge(shards[0])


def some_images(count: int) -> AveragePrecision:
    """Return images of three objects, some of them found well, some badly, some twice."""
    generator, found = np.random.default_rng(4), AveragePrecision()
    for image in range(count):
        true, guesses = [], []
        for place in range(3):
            mask = np.zeros((40, 60), dtype=bool)
            mask[4:20, 20 * place : 20 * place + 16] = True
            true.append(annotation(mask))
            by = generator.integers(0, 12, 2)
            guesses += [np.roll(mask, by, (0, 1)), np.roll(mask, 1, 0)][: generator.integers(1, 3)]
        found.add(f"{image:02d}", true, rles(*guesses))
    return found


def test_one_image_drawn_again_is_itself_and_several_lie_around_the_figure():
    for count in (1, 9):
        found = some_images(count)
        for whole, ends in (
            (found.result(), found.intervals(draws=60)),
            (found.result_clean(), found.intervals_clean(draws=60)),
        ):
            for name in ("ap", "ap50"):
                low, high = ends[name]
                assert 0 < whole[name] < 1
                if count == 1:
                    assert (low, high) == pytest.approx((whole[name], whole[name]), abs=1e-9)
                else:
                    assert low < whole[name] < high
    assert AveragePrecision().intervals() == {}


def test_nothing_predicted_is_no_precision():
    nothing = AveragePrecision()
    nothing.add("a", [annotation(SQUARE)], [])
    assert nothing.result()["ap"] == 0
    assert nothing.result_clean()["ap"] == 0


def test_gains_that_are_no_matrix_or_no_numbers_are_refused():
    with pytest.raises(ShapeError, match=r"matrix \(N, M\), got shape \(3,\)"):
        assign(np.zeros(3))
    with pytest.raises(DataError, match="expected numbers"):
        assign(np.full((2, 2), np.nan))


def test_float32_sums_differ_from_exact_ones_in_the_last_digits_only():
    generator = np.random.default_rng(4)
    meter, exact = lisa.Float32Meter(), Tally()
    for _ in range(40):
        true, mask = generator.random((2, *SIZE)) < 0.5
        meter.add([true], [mask])
        exact += lisa.measure([true], [mask])
    ours, theirs = lisa.result(exact), meter.result()
    assert ours != theirs
    assert ours["giou"] == pytest.approx(theirs["giou"], abs=1e-5)
    assert ours["ciou"] == pytest.approx(theirs["ciou"], abs=1e-5)
