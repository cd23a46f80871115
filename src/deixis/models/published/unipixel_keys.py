"""Published UniPixel tensors to ours: one table; both layouts of transformers (specification 3).

A published name is first brought to the layout in memory, then each rule is applied in turn.
"""

import re
from collections.abc import Collection, Mapping

import torch
from torch import Tensor

from deixis.errors import WeightsError

WORDS = "language.embed_tokens.weight"
LEGACY = (  # what transformers 4 writes to disk
    (r"^visual\.", "model.visual."),
    (r"^model\.(?!visual\.|language_model\.)", "model.language_model."),
)
RULES = (
    # Qwen2.5-VL
    (r"^model\.visual\.merger\.mlp\.", "merge."),
    (r"^model\.visual\.", "vision."),
    (r"^model\.language_model\.norm\.", "final_norm."),
    (r"^model\.language_model\.", "language."),
    # prompts
    (r"^ref_encoder\.", "prompting.codes."),
    (r"^ref_proj_single\.", "prompting.point."),
    (r"^ref_proj_double\.", "prompting.box."),
    (r"^ref_proj\.", "prompting.project."),
    (r"^tem_pe\.", "prompting.clock."),
    (r"^tem_emb\.", "prompting.clock_kind."),
    (r"^tem_proj\.", "prompting.time."),
    (r"^msk_proj\.", "regions.project."),
    # SAM 2: the image encoder
    (r"^sam2\.image_encoder\.trunk\.", "tracker.sam.vision.backbone."),
    (r"^sam2\.image_encoder\.neck\.convs\.(\d+)\.conv\.", r"tracker.sam.vision.neck.convs.\1."),
    (r"(\.backbone\.patch_embed)\.proj\.", r"\1.projection."),
    (r"(\.backbone\.blocks\.\d+)\.norm(\d)\.", r"\1.layer_norm\2."),
    (r"(\.backbone\.blocks\.\d+\.mlp)\.layers\.0\.", r"\1.proj_in."),
    (r"(\.backbone\.blocks\.\d+\.mlp)\.layers\.1\.", r"\1.proj_out."),
    # SAM 2: prompts and masks
    (r"^sam2\.sam_prompt_encoder\.", "tracker.sam.prompts."),
    (r"^sam2\.sam_mask_decoder\.", "tracker.sam.mask_decoder."),
    (r"(\.mask_decoder\.transformer\..*)\.out_proj\.", r"\1.o_proj."),
    (r"(\.mask_decoder\.transformer\.layers\.\d+)\.norm(\d)\.", r"\1.layer_norm\2."),
    (r"(\.mask_decoder\.transformer\.layers\.\d+\.mlp)\.layers\.0\.", r"\1.proj_in."),
    (r"(\.mask_decoder\.transformer\.layers\.\d+\.mlp)\.layers\.1\.", r"\1.proj_out."),
    (r"(\.mask_decoder\.transformer)\.norm_final_attn\.", r"\1.layer_norm_final_attn."),
    (r"(\.mask_decoder)\.output_upscaling\.0\.", r"\1.upscale_conv1."),
    (r"(\.mask_decoder)\.output_upscaling\.1\.", r"\1.upscale_layer_norm."),
    (r"(\.mask_decoder)\.output_upscaling\.3\.", r"\1.upscale_conv2."),
    # SAM 2: memory
    (r"^sam2\.obj_ptr_proj\.", "tracker.pointer."),
    (r"^sam2\.obj_ptr_tpos_proj\.", "tracker.pointer_time."),
    (r"^sam2\.maskmem_tpos_enc$", "tracker.distance_code"),
    (r"^sam2\.no_mem_embed$", "tracker.no_memory"),
    (r"^sam2\.no_mem_pos_enc$", "tracker.no_memory_code"),
    (r"^sam2\.no_obj_ptr$", "tracker.no_pointer"),
    (r"^sam2\.no_obj_embed_spatial$", "tracker.absent_memory"),
    (r"^sam2\.", "tracker."),
    (r"(\.memory_encoder)\.mask_downsampler\.encoder\.12\.", r"\1.mask_downsampler.final_conv."),
    *(
        rule
        for layer in range(4)
        for rule in (
            (
                rf"(\.mask_downsampler)\.encoder\.{3 * layer}\.",
                rf"\1.layers.{layer}.conv.",
            ),
            (
                rf"(\.mask_downsampler)\.encoder\.{3 * layer + 1}\.",
                rf"\1.layers.{layer}.layer_norm.",
            ),
        )
    ),
    (r"(\.memory_encoder)\.pix_feat_proj\.", r"\1.feature_projection."),
    (r"(\.memory_encoder)\.out_proj\.", r"\1.projection."),
    (r"(\.memory_encoder)\.fuser\.", r"\1.memory_fuser."),
    (r"(\.memory_fuser\.layers\.\d+)\.(?:weight|gamma)$", r"\1.scale"),
    (r"(\.memory_fuser\.layers\.\d+)\.dwconv\.", r"\1.depthwise_conv."),
    (r"(\.memory_fuser\.layers\.\d+)\.norm\.", r"\1.layer_norm."),
    (r"(\.memory_fuser\.layers\.\d+)\.pwconv(\d)\.", r"\1.pointwise_conv\2."),
    # three-layer networks, here and in the mask decoder
    (r"(\.(?:pointer|\w+_head|output_hypernetworks_mlps\.\d+))\.layers\.0\.", r"\1.proj_in."),
    (r"(\.(?:pointer|\w+_head|output_hypernetworks_mlps\.\d+))\.layers\.2\.", r"\1.proj_out."),
    (r"(\.(?:pointer|\w+_head|output_hypernetworks_mlps\.\d+))\.layers\.1\.", r"\1.layers.0."),
)


