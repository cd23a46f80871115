"""UniPixel's configuration: Qwen2.5-VL, SAM 2.1 and what lies between (arXiv:2509.18094).

The sizes are those of the released models (specification sections 2, 3 and 5.1).
"""

from collections.abc import Mapping
from typing import Any

from transformers import PreTrainedConfig, Sam2VideoConfig
from transformers.models.qwen2_5_vl.configuration_qwen2_5_vl import (
    Qwen2_5_VLTextConfig,
    Qwen2_5_VLVisionConfig,
)

from deixis.errors import ConfigError

RELEASED_TYPE = "pixel_qwen2_5_vl"  # what published folders call the family
_TEXT_KEYS = {*Qwen2_5_VLTextConfig().to_dict(), "rope_scaling", "rope_theta"} - {"model_type"}
_VISION_KEYS = {*Qwen2_5_VLVisionConfig().to_dict()} - {"model_type"}
WINDOWS = (8, 4, 14, 7)  # of Hiera's stages, where a file does not say
TRUNKS: dict[str, dict[str, Any]] = {  # Hiera by name, as in SAM 2.1's own files
    "sam2.1_hiera_t": {
        "embed_dim": 96,
        "num_heads": 1,
        "stages": (1, 2, 7, 2),
        "global_att_blocks": (5, 7, 9),
        "window_pos_embed_bkg_spatial_size": (7, 7),
    },
    "sam2.1_hiera_s": {
        "embed_dim": 96,
        "num_heads": 1,
        "stages": (1, 2, 11, 2),
        "global_att_blocks": (7, 10, 13),
        "window_pos_embed_bkg_spatial_size": (7, 7),
    },
    "sam2.1_hiera_b+": {"embed_dim": 112, "num_heads": 2},
    "sam2.1_hiera_l": {
        "embed_dim": 144,
        "num_heads": 2,
        "stages": (2, 6, 36, 4),
        "global_att_blocks": (23, 33, 43),
        "window_pos_embed_bkg_spatial_size": (7, 7),
        "window_spec": (8, 4, 16, 8),
    },
}


