"""Makes the model that ships out of a trained one: smaller, with the papers of its training.

    python -m deixis.training.publish out/tiny src/deixis/weights/deixis-tiny [PRESENCE_THRESHOLD]

Without a threshold the one that calibration found stays.
"""

import json
import shutil
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from deixis.errors import ConfigError
from deixis.models.released import open_model, read_tensors
from deixis.training.running.checkpoints import replacing, write_json

MODEL_FILES = ("config.json", "tokenizer.json", "words.json")
PAPERS = ("run.yaml", "versions.json", "metrics.jsonl", "log.txt")


def publish(run: Path, out: Path, threshold: float | None = None) -> None:
    """Write the best model of a run folder, matrices in half precision, and open it again.

    ``threshold`` takes the place of the presence threshold that calibration found.

    Raises:
        ConfigError: the run has no best model yet.
    """
    best = run / "best"
    if not best.is_dir():
        raise ConfigError(f"{run}: expected a run with best/ in it, got none. Train first.")
    tensors, _ = read_tensors(best)
    with replacing(out) as new:
        save_file({k: halved(t) for k, t in tensors.items()}, new / "model.safetensors")
        for name in MODEL_FILES:
            shutil.copy(best / name, new / name)
        if threshold is not None:
            config = json.loads((new / "config.json").read_text(encoding="utf-8"))
            config["presence_threshold"] = threshold
            write_json(new / "config.json", config)
        for name in PAPERS:
            shutil.copy(run / name, new / name)
        shutil.copy(best / "judged.json", new / "judged.json")
        open_model(new)


def halved(tensor: Tensor) -> Tensor:
    """Keep vectors and statistics exact; halve matrices, whose values are small."""
    return tensor.to(torch.float16).contiguous() if tensor.dim() >= 2 else tensor.contiguous()


if __name__ == "__main__":
    publish(Path(sys.argv[1]), Path(sys.argv[2]), *map(float, sys.argv[3:4]))
