"""What learns and how fast: parameter groups of AdamW and Muon, and the course of the rate."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from functools import partial
from math import cos, pi
from typing import Any

from torch import Tensor, nn
from torch.optim import AdamW, Muon
from torch.optim import Optimizer as TorchOptimizer
from torch.optim.lr_scheduler import LambdaLR

from deixis.config import Optimizer, Trained
from deixis.errors import ConfigError


def freeze(model: nn.Module, trained: Sequence[Trained]) -> dict[str, float]:
    """Let only the parameters learn that a pattern fits; the first that fits counts, 0 freezes.

    Returns:
        The share of the rate of each parameter that learns, by name.

    Raises:
        ConfigError: a pattern that fits no parameter.
    """
    patterns = trained or [Trained(name="*")]
    factors, used = {}, set()
    for name, parameter in model.named_parameters():
        fits = next((one for one in patterns if fnmatchcase(name, one.name)), None)
        factor = fits.lr_factor if fits else 0.0
        parameter.requires_grad_(factor > 0)
        if factor > 0:
            factors[name] = factor
        used |= {one.name for one in patterns if fnmatchcase(name, one.name)}
    for one in patterns:
        if one.name not in used:
            parts = ", ".join(f"{name}.*" for name, _ in model.named_children())
            raise ConfigError(
                f"train: expected a pattern that fits parameters of the model, "
                f'got "{one.name}". Its parts are {parts}.'
            )
    return factors


def frozen_modules(module: nn.Module) -> Iterator[nn.Module]:
    """Yield the largest parts in which nothing learns; they should behave as in use."""
    learns = [parameter.requires_grad for parameter in module.parameters()]
    if learns and not any(learns):
        yield module
    elif learns:
        for child in module.children():
            yield from frozen_modules(child)


class Together(TorchOptimizer):
    """Several optimizers, each with its own parameters, as one."""

    def __init__(self, parts: Sequence[TorchOptimizer]) -> None:
        self.parts = tuple(parts)
        super().__init__([group for part in parts for group in part.param_groups], {})

    def step(self, closure: Any = None) -> Any:
        """Move all parameters by their gradients."""
        assert closure is None, "losses are computed once"
        for part in self.parts:
            part.step()

    def state_dict(self) -> dict[str, Any]:
        """Return what each of them remembers."""
        return {"parts": [part.state_dict() for part in self.parts]}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on from what each of them remembered."""
        for part, state in zip(self.parts, state_dict["parts"], strict=True):
            part.load_state_dict(state)
        self.param_groups = [group for part in self.parts for group in part.param_groups]


def make_optimizer(
    model: nn.Module, settings: Optimizer, factors: dict[str, float]
) -> TorchOptimizer:
    """Make AdamW over what learns, and Muon over the matrices that it is wanted for; norms, biases
    and embeddings do not decay.

    Raises:
        ConfigError: a pattern for Muon that fits no matrix that learns.
    """
    turned = _turned(model, settings, factors)
    embeddings = {
        id(module.weight) for module in model.modules() if isinstance(module, nn.Embedding)
    }
    groups: dict[tuple[bool, float, bool], list[Tensor]] = {}
    for name, parameter in model.named_parameters():
        if name in factors:
            decays = parameter.ndim > 1 and id(parameter) not in embeddings
            groups.setdefault((name in turned, factors[name], decays), []).append(parameter)
    muon, adamw = (
        [
            {
                "params": parameters,
                "lr": settings.lr * factor,
                "weight_decay": settings.weight_decay if decays else 0.0,
            }
            for (own, factor, decays), parameters in groups.items()
            if own is turns
        ]
        for turns in (True, False)
    )
    if not muon:
        return AdamW(adamw, betas=settings.betas)
    parts: list[TorchOptimizer] = [Muon(muon, adjust_lr_fn="match_rms_adamw")]
    return Together([*parts, AdamW(adamw, betas=settings.betas)] if adamw else parts)


def _turned(model: nn.Module, settings: Optimizer, factors: Mapping[str, float]) -> set[str]:
    """Return the names of the matrices that Muon moves."""
    matrices = [name for name, one in model.named_parameters() if one.ndim == 2 and name in factors]
    for pattern in settings.muon:
        if not any(fnmatchcase(name, pattern) for name in matrices):
            raise ConfigError(
                f"optimizer.muon: expected patterns that fit matrices that learn, got "
                f'"{pattern}". They are called like {matrices[0] if matrices else "nothing here"}.'
            )
    return {name for name in matrices if any(fnmatchcase(name, p) for p in settings.muon)}


def make_schedule(optimizer: TorchOptimizer, settings: Optimizer, steps: int) -> LambdaLR:
    """Make the schedule that multiplies every group's rate by ``share_of_rate``."""
    share: Callable[[int], float] = partial(share_of_rate, settings=settings, steps=steps)
    return LambdaLR(optimizer, share)


def share_of_rate(step: int, *, settings: Optimizer, steps: int) -> float:
    """Return the share of the full rate at a step (from 0); the last step has the floor."""
    warm = min(1.0, (step + 1) / settings.warmup) if settings.warmup else 1.0
    hold = settings.decay_from * steps if settings.schedule == "constant_then_linear" else 0.0
    start = max(hold, settings.warmup)
    if step <= start or steps - 1 <= start:
        return warm
    way = min(1.0, (step - start) / (steps - 1 - start))
    if settings.schedule == "cosine":
        way = (1.0 - cos(pi * way)) / 2
    return 1.0 - (1.0 - settings.floor) * way
