"""A small PixelLM in the published layout: ``hf_model/`` with pickled shards, CLIP in or apart."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import CLIPVisionConfig, CLIPVisionModel

from deixis.conversion.pixellm import published_key
from deixis.conversion.recipe import target_shapes
from deixis.models.configs.pixellm_config import published_config
from deixis.models.pixellm import PixelLM
from deixis.models.published.pixellm_keys import TOWER
from deixis.processing.words.pixellm_words import PixelLMVocabulary

TEXTS = ["a curious human asks what the red square in this image is and where it stands"] * 40
GROUP = 4  # two levels of two tokens
CANVAS, PATCH, NATIVE = 56, 14, 28
CLIP: dict[str, Any] = {
    "model_type": "clip_vision_model",
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 12,
    "num_attention_heads": 2,
    "patch_size": PATCH,
    "image_size": NATIVE,
    "hidden_act": "quick_gelu",
}
LLAMA: dict[str, Any] = {
    "architectures": ["PixelLMForCausalLM"],
    "model_type": "llava",
    "hidden_size": 24,
    "intermediate_size": 40,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "max_position_embeddings": 512,
    "rms_norm_eps": 1e-6,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
    "rope_scaling": None,
    "torch_dtype": "bfloat16",
    "mm_vision_tower": "tiny-clip",
    "mm_vision_select_layer": -2,
    "image_feature_scale_num": 2,
    "out_dim": 32,
    "resize_vision_tower_size": CANVAS,
}


class Layout:
    """What a published checkpoint consists of; a test changes it, then writes it.

    Attributes:
        state: published name -> tensor, without the tower.
        tower: CLIP's name -> tensor, its table for images of ``NATIVE`` pixels.
    """

    def __init__(self) -> None:
        self.vocabulary = PixelLMVocabulary.train(TEXTS, GROUP, 300)
        self.added = dict(self.vocabulary.added)
        self.values = {**LLAMA, "vocab_size": len(self.vocabulary)}
        config = published_config(self.values, CLIP, added_tokens=self.added, decoder_mlp_width=48)
        with torch.random.fork_rng():
            torch.manual_seed(5)
            model = PixelLM(config)
            clip = CLIPVisionModel(
                CLIPVisionConfig(**{k: v for k, v in CLIP.items() if k != "model_type"})
            )
            ours = {name: _random(name, value) for name, value in model.state_dict().items()}
            self.tower = {n: _random(n, value) for n, value in clip.state_dict().items()}
        exact = ("codebook", "neck", "prompts", "pyramid")
        self.state = {
            published_key(name): value if name.startswith(exact) else value.bfloat16()
            for name, value in ours.items()
            if not name.startswith("vision.")
        }
        for layer in range(2):
            name = f"model.layers.{layer}.self_attn.rotary_emb.inv_freq"
            self.state[name] = torch.arange(3.0)

    def write(self, folder: Path, *, shards: int = 2, kind: str = "bin") -> Path:
        """Write the checkpoint without its tower; return ``folder``."""
        inside = folder / "hf_model"
        inside.mkdir(parents=True)
        (inside / "config.json").write_text(json.dumps(self.values))
        (inside / "added_tokens.json").write_text(json.dumps(self.added))
        (inside / "tokenizer.model").write_bytes(self.vocabulary.model)
        write_shards(inside, self.state, shards, kind)
        return folder

    def write_tower(self, folder: Path, *, prefix: str = "vision_model.") -> Path:
        """Write a CLIP as its own repository has it, the text side included."""
        folder.mkdir(parents=True)
        (folder / "config.json").write_text(
            json.dumps({"model_type": "clip", "vision_config": CLIP})
        )
        tensors = {prefix + name: value for name, value in self.tower.items()}
        tensors["vision_model.embeddings.position_ids"] = torch.arange(5)[None]
        tensors |= {"text_model.final_layer_norm.weight": torch.ones(3)}
        tensors |= {"logit_scale": torch.tensor(2.0), "visual_projection.weight": torch.ones(2, 2)}
        torch.save(tensors, folder / "pytorch_model.bin")
        return folder

    def with_tower(self) -> None:
        """Put the tower into the state, its table resized, as the released code runs it."""
        from deixis.models.parts.pixellm_vision import resize_position_table

        for name, value in self.tower.items():
            if name.endswith("position_embedding.weight"):
                value = resize_position_table(value, CANVAS // PATCH)
            self.state[TOWER + name] = value
        self.values["vision_config"] = CLIP


def write_large(folder: Path, shard: int) -> int:
    """Write three shards of some ``shard`` bytes; return the size of the largest.

    Two hold one table each, of a vocabulary as large as that takes: as few tensors as a shard
    can have is the hardest case for memory.
    """
    width, layers = 512, 4
    rows, inner = shard // (2 * width), shard // (2 * width * 3 * layers) // 8 * 8
    made = Layout()
    added = {name: rows - 1 - i for i, name in enumerate(reversed(list(made.added)))}
    clip = {**CLIP, "image_size": CANVAS}
    values = {
        **LLAMA, "vocab_size": rows, "hidden_size": width, "intermediate_size": inner,
        "num_hidden_layers": layers, "vision_config": clip,
    }  # fmt: skip
    config = published_config(values, clip, added_tokens=added, decoder_mlp_width=48)
    shapes = {published_key(n): s for n, s in target_shapes(PixelLM, config).items()}
    inside = folder / "hf_model"
    inside.mkdir(parents=True)
    (inside / "config.json").write_text(json.dumps(values))
    (inside / "added_tokens.json").write_text(json.dumps(added))
    (inside / "tokenizer.model").write_bytes(made.vocabulary.model)
    tables = ["lm_head.weight", "model.embed_tokens.weight"]
    parts = [[tables[0]], [tables[1]], [name for name in shapes if name not in tables]]
    index: dict[str, str] = {}
    for i, names in enumerate(parts, 1):
        file = f"pytorch_model-{i:05}-of-00003.bin"
        torch.save({name: _repeated(name, shapes[name]) for name in names}, inside / file)
        index |= dict.fromkeys(names, file)
    (inside / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": index}))
    return max(path.stat().st_size for path in inside.glob("*.bin"))


def _repeated(name: str, shape: tuple[int, ...]) -> Tensor:
    """A million random values, as often as it takes."""
    exact = any(part in name for part in ("mask_decoder", "neck", "prompt_encoder", "fcs"))
    count = math.prod(shape)
    block = torch.randn(min(count, 1 << 20)) * 0.02
    values = block.to(torch.float32 if exact else torch.bfloat16)
    tensor = values.repeat(-(-count // len(values)))[:count].reshape(shape).clone()
    return tensor + 1 if tensor.dim() == 1 and name.endswith("weight") else tensor


def write_shards(folder: Path, state: Mapping[str, Tensor], shards: int, kind: str) -> None:
    """Write tensors into so many shards and their index."""
    stem = "pytorch_model" if kind == "bin" else "model"
    names = sorted(state)
    index: dict[str, str] = {}
    for i in range(shards):
        part = {name: state[name].clone() for name in names[i::shards]}
        file = f"{stem}-{i + 1:05}-of-{shards:05}.{kind}"
        if kind == "bin":
            torch.save(part, folder / file)
        else:
            save_file(part, folder / file)
        index |= dict.fromkeys(part, file)
    document = {"metadata": {}, "weight_map": index}
    (folder / f"{stem}.{kind}.index.json").write_text(json.dumps(document))


def _random(name: str, value: Tensor) -> Tensor:
    """Random values; those of norms stay near 1, as trained ones do."""
    if not value.is_floating_point():
        return value
    norm = value.dim() == 1 and name.endswith("weight")
    return torch.randn(value.shape) * 0.2 + (1.0 if norm else 0.0)


def read_tensors(folder: Path) -> dict[str, Tensor]:
    """Return all tensors of a converted folder."""
    return {k: v for path in folder.glob("*.safetensors") for k, v in load_file(path).items()}
