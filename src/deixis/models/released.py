"""Opens model folders strictly: the tensors of the file are exactly those of the model."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Tensor

from deixis.errors import WeightsError
from deixis.models.deixis import DeixisConfig, DeixisModel
from deixis.processing.deixis import DeixisProcessor

PACKAGE = Path(__file__).parents[1] / "weights"
FAMILIES: dict[str, tuple[Any, Any, Any]] = {
    "deixis": (DeixisConfig, DeixisModel, DeixisProcessor),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Opened:
    """A model, its processor, its name and a hash of its weights."""

    model: Any
    processor: Any
    name: str
    fingerprint: str


def open_model(model: str | Path) -> Opened:
    """Open a model of the package by name, or any by its folder.

    Raises:
        WeightsError: no model there, another family, or weights that do not fit exactly.
    """
    folder = Path(model)
    if not folder.is_dir():
        folder = PACKAGE / str(model)
    config_file = folder / "config.json"
    try:
        values = json.loads(config_file.read_text(encoding="utf-8"))
        family = str(values.get("model_type"))
    except (OSError, ValueError, AttributeError) as error:  # the last: JSON without keys
        names = ", ".join(sorted(p.parent.name for p in PACKAGE.glob("*/config.json"))) or "-"
        raise WeightsError(
            f'model "{model}": expected a folder with config.json or one of: {names}, '
            f"got none that can be read. See: deixis models."
        ) from error
    if family not in FAMILIES:
        raise WeightsError(
            f'{config_file}: expected a model of {", ".join(FAMILIES)}, got "{family}". '
            f"See: deixis models."
        )
    config_class, model_class, processor_class = FAMILIES[family]
    config = config_class.from_dict(values)
    tensors, fingerprint = read_tensors(folder)
    built = model_class(config)
    load_strictly(built, tensors, folder)
    processor = processor_class.from_pretrained(folder, config)
    return Opened(
        model=built, processor=processor, name=folder.name or str(model), fingerprint=fingerprint
    )


def read_tensors(folder: Path) -> tuple[dict[str, Tensor], str]:
    """Read all safetensors of a folder and a hash over their bytes.

    Raises:
        WeightsError: there are none, or one is broken.
    """
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise WeightsError(
            f"{folder}: expected weights in *.safetensors, got none. Copy the whole model folder."
        )
    tensors: dict[str, Tensor] = {}
    digest = hashlib.sha256()
    for path in files:
        try:
            with safe_open(path, framework="pt") as file:
                tensors.update({key: file.get_tensor(key) for key in file.keys()})  # noqa: SIM118
            digest.update(path.read_bytes())
        except (SafetensorError, OSError) as error:
            raise WeightsError(
                f"{path}: expected whole safetensors weights, got: {error}. Copy the file again."
            ) from error
    return tensors, digest.hexdigest()[:16]


def load_strictly(model: Any, tensors: Mapping[str, Tensor], where: Path) -> None:
    """Put tensors into a model.

    Raises:
        WeightsError: any missing, unexpected or wrongly shaped tensor; the message names them.
    """
    expected = model.state_dict()
    missing, surplus = expected.keys() - tensors.keys(), tensors.keys() - expected.keys()
    wrong = {
        f"{key} {tuple(tensors[key].shape)} in place of {tuple(expected[key].shape)}"
        for key in expected.keys() & tensors.keys()
        if tensors[key].shape != expected[key].shape
    }
    faults = [
        f"{what}: {', '.join(sorted(names)[:4])}" + (", ..." if len(names) > 4 else "")
        for what, names in (("missing", missing), ("unexpected", surplus), ("misshapen", wrong))
        if names
    ]
    if faults:
        raise WeightsError(
            f"{where}: expected the {len(expected)} tensors of its config, got "
            f"{'; '.join(faults)}. Nothing was loaded; the weights belong to another config."
        )
    model.load_state_dict(dict(tensors))
