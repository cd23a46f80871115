"""The tensors of PixelLM as published and as named here: one table, both ways of reading it.

Published keys (a checkpoint's ``hf_model/``, or a recorded state dict) on the left, ours right:

    model.vision_tower.vision_tower.vision_model.*   vision.*            CLIP, table resized
    model.mm_projector.*                             projector.*         to the language decoder
    model.out_mm_projector.*                         pixel_projector.*   to the pixel decoder
    model.embed_tokens|layers|norm.*                 language.*          LLaMA
    lm_head.weight                                   lm_head.weight
    model.text_hidden_fcs.0.*                        codebook.project.*
    model.image_feature_neck.*                       neck.*
    model.prompt_encoder.*                           prompts.*
    model.mask_decoder.*                             pyramid.*, with transformers' names for the
                                                     norms and feed-forwards of SAM's decoder
"""

import re

TOWER = "model.vision_tower.vision_tower.vision_model."
RULES: tuple[tuple[str, str], ...] = (
    (r"model\.vision_tower\.vision_tower\.vision_model\.(.+)", r"vision.\1"),
    (r"model\.mm_projector\.(.+)", r"projector.\1"),
    (r"model\.out_mm_projector\.(.+)", r"pixel_projector.\1"),
    (r"model\.((?:embed_tokens|layers|norm)\..+)", r"language.\1"),
    (r"lm_head\.weight", r"lm_head.weight"),
    (r"model\.text_hidden_fcs\.0\.(.+)", r"codebook.project.\1"),
    (r"model\.image_feature_neck\.(.+)", r"neck.\1"),
    (r"model\.prompt_encoder\.(.+)", r"prompts.\1"),
    (r"model\.mask_decoder\.(transformer\.\d+\.layers\.\d+)\.norm(\d)\.(.+)",
     r"pyramid.\1.layer_norm\2.\3"),
    (r"model\.mask_decoder\.(transformer\.\d+)\.norm_final_attn\.(.+)",
     r"pyramid.\1.layer_norm_final_attn.\2"),
    (r"model\.mask_decoder\.(output_hypernetworks_mlps\.\d+|iou_prediction_head)\.layers\.0\.(.+)",
     r"pyramid.\1.proj_in.\2"),
    (r"model\.mask_decoder\.(output_hypernetworks_mlps\.\d+|iou_prediction_head)\.layers\.1\.(.+)",
     r"pyramid.\1.layers.0.\2"),
    (r"model\.mask_decoder\.(output_hypernetworks_mlps\.\d+|iou_prediction_head)\.layers\.2\.(.+)",
     r"pyramid.\1.proj_out.\2"),
    (r"model\.mask_decoder\.(.+)", r"pyramid.\1"),
)
# Computed from the config, so that nothing is lost without them.
DROPPED: tuple[str, ...] = (
    r"model\.layers\.\d+\.self_attn\.rotary_emb\.inv_freq",
    r"model\.vision_tower\.vision_tower\.vision_model\.embeddings\.position_ids",
)


def is_dropped(published: str) -> bool:
    """Whether a published tensor is left out on purpose."""
    return any(re.fullmatch(pattern, published) for pattern in DROPPED)


def our_key(published: str) -> str | None:
    """Return our name of a published tensor, or None where it has none."""
    if is_dropped(published):
        return None
    for pattern, name in RULES:
        if re.fullmatch(pattern, published):
            return re.sub(pattern, name, published)
    return None
