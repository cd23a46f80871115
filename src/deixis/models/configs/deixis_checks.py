"""Refuses a ``DeixisConfig`` whose values cannot make a model, before anything is built."""

from collections.abc import Iterable, Mapping
from typing import Any, get_args

from huggingface_hub.errors import StrictDataclassError
from transformers import AutoConfig

from deixis.config import expected_one_of
from deixis.errors import ConfigError
from deixis.processing.vocabulary import SPECIAL
from deixis.relation.square import Relation

DECODINGS = ("pyramid", "proposal")
PYRAMID_KEYS = ("widths", "top_down_width", "blocks")
NECK_KEYS = ("fine_width", "coarse_width")
NEEDED_WORDS = ("category", "colour", "part")
SWITCHES = (
    "object_tokens",
    "grid_tokens",
    "neighbours",
    "midway",
    "deeds",
    "copying",
    "prompts",
    "name_first",
)
COUNTS = (
    "identity_width",
    "num_queries",
    "levels",
    "tokens_per_level",
    "mask_width",
    "most_objects",
    "most_images",
    "most_entities",
    "most_question",
    "most_answer",
    "most_mask_rows",
)
LEAST_CANVAS = 16
BYTES = 256  # any of them can be written


def check_config(config: Any) -> None:
    """Refuse values that cannot make a model.

    Raises:
        ConfigError: names the value, what was expected, and what was given.
    """
    for name in SWITCHES:
        _expect(isinstance(getattr(config, name), bool), name, "true or false", config)
    for name in COUNTS:
        _expect(_is_count(getattr(config, name)), name, "a whole number from 1 on", config)
    finest = config.finest_width
    fits = finest == 0 or _is_count(finest)
    _expect(fits, "finest_width", "a whole number from 0 on (0: masks of stride 2)", config)
    for name, known in (("relation", get_args(Relation)), ("decoding", DECODINGS)):
        value = getattr(config, name)
        if value not in known:
            raise ConfigError(f"{name}: {expected_one_of(known, str(value))}")
    share = config.presence_threshold
    fits = isinstance(share, float | int) and 0 <= share <= 1
    _expect(fits, "presence_threshold", "a number from 0 to 1", config)
    fits = isinstance(config.openness, float | int) and config.openness >= 0
    _expect(fits, "openness", "a number from 0 on", config)
    sides = config.canvas
    fits = len(sides) == 2 and all(_is_count(s) and s >= LEAST_CANVAS for s in sides)
    fits = fits and not any(side % 2 for side in sides)
    _expect(fits, "canvas", f"two even numbers from {LEAST_CANVAS} on (height, width)", config)
    _check_together(config)
    _check_vision(config)
    _check_language(config)


def ready_made(where: str, values: Mapping[str, Any], kind: str | None = None) -> Any:
    """Return the config of a transformers model; ``kind`` is its type where none is named.

    Raises:
        ConfigError: a type that transformers does not know, or values that it refuses.
    """
    given = dict(values)
    model_type = given.pop("model_type", kind)
    try:
        return AutoConfig.for_model(model_type, **given)
    except (ValueError, StrictDataclassError) as error:
        said = " ".join(str(error).split())[:300]
        raise ConfigError(
            f'{where}: expected a config of transformers, got model_type "{model_type}", which '
            f"it does not know or whose values it refuses: {said}"
        ) from error


def _check_together(config: Any) -> None:
    """Check what stations need of each other."""
    if config.decoding == "proposal" and not config.object_tokens:
        raise ConfigError(
            'decoding: expected "pyramid" without object_tokens, got "proposal". '
            "Proposals are drawn for objects that are meant; set object_tokens: true."
        )
    if config.name_first and not config.object_tokens:
        raise ConfigError(
            "name_first: expected false without object_tokens, got true. "
            "Without objects, groups are written by the language decoder where it wants them."
        )
    if config.relation == "concat" and config.num_queries < 2:
        raise ConfigError(
            f'num_queries: expected at least 2 for relation "concat", got {config.num_queries}.'
        )
    if config.group_size > config.most_answer:
        raise ConfigError(
            f"most_answer: expected at least {config.group_size} (levels * tokens_per_level, one "
            f"target), got {config.most_answer}. Raise it, or make groups smaller."
        )


def _check_vision(config: Any) -> None:
    missing = [kind for kind in NEEDED_WORDS if not config.words.get(kind)]
    if missing:
        raise ConfigError(
            f"words: expected at least one {', '.join(NEEDED_WORDS)}, got no {missing[0]}."
        )
    for category, parts in config.unusual_parts.items():
        for kind, names in (("category", [category]), ("part", parts)):
            strange = [name for name in names if name not in config.words[kind]]
            if strange:
                raise ConfigError(
                    f'unusual_parts: expected words of the kind {kind}, got "{strange[0]}". '
                    "Use names that stand under words."
                )
    if config.borrowed:
        _check_keys("neck_config", config.neck_config, NECK_KEYS)
        for name in NECK_KEYS:
            _expect_count(f"neck_config.{name}", config.neck_config[name])
        ready_made("vision_config", config.vision_config)
        return
    _check_keys("vision_config", config.vision_config, PYRAMID_KEYS)
    widths, blocks = config.vision_config["widths"], config.vision_config["blocks"]
    if len(widths) != len(blocks) or len(widths) < 2:
        raise ConfigError(
            f"vision_config: expected two or more widths and as many blocks, "
            f"got {len(widths)} widths and {len(blocks)} blocks."
        )
    for value in (*widths, *blocks, config.vision_config["top_down_width"]):
        _expect_count("vision_config", value)


def _check_language(config: Any) -> None:
    width, heads = config.text_config.hidden_size, config.text_config.num_attention_heads
    if width % heads or width % 2:
        raise ConfigError(
            f"text_config.hidden_size: expected an even multiple of its {heads} attention "
            f"heads, got {width}."
        )
    named = [number for rows in config.word_tokens.values() for row in rows for number in row]
    last = max(*named, config.answer_token, config.group_token + config.group_size - 1)
    least = max(last + 1, BYTES + len(SPECIAL) + config.group_size)
    if config.text_config.vocab_size < least:
        raise ConfigError(
            f"text_config.vocab_size: expected at least {least} (bytes, special tokens, a group, "
            f"and the tokens that the config names), got {config.text_config.vocab_size}."
        )


def _check_keys(where: str, values: Mapping[str, Any], known: Iterable[str]) -> None:
    known = tuple(known)
    for key in values:
        if key not in known:
            raise ConfigError(f"{where}.{key}: unknown key: {expected_one_of(known, key)}")
    for key in known:
        if key not in values:
            raise ConfigError(f"{where}: expected {', '.join(known)}, got no {key}.")


def _expect(fits: bool, name: str, expected: str, config: Any) -> None:
    if not fits:
        raise ConfigError(f"{name}: expected {expected}, got {getattr(config, name)!r}.")


def _expect_count(name: str, value: Any) -> None:
    if not _is_count(value):
        raise ConfigError(f"{name}: expected a whole number from 1 on, got {value!r}.")


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1
