"""DeixisConfig: only values; presets from under a million weights to real backbones."""

from typing import Any

from transformers import AutoConfig, LlamaConfig, PreTrainedConfig

from deixis.models.configs.deixis_checks import check_config, ready_made
from deixis.scenes.catalogue import CATEGORIES, COLOURS, PART_NAMES, PATTERNS

TOLD = {  # what is said of objects in words, and by no dense head, in the order of what is guessed
    "deed": [
        *("left", "right", "up", "down", "stays", "back", "leaves", "returns", "late"),
        *("fastest", "first", "second", "third"),
    ],
    "side": ["left", "right", "above", "below"],
    "verdict": ["yes", "no"],  # whether what is asked holds for it
}
FIRST_WORD = 64  # where made-up word ids start in a config that no tokenizer has completed
SHIPPED_VISION = {"widths": (24, 48, 96, 192), "top_down_width": 48, "blocks": (1, 1, 1, 2)}
NECK = {"fine_width": 48, "coarse_width": 192}


def scene_words() -> dict[str, list[str]]:
    """Return the words that the dense heads of a model of our scenes know, by kind."""
    return {
        "category": [c.name for c in CATEGORIES],
        "colour": list(COLOURS),
        "pattern": list(PATTERNS),
        "size": ["small", "large"],
        "part": list(PART_NAMES),
    }


def scene_unusual_parts() -> dict[str, list[str]]:
    """Return the parts that our scenes do not draw on a category, but at times on others."""
    loose = {part for category in CATEGORIES for part in category.at_times}
    return {
        category.name: sorted(loose - {*category.parts, *category.at_times})
        for category in CATEGORIES
    }


def in_order(words: dict[str, list[str]]) -> dict[str, list[str]]:
    """Return the kinds of words in the one order in which the heads have them, parts last.

    A config that is saved and read again has its keys sorted, so their order must not matter.
    """
    return {kind: words[kind] for kind in sorted(words, key=lambda kind: (kind == "part", kind))}


