"""What each object is told of the others, against slow loops and by its laws."""

import math

import pytest
import torch

from deixis.relation.neighbours import (
    AMONG,
    LIMITS,
    Compared,
    Neighbours,
    alike,
    compared,
    lying,
    pair_width,
    standing,
)

WAYS = [("category",), ("category", "colour")]


@pytest.fixture
def scene() -> dict[str, torch.Tensor]:
    """Two sets of five objects in two images; the last of the second set is padding."""
    torch.manual_seed(1)
    valid = torch.ones(2, 5, dtype=torch.bool)
    valid[1, 4] = False
    return {
        "content": torch.randn(2, 5, 12),
        "measures": torch.rand(2, 5, len(LIMITS)),
        "image": torch.tensor([[0, 0, 0, 1, 1], [0, 1, 1, 1, 0]]),
        "valid": valid,
        "words": {
            "category": torch.rand(2, 5, 4).softmax(-1),
            "colour": torch.rand(2, 5, 3).softmax(-1),
        },
    }


@pytest.fixture
def neighbours() -> Neighbours:
    torch.manual_seed(2)
    return Neighbours(["category", "colour", "part"], 12)


def known(scene) -> Compared:
    return Compared.of(*(scene[name] for name in ("measures", "image", "valid", "words")))


def told(neighbours, scene) -> list[torch.Tensor]:
    return neighbours(scene["content"], known(scene))


def test_standing_is_a_sum_over_others_that_are_alike(scene):
    ahead, likes = compared(scene["measures"]), alike(scene["words"], WAYS)
    there = (scene["valid"][:, None] & scene["valid"][:, :, None]).float() * (1 - torch.eye(5))
    same = there * (scene["image"][:, None] == scene["image"][:, :, None])
    told = standing(ahead, likes, there, same).unflatten(2, (3, -1))  # (G, O, K, 2 N + 4)
    n, words = len(LIMITS), scene["words"]
    for one, measure, way in ((0, 0, 1), (1, 2, 2), (2, 7, 0), (3, 1, 1)):
        more = count = larger = 0.0
        for other in range(5):
            if other == one:
                continue
            agree = 1.0
            for kind in ((), *WAYS)[way]:
                agree *= float(words[kind][0, one] @ words[kind][0, other])
            gap = (scene["measures"][0, other] - scene["measures"][0, one]).tolist()
            larger += agree / (1 + math.exp(-gap[2] / LIMITS[2]))
            if scene["image"][0, one] == scene["image"][0, other]:
                count += agree
                more += agree / (1 + math.exp(-gap[measure] / LIMITS[measure]))
        assert float(told[0, one, way, measure]) == pytest.approx(more, abs=1e-4)
        assert float(told[0, one, way, 2 * n]) == pytest.approx(count, abs=1e-4)
        assert float(told[0, one, way, 2 * n + 2]) == pytest.approx(larger, abs=1e-4)


def test_the_second_of_three_from_the_left_has_one_at_each_side(scene):
    measures = torch.zeros(1, 3, len(LIMITS))
    measures[0, :, 0] = torch.tensor([0.5, 0.1, 0.9])
    crisp = {"category": torch.eye(4)[None, :1].expand(1, 3, 4)}
    others = 1 - torch.eye(3)[None]
    told = standing(compared(measures), alike(crisp, WAYS[:1]), others, others)
    further_right, further_left = told[0, :, 0], told[0, :, len(LIMITS)]
    torch.testing.assert_close(further_right, torch.tensor([1.0, 2.0, 0.0]), atol=1e-3, rtol=0)
    torch.testing.assert_close(further_left, torch.tensor([1.0, 0.0, 2.0]), atol=1e-3, rtol=0)


def test_who_stands_beside_is_told_by_side(neighbours, scene):
    """An object without anything to its left hears nothing from there."""
    alone = {**scene, "measures": scene["measures"].clone()}
    alone["measures"][:, :, 0] = torch.tensor([0.0, 1.0, 2.0, 3.0, 4.0])
    left_of_me, right_of_me, *_ = neighbours(alone["content"], known(alone))
    assert left_of_me[0, 1].abs().max() > 1e-2 > left_of_me[0, 0].abs().max()
    assert right_of_me[0, 1].abs().max() > 1e-2 > right_of_me[0, 2].abs().max()


def test_reordering_objects_reorders_what_they_are_told(neighbours, scene):
    order = torch.tensor([3, 0, 4, 1, 2])
    moved = {name: v[:, order] for name, v in scene.items() if name != "words"}
    moved["words"] = {kind: p[:, order] for kind, p in scene["words"].items()}
    for before, after in zip(told(neighbours, scene), told(neighbours, moved), strict=True):
        torch.testing.assert_close(after, before[:, order])


