"""UniPixel: from the published layout (transformers 4, in memory or on disk) to a folder of ours.

The layout and its traps: arXiv:2509.18094 and its released code (specification section 3).
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer
from torch import Tensor

from deixis.conversion.recipe import Move, Plan, Source
from deixis.conversion.shards import Header, opened
from deixis.errors import WeightsError
from deixis.models.configs.unipixel_config import RELEASED_TYPE, UniPixelConfig
from deixis.models.published.unipixel_keys import WORDS, check_whole, our_name
from deixis.models.published.unipixel_released import published_config
from deixis.models.released import BASES
from deixis.models.unipixel import UniPixelModel

FAMILY = "unipixel"
PARTS = ("",)
TOKENIZER = "tokenizer.json"
WORDS_OUT = "lm_head.weight"


def plan(source: Source, tower: Source | None) -> Plan:
    """Return where every tensor of a published UniPixel goes.

    Raises:
        WeightsError: another family, the checkpoint of a part, no tokenizer, tied words that
            differ, or a vision tower given, which UniPixel has inside.
        ConfigError: a config that makes no UniPixel.
    """
    values = source.config()
    _check_family(values, source)
    if tower is not None:
        raise WeightsError(
            f"{source.name}: expected no --vision-tower, since UniPixel has its own inside, "
            f"got {tower.name}. Leave it out."
        )
    headers = source.headers()
    config = published_config(source.folder, values)
    moves = [Move(name=n, header=h, target=our_name(n)) for n, h in headers.items()]
    check_whole({move.target for move in moves}, source.name)
    dropped = {}
    if config.tie_word_embeddings and (out := _one(moves, WORDS_OUT)) is not None:
        _check_tied(out, _one(moves, WORDS), source)
        moves.remove(out)
        dropped[out.name] = "equal to the embeddings, as config.json says"
    config.dtype = _main_dtype(values, headers)
    config.architectures = [UniPixelModel.__name__]
    return Plan(
        family=FAMILY,
        config=config,
        model=UniPixelModel,
        moves=tuple(moves),
        dropped=dropped,
        files={TOKENIZER: _tokenizer(source, config)},
        advice=_advice,
    )


def foresee(folder: Path, tower: bool) -> None:
    """Refuse what its small files alone show not to fit, before gigabytes are fetched.

    Raises:
        WeightsError: another family.
    """
    source = Source(name=folder.name, folder=folder)
    _check_family(source.config(), source)


def _check_family(values: Mapping[str, Any], source: Source) -> None:
    kind = str(values.get("model_type"))
    if kind == FAMILY:
        raise WeightsError(
            f"{source.name}: expected a published UniPixel, got one that is converted already. "
            f'Use it: deixis ask IMAGE "QUESTION" --model {source.name}.'
        )
    if kind != RELEASED_TYPE:
        advice = BASES.get(kind, "Give --family as the checkpoint is; see: deixis models.")
        raise WeightsError(
            f'{source.name}/config.json: expected model_type "{RELEASED_TYPE}", got "{kind}". '
            f"{advice}"
        )


def _one(moves: list[Move], target: str) -> Move | None:
    return next((move for move in moves if move.target == target), None)


def _values(move: Move) -> Tensor:
    with opened(move.header.shard) as read:
        return read(move.header.name)


def _check_tied(out: Move, words: Move | None, source: Source) -> None:
    if words is not None and not _values(out).equal(_values(words)):
        raise WeightsError(
            f"{source.name}: {out.name}: expected values equal to the embeddings, since "
            f"config.json ties them, got others. Check that all files are of one release."
        )


def _main_dtype(values: Mapping[str, Any], headers: Mapping[str, Header]) -> str:
    """Return the dtype that the config names, or that of the words."""
    named = values.get("torch_dtype") or values.get("dtype")
    words = next(header.dtype for name, header in headers.items() if our_name(name) == WORDS)
    return str(named or words).removeprefix("torch.")


def _tokenizer(source: Source, config: UniPixelConfig) -> bytes:
    """Return the tokenizer's file, after a look whether it belongs to the config."""
    path = source.folder / TOKENIZER
    if not path.is_file():
        raise WeightsError(
            f"{source.name}: expected {TOKENIZER}, got none. Copy it from the same checkpoint."
        )
    content = path.read_text(encoding="utf-8")
    try:
        json.loads(content)
    except ValueError as error:
        raise WeightsError(f"{path}: expected JSON, got: {error}. Copy the file again.") from error
    tokenizer = Tokenizer.from_str(content)
    for name in ("ref", "seg", "mem"):
        got, wanted = tokenizer.token_to_id(f"<|{name}|>"), getattr(config, f"{name}_token_id")
        if got != wanted:
            raise WeightsError(
                f"{source.name}/{TOKENIZER}: expected <|{name}|> with id {wanted} of config.json, "
                f"got {got}. Take tokenizer and config of one checkpoint."
            )
    return content.encode()


def _advice(missing: list[str], extra: list[str], found: list[str]) -> str:
    """Say what was probably given in place of UniPixel, and what to give."""
    if any("lora_" in name or name.startswith("base_model.") for name in found):
        return "This is LoRA beside its base; merge it first and give what was merged."
    return "Fetch the checkpoint again, all shards of one release; see: deixis models."
