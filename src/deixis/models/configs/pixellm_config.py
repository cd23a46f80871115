"""PixelLMConfig: the sizes of PixelLM and the choices of its released code; presets.

Facts about the published models: arXiv:2312.02228 and its released code.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from transformers import CLIPVisionConfig, LlamaConfig, PreTrainedConfig

from deixis.decoding.pyramid import Modulation
from deixis.errors import ConfigError

# Keys of a published config.json that LLaMA's own config understands.
_LLAMA_KEYS = (
    "vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
    "num_key_value_heads", "hidden_act", "max_position_embeddings", "initializer_range",
    "rms_norm_eps", "bos_token_id", "eos_token_id", "pad_token_id", "tie_word_embeddings",
    "rope_theta", "rope_scaling", "attention_bias",
)  # fmt: skip
_CLIP_KEYS = (
    "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
    "num_channels", "patch_size", "initializer_range", "initializer_factor",
    "attention_dropout", "layer_norm_eps", "hidden_act",
)  # fmt: skip
_COUNTS = (
    "levels", "tokens_per_level", "decoder_width", "decoder_mlp_width", "decoder_depth",
    "decoder_heads", "mask_tokens", "most_question", "most_answer",
)  # fmt: skip


class PixelLMConfig(PreTrainedConfig):
    """Sizes of every station and the choices that the released code makes for good.

    Args:
        vision_config: CLIP's vision side; ``image_size`` is the canvas (448 as published), and
            the position table has one row per patch of it.
        text_config: the LLaMA decoder.
        levels, tokens_per_level: L and K; a target is written as L * K tokens.
        feature_layers: which hidden states of CLIP each level reads, as indices into
            "embeddings, layer 1, ..., last layer"; level 0 is also what the words read.
        decoder_width: C; decoder_mlp_width, decoder_depth, decoder_heads: of the two-way
            transformers, one per level.
        mask_tokens: candidate masks per target and level; only the first is drawn.
        mask_width: of the vectors that pixels and mask tokens meet as; None is C / 8, as released.
        modulation: the paper writes f * sigmoid(m), the released code f * (1 + sigmoid(m)).
        learnable_fusion: the paper learns the weights of tokens and levels; in the released
            code they are constants.
        token_weight, level_weight: these constants; None is 1 / (K * L), 1 for a lone token, and
            1 / L, as released.
        group_tokens: ids of [SEG0], [SEG1], ..., level by level.
        image_start_token, image_end_token: ids of <im_start> and <im_end>.
        malformed: "keep" uses the complete groups of an answer and reports the rest; "drop_all"
            is the published rule: no mask at all unless the tokens fill whole groups.
        most_question, most_answer: tokens that are read and written at most.

    Raises:
        ConfigError: values that cannot make a model.
    """

    model_type = "pixellm"
    sub_configs = {"vision_config": CLIPVisionConfig, "text_config": LlamaConfig}  # noqa: RUF012

    def __init__(
        self,
        vision_config: Any = None,
        text_config: Any = None,
        levels: int = 2,
        tokens_per_level: int = 3,
        feature_layers: Sequence[int] = (-2, -11),
        decoder_width: int = 256,
        decoder_mlp_width: int = 2048,
        decoder_depth: int = 2,
        decoder_heads: int = 8,
        mask_tokens: int = 4,
        mask_width: int | None = None,
        modulation: Modulation = "one_plus_sigmoid",
        learnable_fusion: bool = False,
        token_weight: float | None = None,
        level_weight: float | None = None,
        group_tokens: Sequence[int] = (32003, 32004, 32005, 32006, 32007, 32008),
        image_start_token: int = 32001,
        image_end_token: int = 32002,
        malformed: str = "keep",
        most_question: int = 512,
        most_answer: int = 512,
        **kwargs: Any,
    ) -> None:
        if isinstance(vision_config, Mapping):
            vision_config = CLIPVisionConfig(**_without_type(vision_config))
        if isinstance(text_config, Mapping):
            text_config = LlamaConfig(**_without_type(text_config))
        self.vision_config: Any = vision_config or CLIPVisionConfig(**_CLIP_LARGE)
        self.text_config = text_config or LlamaConfig(**_llama(32009, 4096, 11008, 32, 32))
        self.levels, self.tokens_per_level = levels, tokens_per_level
        self.feature_layers = list(feature_layers)
        self.decoder_width, self.decoder_mlp_width = decoder_width, decoder_mlp_width
        self.decoder_depth, self.decoder_heads = decoder_depth, decoder_heads
        self.mask_tokens, self.mask_width = mask_tokens, mask_width
        self.modulation = modulation
        self.learnable_fusion = learnable_fusion
        self.token_weight, self.level_weight = token_weight, level_weight
        self.group_tokens = list(group_tokens)
        self.image_start_token, self.image_end_token = image_start_token, image_end_token
        self.malformed = malformed
        self.most_question, self.most_answer = most_question, most_answer
        _check(self)
        super().__init__(**{**kwargs, "tie_word_embeddings": False})

    @property
    def group_size(self) -> int:
        """Tokens of one target, L * K."""
        return self.levels * self.tokens_per_level

    @property
    def canvas(self) -> int:
        """Side of the square that images are placed on, in pixels."""
        return int(self.vision_config.image_size)

    @property
    def grid(self) -> int:
        """Patches along a side of the canvas."""
        return self.canvas // int(self.vision_config.patch_size)

    @property
    def image_grid(self) -> int:
        """Image tokens along a side: patches are pooled two by two before the words read them."""
        return max(1, self.grid // 2)

    @property
    def context(self) -> int:
        """Positions that the language decoder was made for."""
        return int(self.text_config.max_position_embeddings)


def published_config(
    values: Mapping[str, Any],
    clip: Mapping[str, Any],
    *,
    added_tokens: Mapping[str, int],
    decoder_mlp_width: int = 2048,
) -> PixelLMConfig:
    """Return our config of a published config.json and its CLIP's vision config.

    Args:
        values: config.json of a published folder ("model_type": "llava").
        clip: config of the CLIP that it names in ``mm_vision_tower``.
        added_tokens: added_tokens.json; the published config says neither the tokens per level
            nor their ids.
        decoder_mlp_width: constant in the released code.

    Raises:
        ConfigError: group tokens that do not fill the levels, or values that make no PixelLM.
    """
    levels = int(values.get("image_feature_scale_num", 2))
    group, start, end = _added_ids(added_tokens, levels)
    canvas = int(values.get("resize_vision_tower_size", 448))
    first = int(values.get("mm_vision_select_layer", -2))
    return PixelLMConfig(
        vision_config=CLIPVisionConfig(
            **{key: clip[key] for key in _CLIP_KEYS if key in clip}, image_size=canvas
        ),
        text_config=LlamaConfig(
            **{key: values[key] for key in _LLAMA_KEYS if values.get(key) is not None}
        ),
        levels=levels,
        tokens_per_level=len(group) // levels,
        feature_layers=[first, *(-11 for _ in range(levels - 1))],  # -11 is hard-coded there
        decoder_width=int(values.get("out_dim", 256)),
        decoder_mlp_width=decoder_mlp_width,
        group_tokens=group,
        image_start_token=start,
        image_end_token=end,
    )


def _added_ids(added: Mapping[str, int], levels: int) -> tuple[list[int], int, int]:
    """Return the ids of a group's tokens in order, of <im_start> and of <im_end>."""
    names = ["[SEG]"] if "[SEG]" in added else [f"[SEG{i}]" for i in range(len(added))]
    group = [added[name] for name in names if name in added]
    if not group or len(group) % levels:
        raise ConfigError(
            f"added tokens: expected [SEG0], [SEG1], ... to fill {levels} levels evenly, got "
            f"{len(group)}. Take added_tokens.json of the same checkpoint."
        )
    missing = [name for name in ("<im_start>", "<im_end>") if name not in added]
    if missing:
        raise ConfigError(
            f"added tokens: expected <im_start> and <im_end>, got no {missing[0]}. "
            f"Take added_tokens.json of the same checkpoint."
        )
    return group, added["<im_start>"], added["<im_end>"]


