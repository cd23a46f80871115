"""Opens a published UniPixel folder as it is: both layouts, one file or many, nothing written."""

import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor

from deixis.errors import WeightsError
from deixis.models.configs.unipixel_config import UniPixelConfig
from deixis.models.published.unipixel_keys import our_tensors

SAM_FILE = "sam2_config.json"  # lies beside config.json where SAM is none of the known sizes

Rename = Callable[[Mapping[str, Tensor]], dict[str, Tensor]]


def published_config(folder: Path, values: Mapping[str, Any]) -> UniPixelConfig:
    """Return our config of a published folder, whose config.json says ``values``.

    Raises:
        WeightsError: SAM's own file is broken.
        ConfigError: no UniPixel, or a SAM of unknown sizes.
    """
    path = folder / SAM_FILE
    if not path.is_file():
        return UniPixelConfig.from_released(values)
    try:
        sam = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise WeightsError(f"{path}: expected JSON, got: {error}. Copy the file again.") from error
    return UniPixelConfig.from_released(values, sam)


def published_unipixel(folder: Path, values: Mapping[str, Any]) -> tuple[UniPixelConfig, Rename]:
    """Return our config of a published folder, and a function that gives tensors our names."""
    config = published_config(folder, values)
    config.dtype = str(values.get("torch_dtype") or values.get("dtype") or "bfloat16")
    return config, partial(our_tensors, where=str(folder), tied=config.tie_word_embeddings)
