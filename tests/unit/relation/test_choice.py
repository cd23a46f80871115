"""What targets are about: by the truth against a slow loop, by existence as the docs promise."""

from dataclasses import replace

import pytest
import torch
from looks import HEIGHT, WIDTH, measured

from deixis.nn.proposals import Proposals
from deixis.relation.choice import (
    Choice,
    TrueMasks,
    chosen_by_existence,
    chosen_by_truth,
    mask_rows,
    meant_by,
)
from deixis.relation.objects import Objects

PARTS = 3
SET_OF_FRAME = torch.tensor([0, 0, 1, 1, 1])
TOKEN_OF = torch.tensor([[0, 1, 2], [3, 4, -1], [0, 1, 2], [1, 0, 3], [4, 5, -1]])
IMAGE = torch.tensor([[0, 0, 0, 1, 1, 0], [0, 0, 0, 0, 1, 1]])


def table(**changes: torch.Tensor) -> Objects:
    """Set 0: two pictures of 3 and 2 things. Set 1: a clip of two frames, and a picture."""
    random = torch.Generator().manual_seed(0)
    valid = torch.ones(2, 6, dtype=torch.bool)
    valid[0, 5] = False
    objects = Objects(
        valid=valid,
        observed=torch.zeros(2, 6, 1),
        geometry=torch.zeros(2, 6, 1),
        measures=torch.zeros(2, 6, 1),
        image=IMAGE,
        entity=torch.tensor([[0, 1, 2, 1, 3, 0], [0, 1, 2, 3, 0, 4]]),
        parts=torch.rand(2, 6, PARTS, generator=random) > 0.3,
        place=torch.rand(2, 6, 1 + PARTS, 2, generator=random),
        token_of=TOKEN_OF,
    )
    return replace(objects, **changes)


