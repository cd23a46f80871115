"""Every metric on a table of samples whose numbers were computed by hand."""

from dataclasses import dataclass

import numpy as np
import pytest

from deixis.errors import ConfigError
from deixis.metrics.sums import Tally
from deixis.metrics.tally import MEASURES, measure
from deixis.structures.answers import GroundedAnswer, Target
from deixis.structures.images import Frame, ImageSet
from deixis.structures.masks import Mask

SIZE = (2, 20)
BLANK = Frame.from_array(np.zeros((*SIZE, 3), dtype=np.uint8))
PICTURES = ImageSet.pictures([BLANK] * 3)
CLIP = ImageSet.clip([BLANK] * 4, [0.0, 0.1, 0.2, 0.3])


def strip(start: int, stop: int) -> Mask:
    pixels = np.zeros(SIZE, dtype=bool)
    pixels[:, start:stop] = True
    return Mask(pixels)


def thing(*masks: tuple[int, int, int], presence: float | None = None) -> Target:
    shown = {image: strip(start, stop) for image, start, stop in masks}
    return Target(phrase="x", masks=shown, presence=presence)


def says(*targets: Target, conclusion: str | None = None, absent=()) -> GroundedAnswer:
    spans = ((0, 1),) * len(targets)
    return GroundedAnswer(
        text="x", targets=targets, spans=spans, conclusion=conclusion, absent=tuple(absent)
    )


@dataclass
class Row:
    truth: GroundedAnswer
    predicted: GroundedAnswer
    expected: dict[str, float]


A, B, FAR = (0, 0, 10), (0, 5, 10), (0, 12, 16)
TABLE = {
    "half": Row(
        says(thing(A)),
        says(thing(B)),
        {"giou": 0.5, "ciou": 0.5, "miou": 0.5, "recall": 0, "image_accuracy": 1, "t_acc": 1},
    ),
    "nothing said": Row(
        says(thing(A)),
        says(),
        {"giou": 0, "ciou": 0, "miou": 0, "recall": 0, "image_accuracy": 0, "t_acc": 0},
    ),
    "rightly nothing": Row(says(), says(), {"giou": 1, "n_acc": 1}),
    "wrongly something": Row(says(), says(thing(A)), {"giou": 0, "ciou": 0, "miou": 0, "n_acc": 0}),
    "a surplus target": Row(
        says(thing(A)),
        says(thing(A), thing(FAR)),
        {"giou": 0.5, "ciou": 20 / 28, "miou": 0.5, "recall": 1, "image_accuracy": 1, "t_acc": 1},
    ),
    "a missed target": Row(
        says(thing(A), thing(FAR)),
        says(thing(FAR)),
        {
            "giou": 0.5,
            "ciou": 8 / 28,
            "miou": 0.5,
            "recall": 0.5,
            "image_accuracy": 0.5,
            "t_acc": 1,
        },
    ),
    "one image too many": Row(
        says(thing((0, 0, 10))),
        says(thing((0, 0, 10), (2, 0, 5))),
        {
            "giou": 2 / 3,
            "ciou": 2 / 3,
            "miou": 2 / 3,
            "recall": 1,
            "image_accuracy": 0,
            "t_acc": 1,
        },
    ),
    "the conclusion": Row(
        says(conclusion="2"), says(conclusion="Two."), {"giou": 1, "n_acc": 1, "answer_accuracy": 1}
    ),
    "no conclusion": Row(
        says(conclusion="2"), says(), {"giou": 1, "n_acc": 1, "answer_accuracy": 0}
    ),
}
PLAIN = [name for name in MEASURES if name not in {"j", "f", "giou_where_targets"}]


@pytest.mark.parametrize("name", TABLE)
def test_one_sample_gives_what_the_table_says(name):
    row = TABLE[name]
    found = measure(PICTURES, row.truth, row.predicted, PLAIN).result()
    assert found == pytest.approx(row.expected)


def test_all_samples_together_give_means_and_quotients_of_sums():
    total = Tally()
    for row in TABLE.values():
        total.merge(measure(PICTURES, row.truth, row.predicted, PLAIN))
    assert total.samples == 9
    assert total.result() == pytest.approx(
        {
            "giou": (0.5 + 0 + 1 + 0 + 0.5 + 0.5 + 2 / 3 + 1 + 1) / 9,
            "ciou": (10 + 0 + 0 + 20 + 8 + 20) / (20 + 20 + 20 + 28 + 28 + 30),
            "miou": (0.5 + 0 + 0 + 1 + 1 + 2 / 3) / (1 + 1 + 1 + 2 + 2 + 1),
            "recall": (0 + 0 + 1 + 1 + 1) / 6,
            "image_accuracy": (1 + 0 + 1 + 1 + 0) / 6,
            "t_acc": 4 / 5,
            "n_acc": 3 / 4,
            "answer_accuracy": 1 / 2,
        }
    )


def test_a_hit_needs_more_than_half():
    just = says(thing((0, 4, 10)))  # 6 of 10 columns
    assert measure(PICTURES, says(thing(A)), just, ["recall"]).result() == {"recall": 1.0}


def test_region_leaves_samples_without_any_target_out():
    names, total = ["giou_where_targets"], Tally()
    for truth, predicted in [(says(), says()), (says(thing(A)), says(thing(B)))]:
        total.merge(measure(PICTURES, truth, predicted, names))
    assert total.result() == {"giou": 0.5}
    assert measure(PICTURES, says(), says(thing(A)), names).result() == {"giou": 0.0}


def test_clips_are_measured_frame_by_frame():
    truth = says(thing((0, 0, 10), (1, 0, 10), (2, 0, 10)))
    predicted = says(thing((0, 0, 10), (1, 0, 5)))
    found = measure(CLIP, truth, predicted, ["j", "f"]).result()
    # J: 1, 1/2, 0, 1. F, tolerance 1: 1, no boundary within reach, nothing said, 1
    assert found == {"j": 2.5 / 4, "f": 2 / 4, "jf": 4.5 / 8}


def test_a_clip_answer_without_targets_is_right_where_nothing_shows():
    found = measure(CLIP, says(thing((1, 0, 10))), says(), ["j", "f"]).result()
    assert found == {"j": 0.75, "f": 0.75, "jf": 0.75}
    assert measure(CLIP, says(), says(), ["j", "f"]).result()["jf"] == 1.0


def test_presence_is_calibrated_in_ten_equal_bins():
    total = Tally()
    there, nothing = says(thing(A)), says()
    said = [
        (there, says(thing(A, presence=0.9))),  # bin 9: 0.9 against 1
        (nothing, says(thing(A, presence=1.0))),  # bin 9: 1.0 against 0
        (nothing, says(absent=[Target(phrase="x", masks={}, presence=0.2)])),  # bin 2
        (there, says(absent=[Target(phrase="x", masks={}, presence=0.25)])),  # bin 2: against 1
        (there, says(thing(A))),  # nobody said how sure
    ]
    for truth, predicted in said:
        total.merge(measure(PICTURES, truth, predicted, ["presence_ece"]))
    expected = (abs(0.9 - 1 + 1.0 - 0) + abs(0.2 - 0 + 0.25 - 1)) / 4
    assert total.result() == {"presence_ece": pytest.approx(expected)}


def test_what_no_sample_defines_is_left_out():
    assert measure(PICTURES, says(), says(), ["recall", "ciou", "answer_accuracy"]).result() == {}


def test_an_unknown_metric_is_refused():
    with pytest.raises(ConfigError, match=r'expected one of giou, .* got "iou"'):
        measure(PICTURES, says(), says(), ["iou"])
