"""Which weights learn, which decay, and what the rate is at every step."""

import pytest
import torch
from torch import nn
from toy import ToyConfig, ToyModel

from deixis.config import Optimizer, Trained
from deixis.errors import ConfigError
from deixis.training.running.optimizing import freeze, frozen_modules, make_optimizer, share_of_rate


def shares(steps, **settings):
    return [share_of_rate(i, settings=Optimizer(**settings), steps=steps) for i in range(steps)]


def test_linear_warms_up_and_falls_to_the_floor():
    got = shares(9, warmup=4, schedule="linear", floor=0.2)
    assert got == pytest.approx([0.25, 0.5, 0.75, 1, 1, 0.8, 0.6, 0.4, 0.2])


def test_constant_then_linear_holds_and_falls_to_the_floor():
    got = shares(9, warmup=2, schedule="constant_then_linear", decay_from=0.5, floor=0)
    assert got == pytest.approx([0.5, 1, 1, 1, 1, 3 / 3.5, 2 / 3.5, 1 / 3.5, 0])


def test_a_cosine_falls_slowly_then_fast_then_slowly():
    got = shares(9, warmup=4, schedule="cosine", floor=0)
    half = 0.5**0.5 / 2
    assert got == pytest.approx([0.25, 0.5, 0.75, 1, 1, 0.5 + half, 0.5, 0.5 - half, 0])


def test_a_training_shorter_than_its_warm_up_only_warms_up():
    assert shares(3, warmup=10) == pytest.approx([0.1, 0.2, 0.3])
    assert shares(1, warmup=0) == [1.0]


def test_the_first_pattern_that_fits_counts():
    model = ToyModel(ToyConfig())
    factors = freeze(model, [Trained(name="body.0.*", lr_factor=0.1), Trained(name="body.*")])
    assert factors == {
        "body.0.weight": 0.1,
        "body.0.bias": 0.1,
        "body.1.weight": 1.0,
        "body.1.bias": 1.0,
    }
    assert [name for name, p in model.named_parameters() if not p.requires_grad] == [
        "head.weight",
        "head.bias",
    ]
    assert list(frozen_modules(model)) == [model.head]


def test_a_factor_of_nothing_freezes_what_fits_and_leaves_the_rest():
    model = ToyModel(ToyConfig())
    factors = freeze(model, [Trained(name="body.*", lr_factor=0), Trained(name="*")])
    assert factors == {"head.weight": 1.0, "head.bias": 1.0}
    assert list(frozen_modules(model)) == [model.body]


def test_without_patterns_everything_learns():
    model = ToyModel(ToyConfig())
    assert set(freeze(model, ()).values()) == {1.0}
    assert list(frozen_modules(model)) == []


def test_norms_biases_and_embeddings_do_not_decay():
    model = nn.ModuleDict({"words": nn.Embedding(3, 2), "norm": nn.LayerNorm(2)})
    model["out"] = nn.Linear(2, 4)
    optimizer = make_optimizer(model, Optimizer(weight_decay=0.3, lr=2), freeze(model, ()))
    decay = {
        id(parameter): group["weight_decay"]
        for group in optimizer.param_groups
        for parameter in group["params"]
    }
    decaying = [name for name, p in model.named_parameters() if decay[id(p)] == 0.3]
    assert decaying == ["out.weight"]
    assert len(decay) == len(list(model.parameters()))


def test_a_factor_scales_the_rate_of_its_group():
    model = ToyModel(ToyConfig())
    factors = freeze(model, [Trained(name="head.*"), Trained(name="body.*", lr_factor=0.1)])
    optimizer = make_optimizer(model, Optimizer(lr=0.5), factors)
    rates = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    assert rates[id(model.head.weight)] == 0.5
    assert rates[id(model.body[0].weight)] == pytest.approx(0.05)


def learn(model, optimizer, steps, seed):
    torch.manual_seed(seed)
    for _ in range(steps):
        optimizer.zero_grad()
        ways = [torch.randn(weight.shape) for weight in model.parameters()]
        sum((w * way).sum() for w, way in zip(model.parameters(), ways, strict=True)).backward()
        optimizer.step()


def test_muon_moves_the_matrices_that_it_is_wanted_for_and_adamw_the_rest():
    model = ToyModel(ToyConfig())
    factors = freeze(model, [Trained(name="body.0.*", lr_factor=0.5), Trained(name="*")])
    settings = Optimizer(lr=0.01, weight_decay=0.0, muon=("body.*",))
    before = {name: one.detach().clone() for name, one in model.named_parameters()}
    optimizer = make_optimizer(model, settings, factors)
    learn(model, optimizer, 1, seed=0)
    moved = {name: one.detach() - before[name] for name, one in model.named_parameters()}
    for name, change in moved.items():
        rate = 0.01 * factors[name]
        if change.ndim == 2 and name.startswith("body."):
            turned = torch.linalg.svdvals(change) / (0.2 * max(change.shape) ** 0.5 * rate)
            assert turned.min() > 0.6  # all directions alike
            assert turned.max() < 1.3
        else:
            torch.testing.assert_close(change.abs(), torch.full_like(change, rate))


def test_a_training_with_muon_goes_on_from_its_checkpoint():
    settings, models = Optimizer(lr=0.01, muon=("body.*",)), []
    for interrupted in (False, True):
        torch.manual_seed(3)
        model = ToyModel(ToyConfig())
        optimizer = make_optimizer(model, settings, freeze(model, []))
        learn(model, optimizer, 3, seed=1)
        if interrupted:
            held = optimizer.state_dict()
            optimizer = make_optimizer(model, settings, freeze(model, []))
            optimizer.load_state_dict(held)
        for group in optimizer.param_groups:  # as a schedule does
            group["lr"] *= 0.5
        learn(model, optimizer, 2, seed=2)
        models.append(model)
    for ours, theirs in zip(models[0].parameters(), models[1].parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_muon_for_no_matrix_that_learns_is_refused():
    model = ToyModel(ToyConfig())
    factors = freeze(model, [Trained(name="head.*")])
    with pytest.raises(ConfigError, match=r"optimizer\.muon: .*body.*called like head\.weight"):
        make_optimizer(model, Optimizer(muon=("body.*",)), factors)
