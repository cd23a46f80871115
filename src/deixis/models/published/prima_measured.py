"""A PrimaConfig of the sizes of a release's tensors; its config says what sizes cannot.

Fields of the released config are known by the names of specification 6.3; any other is kept.
"""

import math
import re
from collections.abc import Mapping
from typing import Any

from deixis.errors import WeightsError
from deixis.models.configs.prima_config import PrimaConfig
from deixis.models.published.prima_keys import EVA, SAM, Shape

SAME = (  # names that mean the same here
    "keep_text_rows",
    "relation_heads",
    "image_name",
    "most_images",
)
RENAMED = {  # theirs -> ours
    "relational_heads": "relation_heads",
    "qformer_max_text": "most_question",
    "ce_loss_weight": "text_weight",
    "bce_loss_weight": "bce_weight",
    "dice_loss_weight": "dice_weight",
    "train_mask_decoder": "train_mask_decoder",
}
MEASURED = {  # what is measured, or read below
    *("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads"),
    *("num_key_value_heads", "rms_norm_eps", "max_position_embeddings", "vocab_size"),
    *("bos_token_id", "eos_token_id", "pad_token_id", "rope_theta", "rope_scaling"),
    *("vision_heads", "qformer_heads", "sam_decoder_heads", "vision_config", "qformer_config"),
    *("text_config", "sam_config", "torch_dtype", "dtype", "architectures", "model_type"),
    *("transformers_version", "lora_r", "lora_alpha"),
}
NECK = SAM + "vision_encoder.neck.conv1.weight"


class Sizes:
    """The shapes of what was found, by our names.

    Raises:
        WeightsError: asked for a tensor that is not there.
    """

    def __init__(self, shapes: Mapping[str, Shape], where: str) -> None:
        self.shapes, self.where = shapes, where

    def __getitem__(self, name: str) -> Shape:
        if name not in self.shapes:
            part = name.split(".")[0]
            cure = "Give the checkpoint whole."
            if part in ("vision", "qformer"):
                cure = "GLaMM is without it; add --vision-tower INSTRUCTBLIP."
            raise WeightsError(f"{self.where}: expected {name}, got none by any known name. {cure}")
        return self.shapes[name]

    def layers(self, before: str) -> list[int]:
        """Return the numbers that follow ``before`` in names."""
        found = {m[1] for n in self.shapes if (m := re.match(re.escape(before) + r"(\d+)\.", n))}
        return sorted(map(int, found))


