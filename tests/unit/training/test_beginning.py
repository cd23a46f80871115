"""Runs may begin with weights of another: exactly those that are named, or a clear refusal."""

from pathlib import Path

import pytest
import torch

from deixis.config import Start
from deixis.errors import ConfigError
from deixis.models.deixis import DeixisModel
from deixis.training.running.beginning import take_over


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
