"""How a run of any family begins: from its own ``last/``, a model's folder, or a preset."""

import fnmatch
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from deixis.config import Start, TrainRun, expected_one_of, pick
from deixis.errors import ConfigError
from deixis.models.released import FAMILIES, load_strictly, read_tensors
from deixis.training.running.checkpoints import read_json

Presets = Mapping[str, Callable[[], Any]]  # name -> makes a config


def is_of(family: str, model: str) -> bool:
    """Tell whether a preset's name or a folder is of a family."""
    path = Path(model) / "config.json"
    if not path.is_file():
        return model.startswith(family)
    return read_json(path).get("model_type") == family


def take_over(model: nn.Module, start: Start) -> None:
    """Copy those weights of a trained model into a new one that fit the patterns.

    Raises:
        ConfigError: a pattern that fits nothing, or a weight that is missing or of another shape.
        WeightsError: the folder holds no whole weights.
    """
    theirs, _ = read_tensors(Path(start.model))
    ours = model.state_dict()
    names = {name for one in start.take for name in fnmatch.filter(ours, one)}
    for one in start.take:
        if not fnmatch.filter(ours, one):
            raise ConfigError(
                f'start.take: expected a pattern that fits weights of the model, got "{one}". '
                f"Its parts are {', '.join(f'{part}.*' for part, _ in model.named_children())}."
            )
    for name in sorted(names):
        found = tuple(theirs[name].shape) if name in theirs else "none"
        if found != tuple(ours[name].shape):
            raise ConfigError(
                f"start.model {start.model}: expected {name} of shape {tuple(ours[name].shape)}, "
                f"got {found}. Name fewer weights in start.take, or use the same model_overrides."
            )
    with torch.no_grad():
        for name in sorted(names):
            ours[name].copy_(theirs[name])


def begin(
    run: TrainRun,
    last: Path,
    family: str,
    presets: Presets,
    texts: Callable[[Any], Iterable[str]],
    take: Callable[[nn.Module, Start], None] = take_over,
) -> tuple[Any, Any]:
    """Return the model and the processor that a run begins with.

    Args:
        run: names a preset, or the folder of a model.
        last: the run's own state; a run that goes on takes config and words from it.
        family: a key of `FAMILIES`.
        presets: of the family.
        texts: what the words of a preset are read from.
        take: copies the weights that a run starts from into a preset's model.

    Raises:
        ConfigError: an unknown preset or config key, overrides of a folder's config, or weights
            to start from that do not fit.
        WeightsError: a folder that holds no whole model of the family.
    """
    config_class, model_class, processor_class = FAMILIES[family]()
    source = Path(run.model)
    if (last / "config.json").is_file():
        config = config_class.from_pretrained(last)
        return model_class(config), processor_class.from_pretrained(last, config)
    if source.is_dir():
        if run.model_overrides:
            raise ConfigError(
                f"model_overrides: expected none with the folder {run.model}, "
                f"got {', '.join(run.model_overrides)}. Its weights fit its own config only."
            )
        config = config_class.from_pretrained(source)
        model = model_class(config)
        load_strictly(model, read_tensors(source)[0], source)
        return model, processor_class.from_pretrained(source, config)
    config = make_config(run.model, run.model_overrides, presets)
    processor = processor_class.from_texts(config, list(texts(config)))
    model = model_class(config)
    if run.start is not None:
        take(model, run.start)
    return model, processor


def from_nothing(run: TrainRun) -> bool:
    """Tell whether a run begins with new weights alone: no folder's, and none taken over."""
    return not Path(run.model).is_dir() and run.start is None


def make_config(
    preset: str, overrides: dict[str, Any], presets: Presets
) -> Any:
    """Return the config of a preset with some values changed.

    Raises:
        ConfigError: an unknown preset or key.
    """
    config = pick(presets, preset, "model")()
    values = config.to_dict()
    _override(values, overrides, "model_overrides")
    return type(config).from_dict(values)


def _override(values: dict[str, Any], changes: dict[str, Any], where: str) -> None:
    for key, value in changes.items():
        if key not in values:
            raise ConfigError(f"{where}.{key}: unknown key: {expected_one_of(values, key)}")
        if isinstance(values[key], dict) and isinstance(value, dict):
            _override(values[key], value, f"{where}.{key}")
        else:
            values[key] = value