class DeixisConfig(PreTrainedConfig):
    """Which stations stand on the road and how wide they are.

    Args:
        canvas: (height, width) that every frame is placed on; the model's working size.
        vision_config: widths of the convolutional pyramid, or the config of a transformers
            backbone, known by its "model_type".
        neck_config: widths of the features that such a backbone is brought to.
        text_config: the language decoder.
        words: kind -> words of the dense heads.
        word_tokens: kind -> token ids of each word; "number" holds those of image numbers.
        identity_width: of the embedding that tells things apart.
        finest_width: of features of stride 1 that the last level of masks is drawn from; 0 for
            none, and masks of stride 2.
        object_tokens, grid_tokens: which tokens of an image the language decoder reads beside
            the relation's rows.
        neighbours: whether each object token is told of the others.
        midway: whether objects are told, half way through the decoder, how they stand among those
            that the question touches.
        deeds: whether object tokens say in words what things do in a clip.
        copying: whether answers may copy the words by which objects are known.
        prompts: whether points, boxes and masks are read.
        name_first: whether the words of an answer come before its groups, in place of behind them.
        relation: how images of a set meet (see ``relation/square.py``).
        num_queries: rows of the relation per image.
        levels, tokens_per_level: the codebook of one target.
        decoding: "pyramid", or "proposal" for the proposals' own pixels.
        presence_threshold: presence from which a target has masks.
        most_objects: proposals per frame; least_votes: cells that make one.
        likeness, likeness_nearby, reach: when two proposals are one thing.
        least_part: cells that make a part worth naming.
        unusual_parts: category -> parts that training never shows on it, though they come and go
            on others; openness: how much the logits of such a part gain on the category, so that
            it is known by its look there, too.
        most_images, most_entities: rows of the tables of image numbers and of things.
        most_question, most_answer: tokens that are read and written at most.
        most_mask_rows: masks that one training step draws at most.
        answer_token, group_token, eos_token, pad_token: ids in the vocabulary; those of a group
            follow one another.

    Raises:
        ConfigError: values that cannot make a model.
    """

    model_type = "deixis"
    sub_configs = {"text_config": AutoConfig}  # noqa: RUF012

    def __init__(
        self,
        canvas: tuple[int, int] = (128, 128),
        vision_config: dict[str, Any] | None = None,
        neck_config: dict[str, int] | None = None,
        text_config: Any = None,
        words: dict[str, list[str]] | None = None,
        word_tokens: dict[str, list[list[int]]] | None = None,
        identity_width: int = 16,
        finest_width: int = 0,
        object_tokens: bool = True,
        grid_tokens: bool = False,
        neighbours: bool = True,
        midway: bool = True,
        deeds: bool = True,
        copying: bool = True,
        prompts: bool = True,
        name_first: bool = False,
        relation: Any = "square",
        num_queries: int = 4,
        levels: int = 2,
        tokens_per_level: int = 1,
        mask_width: int = 32,
        decoding: str = "pyramid",
        presence_threshold: float = 0.5,
        most_objects: int = 8,
        least_votes: float = 8.0,
        likeness: float = 0.65,
        likeness_nearby: float = 0.05,
        reach: float = 0.25,
        least_part: float = 4.0,
        unusual_parts: dict[str, list[str]] | None = None,
        openness: float = 0.0,
        most_images: int = 16,
        most_entities: int = 40,
        most_question: int = 400,
        most_answer: int = 120,
        most_mask_rows: int = 96,
        answer_token: int = 5,
        group_token: int = 10,
        eos_token: int = 2,
        pad_token: int = 0,
        **kwargs: Any,
    ) -> None:
        self.canvas = tuple(canvas)
        self.vision_config = vision_config or dict(SHIPPED_VISION)
        self.neck_config = neck_config or dict(NECK)
        self.text_config = _text_config(text_config)
        self.words = in_order(words or scene_words())
        self.identity_width, self.finest_width = identity_width, finest_width
        self.object_tokens, self.grid_tokens, self.prompts = object_tokens, grid_tokens, prompts
        self.neighbours, self.midway, self.deeds = neighbours, midway, deeds
        self.copying = copying
        self.name_first = name_first
        self.relation, self.num_queries = relation, num_queries
        self.levels, self.tokens_per_level, self.mask_width = levels, tokens_per_level, mask_width
        self.decoding, self.presence_threshold = decoding, presence_threshold
        self.most_objects, self.least_votes = most_objects, least_votes
        self.likeness, self.likeness_nearby, self.reach = likeness, likeness_nearby, reach
        self.least_part = least_part
        self.unusual_parts, self.openness = unusual_parts or {}, openness
        self.most_images, self.most_entities = most_images, most_entities
        self.most_question, self.most_answer = most_question, most_answer
        self.most_mask_rows = most_mask_rows
        self.answer_token, self.group_token = answer_token, group_token
        self.eos_token, self.pad_token = eos_token, pad_token
        self.word_tokens = word_tokens or self._made_up_tokens()
        check_config(self)
        super().__init__(**{**kwargs, "tie_word_embeddings": False})

    @property
    def borrowed(self) -> bool:
        """Whether vision is a backbone of transformers."""
        return "model_type" in self.vision_config

    @property
    def mask_stride(self) -> int:
        """Canvas pixels per cell of the masks that are drawn."""
        return 1 if self.finest_width and self.decoding == "pyramid" else 2

    @property
    def fine_width(self) -> int:
        """Width of the features that masks are drawn from."""
        own = self.vision_config.get("top_down_width", 0)
        return int(self.neck_config["fine_width"] if self.borrowed else own)

    @property
    def coarse_width(self) -> int:
        """Width of the features that images are related by."""
        if self.borrowed:
            return int(self.neck_config["coarse_width"])
        return int(self.vision_config["widths"][-1])

    @property
    def group_size(self) -> int:
        """Tokens of one target."""
        return self.levels * self.tokens_per_level

    @property
    def told_words(self) -> dict[str, list[str]]:
        """Words by kind beside those of the dense heads: what things do in a clip, on which side
        of another they lie, and whether what is asked holds for them."""
        return TOLD

    def _named(self) -> dict[str, list[str]]:
        return {**self.words, **self.told_words, "number": [""] * self.most_images}

    def _made_up_tokens(self) -> dict[str, list[list[int]]]:
        """Give every word one id of its own, so that a config works before a tokenizer exists."""
        following = max(FIRST_WORD, self.group_token + self.group_size)
        tokens: dict[str, list[list[int]]] = {}
        for kind, names in self._named().items():
            tokens[kind] = [[following + i] for i in range(len(names))]
            following += len(names)
        return tokens


