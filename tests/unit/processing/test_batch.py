"""What crosses between processing and models: checks, layout, devices."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import pytest
import torch

from deixis.errors import ShapeError
from deixis.processing.batch import Batch, Layout, PromptSlots, moved
from deixis.structures.placement import Placement


@pytest.fixture
def batch() -> Batch:
    """Two sets: one picture and a clip of two frames; then one picture. One point."""
    return Batch(
        pixels=torch.zeros(4, 3, 8, 6, dtype=torch.uint8),
        layout=Layout(
            set=torch.tensor([0, 0, 0, 1]),
            image=torch.tensor([0, 1, 1, 0]),
            time=torch.tensor([0.0, 0.0, 1.0, 0.0]),
            clip=torch.tensor([False, True, True, False]),
            num_images=torch.tensor([2, 1]),
        ),
        set_of_row=torch.tensor([0, 1]),
        question=torch.zeros(2, 5, dtype=torch.long),
        asked=torch.ones(2, 5, dtype=torch.bool),
        prompts=PromptSlots(
            row=torch.tensor([1]),
            column=torch.tensor([2]),
            frame=torch.tensor([3]),
            number=torch.tensor([0]),
            kind=torch.tensor([0]),
            coords=torch.zeros(1, 2, 2),
            masks=torch.zeros(1, 4, 3),
        ),
        placements=(Placement.fit((8, 6), (8, 6)),) * 4,
    )


def test_the_frames_of_a_set_stand_together(batch):
    assert [batch.layout.frames(index) for index in (0, 1)] == [range(0, 3), range(3, 4)]


def test_slots_without_a_mask_are_refused(batch):
    with pytest.raises(ShapeError, match=r"each of 1, got 1 and 0"):
        replace(batch, prompts=replace(batch.prompts, masks=torch.zeros(0, 4, 3)))


def test_more_frames_than_the_layout_knows_are_refused(batch):
    with pytest.raises(ShapeError, match=r"expected 4 by the layout, got 5"):
        replace(batch, pixels=torch.zeros(5, 3, 8, 6, dtype=torch.uint8))


def test_all_tensors_move_and_nothing_else_changes(batch):
    there = moved(batch.layout, "meta")
    assert {t.device.type for t in (there.set, there.image, there.time, there.clip)} == {"meta"}
    here = batch.to("cpu")
    assert torch.equal(here.prompts.frame, batch.prompts.frame)
    assert here.placements == batch.placements
    assert here.truth is None


@dataclass(frozen=True)
class Held:
    numbers: torch.Tensor
    ids: tuple[torch.Tensor | None, ...]
    words: Mapping[str, torch.Tensor]
    inner: "Held | None" = None
    name: str = "as it is"


def test_all_tensors_of_a_value_move_wherever_they_stand():
    whole = torch.ones(2, dtype=torch.long)
    inner = Held(numbers=torch.ones(2), ids=(whole, None), words={"a": torch.ones(1), "b": whole})
    value = Held(numbers=torch.ones(3), ids=(), words={}, inner=inner)
    on_meta = moved(value, "meta")
    for one, before in ((on_meta, value), (on_meta.inner, inner)):
        tensors = [one.numbers, *filter(torch.is_tensor, one.ids), *one.words.values()]
        assert {tensor.device.type for tensor in tensors} == {"meta"}
        assert (len(one.ids), list(one.words)) == (len(before.ids), list(before.words))
        assert one.name == "as it is"
        assert before.numbers.device.type == "cpu"
    floats = moved(value, "meta", only_floats=True).inner
    assert floats.ids == (whole, None)
    devices = {kind: one.device.type for kind, one in floats.words.items()}
    assert devices == {"a": "meta", "b": "cpu"}
