"""What a trained model is told about itself: sure thresholds, familiar pictures."""

import pytest
import torch

from deixis.training import calibration


def errors(threshold: float, found: torch.Tensor, absent: torch.Tensor) -> float:
    missed = (found <= threshold).float().mean()
    invented = (absent > threshold).float().mean()
    return float(torch.maximum(missed, invented))


@pytest.mark.parametrize("seed", range(4))
def test_no_threshold_is_better_than_the_one_that_is_chosen(seed):
    random = torch.Generator().manual_seed(seed)
    found = torch.rand(40, generator=random) ** 0.5
    absent = torch.rand(30, generator=random) ** 2
    threshold, error = calibration.best_threshold(found, absent)
    assert error == pytest.approx(errors(threshold, found, absent))
    assert error == pytest.approx(min(errors(t / 200, found, absent) for t in range(1, 200)))


def test_a_clear_gap_is_cut_in_its_middle():
    found, absent = torch.tensor([0.8, 0.9]), torch.tensor([0.1, 0.2])
    threshold, error = calibration.best_threshold(found, absent)
    assert (threshold, error) == (pytest.approx(0.5, abs=0.01), 0.0)


def test_calibrating_measures_both_and_keeps_them_with_the_model(make_tiny, monkeypatch):
    model, processor = make_tiny()
    monkeypatch.setattr(calibration, "FAMILIAR", {"refer": 4, "clip": 1})
    monkeypatch.setattr(calibration, "SURE", {"absent": 6, "many": 2})
    measured = calibration.calibrate(model.train(), processor)
    assert not model.training
    assert model.config.presence_threshold == measured["presence_threshold"]
    assert processor.config is model.config
    limit = model.familiar.limit
    assert float(limit) == pytest.approx(measured["familiar_limit"])
    for sample in calibration.samples_of({"refer": 4}):
        assert (model.familiar(processor.encode([sample]).pixels) <= limit).all()


def test_presences_are_sorted_by_what_is_true(tiny, monkeypatch):
    monkeypatch.setattr(calibration, "SURE", {"absent": 5, "refer": 2})
    monkeypatch.setattr(calibration, "TOGETHER", 3)
    with torch.inference_mode():
        found, absent = calibration.presences(*tiny)
    truths = [bool(s.answer.targets) for s in calibration.samples_of({"absent": 5, "refer": 2})]
    assert (len(found), len(absent)) == (sum(truths), len(truths) - sum(truths))
    assert ((found >= 0) & (found <= 1)).all()


def test_worlds_of_calibration_are_the_same_each_time():
    first, second = ([s.question.text for s in calibration.samples_of({"plain": 3})] for _ in "12")
    assert first == second
    assert len(first) == 3
