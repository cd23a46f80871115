"""PrimaConfig: only values, and the presets of PRIMA (arXiv:2412.15209).

The body of the paper could not be read. What no source settles is a value here, and its default
is the choice of ``specification G1 to G27`` that docs/prima.md lists.
"""

from typing import Any, Literal, get_args

from transformers import (
    Dinov2WithRegistersConfig,
    InstructBlipQFormerConfig,
    InstructBlipVisionConfig,
    LlamaConfig,
    PreTrainedConfig,
    SamConfig,
)

from deixis.config import expected_one_of
from deixis.errors import ConfigError
from deixis.relation.square import SQuAREConfig

PrimaRelation = Literal["square", "none", "pooling", "projection", "concat", "image_to_image"]
ImageName = Literal["after", "before"]
ImageRows = Literal["queries", "patches"]
QuestionView = Literal["set", "image"]
MOST_IMAGES = 9  # "IMAGE1" must not be the beginning of another image's name

RELATION_VALUES = {  # ours -> the station's
    "relation_layers": "num_layers",
    "relation_heads": "num_heads",
    "relation_norm": "pre_norm",
    "relation_ffn": "ffn",
    "relation_residual": "residual",
    "relation_position": "per_image_position",
}
COUNTS = (
    "num_queries",
    "relation_layers",
    "relation_heads",
    "most_images",
    "most_question",
    "most_tokens",
    "most_answer",
)