def test_padding_tells_nothing(neighbours, scene):
    cut = {name: v[1:, :4] for name, v in scene.items() if name != "words"}
    cut["words"] = {kind: p[1:, :4] for kind, p in scene["words"].items()}
    for padded, alone in zip(told(neighbours, scene), told(neighbours, cut), strict=True):
        torch.testing.assert_close(padded[1:, :4], alone)


def test_every_weight_of_neighbours_learns(neighbours, scene):
    sum(told.square().sum() for told in told(neighbours, scene)).backward()
    assert all(p.grad is not None and p.grad.any() for p in neighbours.parameters())


def test_a_pair_knows_who_is_further_right_and_in_which_image(scene):
    pairs = known(scene).pairs()
    assert pairs.shape == (2, 5, 5, pair_width(scene["words"]))
    one, other = scene["measures"][0, 1, 0], scene["measures"][0, 2, 0]
    further = torch.sigmoid((one - other) / LIMITS[0])
    torch.testing.assert_close(pairs[0, 1, 2, 0], further)
    assert pairs[0, 1, 2, len(LIMITS)] == 1 > pairs[0, 1, 3, len(LIMITS)]
    assert not pairs[1, 4].any()  # padding
    assert not pairs[0, 2, 2].any()


def test_among_the_chosen_counts_by_image_and_over_the_set():
    """Two mugs in image 1, one in image 2, none in image 3."""
    image = torch.tensor([[0, 0, 0, 1, 1, 2]])
    scene = Compared.of(
        torch.rand(1, 6, len(LIMITS)),
        image,
        torch.ones(1, 6, dtype=torch.bool),
        {"category": torch.eye(6)[None]},
    )
    mugs = torch.tensor([[1.0, 1, 0, 1, 0, 0]])[..., None]
    told = scene.among(torch.tensor([0]), mugs)
    assert told.shape == (1, 6, AMONG)
    count, fewer, more, images = told[0, :, -4:].T
    torch.testing.assert_close(count, torch.tensor([2.0, 2, 2, 1, 1, 0]))
    torch.testing.assert_close(fewer, torch.tensor([1.0, 1, 1, 0, 0, 0]), atol=0.02, rtol=0)
    torch.testing.assert_close(more, torch.tensor([0.0, 0, 0, 2, 2, 3]), atol=0.02, rtol=0)
    torch.testing.assert_close(images, torch.full((6,), 2.0))


def test_the_chosen_are_those_of_each_question(scene):
    chosen = torch.rand(3, 5, 2)
    rows = torch.tensor([1, 0, 1])
    chosen = chosen * scene["valid"][rows][..., None]
    together = known(scene).among(rows, chosen)
    for row in range(3):
        alone = known(scene).among(rows[row : row + 1], chosen[row : row + 1])
        torch.testing.assert_close(together[row : row + 1], alone)


def test_sides_are_those_of_what_a_question_chose():
    """Three in a row; the first question chose the one in the middle, the second nobody."""
    measures = torch.zeros(1, 3, len(LIMITS))
    measures[0, :, 0] = torch.tensor([0.2, 0.5, 0.8])
    measures[0, :, 1] = 0.5
    image, valid = torch.zeros(1, 3, dtype=torch.long), torch.ones(1, 3, dtype=torch.bool)
    row = Compared.of(measures, image, valid, {"category": torch.eye(3)[None]})
    chosen = torch.tensor([[False, True, False], [False, False, False]])
    middle, nobody = row.sides(torch.tensor([0, 0]), chosen).round()
    assert middle.tolist() == [[1, 0, 0, 0], [0, 0, 0, 0], [0, 1, 0, 0]]
    assert not nobody.any()


def test_one_lies_on_a_side_of_another_if_it_is_far_enough_and_not_too_far_aside():
    measures = torch.zeros(1, 4, len(LIMITS))
    measures[0, :, :2] = torch.tensor([[0.5, 0.5], [0.2, 0.5], [0.47, 0.5], [0.3, 0.1]])
    left, right, above, below = lying(measures)[0].round()
    assert left[1, 0] == right[0, 1] == 1
    assert left[2, 0] == 0  # hardly left
    assert above[3, 0] == below[0, 3] == 1
    assert left[3, 0] == 0  # rather above than left
    assert not above[1, 0]
    assert not below[1, 0]
