"""What learns and how fast: parameter groups of AdamW, and the course of the rate."""

from collections.abc import Callable, Iterator, Sequence
from fnmatch import fnmatchcase
from functools import partial
from math import cos, pi

from torch import nn
from torch.optim import AdamW
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


def make_optimizer(model: nn.Module, settings: Optimizer, factors: dict[str, float]) -> AdamW:
    """Make AdamW over what learns; norms, biases and embeddings do not decay."""
    embeddings = {
        id(module.weight) for module in model.modules() if isinstance(module, nn.Embedding)
    }
    groups: dict[tuple[float, bool], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if name in factors:
            decays = parameter.ndim > 1 and id(parameter) not in embeddings
            groups.setdefault((factors[name], decays), []).append(parameter)
    return AdamW(
        [
            {
                "params": parameters,
                "lr": settings.lr * factor,
                "weight_decay": settings.weight_decay if decays else 0.0,
            }
            for (factor, decays), parameters in groups.items()
        ],
        betas=settings.betas,
    )


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