def measured_config(
    values: Mapping[str, Any],
    shapes: Mapping[str, Shape],
    leftover: Mapping[str, Shape],
    where: str,
) -> PrimaConfig:
    """Return the config of tensors of these shapes.

    Args:
        values: of the released ``config.json``.
        shapes: of the tensors that the table explains, by our names.
        leftover: of those that it does not.
        where: the release, for errors.

    Raises:
        WeightsError: a part is missing.
        ConfigError: sizes that make no PRIMA.
    """
    sizes = Sizes(shapes, where)
    vision, qformer = _vision(sizes, values), _qformer(sizes, values)
    known = {name: values[name] for name in SAME if name in values}
    known |= {ours: values[theirs] for theirs, ours in RENAMED.items() if theirs in values}
    taken = {*SAME, *RENAMED, *MEASURED}
    width = qformer["hidden_size"]
    known.setdefault("relation_heads", max(1, width // 64))
    text = _text(sizes, values)
    return PrimaConfig(
        vision_config=vision,
        qformer_config=qformer,
        text_config=text,
        sam_config=_sam(sizes, values),
        num_queries=_num_queries(sizes, leftover, width),
        extras={name: value for name, value in values.items() if name not in taken},
        **_stand_ins(text["vocab_size"]),
        **known,
    )


def _stand_ins(size: int) -> dict[str, Any]:
    """Return ids that fit any vocabulary; the tokenizer's own take their places."""
    names = ("seg", "phrase", "phrase_end", "image_start", "image_end")
    return {f"{name}_token": size - 1 - number for number, name in enumerate(names)}


def _num_queries(sizes: Sizes, leftover: Mapping[str, Shape], width: int) -> int:
    if "relation.queries" in sizes.shapes:
        return int(sizes["relation.queries"][0])
    found = {s[-2] for s in leftover.values() if len(s) in (2, 3) and s[-1] == width}
    exact = {s[-2] for s in leftover.values() if len(s) == 3 and s[0] == 1 and s[-1] == width}
    counts = exact or found - {width}
    if len(counts) != 1:
        raise WeightsError(
            f"{sizes.where}: expected query tokens (1, Q, {width}), got "
            f"{'none' if not counts else f'of {sorted(counts)}'}. Give the checkpoint whole."
        )
    return int(counts.pop())


def _text(sizes: Sizes, values: Mapping[str, Any]) -> dict[str, Any]:
    vocabulary, width = sizes["language.model.embed_tokens.weight"]
    inner = dict(values.get("text_config") or values)
    heads = int(inner.get("num_attention_heads") or max(1, width // 128))
    keys = sizes["language.model.layers.0.self_attn.k_proj.weight"][0]
    named = ("rms_norm_eps", "max_position_embeddings", "rope_theta", "rope_scaling")
    usual = {"rms_norm_eps": 1e-5, "max_position_embeddings": 4096}
    ids = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
    return {
        **usual,
        **{name: inner[name] for name in named if inner.get(name) is not None},
        **{name: int(inner.get(name) or number) for name, number in ids.items()},
        "vocab_size": vocabulary,
        "hidden_size": width,
        "intermediate_size": sizes["language.model.layers.0.mlp.gate_proj.weight"][0],
        "num_hidden_layers": len(sizes.layers("language.model.layers.")),
        "num_attention_heads": heads,
        "num_key_value_heads": max(1, keys * heads // width),
        "tie_word_embeddings": False,
    }


def _vision(sizes: Sizes, values: Mapping[str, Any]) -> dict[str, Any]:
    width, _, _, patch = sizes[EVA + "embeddings.patch_embedding.weight"]
    patches = sizes[EVA + "embeddings.position_embedding"][1] - 1
    inner = dict(values.get("vision_config") or {})
    heads = inner.get("num_attention_heads") or values.get("vision_heads") or max(1, width // 88)
    return {
        "hidden_size": width,
        "intermediate_size": sizes[EVA + "encoder.layers.0.mlp.fc1.weight"][0],
        "num_hidden_layers": len(sizes.layers(EVA + "encoder.layers.")),
        "num_attention_heads": int(heads),
        "image_size": math.isqrt(patches) * patch,
        "patch_size": patch,
    }


def _qformer(sizes: Sizes, values: Mapping[str, Any]) -> dict[str, Any]:
    words, width = sizes["qformer.embeddings.word_embeddings.weight"]
    layers = sizes.layers("qformer.encoder.layer.")
    cross = "crossattention.output.dense.weight"
    crossing = [i for i in layers if f"{_layer(i)}{cross}" in sizes.shapes]
    step = crossing[1] - crossing[0] if len(crossing) > 1 else len(layers)
    inner = dict(values.get("qformer_config") or {})
    heads = inner.get("num_attention_heads") or values.get("qformer_heads") or max(1, width // 64)
    return {
        "vocab_size": words,
        "hidden_size": width,
        "num_hidden_layers": len(layers),
        "num_attention_heads": int(heads),
        "intermediate_size": sizes[f"{_layer(0)}intermediate_query.dense.weight"][0],
        "max_position_embeddings": sizes["qformer.embeddings.position_embeddings.weight"][0],
        "cross_attention_frequency": step,
        "encoder_hidden_size": sizes[f"{_layer(0)}crossattention.attention.key.weight"][1],
    }


def _layer(number: int) -> str:
    return f"qformer.encoder.layer.{number}."


def _sam(sizes: Sizes, values: Mapping[str, Any]) -> dict[str, Any]:
    width, _, _, patch = sizes[SAM + "vision_encoder.patch_embed.projection.weight"]
    grid = sizes[SAM + "vision_encoder.pos_embed"][1]
    layers = sizes.layers(SAM + "vision_encoder.layers.")
    reach = [sizes[f"{SAM}vision_encoder.layers.{i}.attn.rel_pos_h"] for i in layers]
    windows = {(rows + 1) // 2 for rows, _ in reach} - {grid}
    hidden, image = sizes[NECK][0], int(grid * patch)
    channels = sizes[SAM + "prompt_encoder.mask_embed.conv2.weight"][0]
    decoder = SAM + "mask_decoder."
    attention = sizes[decoder + "transformer.layers.0.cross_attn_token_to_image.q_proj.weight"]
    return {
        "vision_config": {
            "hidden_size": width,
            "num_hidden_layers": len(layers),
            "num_attention_heads": width // reach[0][1],
            "image_size": image,
            "patch_size": patch,
            "window_size": windows.pop() if len(windows) == 1 else 0,
            "global_attn_indexes": [i for i in layers if reach[i][0] == 2 * grid - 1],
            "output_channels": hidden,
            "num_pos_feats": sizes[f"{SAM}prompt_encoder.shared_embedding.positional_embedding"][1],
            "mlp_dim": sizes[f"{SAM}vision_encoder.layers.0.mlp.lin1.weight"][0],
        },
        "prompt_encoder_config": {
            "hidden_size": hidden,
            "image_size": image,
            "patch_size": patch,
            "mask_input_channels": channels,
        },
        "mask_decoder_config": {
            "hidden_size": hidden,
            "mlp_dim": sizes[decoder + "transformer.layers.0.mlp.lin1.weight"][0],
            "num_hidden_layers": len(sizes.layers(decoder + "transformer.layers.")),
            "num_attention_heads": int(values.get("sam_decoder_heads") or 8),
            "attention_downsample_rate": hidden // attention[0],
            "iou_head_hidden_dim": sizes[decoder + "iou_prediction_head.proj_in.weight"][0],
        },
    }
