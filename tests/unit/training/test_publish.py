"""What is published opens, is half the size, and has the threshold that was asked for."""

from pathlib import Path

import pytest
import torch

from deixis.errors import ConfigError
from deixis.models.released import open_model
from deixis.training.publish import PAPERS, publish


@pytest.fixture
def run(tiny, tmp_path) -> Path:
    for part in tiny:
        part.save_pretrained(tmp_path / "run" / "best")
    (tmp_path / "run" / "best" / "judged.json").write_text("{}")
    for name in PAPERS:
        (tmp_path / "run" / name).write_text(name)
    return tmp_path / "run"


def test_matrices_are_halved_and_the_papers_come_along(run, tiny, tmp_path):
    publish(run, tmp_path / "out")
    published = open_model(tmp_path / "out").model
    for name, tensor in tiny[0].state_dict().items():
        torch.testing.assert_close(published.state_dict()[name], tensor, atol=2e-2, rtol=1e-3)
    assert published.config.presence_threshold == tiny[0].config.presence_threshold
    whole = (run / "best" / "model.safetensors").stat().st_size
    assert (tmp_path / "out" / "model.safetensors").stat().st_size < 0.6 * whole
    assert all((tmp_path / "out" / name).read_text() == name for name in PAPERS)


def test_another_threshold_takes_the_place_of_the_measured_one(run, tmp_path):
    publish(run, tmp_path / "out", 0.31)
    assert open_model(tmp_path / "out").model.config.presence_threshold == 0.31


def test_a_run_without_a_best_model_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"expected a run with best/ in it, got none"):
        publish(tmp_path, tmp_path / "out")