_CLIP_LARGE: dict[str, Any] = {
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "patch_size": 14,
    "image_size": 448,
    "hidden_act": "quick_gelu",
}


def _llama(vocabulary: int, width: int, inner: int, layers: int, heads: int) -> dict[str, Any]:
    return {
        "vocab_size": vocabulary,
        "hidden_size": width,
        "intermediate_size": inner,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": heads,
        "max_position_embeddings": 2048,
        "rms_norm_eps": 1e-6,
        "pad_token_id": 0,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "tie_word_embeddings": False,
    }


def pixellm_7b() -> PixelLMConfig:
    """The shapes and ids of maverickrzw/PixelLM-7B."""
    return PixelLMConfig()


def pixellm_13b() -> PixelLMConfig:
    """The shapes and ids of maverickrzw/PixelLM-13B, a LLaMA 2."""
    values = {**_llama(32008, 5120, 13824, 40, 40), "max_position_embeddings": 4096}
    return PixelLMConfig(
        text_config=LlamaConfig(**{**values, "rms_norm_eps": 1e-5}),
        group_tokens=list(range(32000, 32006)),
        image_start_token=32006,
        image_end_token=32007,
    )


def pixellm_tiny() -> PixelLMConfig:
    """Under 8 M weights, for scenes on two cores: 8-pixel patches of a canvas of 128."""
    return PixelLMConfig(
        vision_config=CLIPVisionConfig(
            hidden_size=128,
            intermediate_size=384,
            num_hidden_layers=8,
            num_attention_heads=4,
            patch_size=8,
            image_size=128,
            hidden_act="gelu",  # CLIP's own takes three passes over memory
        ),
        text_config=LlamaConfig(**_llama(800, 256, 640, 4, 2)),  # wide heads tell much apart
        tokens_per_level=2,
        feature_layers=(-2, -5),
        decoder_width=96,
        decoder_mlp_width=256,
        decoder_depth=1,
        decoder_heads=2,
        mask_width=48,
        token_weight=2.0,  # from nothing, a query must be heard beside the mask tokens
        group_tokens=range(794, 798),
        image_start_token=798,
        image_end_token=799,
        most_question=160,
        most_answer=120,
    )


