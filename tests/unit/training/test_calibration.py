"""What a trained model is told about itself: sure thresholds, familiar pictures."""

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from deixis.errors import WeightsError
from deixis.models.configs.deixis_config import DeixisConfig
from deixis.models.released import open_model, read_tensors
from deixis.nn.familiar import Familiar, describe
from deixis.structures.opening import open_images
from deixis.structures.samples import Question, Sample
from deixis.training import calibration


def open_config(folder) -> dict:
    return DeixisConfig.from_pretrained(folder).to_dict()


@pytest.mark.parametrize("seed", range(4))
def test_no_threshold_is_better_than_the_one_that_is_chosen(seed):
    random = torch.Generator().manual_seed(seed)
    steps = torch.tensor(calibration.THRESHOLDS)[:, None]
    found = torch.rand(40, generator=random) ** 0.5 > steps
    absent = torch.rand(30, generator=random) ** 2 <= steps
    threshold, error = calibration.best_threshold(found, absent)
    right = [(f.float().mean() + a.float().mean()) / 2 for f, a in zip(found, absent, strict=True)]
    assert error == pytest.approx(1 - float(max(right)), abs=1e-5)
    best = [t for t, r in zip(calibration.THRESHOLDS, right, strict=True) if r > max(right) - 1e-6]
    assert best[0] <= threshold <= best[-1]


def test_a_clear_gap_is_cut_in_its_middle():
    steps = torch.tensor(calibration.THRESHOLDS)[:, None]
    found, absent = torch.tensor([0.8, 0.9]) > steps, torch.tensor([0.1, 0.2]) <= steps
    threshold, error = calibration.best_threshold(found, absent)
    assert (threshold, error) == (pytest.approx(0.5, abs=0.01), pytest.approx(0, abs=1e-6))


def test_an_answer_that_holds_too_much_is_as_wrong_as_one_that_lacks_something():
    steps = torch.tensor(calibration.THRESHOLDS)[:, None]
    lower, upper = torch.tensor([0.2, 0.2, 0.3]), torch.tensor([0.7, 0.6, 0.9])
    exact = (lower <= steps) & (steps < upper)  # best of the rest, least of what is meant
    threshold, _ = calibration.best_threshold(exact, torch.tensor([0.25]) <= steps)
    assert 0.3 <= threshold < 0.6


@pytest.fixture
def brief(monkeypatch) -> None:
    """Let calibration look at few pictures."""
    monkeypatch.setattr(calibration, "FAMILIAR", {"refer": 60, "clip": 4, "multi": 20})
    monkeypatch.setattr(calibration, "STRANGERS", 60)
    monkeypatch.setattr(calibration, "SURE", {"absent": 6, "many": 2})


def test_calibrating_measures_both_and_keeps_them_with_the_model(make_tiny, brief):
    model, processor = make_tiny()
    measured = calibration.calibrate(model.train(), processor)
    assert not model.training
    assert model.config.presence_threshold == measured["presence_threshold"]
    assert processor.config is model.config
    assert measured["scenes_found_strange"] <= 0.05
    shown = [s.images[0] for s in calibration.samples_of({"refer": 9})]
    described = calibration.described([frame.pixels for frame in shown], processor.config.canvas)
    assert (model.familiar.strangeness(described) <= 0).float().mean() > 0.8


def test_pictures_are_described_as_they_lie_on_a_canvas_and_without_its_rest(tiny):
    canvas = tiny[1].config.canvas
    pixels = np.random.default_rng(0).integers(0, 256, (50, 100, 3), dtype=np.uint8)
    (described,) = calibration.described([pixels], canvas)
    batch = tiny[1].encode(
        [Sample(images=open_images([pixels]), question=Question(text="what is this?"))]
    )
    shown = batch.pixels[:, :, : canvas[0] // 2]
    torch.testing.assert_close(described, describe(shown)[0])


@pytest.fixture
def trained(make_tiny, tmp_path):
    """Return the folder of a model whose judges are those of long ago."""
    model, processor = make_tiny()
    folder = tmp_path / "trained"
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    (folder / "log.txt").write_text("as it went")
    tensors, _ = read_tensors(folder)
    old = {k: t.half() if t.dim() > 1 else t for k, t in tensors.items() if "familiar" not in k}
    save_file({**old, "familiar.bound": torch.ones(3)}, folder / "model.safetensors")
    return folder


def test_only_the_judges_of_a_trained_model_learn_anew(trained, tmp_path, brief):
    with pytest.raises(WeightsError, match=r"missing: familiar.*unexpected: familiar\.bound"):
        open_model(trained)
    calibration.renew(trained, tmp_path / "new")
    before, after = read_tensors(trained)[0], read_tensors(tmp_path / "new")[0]
    kept = before.keys() - {"familiar.bound"}
    assert {k for k in after if k not in kept} == {
        f"familiar.{name}" for name in Familiar().state_dict()
    }
    assert all(torch.equal(before[k], after[k]) and before[k].dtype == after[k].dtype for k in kept)
    opened = open_model(tmp_path / "new")
    assert float(opened.model.familiar.limits.max()) < 1e6
    assert opened.model.config.to_dict() == open_config(trained)
    assert (tmp_path / "new" / "log.txt").read_text() == "as it went"


def test_other_faults_of_a_trained_model_stay_faults(trained, tmp_path, brief):
    tensors, _ = read_tensors(trained)
    tensors.pop("score.bias")
    save_file(tensors, trained / "model.safetensors")
    with pytest.raises(WeightsError, match=r"missing: score\.bias"):
        calibration.renew(trained, tmp_path / "new")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("object_tokens", [True, False])
def test_answers_with_targets_and_without_are_weighed_apart(make_tiny, monkeypatch, object_tokens):
    monkeypatch.setattr(calibration, "SURE", {"absent": 5, "refer": 2})
    monkeypatch.setattr(calibration, "TOGETHER", 3)
    with torch.inference_mode():
        found, absent = calibration.rights(*make_tiny(object_tokens=object_tokens))
    truths = [bool(s.answer.targets) for s in calibration.samples_of({"absent": 5, "refer": 2})]
    steps = len(calibration.THRESHOLDS)
    assert found.shape == (steps, sum(truths))
    assert absent.shape == (steps, len(truths) - sum(truths))
    assert (absent[1:] >= absent[:-1]).all()  # what is not there is believed less and less
    assert {*found.unique().tolist(), *absent.unique().tolist()} <= {0, 0.5, 1}


def test_knowing_that_anything_is_there_is_half_of_it(make_tiny, monkeypatch):
    monkeypatch.setattr(calibration, "SURE", {"absent": 5, "refer": 2})
    monkeypatch.setattr(calibration, "THRESHOLDS", [-1.0, 2.0])  # everything is there, and nothing
    with torch.inference_mode():
        found, absent = calibration.rights(*make_tiny())
    assert (found[0] >= 0.5).all()
    assert (found[1] == 0).all()
    assert absent.tolist() == [[0] * absent.shape[1], [1] * absent.shape[1]]


def test_worlds_of_calibration_are_the_same_each_time():
    first, second = ([s.question.text for s in calibration.samples_of({"plain": 3})] for _ in "12")
    assert first == second
    assert len(first) == 3