class UniPixelConfig(PreTrainedConfig):
    """Sizes of the parts, ids of the tokens between them, and four switches.

    Attributes:
        text_config, vision_config: Qwen2.5-VL's language decoder and vision encoder.
        sam_config: SAM 2.1's.
        hidden_tokens: K, how many prompts of SAM one <seg> becomes.
        read_frames: of a clip that the language decoder reads at most.
        least_cells: merged cells of a frame at least; a smaller picture is enlarged.
        most_answer: tokens of an answer at most.
        frames_alone: draw each frame for itself, without frame memory.
        aligned_pooling: pool <mem> tokens from features in the order of the mask. The published
            weights were trained with features in window order, hence not by default.
        published_rotation: let no gradient through the turn in SAM's memory attention, as in the
            published training code; only to reproduce its gradients.
        published_start: follow every object from the clip's first frame on, as the published code
            does, and not from where it was pointed at or first shows.
    """

    model_type = "unipixel"
    sub_configs = {  # noqa: RUF012, the base class reads it so
        "text_config": Qwen2_5_VLTextConfig,
        "vision_config": Qwen2_5_VLVisionConfig,
        "sam_config": Sam2VideoConfig,
    }

    text_config: dict | PreTrainedConfig | None = None
    vision_config: dict | PreTrainedConfig | None = None
    sam_config: dict | PreTrainedConfig | None = None
    hidden_tokens: int = 2
    read_frames: int = 16
    least_cells: int = 128
    most_answer: int = 512
    frames_alone: bool = False
    aligned_pooling: bool = False
    published_rotation: bool = False
    published_start: bool = False
    video_token_id: int = 151656
    vision_start_token_id: int = 151652
    vision_end_token_id: int = 151653
    ref_token_id: int = 151665
    seg_token_id: int = 151666
    mem_token_id: int = 151667
    tie_word_embeddings: bool = False

    def __post_init__(self, **kwargs: Any) -> None:
        for name, kind in self.sub_configs.items():
            value = getattr(self, name)
            if value is None or isinstance(value, Mapping):
                setattr(self, name, kind(**(value or {})))
        super().__post_init__(**kwargs)

    @classmethod
    def from_released(
        cls, values: Mapping[str, Any], sam: Mapping[str, Any] | None = None
    ) -> "UniPixelConfig":
        """Read a published ``config.json``.

        Args:
            values: its content.
            sam: SAM's own file, where it is not one of SAM 2.1's known sizes.

        Raises:
            ConfigError: another kind of model, or a SAM of unknown sizes.
        """
        kind = values.get("model_type")
        if kind != RELEASED_TYPE or "seg_token_id" not in values:
            raise ConfigError(
                f'config.json: expected a UniPixel model ("{RELEASED_TYPE}" with seg_token_id), '
                f'got "{kind}". A plain Qwen2.5-VL has no parts that draw.'
            )
        # transformers 4 writes this key only where it is false.
        tied = bool(values.get("tie_word_embeddings", True))
        text = dict(values.get("text_config") or values)
        vision = dict(values.get("vision_config") or {})
        return cls(
            text_config={key: text[key] for key in sorted(_TEXT_KEYS) if key in text},
            vision_config={key: vision[key] for key in sorted(_VISION_KEYS) if key in vision},
            sam_config=sam_config(
                sam or named_sam(str(values.get("sam2_config"))), int(values["sam2_image_size"])
            ).to_dict(),
            hidden_tokens=int(values["sam2_hidden_tokens"]),
            frames_alone=bool(values.get("sam2_batch_mode", False)),
            tie_word_embeddings=tied,
            **{name: values[name] for name in cls._token_names() if name in values},
        )

    @classmethod
    def _token_names(cls) -> list[str]:
        return [name for name in cls.__annotations__ if name.endswith("_token_id")]

    @property
    def sam_width(self) -> int:
        """C, the width of SAM's prompts and features."""
        return int(self.sam_config.vision_config.fpn_hidden_size)  # type: ignore[union-attr]

    @property
    def merged_width(self) -> int:
        """Width of the vision encoder's features before they are projected."""
        vision: Any = self.vision_config
        return int(vision.hidden_size * vision.spatial_merge_size**2)


def named_sam(name: str) -> dict[str, Any]:
    """Return SAM 2.1's file for a name such as "configs/sam2.1_hiera_b+".

    Raises:
        ConfigError: none of its four sizes.
    """
    short = name.rsplit("/", 1)[-1].removesuffix(".yaml")
    if short not in TRUNKS:
        raise ConfigError(
            f'sam2_config: expected one of {", ".join(TRUNKS)}, got "{name}". '
            f"Put its file beside config.json as sam2_config.json."
        )
    return {"image_encoder": {"trunk": TRUNKS[short]}}


def sam_config(values: Mapping[str, Any], image_size: int) -> Sam2VideoConfig:
    """Return transformers' configuration of a SAM 2.1 file, its defaults where it is silent."""
    encoder = values.get("image_encoder", {})
    attention = values.get("memory_attention", {})
    layer = attention.get("layer", {})
    across = layer.get("cross_attention", {})
    memory = values.get("memory_encoder", {})
    width = int(attention.get("d_model", 256))
    cells = image_size // 16
    return Sam2VideoConfig(
        vision_config=_vision(encoder, image_size, width),
        prompt_encoder_config={"hidden_size": width, "image_size": image_size},
        # The published model does without the choice by stability.
        mask_decoder_config={"hidden_size": width, "dynamic_multimask_via_stability": False},
        image_size=image_size,
        num_maskmem=int(values.get("num_maskmem", 7)),
        max_object_pointers_in_encoder=int(values.get("max_obj_ptrs_in_encoder", 16)),
        sigmoid_scale_for_mem_enc=float(values.get("sigmoid_scale_for_mem_enc", 20.0)),
        sigmoid_bias_for_mem_enc=float(values.get("sigmoid_bias_for_mem_enc", -10.0)),
        memory_attention_hidden_size=width,
        memory_attention_num_layers=int(attention.get("num_layers", 4)),
        memory_attention_num_attention_heads=int(across.get("num_heads", 1)),
        memory_attention_feed_forward_hidden_size=int(layer.get("dim_feedforward", 2048)),
        memory_attention_dropout=float(layer.get("dropout", 0.1)),
        memory_attention_rope_dropout=float(across.get("dropout", 0.1)),
        memory_attention_rope_feat_sizes=[cells, cells],
        rope_parameters={
            "rope_type": "axial",
            "rope_theta": float(across.get("rope_theta", 10000.0)),
        },
        memory_encoder_hidden_size=width,
        memory_encoder_output_channels=int(memory.get("out_dim", 64)),
        mask_downsampler_embed_dim=width,
        memory_fuser_embed_dim=width,
        memory_fuser_intermediate_dim=4 * width,
        memory_fuser_num_layers=int(memory.get("fuser", {}).get("num_layers", 2)),
    )


