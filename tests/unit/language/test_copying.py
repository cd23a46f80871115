"""What an answer copies is the word of the object that it looks at, and of the kind it chose."""

import pytest
import torch

from deixis.language.copying import WIDTH, Copied, Copying, how_many

OBJECTS, WORDS, D = 4, 5, 12


@pytest.fixture
def pointing():
    """A copying that looks at object i from a step whose state is the unit vector i."""
    copying = Copying(D, 2)
    with torch.no_grad():
        for linear in (copying.ask, copying.offer):
            linear.bias.zero_()
            linear.weight.copy_(20 * torch.eye(WIDTH, D))
        copying.gate.bias.copy_(torch.tensor([1.0, 0.0]))
    return copying


def offered(rows: int = 1, seed: int = 0) -> dict[str, Copied]:
    random = torch.Generator().manual_seed(seed)
    known = torch.eye(WORDS)[:OBJECTS].expand(rows, -1, -1)
    return {
        "colour": Copied(shown=known, words=torch.randn(WORDS, D, generator=random)),
        "number": Copied(
            shown=torch.eye(3)[1].expand(rows, -1), words=torch.randn(3, D, generator=random)
        ),
    }


def test_a_step_copies_the_word_of_the_object_that_it_looks_at(pointing):
    kinds = offered()
    states = torch.eye(D)[None, :OBJECTS]
    copy = pointing.source(states, torch.ones(1, OBJECTS, dtype=torch.bool), kinds)
    torch.testing.assert_close(copy(states), kinds["colour"].words[None, :OBJECTS])


def test_what_all_objects_say_together_is_copied_from_anywhere(pointing):
    kinds = offered()
    with torch.no_grad():
        pointing.gate.bias.copy_(torch.tensor([0.0, 1.0]))
    states = torch.eye(D)[None, :OBJECTS]
    copy = pointing.source(states, torch.ones(1, OBJECTS, dtype=torch.bool), kinds)
    copied = copy(torch.randn(1, 3, D))
    torch.testing.assert_close(copied, kinds["number"].words[1].expand(1, 3, D))


def test_the_only_object_of_a_set_is_the_same_beside_larger_sets(pointing):
    """In a batch the table of a set with one object is as wide as the others'."""
    with torch.no_grad():
        pointing.gate.bias.copy_(torch.tensor([1.0, 1.0]))
    kinds, states, steps = offered(), torch.randn(1, OBJECTS, D), torch.randn(1, 3, D)
    alone = {
        "colour": Copied(shown=kinds["colour"].shown[:, :1], words=kinds["colour"].words),
        "number": kinds["number"],
    }
    there = torch.tensor([[True, False, False, False]])
    padded = pointing.source(states, there, kinds)(steps)
    torch.testing.assert_close(pointing.source(states[:, :1], there[:, :1], alone)(steps), padded)


def test_what_is_not_there_is_not_copied(pointing):
    states = torch.eye(D)[None, :OBJECTS]
    there = torch.tensor([[True, False, True, True]])
    copied = pointing.source(states, there, offered())(states[:, 1:2])
    assert (copied - offered()["colour"].words[1]).norm() > 1
    nobody = pointing.source(states, torch.zeros_like(there), offered())(states)
    assert not nobody.any()


def test_one_step_is_copied_as_in_an_answer_and_one_row_as_in_a_batch():
    copying = Copying(D, 2)
    torch.nn.init.normal_(copying.gate.weight)
    states, steps = torch.randn(3, OBJECTS, D), torch.randn(3, 6, D)
    there = torch.tensor([[True] * 4, [True, True, False, False], [True, False, False, False]])
    together = copying.source(states, there, offered(3))(steps)
    single = copying.source(states, there, offered(3))
    for step in range(6):
        torch.testing.assert_close(single(steps[:, step]), together[:, step])
    for row in range(3):
        one = slice(row, row + 1)
        alone = copying.source(states[one], there[one], offered())(steps[one])
        torch.testing.assert_close(alone, together[one])


def test_everything_that_copies_learns():
    copying = Copying(D, 2)
    states = torch.randn(2, OBJECTS, D)
    there = torch.ones(2, OBJECTS, dtype=torch.bool)
    copied = copying.source(states, there, offered(2))(torch.randn(2, 5, D))
    (copied.square().sum() + copying.fits(states).square().sum()).backward()
    assert all(p.grad is not None and p.grad.any() for p in copying.parameters())


def test_a_number_is_as_near_as_the_sum_of_what_fits():
    fits = torch.tensor([[1.0, 1.0, 0.0], [0.5, 0.75, 0.0], [0.0, 0.0, 0.0]])
    expected = torch.tensor([[0, 1, 0, 0], [0.75, 0.25, 0, 0], [0, 0, 0, 0]])
    torch.testing.assert_close(how_many(fits, 4), expected)
