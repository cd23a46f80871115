"""SparsePrompts against a loop over prompts, and what each prompt may depend on."""

import pytest
import torch

from deixis.errors import ShapeError
from deixis.nn.fourier import fourier_code
from deixis.prompting.sparse import SparsePrompts

IS_BOX = torch.tensor([True, False, True, False, False])


@pytest.fixture
def prompts() -> SparsePrompts:
    torch.manual_seed(0)
    prompts = SparsePrompts(7, bands=3, hidden_width=6, local_width=4).double()
    for parameter in prompts.parameters():
        torch.nn.init.normal_(parameter)
    return prompts


@pytest.fixture
def given() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)

    def draw(*shape: int) -> torch.Tensor:
        return torch.rand(shape, generator=generator, dtype=torch.double)

    return {"coords": draw(5, 2, 2), "is_box": IS_BOX, "time": draw(5), "local": draw(5, 4)}


def test_matches_a_loop_over_prompts(prompts, given):
    for row, token in enumerate(prompts(**given)):
        first, second = (fourier_code(place, 3) for place in given["coords"][row])
        if IS_BOX[row]:
            place = prompts.box(torch.cat([first + prompts.kind[1], second + prompts.kind[2]]))
        else:
            place = prompts.point(first + prompts.kind[0])
        when = prompts.time(fourier_code(given["time"][row : row + 1], 3))
        parts = torch.cat([place, when, prompts.local(given["local"][row])])
        torch.testing.assert_close(token, prompts.project(parts))


def test_a_points_second_row_is_not_read_and_a_boxs_is(prompts, given):
    before = prompts(**given)
    given["coords"] = given["coords"].clone()
    given["coords"][:, 1] += 0.1
    changed = (prompts(**given) != before).any(1)
    assert torch.equal(changed, IS_BOX)


def test_a_point_is_not_a_box_of_no_area(prompts, given):
    given["coords"][:, 1] = given["coords"][:, 0]
    assert (prompts(**given) != prompts(**{**given, "is_box": ~IS_BOX})).any(1).all()


@pytest.mark.parametrize("part", ["time", "local"])
def test_a_token_depends_on_when_and_on_what_shows_there(prompts, given, part):
    before = prompts(**given)
    assert (prompts(**{**given, part: given[part] / 2}) != before).any(1).all()


def test_every_weight_learns(prompts, given):
    prompts(**given).sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in prompts.parameters())


def test_no_prompts_give_no_tokens(prompts, given):
    assert prompts(**{name: value[:0] for name, value in given.items()}).shape == (0, 7)


def test_without_local_features_the_place_alone_is_a_token(given):
    given = {name: value.float() for name, value in given.items() if name != "local"}
    assert SparsePrompts(7)(**given).shape == (5, 7)


def test_local_features_are_given_exactly_if_expected(prompts, given):
    with pytest.raises(ShapeError, match=r"expected width 4, got none\. Give them exactly"):
        prompts(given["coords"], IS_BOX, given["time"])
    with pytest.raises(ShapeError, match=r"expected width 0, got \(5, 4\)"):
        SparsePrompts(7).double()(**given)


def test_parts_of_different_number_are_refused(prompts, given):
    with pytest.raises(ShapeError, match=r"prompt times: expected shape \(5,\), got \(3,\)"):
        prompts(**{**given, "time": given["time"][:3]})
