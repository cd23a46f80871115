"""The turns of an answer's targets, and what is missed of them, by slow loops."""

import math

import pytest
import torch
from small_prima import make_folder

from deixis.models.prima import PrimaModel, asked_frames
from deixis.processing.prima import PrimaProcessor
from deixis.scenes.questions import make_scene
from deixis.scenes.world import WorldKey
from deixis.training.prima.prima_reading import PrimaSpeaking
from deixis.training.prima.prima_turns import (
    TURNS,
    images_of_targets,
    turns_in_answer,
    turns_in_image,
    unsaid_turns,
    unshown_turns,
)


@pytest.fixture(scope="module")
def objective(tmp_path_factory):
    folder = make_folder(tmp_path_factory.mktemp("prima") / "model")
    config = PrimaModel.from_pretrained(folder).config
    return PrimaSpeaking(PrimaProcessor.from_pretrained(folder, config))


@pytest.fixture(scope="module")
def asked(objective):
    keys = (WorldKey(split="train", task="multi", seed=0, index=index) for index in range(4))
    return objective.collate([make_scene(key, questions=6) for key in keys]).asked


def test_targets_are_counted_in_their_answer_and_in_their_image(asked):
    pairs = list(zip(asked.slots.row.tolist(), asked.slots.frame.tolist(), strict=True))
    rows = [row for row, _ in pairs]
    assert turns_in_answer(asked).tolist() == [rows[:at].count(row) for at, row in enumerate(rows)]
    assert turns_in_image(asked).tolist() == [pairs[:at].count(one) for at, one in enumerate(pairs)]
    assert max(turns_in_answer(asked)) > max(turns_in_image(asked)) > 0


def test_every_target_lies_in_one_image_of_its_own_question(asked):
    mine, here = images_of_targets(asked)
    row, frame = (one.tolist() for one in asked_frames(asked))
    for target, (own, where) in enumerate(zip(asked.slots.row, asked.slots.frame, strict=True)):
        assert mine[target].tolist() == [one == own for one in row]
        assert here[target].nonzero()[:, 0].tolist() == [
            at for at, pair in enumerate(zip(row, frame, strict=True)) if pair == (own, where)
        ]


@pytest.mark.parametrize("alone", [True, False])
def test_what_is_missed_of_a_turn_is_a_mean_over_what_its_target_covers(asked, alone):
    mine, here = images_of_targets(asked)
    among = here if alone else mine
    torch.manual_seed(0)
    count, cells, width = len(mine), 4, 12
    rows = torch.randn(mine.shape[1], cells, width)
    directions = torch.nn.functional.normalize(torch.randn(count, width), dim=1)
    cover = torch.rand(count, cells)
    total = 0.0
    for target in range(count):
        exp = {
            (image, cell): math.exp(
                32 * float(rows[image, cell] @ directions[target] / rows[image, cell].norm())
            )
            for image in range(len(rows))
            for cell in range(cells)
            if among[target, image]
        }
        image = int(here[target].nonzero())
        for cell in range(cells):
            share = float(cover[target, cell] / cover[target].sum())
            total -= share * math.log(exp[image, cell] / sum(exp.values()))
    missed = unshown_turns(rows, directions, among, here, cover)
    assert float(missed) == pytest.approx(total / count, rel=1e-4)


def test_rows_and_states_that_say_their_turns_miss_little(objective, asked):
    mine, here = images_of_targets(asked)
    turns, side = turns_in_answer(asked), 4
    cover = torch.eye(side**2)[torch.arange(len(turns)) % side**2]  # a cell for each
    rows = 0.01 * torch.randn(mine.shape[1], side**2, objective.order.shape[1])
    for target, cell in enumerate(cover.argmax(1).tolist()):
        rows[int(here[target].nonzero()), cell] = objective.order[turns[target]]
    assert unshown_turns(rows, objective.order[turns], mine, here, cover) < 0.1
    states = objective.order[turns]
    assert unsaid_turns(states, objective.order, turns) < 0.1
    assert unsaid_turns(states.roll(1, 1), objective.order, turns) > 1


def test_nothing_is_missed_where_nothing_is_drawn(objective):
    rows = torch.randn(3, 4, 5, requires_grad=True)
    none = torch.zeros(0, 3, dtype=torch.bool)
    assert unshown_turns(rows, torch.zeros(0, 5), none, none, torch.zeros(0, 4)) == 0
    assert unsaid_turns(rows[0], torch.zeros(TURNS, 5), torch.zeros(0, dtype=torch.long)) == 0
