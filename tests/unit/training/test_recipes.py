"""Runs may begin with weights of another: exactly those that are named, or a clear refusal."""

from pathlib import Path

import pytest
import torch

from deixis.config import Start
from deixis.data.mixture import Draw
from deixis.errors import ConfigError
from deixis.models.deixis import DeixisModel
from deixis.training.recipes import scene_of, take_over


@pytest.fixture(scope="module")
def trained(tiny, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "trained"
    tiny[0].save_pretrained(folder)
    return folder


def test_named_weights_are_taken_over_and_no_others(trained, tiny):
    fresh = DeixisModel(tiny[0].config)
    before = {name: tensor.clone() for name, tensor in fresh.state_dict().items()}
    take_over(fresh, Start(model=str(trained), take=("vision.*",)))
    theirs = tiny[0].state_dict()
    for name, tensor in fresh.state_dict().items():
        wanted = theirs if name.startswith("vision.") else before
        assert torch.equal(tensor, wanted[name]), name


def test_a_model_with_other_stations_takes_what_both_have(trained, make_tiny):
    other, _ = make_tiny(relation="none", neighbours=False)
    take_over(other, Start(model=str(trained), take=("vision.*", "speech.*")))


@pytest.mark.parametrize(
    ("take", "change", "message"),
    [
        (("eyes.*",), {}, r'start\.take: expected a pattern .* got "eyes\.\*"\. Its parts are'),
        (("grid.*",), {"grid_tokens": True}, r"expected grid\.bias of shape .* got none"),
        (("vision.*",), {"identity_width": 7}, r"expected vision\.heads\.out\.\w+ of shape"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(trained, make_tiny, take, change, message):
    other, _ = make_tiny(**change)
    with pytest.raises(ConfigError, match=message):
        take_over(other, Start(model=str(trained), take=take))


def test_as_many_sets_are_worn_as_the_stage_says_and_always_the_same():
    def pixels(index: int, worn: float) -> bytes:
        draw = Draw(split="train", task="refer", seed=4, index=index, questions=1, worn=worn)
        return scene_of(draw).renderings[0].pixels.tobytes()

    drawn = [pixels(index, 0.0) for index in range(60)]
    changed = [pixels(index, 0.5) for index in range(60)]
    assert changed == [pixels(index, 0.5) for index in range(60)]
    assert 15 <= sum(a != b for a, b in zip(drawn, changed, strict=True)) <= 40
    assert sum(pixels(i, 1.0) != drawn[i] for i in range(60)) >= 40  # some wear too little to see
