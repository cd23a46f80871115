"""The tensors of a released PRIMA by name: LAVIS's, transformers', GLaMM's and SAM's own spellings.

What the table explains needs no guess, wherever in the tree of the release it hangs; SQuARE, whose
names nobody could read, is what is left over (``prima_leftover.py``). Specification 6.1, 6.2, 7.2.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

Shape = tuple[int, ...]
HERE = r"(?:.*\.)?"  # wherever it hangs
LLAMA = r"(?:(?:model|language_model|llm_model)\.)*"
SAM = "decoding.sam."
EVA = "vision.eva."
TABLE = "positional_embedding"
IMAGE, PROMPT = HERE + r"image_encoder\.", HERE + r"prompt_encoder\."
DRAW, QLAYER = HERE + r"mask_decoder\.", HERE + r"encoder\.layer\."
BLOCK = HERE + r"blocks\.(\d+)\."
VISION, PROMPTS = SAM + "vision_encoder.", SAM + "prompt_encoder."
DECODER, EVA_LAYER = SAM + "mask_decoder.", EVA + "encoder.layers."

HEADS = r"(?:output_hypernetworks_mlps\.\d+|iou_prediction_head)"

RULES: tuple[tuple[str, str], ...] = (
    # LLaMA
    (LLAMA + r"(embed_tokens\.weight|layers\.\d+\.(?:self_attn|mlp)\.\w+_proj\.weight|norm\.weight"
     r"|layers\.\d+\.(?:input|post_attention)_layernorm\.weight)", r"language.model.\1"),
    (LLAMA + r"lm_head\.weight", r"language.lm_head.weight"),
    # GLaMM's [SEG] head and the projector
    (HERE + r"text_hidden_fcs\.0\.([02])\.(weight|bias)", r"seg_head.\1.\2"),
    (HERE + r"(?:mm_projector|llm_proj|language_projection)\.(weight|bias)", r"projection.\1"),
    (HERE + r"(?<!relational_)query_tokens", r"relation.queries"),
    # SAM as published; in transformers' spelling further down
    (IMAGE + r"patch_embed\.proj\.(.+)", VISION + r"patch_embed.projection.\1"),
    (IMAGE + r"blocks\.(\d+)\.norm(\d)\.(.+)", VISION + r"layers.\1.layer_norm\2.\3"),
    (IMAGE + r"blocks\.(\d+)\.((?:attn|mlp)\..+)", VISION + r"layers.\1.\2"),
    (IMAGE + r"neck\.0\.(.+)", VISION + r"neck.conv1.\1"),
    (IMAGE + r"neck\.1\.(.+)", VISION + r"neck.layer_norm1.\1"),
    (IMAGE + r"neck\.2\.(.+)", VISION + r"neck.conv2.\1"),
    (IMAGE + r"neck\.3\.(.+)", VISION + r"neck.layer_norm2.\1"),
    (IMAGE + r"pos_embed", VISION + r"pos_embed"),
    (PROMPT + r"pe_layer\.positional_encoding_gaussian_matrix",
     PROMPTS + r"shared_embedding." + TABLE),
    (PROMPT + r"point_embeddings\.(\d+)\.(.+)", PROMPTS + r"point_embed.\1.\2"),
    (PROMPT + r"mask_downscaling\.0\.(.+)", PROMPTS + r"mask_embed.conv1.\1"),
    (PROMPT + r"mask_downscaling\.1\.(.+)", PROMPTS + r"mask_embed.layer_norm1.\1"),
    (PROMPT + r"mask_downscaling\.3\.(.+)", PROMPTS + r"mask_embed.conv2.\1"),
    (PROMPT + r"mask_downscaling\.4\.(.+)", PROMPTS + r"mask_embed.layer_norm2.\1"),
    (PROMPT + r"mask_downscaling\.6\.(.+)", PROMPTS + r"mask_embed.conv3.\1"),
    (DRAW + r"(transformer\.layers\.\d+)\.norm(\d)\.(.+)", DECODER + r"\1.layer_norm\2.\3"),
    (DRAW + r"transformer\.norm_final_attn\.(.+)",
     DECODER + r"transformer.layer_norm_final_attn.\1"),
    (DRAW + r"output_upscaling\.0\.(.+)", DECODER + r"upscale_conv1.\1"),
    (DRAW + r"output_upscaling\.1\.(.+)", DECODER + r"upscale_layer_norm.\1"),
    (DRAW + r"output_upscaling\.3\.(.+)", DECODER + r"upscale_conv2.\1"),
    (DRAW + rf"({HEADS})\.layers\.0\.(.+)",
     DECODER + r"\1.proj_in.\2"),
    (DRAW + rf"({HEADS})\.layers\.2\.(.+)",
     DECODER + r"\1.proj_out.\2"),
    (HERE + r"shared_image_embedding\." + TABLE, SAM + r"shared_image_embedding." + TABLE),
    (HERE + r"((?:vision_encoder|prompt_encoder|mask_decoder)\..+)", SAM + r"\1"),
    # the Q-Former, LAVIS's spelling and transformers'
    (HERE + r"embeddings\.(word_embeddings|position_embeddings)\.weight",
     r"qformer.embeddings.\1.weight"),
    (HERE + r"embeddings\.(?:LayerNorm|layernorm)\.(weight|bias)",
     r"qformer.embeddings.layernorm.\1"),
    (QLAYER + r"(\d+)\.(attention|crossattention)\.(?:self|attention)\.(query|key|value)\.(.+)",
     r"qformer.encoder.layer.\1.\2.attention.\3.\4"),
    (HERE + r"(encoder\.layer\.\d+\.(?:attention\.output|crossattention\.output|intermediate|output"
     r"|intermediate_query|output_query)\.(?:dense|LayerNorm)\.(?:weight|bias))", r"qformer.\1"),
    # EVA, LAVIS's spelling and transformers'
    (HERE + r"(?:visual_encoder|eva\w*)\.cls_token", EVA + r"embeddings.class_embedding"),
    (HERE + r"(?:visual_encoder|eva\w*)\.pos_embed", EVA + r"embeddings.position_embedding"),
    (HERE + r"patch_embed\.proj\.(weight|bias)", EVA + r"embeddings.patch_embedding.\1"),
    (BLOCK + r"norm(\d)\.(weight|bias)", EVA_LAYER + r"\1.layer_norm\2.\3"),
    (BLOCK + r"attn\.qkv\.(weight|bias)", EVA_LAYER + r"\1.self_attn.qkv.\2"),
    (BLOCK + r"attn\.(q_bias|v_bias)", EVA_LAYER + r"\1.self_attn.qkv.\2"),
    (BLOCK + r"attn\.proj\.(weight|bias)", EVA_LAYER + r"\1.self_attn.projection.\2"),
    (BLOCK + r"mlp\.(fc\d)\.(weight|bias)", EVA_LAYER + r"\1.mlp.\2.\3"),
    (HERE + r"ln_vision\.(weight|bias)", EVA + r"post_layernorm.\1"),
    (HERE + r"vision_model\.(embeddings\..+|encoder\.layers\..+|post_layernorm\..+)", EVA + r"\1"),
)  # fmt: skip

DROPPED: tuple[tuple[str, str], ...] = (
    (r".*\.rotary_emb\.inv_freq", "computed from the config"),
    (r".*position_ids", "computed from the config"),
    (r".*\.(?:pixel_mean|pixel_std)", "a constant of SAM"),
    (HERE + r"Qformer\.cls\..+", "the Q-Former's word head, which PRIMA does not use"),
    (HERE + r"region_encoder\..+", "GLaMM's region encoder, which PRIMA does not use"),
    (HERE + r"vision_tower\..+", "GLaMM's CLIP, which PRIMA does not use"),
    (HERE + r"mm_projector\.\d\.(?:weight|bias)", "GLaMM's projector of CLIP"),
    (HERE + r"(?:rel_pos_bias\.)?relative_position_index", "computed from the config"),
)
_LORA = re.compile(r"(.+)\.lora_([AB])(?:\.\w+)?\.weight")


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """Where a tensor of ours comes from.

    Attributes:
        target: our name.
        names: the published tensors that make it, in the order that ``how`` needs.
        how: "copy"; "queries" (a leading 1 is taken away); "qkv_bias" (q, 0, v); "lora"
            (W + scale B A of W, A, B); "third:0" to "third:2" of a joint projection; "zeros" in
            the shape of the first axis of a weight without bias; "normal", "begun" (a copy) and
        "nought" for what no checkpoint has yet.
    """

    target: str
    names: tuple[str, ...]
    how: str = "copy"


def bare(name: str) -> str:
    """Return a published name without what wrappers put around it."""
    name = re.sub(r"^(?:module\.|base_model\.model\.)+", "", name)
    return name.replace(".base_layer.", ".")


def explained(
    names: Iterable[str],
) -> tuple[dict[str, Piece], dict[str, str], list[str], dict[str, list[str]]]:
    """Sort the names of a release.

    Returns:
        Pieces by target; what is dropped and why; what the table does not explain; and targets
        that more than one name claims, with those names.
    """
    found: dict[str, list[str]] = {}
    lora: dict[str, dict[str, str]] = {}
    dropped: dict[str, str] = {}
    left: list[str] = []
    names = list(names)
    own_heads = any(re.search(rf"{HEADS}\.proj_in\.", name) for name in names)
    for name in names:
        plain = bare(name)
        if match := _LORA.fullmatch(plain):
            lora.setdefault(f"{match[1]}.weight", {})[match[2]] = name
        elif reason := _reason_to_drop(plain):
            dropped[name] = reason
        elif target := our_key(plain, own_heads=own_heads):
            found.setdefault(target, []).append(name)
        else:
            left.append(name)
    twice = {target: claims for target, claims in found.items() if len(claims) > 1}
    pieces = _joined({target: claims[0] for target, claims in found.items()})
    for plain, sides in lora.items():
        target = our_key(plain) or plain
        if target in pieces and sides.keys() == {"A", "B"}:
            whole = (*pieces[target].names, sides["A"], sides["B"])
            pieces[target] = Piece(target=target, names=whole, how="lora")
        else:
            left += sides.values()
    return pieces, dropped, left, twice


def our_key(plain: str, *, own_heads: bool = False) -> str | None:
    """Return our name of a published tensor, or None where the table has none.

    Args:
        plain: the name.
        own_heads: whether the feed-forwards of SAM's decoder have transformers' names, in which
            ``layers.0`` is the second layer and not the first.
    """
    if own_heads and (match := re.fullmatch(f"{DRAW}({HEADS}\\..+)", plain)):
        return f"{DECODER}{match[1]}"
    for pattern, name in RULES:
        if re.fullmatch(pattern, plain):
            ours = re.sub(f"^(?:{pattern})$", name, plain)
            return re.sub(rf"(mask_decoder\.{HEADS})\.layers\.1\.", r"\1.layers.0.", ours)
    return None


def _reason_to_drop(plain: str) -> str | None:
    return next((why for pattern, why in DROPPED if re.fullmatch(pattern, plain)), None)


def _joined(found: Mapping[str, str]) -> dict[str, Piece]:
    """Return pieces of single tensors, and those that several or one for two make."""
    pieces: dict[str, Piece] = {}
    for target, name in found.items():
        if target.endswith(".qkv.q_bias"):
            whole = target.replace("q_bias", "bias")
            other = found.get(target.replace("q_bias", "v_bias"))
            if other is not None:
                pieces[whole] = Piece(target=whole, names=(name, other), how="qkv_bias")
                continue
        elif target.endswith(".qkv.v_bias") and target.replace("v_bias", "q_bias") in found:
            continue
        how = "queries" if target == "relation.queries" else "copy"
        pieces[target] = Piece(target=target, names=(name,), how=how)
    table, image = (
        f"{SAM}prompt_encoder.shared_embedding.{TABLE}", f"{SAM}shared_image_embedding.{TABLE}"
    )  # fmt: skip
    for one, other in ((table, image), (image, table)):
        if one in pieces and other not in pieces:
            pieces[other] = Piece(target=other, names=pieces[one].names)
    return pieces
