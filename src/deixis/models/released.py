"""Opens model folders strictly: the tensors of the file are exactly those of the model."""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from deixis.errors import WeightsError
from deixis.models.deixis import DeixisConfig, DeixisModel
from deixis.models.released_files import BLOCK, Weights, map_weights, weight_files
from deixis.processing.deixis import DeixisProcessor

PACKAGE = Path(__file__).parents[1] / "weights"
REPORT = "conversion.json"  # what a conversion leaves beside the weights

Family = tuple[Any, Any, Any]  # config, model, processor


def _deixis() -> Family:
    return DeixisConfig, DeixisModel, DeixisProcessor


def _pixellm() -> Family:
    from deixis.models.pixellm import PixelLM, PixelLMConfig
    from deixis.processing.pixellm import PixelLMProcessor

    return PixelLMConfig, PixelLM, PixelLMProcessor


def _prima() -> Family:
    from deixis.models.prima import PrimaConfig, PrimaModel
    from deixis.processing.prima import PrimaProcessor

    return PrimaConfig, PrimaModel, PrimaProcessor


def _unipixel() -> Family:
    from deixis.models.configs.unipixel_config import UniPixelConfig
    from deixis.models.unipixel import UniPixelModel
    from deixis.processing.unipixel import UniPixelProcessor

    return UniPixelConfig, UniPixelModel, UniPixelProcessor


FAMILIES: dict[str, Callable[[], Family]] = {
    "deixis": _deixis,
    "pixellm": _pixellm,
    "prima": _prima,
    "unipixel": _unipixel,
}


PUBLISHED = {"pixel_qwen2_5_vl": "unipixel"}  # model types that open without conversion
BASES = {  # model types that are no family of ours, but that one was trained from
    "qwen2_5_vl": "That is Qwen2.5-VL, from which UniPixel was trained; give UniPixel's merged "
    "weights.",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Opened:
    """A model, its processor, its name and a hash of its weights.

    Attributes:
        weights: the tensors of a large model, which stay in their files until they are read.
    """

    model: Any
    processor: Any
    name: str
    fingerprint: str
    weights: Weights | None = None


def open_model(model: str | Path, dtype: str | None = None) -> Opened:
    """Open a model of the package by name, or any by its folder.

    Args:
        model: a name, or a folder.
        dtype: that a converted model gets in place of the one it is stored in; what its family
            keeps exact stays so.

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
    if family in PUBLISHED:
        return _open_published(folder, values, dtype)
    if family not in FAMILIES:
        raise WeightsError(
            f'{config_file}: expected a model of {", ".join(FAMILIES)}, got "{family}". '
            f"{BASES.get(family, 'See: deixis models.')}"
        )
    config_class, model_class, processor_class = FAMILIES[family]()
    config = config_class.from_dict(values)
    name, weights = folder.name or str(model), None
    if family == "deixis":
        tensors, fingerprint = read_tensors(folder)
        built = model_class(config)
        load_strictly(built, tensors, folder)
    else:
        weights, fingerprint = map_weights(folder), _fingerprint(folder)
        built = _built_around(weights, model_class, config, folder, dtype)
    processor = processor_class.from_pretrained(folder, config)
    return Opened(
        model=built, processor=processor, name=name, fingerprint=fingerprint, weights=weights
    )


def _open_published(folder: Path, values: Mapping[str, Any], dtype: str | None) -> Opened:
    """Open a folder in the layout in which its family publishes it."""
    from deixis.models.published.unipixel_released import published_unipixel

    _, model_class, processor_class = FAMILIES[PUBLISHED[str(values["model_type"])]]()
    config, renamed = published_unipixel(folder, values)
    weights = map_weights(folder)
    weights.tensors = renamed(weights.tensors)
    built = _built_around(weights, model_class, config, folder, dtype)
    return Opened(
        model=built,
        processor=processor_class.from_pretrained(folder, config),
        name=folder.name,
        fingerprint=_fingerprint(folder),
        weights=weights,
    )


def _built_around(
    weights: Weights, model_class: Any, config: Any, folder: Path, dtype: str | None
) -> Any:
    """Build a model of weights as they are stored, without a copy where the dtype is right."""
    main = getattr(torch, str(dtype or config.dtype or "float32").removeprefix("torch."))
    exact = tuple(model_class._keep_in_fp32_modules_strict or ())
    typed: dict[str, Tensor] = {}
    for name, tensor in weights.tensors.items():
        wanted = torch.float32 if exact and name.startswith(exact) else main
        typed[name] = tensor.to(wanted) if tensor.is_floating_point() else tensor
        if typed[name] is not tensor:  # copied: the file's pages are not needed any more
            weights.let_go()
    with _unfilled():
        built = model_class(config)
    load_strictly(built, typed, folder, assign=True)
    return built


@contextmanager
def _unfilled() -> Iterator[None]:
    """Leave new weights as they are: memory that is never touched is never taken."""
    from transformers.initialization import no_init_weights

    with no_init_weights():
        yield


def _fingerprint(folder: Path) -> str:
    """Return what a conversion has written down, or a hash over the bytes of the weights."""
    try:
        return str(json.loads((folder / REPORT).read_text(encoding="utf-8"))["checksum"])[:16]
    except (OSError, ValueError, KeyError, TypeError):
        digest = hashlib.sha256()
    for path in weight_files(folder):
        with path.open("rb") as file:
            while block := file.read(BLOCK):
                digest.update(block)
    return digest.hexdigest()[:16]


def read_tensors(folder: Path) -> tuple[dict[str, Tensor], str]:
    """Read all safetensors of a folder and a hash over their bytes.

    Raises:
        WeightsError: there are none, or one is broken.
    """
    tensors: dict[str, Tensor] = {}
    digest = hashlib.sha256()
    for path in weight_files(folder):
        try:
            with safe_open(path, framework="pt") as file:
                tensors.update({key: file.get_tensor(key) for key in file.keys()})  # noqa: SIM118
            digest.update(path.read_bytes())
        except (SafetensorError, OSError) as error:
            raise WeightsError(
                f"{path}: expected whole safetensors weights, got: {error}. Copy the file again."
            ) from error
    return tensors, digest.hexdigest()[:16]


def load_strictly(
    model: Any, tensors: Mapping[str, Tensor], where: Path, *, assign: bool = False
) -> None:
    """Put tensors into a model: their values, or with ``assign`` the tensors themselves.

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
    model.load_state_dict(dict(tensors), assign=assign)
