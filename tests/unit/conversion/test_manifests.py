"""The published PixelLM-7B and -13B go through the real plan: sparse files, models on meta."""

import json
import math
import os
import struct
from pathlib import Path

import pytest
from layouts import LLAMA, Layout

from deixis.conversion.pixellm import CLIP_LARGE, NORM, plan, published_key
from deixis.conversion.recipe import Source, check
from deixis.conversion.writing import WORDS
from deixis.models.pixellm import PRESETS
from deixis.models.published.pixellm_keys import TOWER, is_dropped, our_key

ROOT = Path(__file__).parents[3]
RECORDED = ROOT / os.environ.get("DEIXIS_GOLDENS", "../shared/goldens") / "pixellm"
pytestmark = pytest.mark.skipif(
    not RECORDED.is_dir(), reason=f"no recordings at {RECORDED}: set DEIXIS_GOLDENS"
)
SIZES = {  # what the manifests do not say: keys of the checkpoint, and values of its config
    "7B": (564, {"hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 32}),
    "13B": (644, {"hidden_size": 5120, "intermediate_size": 13824, "num_hidden_layers": 40}),
}
SHARD = 4_000_000_000
ONE = b"\x80\x3f"  # in bfloat16


def write_sparse(path: Path, keys: dict[str, dict]) -> None:
    """Write a safetensors file whose values are a hole, except the final norm's, which are 1."""
    header, offset = {}, 0
    for name, entry in keys.items():
        word, width = WORDS[entry["dtype"]]
        end = offset + math.prod(entry["shape"]) * width
        header[name] = {"dtype": word, "shape": entry["shape"], "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        start = file.tell()
        file.truncate(start + offset)
        if NORM in header:
            begin, end = header[NORM]["data_offsets"]
            file.seek(start + begin)
            file.write(ONE * ((end - begin) // 2))


def write_published(folder: Path, manifest: dict, sizes: dict) -> Source:
    """Write what the hub has, as shards of 4 GB that take no room."""
    folder.mkdir()
    parts: list[dict] = [{}]
    for name, entry in manifest["checkpoint_keys"].items():
        if sum(math.prod(one["shape"]) * 4 for one in parts[-1].values()) > SHARD:
            parts.append({})
        parts[-1][name] = entry
    index = {}
    for i, part in enumerate(parts):
        write_sparse(folder / f"model-{i}.safetensors", part)
        index |= dict.fromkeys(part, f"model-{i}.safetensors")
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": index}))
    values = {
        **LLAMA, **sizes, "vocab_size": manifest["assumed_vocab"], "out_dim": 256,
        "num_attention_heads": sizes["num_hidden_layers"], "resize_vision_tower_size": 448,
        "num_key_value_heads": sizes["num_hidden_layers"],
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(values))
    (folder / "added_tokens.json").write_text(json.dumps(manifest["added_tokens"]))
    (folder / "tokenizer.model").write_bytes(Layout().vocabulary.model)
    return Source(name="published", folder=folder)


def write_clip(folder: Path, manifest: dict) -> Source:
    """Write the tower that is published apart, with its table for 336 pixels."""
    folder.mkdir()
    keys = {
        name.removeprefix(TOWER): entry for name, entry in manifest["vision_tower_keys"].items()
    }
    keys["embeddings.position_embedding.weight"] = {"shape": [577, 1024], "dtype": "float32"}
    write_sparse(folder / "model.safetensors", {f"vision_model.{n}": e for n, e in keys.items()})
    (folder / "config.json").write_text(
        json.dumps({"model_type": "clip", "vision_config": {**CLIP_LARGE, "image_size": 336}})
    )
    return Source(name="clip", folder=folder)


@pytest.mark.parametrize("size", list(SIZES))
def test_every_key_of_a_published_checkpoint_has_one_place(size, tmp_path):
    manifest = json.loads((RECORDED / f"manifest_PixelLM-{size}.json").read_text())
    count, values = SIZES[size]
    source = write_published(tmp_path / "published", manifest, values)
    planned = plan(source, write_clip(tmp_path / "clip", manifest))
    shapes = check(planned, size)
    own = [move for move in planned.moves if not move.name.startswith("clip: ")]
    assert len(own) + len(planned.dropped) == len(manifest["checkpoint_keys"]) == count
    assert {move.target for move in planned.moves} == shapes.keys()
    assert len(planned.moves) - len(own) == len(manifest["vision_tower_keys"])
    resized = [move.target for move in planned.moves if move.change]
    assert resized == ["vision.embeddings.position_embedding.weight"]
    preset = PRESETS[f"pixellm_{size.lower()}"]()
    for name in ("group_tokens", "image_start_token", "levels", "tokens_per_level", "canvas"):
        assert getattr(planned.config, name) == getattr(preset, name)


@pytest.mark.parametrize("size", list(SIZES))
def test_our_names_and_the_published_ones_are_one_to_one(size):
    manifest = json.loads((RECORDED / f"manifest_PixelLM-{size}.json").read_text())
    keys = [*manifest["checkpoint_keys"], *manifest["vision_tower_keys"]]
    kept = [name for name in keys if not is_dropped(name)]
    assert [published_key(our_key(name)) for name in kept] == kept
