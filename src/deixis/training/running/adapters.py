"""Low-rank adapters (arXiv:2106.09685) on the linear layers of a language decoder, by peft."""

from collections.abc import Sequence

from torch import Tensor, nn

from deixis.errors import ConfigError
from deixis.extras import require


def add_adapters(
    module: nn.Module,
    *,
    targets: Sequence[str] = ("q_proj", "v_proj"),
    rank: int = 8,
    alpha: int = 16,
    dropout: float = 0.05,
) -> None:
    """Put adapters beside the linear layers of these names; they begin as no change at all.

    Raises:
        ConfigError: no layer of such a name.
        MissingExtra: peft is not installed.
    """
    require("peft", extra="train")
    from peft import LoraConfig, inject_adapter_in_model

    linear = [name for name, part in module.named_modules() if isinstance(part, nn.Linear)]
    missing = [t for t in targets if not any(name.split(".")[-1] == t for name in linear)]
    if missing:
        known = sorted({name.split(".")[-1] for name in linear})
        raise ConfigError(
            f"adapters: expected names of linear layers ({', '.join(known)}), "
            f"got {', '.join(missing)}."
        )
    config = LoraConfig(
        r=rank, lora_alpha=alpha, lora_dropout=dropout, target_modules=list(targets), bias="none"
    )
    inject_adapter_in_model(config, module)
    module.train(module.training)  # new parts begin in training, whatever the rest is in


def rest_idle(module: nn.Module) -> int:
    """Let adapters rest that do not learn and change nothing yet, and wake all others.

    Returns:
        How many rest: they cost nothing meanwhile.

    Raises:
        MissingExtra: peft is not installed.
    """
    require("peft", extra="train")
    from peft.tuners.lora import LoraLayer

    rest = 0
    for part in module.modules():
        if not isinstance(part, LoraLayer):
            continue
        own = {n: w for n, w in part.named_parameters() if ".lora_" in f".{n}"}
        learns = {name: weight.requires_grad for name, weight in own.items()}
        changes = any(bool(w.any()) for name, w in own.items() if "lora_B" in name)
        idle = not changes and not any(learns.values())
        if part.disable_adapters is not idle:
            part.enable_adapters(not idle)
            for name, weight in own.items():  # peft lets what it wakes learn
                weight.requires_grad_(learns[name])
        rest += idle
    return rest


def merged_tensors(module: nn.Module) -> dict[str, Tensor]:
    """Return the tensors of a module as if its adapters were merged; the module stays as it is.

    Raises:
        MissingExtra: peft is not installed.
    """
    require("peft", extra="train")
    from peft.tuners.lora import Linear

    tensors = dict(module.state_dict())
    for name, part in module.named_modules():
        if not isinstance(part, Linear):
            continue
        for key in [key for key in tensors if key.startswith(f"{name}.")]:
            del tensors[key]
        base = part.get_base_layer()
        tensors |= {f"{name}.{key}": value for key, value in base.state_dict().items()}
        for adapter in part.active_adapters:
            change = part.get_delta_weight(adapter).detach()
            tensors[f"{name}.weight"] = tensors[f"{name}.weight"] + change
    return tensors


def merge_adapters(module: nn.Module) -> int:
    """Add adapters to the weights that they stand beside, W + (alpha / r) B A, and take them away.

    Returns:
        How many layers were merged.
    """
    require("peft", extra="train")
    from peft.tuners.lora import LoraLayer

    found = [(name, part) for name, part in module.named_modules() if isinstance(part, LoraLayer)]
    for name, part in found:
        part.merge()  # type: ignore[operator]
        owner, _, last = name.rpartition(".")
        setattr(module.get_submodule(owner), last, part.get_base_layer())
    return len(found)