def _text_config(given: Any) -> Any:
    if isinstance(given, dict):
        return ready_made("text_config", given, "llama")
    return given or LlamaConfig(**_llama(1500, 256, 768, 4, 4))


def _llama(vocabulary: int, width: int, inner: int, layers: int, heads: int) -> dict[str, Any]:
    return {
        "vocab_size": vocabulary,
        "hidden_size": width,
        "intermediate_size": inner,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": heads,
        "max_position_embeddings": 4096,
        "initializer_range": 0.04,
        "pad_token_id": 0,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "tie_word_embeddings": False,
    }


def deixis_tiny() -> DeixisConfig:
    """Under a million weights, all sizes different: for tests and documents."""
    return DeixisConfig(
        canvas=(64, 64),
        vision_config={"widths": (8, 16, 24, 40), "top_down_width": 24, "blocks": (1, 1, 1, 1)},
        text_config=LlamaConfig(**_llama(1500, 96, 160, 2, 4)),
        identity_width=12,
        finest_width=10,
        num_queries=3,
        tokens_per_level=2,
        mask_width=20,
    )


def deixis_shipped() -> DeixisConfig:
    """The model that the package ships as deixis-tiny."""
    return DeixisConfig(
        vision_config=dict(SHIPPED_VISION),
        text_config=LlamaConfig(**_llama(1500, 256, 768, 4, 4)),
        finest_width=16,
        likeness=0.45,
        unusual_parts=scene_unusual_parts(),
        openness=4.0,
    )


def deixis_small() -> DeixisConfig:
    """Four times the canvas and some 48 M weights: for one GPU and own data."""
    return DeixisConfig(
        canvas=(256, 256),
        vision_config={
            "widths": (48, 96, 192, 384),
            "top_down_width": 96,
            "blocks": (1, 2, 2, 3),
        },
        text_config=LlamaConfig(**_llama(8000, 512, 1536, 8, 8)),
        finest_width=24,
        num_queries=16,
        tokens_per_level=2,
        mask_width=64,
        most_objects=32,
        most_entities=200,
    )


def deixis_base() -> DeixisConfig:
    """Real backbones of transformers, some 1.2 B weights: ConvNeXt V2 and a Llama.

    Things of the wide world have no word in a catalogue and often no centre, hence grid tokens,
    and groups that the language decoder writes by itself.
    """
    return DeixisConfig(
        canvas=(512, 512),
        vision_config={
            "model_type": "convnextv2",
            "depths": [3, 3, 27, 3],
            "hidden_sizes": [128, 256, 512, 1024],
            "out_features": ["stage1", "stage2", "stage3", "stage4"],
        },
        neck_config={"fine_width": 96, "coarse_width": 512},
        text_config=LlamaConfig(**{**_llama(32_000, 2048, 8192, 16, 32), "num_key_value_heads": 8}),
        identity_width=32,
        object_tokens=False,
        grid_tokens=True,
        num_queries=32,
        tokens_per_level=3,
        mask_width=128,
        most_objects=48,
        most_question=1024,
        most_answer=512,
    )