def _vision(encoder: Mapping[str, Any], image_size: int, width: int) -> dict[str, Any]:
    """Return the values of a Sam2VisionConfig: Hiera and the neck behind it."""
    trunk = encoder.get("trunk", {})
    first, heads = int(trunk.get("embed_dim", 96)), int(trunk.get("num_heads", 1))
    stages = list(trunk.get("stages", (2, 3, 16, 3)))
    widths = [first * 2**stage for stage in range(len(stages))]
    cells = [[image_size // stride] * 2 for stride in (4, 8, 16)]
    return {
        "model_type": "sam2_vision_model",
        "backbone_config": {
            "model_type": "sam2_hiera_det_model",
            "hidden_size": first,
            "num_attention_heads": heads,
            "image_size": [image_size, image_size],
            "blocks_per_stage": stages,
            "embed_dim_per_stage": widths,
            "num_attention_heads_per_stage": [heads * 2**stage for stage in range(len(stages))],
            "window_size_per_stage": list(trunk.get("window_spec", WINDOWS)),
            "global_attention_blocks": list(trunk.get("global_att_blocks", (12, 16, 20))),
            "num_query_pool_stages": int(trunk.get("q_pool", 3)),
            "window_positional_embedding_background_size": list(
                trunk.get("window_pos_embed_bkg_spatial_size", (14, 14))
            ),
        },
        "backbone_channel_list": widths[::-1],
        "backbone_feature_sizes": cells,
        "fpn_hidden_size": width,
        "fpn_top_down_levels": list(encoder.get("neck", {}).get("fpn_top_down_levels", (2, 3))),
    }


# -- presets ------------------------------------------------------------------------------------


def unipixel_3b() -> UniPixelConfig:
    """The released UniPixel-3B: 3,881,764,174 weights."""
    return _released(
        width=2048, layers=36, heads=16, key_heads=2, inner=11008, words=151936, tied=True
    )


def unipixel_7b() -> UniPixelConfig:
    """The released UniPixel-7B: 8,438,974,798 weights."""
    return _released(
        width=3584, layers=28, heads=28, key_heads=4, inner=18944, words=152064, tied=False
    )


def _released(
    *, width: int, layers: int, heads: int, key_heads: int, inner: int, words: int, tied: bool
) -> UniPixelConfig:
    return UniPixelConfig(
        text_config={
            "hidden_size": width,
            "num_hidden_layers": layers,
            "num_attention_heads": heads,
            "num_key_value_heads": key_heads,
            "intermediate_size": inner,
            "vocab_size": words,
            "max_position_embeddings": 128000,
            "rms_norm_eps": 1e-6,
            "rope_parameters": _mrope(16, 24, 24),
        },
        vision_config={
            "hidden_size": 1280,
            "out_hidden_size": width,
            "tokens_per_second": 2,
        },
        sam_config=sam_config(named_sam("sam2.1_hiera_b+"), 768).to_dict(),
        tie_word_embeddings=tied,
    )


def unipixel_tiny() -> UniPixelConfig:
    """A small model with every station, below 1M weights; no two sizes are alike."""
    first = 8
    return UniPixelConfig(
        text_config={
            "hidden_size": 48,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "intermediate_size": 80,
            "vocab_size": 320,
            "max_position_embeddings": 4096,
            "rms_norm_eps": 1e-6,
            "rope_parameters": _mrope(2, 1, 3),
            "bos_token_id": 306,
            "eos_token_id": 305,
        },
        vision_config={
            "depth": 2,
            "hidden_size": 24,
            "num_heads": 2,
            "intermediate_size": 40,
            "out_hidden_size": 48,
            "fullatt_block_indexes": [1],
            "tokens_per_second": 2,
        },
        sam_config=sam_config(
            {
                "image_encoder": {
                    "trunk": {
                        "embed_dim": first,
                        "num_heads": 1,
                        "stages": (1, 1, 2, 1),
                        "global_att_blocks": (3,),
                        "window_pos_embed_bkg_spatial_size": (7, 7),
                    }
                },
                "memory_attention": {
                    "d_model": 32,
                    "num_layers": 1,
                    "layer": {"dim_feedforward": 56, "dropout": 0.0},
                },
                "memory_encoder": {"out_dim": 16},
            },
            64,
        ).to_dict(),
        video_token_id=303,
        vision_start_token_id=300,
        vision_end_token_id=301,
        ref_token_id=310,
        seg_token_id=311,
        mem_token_id=312,
    )


def unipixel_scenes() -> UniPixelConfig:
    """Under 8M weights, for our scenes of 128 pixels: what ``runs/unipixel_tiny.yaml`` trains.

    Read are 8 frames of 8 x 8 cells each. SAM looks at them twice as large, since its first cells
    are of 4 pixels and masks want to be finer: they have 64 x 64 cells. Of the published system's
    habits those stay away that its weights alone ask for: <mem> tokens are pooled under the mask.
    Words that are written are those that are read, as in the released 3B.
    """
    return UniPixelConfig(
        text_config={
            "hidden_size": 256,
            "num_hidden_layers": 4,
            "num_attention_heads": 4,
            "num_key_value_heads": 4,
            "intermediate_size": 512,
            "vocab_size": 1000,
            "bos_token_id": 0,
            "eos_token_id": 0,
            "max_position_embeddings": 4096,
            "rms_norm_eps": 1e-6,
            "rope_parameters": {**_mrope(4, 8, 20), "rope_theta": 1e3},  # 8 cells are told apart
        },
        vision_config={
            "depth": 4,
            "hidden_size": 160,
            "num_heads": 5,
            "intermediate_size": 432,
            "out_hidden_size": 256,
            "fullatt_block_indexes": [1, 3],
            "tokens_per_second": 2,
            "rope_parameters": {"rope_type": "axial", "rope_theta": 16.0},  # a grid of 16 x 16
        },
        sam_config=scenes_sam(),
        read_frames=8,
        least_cells=64,
        most_answer=96,
        aligned_pooling=True,
        tie_word_embeddings=True,
    )


def scenes_sam() -> dict[str, Any]:
    """Return the values of a SAM 2.1 of 256 pixels."""
    trunk = {
        "embed_dim": 24,
        "num_heads": 1,
        "stages": (1, 2, 4, 1),
        "window_spec": (8, 4, 8, 4),
        "global_att_blocks": (5,),
        "window_pos_embed_bkg_spatial_size": (8, 8),
    }
    layer = {"dim_feedforward": 256, "dropout": 0.0, "cross_attention": {"dropout": 0.0}}
    values = sam_config(
        {
            "image_encoder": {"trunk": trunk},
            "memory_attention": {"d_model": 96, "num_layers": 2, "layer": layer},
            "memory_encoder": {"out_dim": 32},
        },
        256,
    ).to_dict()
    values["mask_decoder_config"] |= {
        "mlp_dim": 384, "iou_head_hidden_dim": 96, "num_attention_heads": 2
    }  # fmt: skip
    return values


def _mrope(*section: int) -> dict[str, Any]:
    return {"rope_type": "default", "rope_theta": 1e6, "mrope_section": list(section)}
