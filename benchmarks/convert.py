"""Peak memory of a conversion: above its start below 1.3 times the largest shard.

    python benchmarks/convert.py [gigabytes of a shard]

The published layout that is converted has the wide tables of a model with a million words, so
that three shards of 1 GB hold as few tensors as a shard can: the hardest case for memory.
"""

import json
import resource
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

import torch
from results import record

sys.path.insert(0, str(Path(__file__).parents[1] / "tests/unit/conversion"))

from layouts import CLIP, LLAMA

GIGABYTES = 1.0
WIDTH, LAYERS = 512, 4
NATIVE = {**CLIP, "image_size": 56}


def write_checkpoint(folder: Path, gigabytes: float) -> Path:
    """Write three shards of so many gigabytes, pickled; return the largest."""
    from layouts import Layout

    from deixis.conversion.pixellm import published_key
    from deixis.conversion.recipe import target_shapes
    from deixis.models.pixellm import PixelLM
    from deixis.models.pixellm_config import published_config

    rows = int(gigabytes * 1e9 / 2 / WIDTH)
    inner = int(gigabytes * 1e9 / 2 / WIDTH / 3 / LAYERS) // 8 * 8
    made = Layout()
    added = {name: rows - 1 - i for i, name in enumerate(reversed(list(made.added)))}
    values = {
        **LLAMA, "vocab_size": rows, "hidden_size": WIDTH, "intermediate_size": inner,
        "num_hidden_layers": LAYERS, "vision_config": NATIVE,
    }  # fmt: skip
    config = published_config(values, NATIVE, added_tokens=added, decoder_mlp_width=48)
    shapes = {published_key(n): s for n, s in target_shapes(PixelLM, config).items()}
    inside = folder / "hf_model"
    inside.mkdir(parents=True)
    (inside / "config.json").write_text(json.dumps(values))
    (inside / "added_tokens.json").write_text(json.dumps(added))
    (inside / "tokenizer.model").write_bytes(made.vocabulary.model)
    tables = ["lm_head.weight", "model.embed_tokens.weight"]
    parts = [[tables[0]], [tables[1]], [name for name in shapes if name not in tables]]
    index = {}
    for i, names in enumerate(parts, 1):
        file = f"pytorch_model-{i:05}-of-00003.bin"
        torch.save({n: _values(n, shapes[n]) for n in names}, inside / file)
        index |= dict.fromkeys(names, file)
    document = {"metadata": {}, "weight_map": index}
    (inside / "pytorch_model.bin.index.json").write_text(json.dumps(document))
    return max(inside.glob("*.bin"), key=lambda path: path.stat().st_size)


def _values(name: str, shape: tuple[int, ...]) -> torch.Tensor:
    exact = any(part in name for part in ("mask_decoder", "neck", "prompt_encoder", "fcs"))
    tensor = torch.empty(shape, dtype=torch.float32 if exact else torch.bfloat16).normal_(std=0.02)
    return tensor + 1 if tensor.dim() == 1 and name.endswith("weight") else tensor


def child(source: str, out: str) -> None:
    """Convert, and print the memory at the start, after the imports, and the peak, in bytes."""
    start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    from deixis.conversion.convert import convert

    imported = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    begin = perf_counter()
    convert(source, Path(out), "pixellm")
    seconds = perf_counter() - begin
    print(start, imported, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, seconds)


def main() -> None:
    """Write the shards, convert them in a process of its own, compare."""
    gigabytes = float(sys.argv[1]) if len(sys.argv) > 1 else GIGABYTES
    with TemporaryDirectory(dir=Path.cwd()) as name:
        largest = write_checkpoint(Path(name) / "published", gigabytes).stat().st_size
        command = [sys.executable, __file__, "child", f"{name}/published", f"{name}/ours"]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    start, imported, peak, seconds = map(float, done.stdout.split()[-4:])
    record(
        __file__,
        "peak memory of a conversion above its start, over its largest shard",
        (peak - start) / largest,
        "< 1.3",
        largest_shard=largest,
        above_start=peak - start,
        above_imports=peak - imported,
        seconds=round(seconds, 1),
    )


if __name__ == "__main__":
    if sys.argv[1:2] == ["child"]:
        child(*sys.argv[2:])
    else:
        main()
