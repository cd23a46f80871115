"""The traps of published clip metrics, computed by hand, and the clean counts beside them."""

import tracemalloc

import numpy as np
import pytest

from deixis.errors import DataError, ShapeError
from deixis.metrics.clips import davis, expressions, revos, volumes
from deixis.metrics.contour import radius_of
from deixis.metrics.sums import Tally
from deixis.structures.masks import Mask

SIZE = (9, 7)
FULL, EMPTY = np.ones(SIZE, dtype=bool), np.zeros(SIZE, dtype=bool)
LEFT = np.zeros(SIZE, dtype=bool)
LEFT[:, :3] = True


def test_the_tolerance_is_a_share_of_the_diagonal_or_pixels():
    assert [radius_of(size) for size in ((480, 854), (1024, 1024))] == [8, 12]
    assert radius_of((480, 854), 3) == 3


def test_a_full_mask_has_no_boundary_as_published_and_the_image_edge_in_the_clean_count():
    assert (davis.frame_j(FULL, EMPTY), davis.frame_f(FULL, EMPTY)) == (0, 1)
    assert davis.frame_f_clean(FULL, EMPTY) == 0
    assert davis.frame_f_clean(FULL, FULL) == davis.frame_f_clean(EMPTY, EMPTY) == 1


def test_void_pixels_count_on_neither_side():
    assert davis.frame_j(LEFT, FULL, void=~LEFT) == 1
    assert davis.frame_f(LEFT, FULL, void=~LEFT) == 1


def test_decay_compares_the_quarters_and_wraps_beyond_256_frames_as_published():
    assert davis.statistics([1, 1, 0.4, 0]) == (0.6, 0.5, 0.8)
    falling = np.linspace(1, 0, 400)
    assert davis.statistics_clean(falling)[2] == pytest.approx(0.75, abs=0.01)
    assert davis.statistics(falling)[2] != davis.statistics_clean(falling)[2]


def test_a_quarter_without_frames_is_a_failure_by_name():
    values = np.zeros((300, 2, 3), dtype=bool)
    tally = davis.measure(values, values)
    assert set(tally.failures()) <= {"decay of a quarter without frames"}
    assert davis.result(tally)["jf"] == 1
    assert not davis.measure(values, values, clean=True).failures()


def test_no_frames_are_refused():
    with pytest.raises(DataError, match="at least one frame"):
        davis.statistics([])


def test_tracks_are_added_and_none_of_them_is_an_empty_truth():
    rle = Mask(LEFT).to_rle()
    total = expressions.summed_truth([[rle, None], [rle, rle]], SIZE, 2)
    assert total[0].max() == 2
    assert np.array_equal(total[1] > 0, LEFT)
    assert not expressions.summed_truth([], SIZE, 2).any()
    with pytest.raises(DataError, match="expected 3 frames, got 2"):
        expressions.summed_truth([[rle, rle]], SIZE, 3)
    with pytest.raises(ShapeError, match=r"size \(4, 4\), got \(9, 7\)"):
        expressions.summed_truth([[rle]], (4, 4), 1)


def test_a_missing_prediction_scores_nothing_and_is_named():
    tally = expressions.measure(LEFT[None], LEFT[None]) + expressions.measure(LEFT[None], None)
    assert expressions.result(tally) == {"j": 0.5, "f": 0.5, "jf": 0.5}
    assert tally.failures() == {"prediction missing": 1}
    assert expressions.measure_clean(FULL[None], EMPTY[None]).top("f") == 0


def test_indices_of_ref_davis_run_over_names_sorted_as_text():
    meta = {"videos": {"b": {"expressions": {"2": {}, "10": {}}}, "a": {"expressions": {"0": {}}}}}
    keys = [(video, eid) for _, video, eid in expressions.running_index(meta)]
    assert keys == [("a", "0"), ("b", "10"), ("b", "2")]


def test_pictures_of_255_make_every_object_pixel_wrong():
    true, fore = LEFT[None].astype(np.uint8), FULL[None].astype(np.uint8)
    for value, right in ((1, 1.0), (255, 1 - 27 / 63)):
        assert revos.accuracy(true, true * np.uint8(value)) == pytest.approx(right)
    false = FULL[None].astype(np.uint8)
    assert revos.robustness(true, false, fore)[0] == pytest.approx(1 - 36 / 63, abs=1e-6)
    assert revos.robustness(true, false * np.uint8(255), fore)[0] == 0
    clean = revos.measure_clean(true, true * np.uint8(255), fore, 0)
    assert revos.result_clean(clean)["referring/a"] == 100


def test_overall_is_the_mean_of_two_means_as_published_and_of_expressions_in_the_clean_count():
    true, fore = LEFT[None].astype(np.uint8), FULL[None].astype(np.uint8)
    cases = [(true, 0), (true, 0), (None, 1)]
    for measure, result, overall in (
        (revos.measure, revos.result, 50),
        (revos.measure_clean, revos.result_clean, 200 / 3),
    ):
        tallies = [measure(true, predicted, fore, kind) for predicted, kind in cases]
        whole = tallies[0] + tallies[1] + tallies[2]
        assert result(whole)["overall/j"] == pytest.approx(overall)
        assert whole.failures() == {"prediction missing": 1}


def test_pixelqa_calls_pixels_a_boundary_and_two_empty_masks_wrong():
    both_empty = EMPTY[None, None]
    assert volumes.result(volumes.measure(both_empty, both_empty)) == {"j": 0, "f": 0, "jf": 0}
    assert volumes.measure_clean(both_empty, both_empty).result()["j"] == 1
    region, dice, _ = volumes.volume_scores(LEFT[None], FULL[None])
    assert (region, dice) == (pytest.approx(27 / 63), pytest.approx(54 / 90, abs=1e-5))


def test_memory_is_bounded_by_one_clip_however_many_there_are():
    def peak(clips: int) -> int:
        tracemalloc.start()
        tally = Tally()
        for seed in range(clips):
            true, predicted = np.random.default_rng(seed).random((2, 6, 60, 90)) < 0.5
            tally += expressions.measure(true, predicted)
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    peak(1)  # what is imported late does not count
    assert peak(12) < 1.2 * peak(2)
