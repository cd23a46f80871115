"""What is seen is kept within bounds, and the same as if it were looked at anew."""

from dataclasses import fields

import pytest
import torch

from deixis.nn.proposals import Proposals
from deixis.reasoning import looking as looking_file
from deixis.reasoning.looking import Looking, among
from deixis.relation.objects import Look

COUNT = 7


@pytest.fixture
def pixels() -> torch.Tensor:
    """Large blots (F, 3, 64, 64), in which an untrained model sees something."""
    blots = torch.randint(0, 256, (COUNT, 3, 4, 4), generator=torch.Generator().manual_seed(0))
    return blots.to(torch.uint8).repeat_interleave(16, 2).repeat_interleave(16, 3)


@pytest.fixture
def looking(tiny, monkeypatch) -> Looking:
    """A memory in which few is up to three frames."""
    for name, value in {"WHOLE": 3, "POOLED": 2 * COUNT, "DRAWN": 4, "CHUNK": 2}.items():
        monkeypatch.setattr(looking_file, name, value)
    return Looking(tiny[0])


def keys(count: int, name: str = "a") -> list[str]:
    return [f"{name}{i}" for i in range(count)]


def expect_same(one: Look, other: Look) -> None:
    for field in fields(Proposals):
        mine, theirs = (getattr(look.proposals, field.name) for look in (one, other))
        torch.testing.assert_close(mine, theirs, atol=1e-4, rtol=1e-4)
    for field in fields(Look):
        if field.name != "proposals":
            mine, theirs = getattr(one, field.name), getattr(other, field.name)
            torch.testing.assert_close(mine, theirs, atol=1e-4, rtol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("frames", [[4], [5, 0, 2], []])
def test_some_frames_of_many_are_what_a_look_at_them_alone_gives(tiny, pixels, frames):
    together = tiny[0].vision.look(pixels)
    expect_same(among(together, torch.tensor(frames).long()), tiny[0].vision.look(pixels[frames]))


@torch.no_grad()
def test_a_few_frames_keep_everything(looking, pixels, encoded):
    first = looking.see(keys(3), pixels[:3])
    assert first.whole
    assert looking.see(keys(3), pixels[:3]) is first
    assert sum(encoded) == 3


@torch.no_grad()
def test_many_frames_keep_their_maps_where_they_are_wanted(looking, pixels, encoded):
    sight = looking.see(keys(COUNT), pixels, wanted=[5, 1])
    assert not sight.whole
    assert len(sight.look.fine) == 0
    view = looking.view(sight, pixels, [5, 1, 5])
    assert view.kept.tolist() == [-1, 0, -1, -1, -1, 1, -1]
    assert sum(encoded) == COUNT
    expect_same(among(view, torch.tensor([5])), looking.model.vision.look(pixels[5:6]))


@torch.no_grad()
def test_maps_that_were_lost_are_looked_at_again_and_then_kept(looking, pixels, encoded):
    sight = looking.see(keys(COUNT), pixels)
    encoded.clear()
    maps = looking.maps(sight, pixels, [6, 0, 3])
    assert encoded == [2, 1]
    expect_same(maps, looking.model.vision.look(pixels[[6, 0, 3]]))
    encoded.clear()
    looking.maps(looking.see(keys(COUNT), pixels), pixels, [0, 6])
    assert encoded == []


@torch.no_grad()
def test_maps_are_kept_within_a_bound_and_the_oldest_go_first(looking, pixels):
    sight = looking.see(keys(COUNT), pixels)
    for frames in ([0, 1], [2, 3], [0, 4]):
        looking.maps(sight, pixels, frames)
    assert list(sight.maps) == [2, 3, 0, 4]


@torch.no_grad()
def test_many_frames_are_kept_within_a_bound_too(looking, pixels, encoded):
    for name in "abca":
        looking.see(keys(COUNT, name), pixels)
    assert sum(encoded) == 4 * COUNT  # two of them fit; the first had to go for the third
    looking.see(keys(COUNT, "c"), pixels)
    looking.see(keys(2), pixels[:2])  # needs room, and the oldest goes
    looking.see(keys(COUNT, "c"), pixels)
    assert sum(encoded) == 4 * COUNT + 2
    looking.forget()
    looking.see(keys(2), pixels[:2])
    assert sum(encoded) == 4 * COUNT + 4