def _without_type(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if key != "model_type"}


def _check(config: PixelLMConfig) -> None:
    for name in (*_COUNTS, *(() if config.mask_width is None else ("mask_width",))):
        value = getattr(config, name)
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise ConfigError(f"{name}: expected a whole number from 1 on, got {value!r}.")
    for name, known in (
        ("modulation", ("sigmoid", "one_plus_sigmoid")),
        ("malformed", ("keep", "drop_all")),
    ):
        if getattr(config, name) not in known:
            raise ConfigError(
                f'{name}: expected "{known[0]}" or "{known[1]}", got "{getattr(config, name)}".'
            )
    _check_vision(config)
    ids = [*config.group_tokens, config.image_start_token, config.image_end_token]
    if len(config.group_tokens) != config.group_size:
        raise ConfigError(
            f"group_tokens: expected {config.group_size} ids (levels * tokens_per_level), "
            f"got {len(config.group_tokens)}. Set tokens_per_level as the model was trained."
        )
    if len(set(ids)) != len(ids) or not all(0 <= i < config.text_config.vocab_size for i in ids):
        raise ConfigError(
            f"group_tokens, image_start_token, image_end_token: expected {len(ids)} different "
            f"ids below {config.text_config.vocab_size} (vocab_size), got {ids}. "
            f"Take them from the tokenizer."
        )
    if config.decoder_width % (2 * config.decoder_heads) or config.decoder_width % 8:
        raise ConfigError(
            f"decoder_width: expected a multiple of 8 and of twice decoder_heads "
            f"({2 * config.decoder_heads}), got {config.decoder_width}."
        )


def _check_vision(config: PixelLMConfig) -> None:
    vision, depth = config.vision_config, config.vision_config.num_hidden_layers
    if vision.image_size % vision.patch_size or config.grid < 2:
        raise ConfigError(
            f"vision_config.image_size: expected two or more patches of {vision.patch_size} "
            f"pixels, got {vision.image_size}."
        )
    layers = config.feature_layers
    if len(layers) != config.levels or not all(-depth - 1 <= i <= depth for i in layers):
        raise ConfigError(
            f"feature_layers: expected {config.levels} hidden states (one per level) from "
            f"{-depth - 1} to {depth}, got {layers}."
        )
