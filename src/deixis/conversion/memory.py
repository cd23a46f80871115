"""How much memory a model needs to answer one question about one image, before it is loaded.

The largest moment of an answer is counted: all weights, what the language decoder keeps of every
token, and the widest station. What the interpreter and its libraries take comes on top.

Letters: P patches, E CLIP's width, D language width, L levels, C decoder width.
"""

import math
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from deixis.conversion.shards import read_json
from deixis.errors import ConfigError, WeightsError
from deixis.models.released import FAMILIES
from deixis.models.released_files import read_header, weight_files

BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
QUESTION = 70  # text tokens of a prompt with a question of one sentence
TARGETS = 2
KERNELS = 70_000_000  # of torch's own code and tables, loaded at the first computation


def interpreter() -> int:
    """Return the bytes that this process holds: Python and its libraries, before a model."""
    import resource

    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    return pages * resource.getpagesize()


def memory_needed(folder: Path, answers: Sequence[int]) -> dict[str, dict[int, int]]:
    """Return bytes by dtype and by tokens of the answer, without the interpreter's own.

    Raises:
        WeightsError: a folder without weights.
        ConfigError: a family whose stations nobody has counted yet.
    """
    values = read_json(folder / "config.json")
    family = str(values.get("model_type"))
    if family not in WORKING:
        raise ConfigError(
            f"{folder}: expected a model of {', '.join(WORKING)} to say what it needs, got "
            f'"{family}". Count on its weights and a fifth more.'
        )
    config_class, model, _ = FAMILIES[family]()
    config = config_class.from_dict(values)
    exact = tuple(getattr(model, "_keep_in_fp32_modules_strict", None) or ())
    counts = _counts(folder, exact)
    need: dict[str, dict[int, int]] = {}
    for dtype, size in BYTES.items():
        # while a model changes its type, what stays exact is there twice
        exact_bytes = counts["exact"] * (4 if size == 4 else 8)
        weights = counts["free"] * size + exact_bytes + KERNELS
        need[dtype] = {n: weights + WORKING[family](config, size, n) for n in answers}
    return need


def _counts(folder: Path, exact: tuple[str, ...]) -> Mapping[str, int]:
    counts = {"exact": 0, "free": 0}
    for path in weight_files(folder):
        try:
            entries, _ = read_header(path)
        except (OSError, ValueError, KeyError) as error:
            raise WeightsError(
                f"{path}: expected whole safetensors weights, got: {error}. Copy the file again."
            ) from error
        for name, entry in entries.items():
            kind = "exact" if name.startswith(exact) and exact else "free"
            counts[kind] += math.prod(entry["shape"])
    return counts


def _pixellm(config: Any, size: int, answer: int) -> int:
    """Bytes beside the weights: kept states and the widest station of PixelLM."""
    text, clip = config.text_config, config.vision_config
    patches, width = config.grid**2 + 1, clip.hidden_size
    positions = QUESTION + config.image_grid**2 + answer
    head = text.hidden_size // text.num_attention_heads
    # keys and values; they grow by copies, so that as much again lies free between them
    kept = 2 * 2 * text.num_hidden_layers * text.num_key_value_heads * head * positions * size
    features = config.levels * patches * width * size
    layers = max(layer % (clip.num_hidden_layers + 1) for layer in config.feature_layers) + 1
    see = patches * (layers * width + 3 * clip.intermediate_size) * size
    read = positions * (3 * text.intermediate_size + 4 * text.hidden_size) * size
    project = config.levels * patches * 5 * text.hidden_size * size
    side = config.grid * 2 ** (config.levels - 1)
    draw = TARGETS * side * side * 6 * config.decoder_width * 4
    neck = config.levels * patches * (text.hidden_size + 2 * config.decoder_width) * 4
    return int(kept + features + max(see, read, project + neck, draw + neck))


WORKING: dict[str, Callable[[Any, int, int], int]] = {"pixellm": _pixellm}