def scene(seed: int) -> tuple[TrueMasks, Proposals, torch.Tensor]:
    """Random proposals, parts, and true masks that are proposals, parts of them, or neither."""
    random = torch.Generator().manual_seed(seed)
    owner = torch.randint(0, 4, (5, HEIGHT // 2, WIDTH // 2), generator=random)
    owner = owner.repeat_interleave(2, 1).repeat_interleave(2, 2)  # blocks: compact proposals
    masks = torch.stack([(owner == slot).float() for slot in range(3)], 1)
    masks = masks * (TOKEN_OF >= 0)[..., None, None]
    parts = torch.rand(5, PARTS, HEIGHT, WIDTH, generator=random)
    target, frame, truth = [], [], []
    for number in range(6):
        frames = (0, 1) if number < 3 else (2, 3, 4)
        slot, part = torch.randint(0, 3, (2,), generator=random).tolist()
        for where in frames:
            whole = masks[where, slot]
            cut = (whole * (parts[where, part] > 0.5), whole, 1 - whole)[number % 3]
            noise = torch.rand(HEIGHT, WIDTH, generator=random) < 0.1
            target.append(number)
            frame.append(where)
            truth.append(torch.where(noise, 1 - cut, cut))
    rows = torch.tensor([0, 0, 1, 2, 2, 2])
    true = TrueMasks(
        masks=torch.stack(truth),
        target=torch.tensor(target),
        frame=torch.tensor(frame),
        row=rows,
        order=torch.tensor([0, 1, 0, 0, 1, 2]),
        set=torch.tensor([0, 0, 0, 1, 1, 1]),
    )
    return true, measured(masks), parts


def by_loops(true: TrueMasks, proposals: Proposals, parts, objects: Objects, target: int):
    """Return (tokens, part) of one target, cell by cell."""
    votes: dict[int, float] = {}
    lies_on: dict[int, tuple[int, int]] = {}
    mine = [x for x in range(len(true.target)) if true.target[x] == target]
    for x in mine:
        frame, truth = int(true.frame[x]), true.masks[x] > 0.5
        overlaps = [float((truth & (m > 0.5)).sum()) for m in proposals.masks[frame]]
        slot = overlaps.index(max(overlaps))
        if overlaps[slot] > 0.5 * max(1, float(truth.sum())):
            token = int(objects.token_of[frame, slot])
            votes[token] = votes.get(token, 0) + overlaps[slot]
            lies_on[x] = (slot, token)
    tokens = set()
    for image in range(2):
        here = {t: v for t, v in votes.items() if int(objects.image[true.set[target], t]) == image}
        if here:
            tokens.add(min(t for t, v in here.items() if v == max(here.values())))
    kept = {x: slot for x, (slot, token) in lies_on.items() if token in tokens}
    return tokens, best_part(true, proposals, parts, kept)


def best_part(true: TrueMasks, proposals: Proposals, parts, kept: dict[int, int]) -> int:
    def iou(part: int) -> float:
        shared = union = 0.0
        for x, slot in kept.items():
            drawn = proposals.masks[true.frame[x], slot] > 0.5
            if part:
                drawn = drawn & (parts[true.frame[x], part - 1] > 0.5)
            truth = true.masks[x] > 0.5
            shared += float((truth & drawn).sum())
            union += float((truth | drawn).sum())
        return shared / max(1, union)

    if iou(0) >= 0.75:
        return 0
    scores = [iou(part) for part in range(1, PARTS + 1)]
    return 1 + scores.index(max(scores)) if max(scores) > iou(0) else 0


@pytest.mark.parametrize("seed", range(8))
def test_the_truth_chooses_the_objects_and_parts_that_a_slow_loop_chooses(seed):
    (true, proposals, parts), objects = scene(seed), table()
    choice = chosen_by_truth(true, proposals, parts, objects, num_images=2)
    for target in range(6):
        tokens, part = by_loops(true, proposals, parts, objects, target)
        assert set(choice.tokens[target].nonzero()[:, 0].tolist()) == tokens
        assert int(choice.part[target]) == part


def test_a_target_without_masks_is_about_nothing():
    true, proposals, parts = scene(0)
    empty = replace(true, masks=true.masks[:0], target=true.target[:0], frame=true.frame[:0])
    choice = chosen_by_truth(empty, proposals, parts, table(), num_images=2)
    assert not choice.tokens.any()
    assert choice.part.tolist() == [0] * 6
    assert (choice.row.tolist(), choice.order.tolist()) == ([0, 0, 1, 2, 2, 2], [0, 1, 0, 0, 1, 2])


def test_rows_are_drawn_where_a_target_s_objects_show_and_only_in_its_own_set():
    choice = Choice(
        row=torch.tensor([0, 1, 1]),
        order=torch.tensor([0, 0, 1]),
        tokens=torch.tensor([[1, 0, 0, 1, 0, 0], [0, 1, 0, 0, 1, 0], [0] * 6]).bool(),
        part=torch.tensor([0, 0, 0]),
        presence=torch.zeros(3, 2),
    )
    set_of_row = torch.tensor([0, 1])
    rows = mask_rows(table(), SET_OF_FRAME, set_of_row, choice)
    expected = [
        (m, f, p)
        for m in range(3)
        for f in range(5)
        for p in range(3)
        if set_of_row[choice.row[m]] == SET_OF_FRAME[f]
        and TOKEN_OF[f, p] >= 0
        and choice.tokens[m, TOKEN_OF[f, p]]
    ]
    got = zip(rows.target.tolist(), rows.frame.tolist(), rows.proposal.tolist(), strict=True)
    assert list(got) == expected


def test_what_is_meant_is_the_object_or_its_part_and_only_what_exists_counts():
    objects = table()
    choice = Choice(
        row=torch.tensor([1, 0]),
        order=torch.tensor([0, 0]),
        tokens=torch.tensor([[0, 1, 0, 0, 1, 0], [0, 0, 1, 0, 0, 0]]).bool(),
        part=torch.tensor([2, 0]),
        presence=torch.zeros(2, 2),
    )
    meant, counted = meant_by(choice, objects, torch.tensor([0, 1, 1]))
    assert meant.nonzero().tolist() == [[0, 2, 0], [1, 1, 2], [1, 4, 2]]
    assert not counted[0, 5].any()
    assert torch.equal(counted[1, :, 1:], objects.parts[1])
    assert counted[1, :, 0].all()


def asked(existence: dict, *, rows: int = 1, wanted=None, sets=None, **changes) -> Choice:
    """Choose by existences given as {(row, object, part): value}."""
    values = torch.full((rows, 6, 1 + PARTS), 0.1)
    for place, value in existence.items():
        values[place] = value
    return chosen_by_existence(
        values,
        table(**changes),
        torch.tensor(sets or [0] * rows),
        torch.tensor(wanted or [True] * rows),
        threshold=0.5,
        num_images=2,
    )


def about(choice: Choice) -> list[list[int]]:
    return [row.nonzero()[:, 0].tolist() for row in choice.tokens]


def test_targets_stand_in_reading_order_by_image_and_then_from_left_to_right():
    place = torch.zeros(2, 6, 1 + PARTS, 2)
    place[0, :5, 0, 0] = torch.tensor([0.9, 0.5, 0.1, 0.05, 0.01])
    entity = torch.arange(6).expand(2, -1)
    sure = {(0, i, 0): 0.9 for i in (0, 2, 3, 4)}
    choice = asked(sure, place=place, entity=entity)
    assert about(choice) == [[2], [0], [4], [3]]
    assert choice.order.tolist() == [0, 1, 2, 3]


def test_one_thing_in_several_images_is_one_target_with_a_presence_in_each():
    choice = asked({(0, 1, 0): 0.9, (0, 3, 0): 0.7, (0, 0, 0): 0.6})  # 1 and 3 are one thing
    assert sorted(about(choice)) == [[0], [1, 3]]
    both = about(choice).index([1, 3])
    torch.testing.assert_close(choice.presence[both], torch.tensor([0.9, 0.7]))


def test_presence_tells_of_images_where_the_thing_is_but_was_not_meant():
    choice = asked({(0, 1, 0): 0.9, (0, 3, 0): 0.3})
    assert about(choice) == [[1]]
    torch.testing.assert_close(choice.presence[0], torch.tensor([0.9, 0.3]))


def test_a_part_is_another_target_than_its_whole():
    choice = asked({(0, 1, 0): 0.9, (0, 1, 2): 0.8})
    assert about(choice) == [[1], [1]]
    assert sorted(choice.part.tolist()) == [0, 2]


def test_a_row_that_means_nothing_has_one_absent_target_with_its_largest_existence():
    choice = asked({(0, 1, 2): 0.4, (0, 4, 0): 0.2})
    assert about(choice) == [[]]
    torch.testing.assert_close(choice.presence, torch.tensor([[0.4, 0.2]]))


def test_a_row_that_points_at_nothing_has_no_target():
    choice = asked({(0, 1, 0): 0.9, (1, 0, 0): 0.9}, rows=2, wanted=[False, True])
    assert choice.row.tolist() == [1]
    nobody = asked({(0, 1, 0): 0.9}, wanted=[False])
    assert nobody.tokens.shape == (0, 6)
    assert nobody.presence.shape == (0, 2)


def test_permuting_rows_permutes_their_targets():
    sure = {(0, 1, 0): 0.9, (0, 3, 0): 0.7, (1, 5, 0): 0.8, (1, 0, 2): 0.6}
    swapped = {(1 - row, token, part): v for (row, token, part), v in sure.items()}
    one = asked(sure, rows=2, sets=[0, 1])
    other = asked(swapped, rows=2, sets=[1, 0])
    for row in range(2):
        mine, theirs = one.row == row, other.row == 1 - row
        assert torch.equal(one.tokens[mine], other.tokens[theirs])
        assert torch.equal(one.part[mine], other.part[theirs])
        torch.testing.assert_close(one.presence[mine], other.presence[theirs])


def test_each_row_reads_the_table_of_its_own_set():
    choice = asked({(0, 0, 0): 0.9, (0, 4, 0): 0.9}, sets=[1])  # one thing: in clip and picture
    assert about(choice) == [[0, 4]]
    torch.testing.assert_close(choice.presence, torch.tensor([[0.9, 0.9]]))