def our_name(published: str) -> str:
    """Return our name of a published tensor, written by transformers 4 or held in memory.

    Example:
        >>> our_name("visual.merger.mlp.0.bias"), our_name("tem_emb.weight")
        ('merge.0.bias', 'prompting.clock_kind.weight')
    """
    name = published
    for pattern, replacement in (*LEGACY, *RULES):
        name = re.sub(pattern, replacement, name)
    return name


BUFFERS = tuple(  # random when a model is made, and learned around: a file without them is no model
    our_name(name + ".positional_encoding_gaussian_matrix")
    for name in ("sam2.sam_prompt_encoder.pe_layer", "ref_encoder.pe_layer", "tem_pe")
)


def our_tensors(published: Mapping[str, Tensor], where: str, *, tied: bool) -> dict[str, Tensor]:
    """Return published tensors under our names.

    Args:
        published: in either layout, all of them.
        where: names the source in errors.
        tied: whether the output words are the input words, so that theirs may be there twice.

    Raises:
        WeightsError: a plain Qwen2.5-VL, a checkpoint of a part only, one without its random
            matrices, names of both layouts at once, or tied words that differ.
    """
    ours: dict[str, Tensor] = {}
    for name, tensor in published.items():
        own = our_name(name)
        if own in ours:
            raise WeightsError(
                f"{where}: expected every tensor once, got {name} a second time. "
                f"Keep the files of one layout only."
            )
        ours[own] = tensor
    check_whole(ours, where)
    words = ours.pop("lm_head.weight", None) if tied else None
    if words is not None and not torch.equal(words, ours[WORDS]):
        raise WeightsError(
            f"{where}: expected lm_head.weight equal to the embeddings, since config.json "
            f"ties them, got another. Check that both files are of one release."
        )
    return ours


def check_whole(ours: Collection[str], where: str) -> None:
    """Refuse what is no whole UniPixel, by its name.

    Args:
        ours: our names of the tensors that are there.
        where: names the source in errors.

    Raises:
        WeightsError: a plain Qwen2.5-VL, the checkpoint of a training stage, or one without its
            random matrices.
    """
    draws = any(name.startswith("seg_head.") for name in ours)
    if WORDS in ours and not draws:
        raise WeightsError(
            f"{where}: expected a UniPixel model, got a plain Qwen2.5-VL without seg_head. "
            f"Give the folder of the released UniPixel weights."
        )
    if WORDS not in ours:
        raise WeightsError(
            f"{where}: expected a whole model, got the checkpoint of a training stage without "
            f"its language decoder. Merge it into its base first."
        )
    if lost := [name for name in BUFFERS if name not in ours]:
        raise WeightsError(
            f"{where}: expected the three random matrices of prompts, got none for "
            f"{', '.join(lost)}. Without them points and boxes mean other places; save them with "
            f"the weights."
        )