class PrimaConfig(PreTrainedConfig):
    """Which parts PRIMA has and how wide they are.

    Args:
        vision_config: EVA-CLIP-G as transformers' InstructBLIP has it.
        dino_config: DINOv2 with registers for the v1 vision block, or None (v2).
        qformer_config: the instruction-guided Q-Former.
        text_config: the language decoder.
        sam_config: Segment Anything.
        image_rows: what the language decoder reads of an image: the "queries" of the Q-Former, or
            all "patches" of EVA, as GLaMM does with CLIP's; then there is no Q-Former and nothing
            relates images before the language decoder.
        num_queries: rows of an image; as many global as relational queries, for they are added.
        relation: what the global queries learn of the whole set: "square", or the ablations
            "none", "pooling", "projection", "concat" and "image_to_image".
        relation_layers, relation_heads, relation_norm, relation_ffn, relation_residual,
            relation_position: the inside of the relational attention; all: ``relation/square.py``.
        relation_silent: whether a new R' begins at zero, so that training starts at InstructBLIP.
        question_view: whose question the Q-Former reads while it looks into an image: that of the
            "set", as it was asked, or that of the "image", to which its own name is "this image"
            and every other name "another image"; it knows no numbers of images.
        keep_text_rows: whether the Q-Former's text rows go to the language decoder too.
        fuse_heads: heads of the v1 block's attention of EVA to DINOv2.
        image_name: whether "(IMAGE1)" stands "after" its [SEG], as published, or "before" it.
        train_queries: whether the global queries learn.
        train_mask_decoder: whether SAM's mask decoder learns.
        most_images: of a set. most_question: tokens of the Q-Former's text. most_tokens: of the
            prompt and answer with all image rows. most_answer: tokens written at most.
        seg_token, phrase_token, phrase_end_token, image_start_token, image_end_token: ids.
        image_token: stands for an image; no id of the vocabulary.
        text_weight, bce_weight, dice_weight: of the three losses.
        alignment_weight, alignment_temperature, alignment_by: an InfoNCE term between targets of
            one "object" or one "phrase" in different images of a set; 0 leaves it out.
        extras: what a released config says that has no place here; kept, never read.

    Raises:
        ConfigError: values that cannot make a model.
    """

    model_type = "prima"
    sub_configs = {  # noqa: RUF012
        "vision_config": InstructBlipVisionConfig,
        "qformer_config": InstructBlipQFormerConfig,
        "text_config": LlamaConfig,
        "sam_config": SamConfig,
        "dino_config": Dinov2WithRegistersConfig,
    }

    def __init__(
        self,
        vision_config: Any = None,
        dino_config: Any = None,
        qformer_config: Any = None,
        text_config: Any = None,
        sam_config: Any = None,
        image_rows: str = "queries",
        num_queries: int = 32,
        relation: str = "square",
        relation_layers: int = 1,
        relation_heads: int = 12,
        relation_norm: bool = False,
        relation_ffn: bool = False,
        relation_residual: bool = False,
        relation_position: bool = False,
        relation_silent: bool = True,
        question_view: str = "set",
        keep_text_rows: bool = False,
        fuse_heads: int = 16,
        image_name: str = "after",
        train_queries: bool = True,
        train_mask_decoder: bool = True,
        most_images: int = MOST_IMAGES,
        most_question: int = 128,
        most_tokens: int = 3400,
        most_answer: int = 512,
        seg_token: int = 32004,
        phrase_token: int = 32005,
        phrase_end_token: int = 32006,
        image_start_token: int = 32000,
        image_end_token: int = 32001,
        image_token: int = -200,
        text_weight: float = 1.0,
        bce_weight: float = 2.0,
        dice_weight: float = 0.5,
        alignment_weight: float = 0.0,
        alignment_temperature: float = 0.1,
        alignment_by: str = "object",
        extras: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        self.vision_config = _made(InstructBlipVisionConfig, vision_config, {})
        self.dino_config = None
        if dino_config is not None:
            self.dino_config = _made(Dinov2WithRegistersConfig, dino_config, {})
        self.qformer_config = _made(InstructBlipQFormerConfig, qformer_config, QFORMER)
        self.text_config = _made(LlamaConfig, text_config, VICUNA)
        self.sam_config = _made(SamConfig, sam_config, {"vision_config": VIT_H})
        # Both copies of SAM's positional table are saved, so that a file holds every tensor.
        self.sam_config.tie_word_embeddings = False
        self.image_rows = image_rows
        self.num_queries, self.relation = num_queries, relation
        self.relation_layers, self.relation_heads = relation_layers, relation_heads
        self.relation_norm, self.relation_ffn = relation_norm, relation_ffn
        self.relation_residual, self.relation_position = relation_residual, relation_position
        self.relation_silent, self.question_view = relation_silent, question_view
        self.keep_text_rows = keep_text_rows
        self.fuse_heads, self.image_name = fuse_heads, image_name
        self.train_queries, self.train_mask_decoder = train_queries, train_mask_decoder
        self.most_images, self.most_question = most_images, most_question
        self.most_tokens, self.most_answer = most_tokens, most_answer
        self.seg_token, self.phrase_token = seg_token, phrase_token
        self.phrase_end_token = phrase_end_token
        self.image_start_token, self.image_end_token = image_start_token, image_end_token
        self.image_token = image_token
        self.text_weight, self.bce_weight, self.dice_weight = text_weight, bce_weight, dice_weight
        self.alignment_weight = alignment_weight
        self.alignment_temperature, self.alignment_by = alignment_temperature, alignment_by
        self.extras = dict(extras or {})
        _check(self)
        super().__init__(**{**kwargs, "tie_word_embeddings": False})

    @property
    def prompt_width(self) -> int:
        """C, the width of a prompt of SAM's mask decoder."""
        return int(self.sam_config.mask_decoder_config.hidden_size)

    @property
    def rows_per_image(self) -> int:
        """Columns that an image takes in the language decoder, without the question's."""
        if self.image_rows == "queries":
            return self.num_queries
        return int(self.vision_config.image_size // self.vision_config.patch_size) ** 2

    def square(self) -> SQuAREConfig:
        """Return the config of the relation.

        Raises:
            ConfigError: values that do not fit each other.
        """
        kind = "mean" if self.relation == "pooling" else self.relation
        inside = {name: getattr(self, ours) for ours, name in RELATION_VALUES.items()}
        return SQuAREConfig(
            num_queries=self.num_queries,
            query_width=self.qformer_config.hidden_size,
            feature_width=self.vision_config.hidden_size,
            relation=kind,  # type: ignore[arg-type]
            **inside,
        )


VIT_H: dict[str, Any] = {
    "hidden_size": 1280,
    "num_hidden_layers": 32,
    "num_attention_heads": 16,
    "global_attn_indexes": [7, 15, 23, 31],
}
QFORMER: dict[str, Any] = {"vocab_size": 30523}  # bert-base-uncased and [DEC]
VICUNA: dict[str, Any] = {
    "vocab_size": 32007,
    "hidden_size": 4096,
    "intermediate_size": 11008,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "rms_norm_eps": 1e-5,
    "max_position_embeddings": 4096,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "tie_word_embeddings": False,
}


def _made(kind: Any, given: Any, usual: dict[str, Any]) -> Any:
    """Return a sub-config: the usual one, one from its values, or the one given."""
    if given is None:
        return kind(**usual)
    return kind(**given) if isinstance(given, dict) else given


def _check(config: PrimaConfig) -> None:
    """Refuse values that cannot make a model.

    Raises:
        ConfigError: names the value, what was expected, and what was given.
    """
    for name, known in (
        ("relation", get_args(PrimaRelation)),
        ("image_name", get_args(ImageName)),
        ("image_rows", get_args(ImageRows)),
        ("question_view", get_args(QuestionView)),
        ("alignment_by", ("object", "phrase")),
    ):
        value = getattr(config, name)
        if value not in known:
            raise ConfigError(f"{name}: {expected_one_of(known, str(value))}")
    for name in COUNTS:
        value = getattr(config, name)
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise ConfigError(f"{name}: expected a whole number from 1 on, got {value!r}.")
    widths = config.vision_config.hidden_size, config.qformer_config.encoder_hidden_size
    if widths[0] != widths[1]:
        raise ConfigError(
            f"qformer_config.encoder_hidden_size: expected vision_config.hidden_size "
            f"({widths[0]}), got {widths[1]}."
        )
    if config.dino_config is not None and config.vision_config.hidden_size % config.fuse_heads:
        raise ConfigError(
            f"fuse_heads: expected a divisor of vision_config.hidden_size ({widths[0]}), "
            f"got {config.fuse_heads}."
        )
    if config.image_rows == "patches" and config.relation != "none":
        raise ConfigError(
            f'relation: expected "none" with image_rows "patches", which go past it, got '
            f'"{config.relation}".'
        )
    names = [name for name in vars(config) if name.endswith("_token") and name != "image_token"]
    _check_ids({name: getattr(config, name) for name in names}, config.text_config.vocab_size)
    config.square()


def _check_ids(ids: dict[str, int], size: int) -> None:
    outside = [f"{name} {number}" for name, number in ids.items() if not 0 <= number < size]
    if outside or len(set(ids.values())) < len(ids):
        what = ", ".join(outside) or "two that are one"
        raise ConfigError(
            f"token ids: expected different ones below text_config.vocab_size ({size}), got {what}."
        )


def prima_7b() -> PrimaConfig:
    """PRIMA as released: EVA-CLIP-G, SQuARE, Q-Former, Vicuna-7B, SAM ViT-H; some 8.6 B weights."""
    return PrimaConfig()


def prima_v1_7b() -> PrimaConfig:
    """The first version: EVA attends to DINOv2 in each image, and no relation between images."""
    dino = {"hidden_size": 768, "patch_size": 14, "image_size": 518}
    return PrimaConfig(dino_config=dino, relation="none")


def prima_tiny() -> PrimaConfig:
    """Under a million weights, all sizes different: for tests and documents."""
    return PrimaConfig(
        vision_config={
            "hidden_size": 24,
            "intermediate_size": 44,
            "num_hidden_layers": 2,
            "num_attention_heads": 3,
            "image_size": 42,
            "patch_size": 14,
            "initializer_range": 0.02,
        },
        qformer_config={
            "vocab_size": 700,
            "hidden_size": 20,
            "num_hidden_layers": 3,
            "num_attention_heads": 5,
            "intermediate_size": 36,
            "max_position_embeddings": 64,
            "encoder_hidden_size": 24,
        },
        text_config={
            **VICUNA,
            "vocab_size": 900,
            "hidden_size": 40,
            "intermediate_size": 72,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "max_position_embeddings": 1024,
        },
        sam_config=tiny_sam(),
        num_queries=3,
        relation_heads=4,
        fuse_heads=2,
        most_question=48,
        most_tokens=512,
        most_answer=40,
        image_start_token=3,
        image_end_token=4,
        seg_token=5,
        phrase_token=6,
        phrase_end_token=7,
    )


def prima_scenes() -> PrimaConfig:
    """Six million weights, for our scenes of 128 pixels: what ``runs/prima_tiny.yaml`` trains."""
    return PrimaConfig(
        vision_config={
            "hidden_size": 128,
            "intermediate_size": 384,
            "num_hidden_layers": 6,
            "num_attention_heads": 4,
            "image_size": 128,
            "patch_size": 8,  # of 16, a quarter of the things was never known
            "initializer_range": 0.02,
        },
        qformer_config={
            "vocab_size": 1000,
            "hidden_size": 128,
            "num_hidden_layers": 4,
            "num_attention_heads": 4,
            "intermediate_size": 384,
            "max_position_embeddings": 128,
            "encoder_hidden_size": 128,
            "hidden_dropout_prob": 0.0,  # no picture is seen twice
            "attention_probs_dropout_prob": 0.0,
        },
        text_config={
            **VICUNA,
            "vocab_size": 1200,
            "hidden_size": 192,
            "intermediate_size": 512,
            "num_hidden_layers": 4,
            "num_attention_heads": 3,  # wide heads tell much apart
            "max_position_embeddings": 1024,
        },
        sam_config=scenes_sam(),
        num_queries=25,
        question_view="image",
        relation_heads=4,
        fuse_heads=4,
        most_question=64,
        most_tokens=640,
        most_answer=120,
        image_start_token=3,
        image_end_token=4,
        seg_token=5,
        phrase_token=6,
        phrase_end_token=7,
    )


def scenes_sam() -> dict[str, Any]:
    """Return the values of a Segment Anything of 128 pixels, whose masks have 64 x 64 cells."""
    return {
        "vision_config": {
            "hidden_size": 128,
            "num_hidden_layers": 4,
            "num_attention_heads": 4,
            "image_size": 128,
            "patch_size": 8,
            "window_size": 7,
            "global_attn_indexes": [1, 3],
            "output_channels": 128,
            "num_pos_feats": 64,
            "initializer_range": 0.02,
        },
        "prompt_encoder_config": {
            "hidden_size": 128, "image_size": 128, "patch_size": 8, "mask_input_channels": 8,
        },
        "mask_decoder_config": {
            "hidden_size": 128, "mlp_dim": 256, "num_attention_heads": 4,
            "iou_head_hidden_dim": 64,
        },
    }


def tiny_sam() -> dict[str, Any]:
    """Return the values of a Segment Anything of 64 pixels and some 60 thousand weights."""
    return {
        "vision_config": {
            "hidden_size": 28, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 64,
            "patch_size": 8, "window_size": 5, "global_attn_indexes": [1], "output_channels": 32,
            "num_pos_feats": 16, "initializer_range": 0.02,
        },
        "prompt_encoder_config": {
            "hidden_size": 32, "image_size": 64, "patch_size": 8, "mask_input_channels": 8,
        },
        "mask_decoder_config": {
            "hidden_size": 32, "mlp_dim": 52, "num_attention_heads": 2,
            "iou_head_hidden_dim": 26,
        },
    }
