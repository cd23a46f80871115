"""PRIMA: from its release, or from GLaMM and InstructBLIP, where its training began.

The release's tensor names could not be read when this was written, so that nothing here trusts
them further than the table of ``models/published/prima_keys.py``; sizes are measured on the
tensors.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from deixis.conversion.recipe import Change, Move, Plan, Source
from deixis.conversion.shards import Header, opened, read_json
from deixis.errors import WeightsError
from deixis.models.configs.prima_config import PrimaConfig
from deixis.models.prima import PrimaModel
from deixis.models.published.prima_keys import Piece, Shape, explained
from deixis.models.published.prima_leftover import tell_square
from deixis.models.published.prima_measured import measured_config
from deixis.processing.lessons.prima_training import asker_of
from deixis.processing.prima import ASKER
from deixis.processing.words.prima_words import SPECIAL

FAMILY = "prima"
PARTS = ("",)
UNKNOWN = "unknown: no part of the model reads it"
NOT_OURS = "not taken from this of the two checkpoints"
PAPERS = ("tokenizer.model", "special_tokens_map.json", "tokenizer_config.json")
ASKERS = ("qformer_tokenizer/vocab.txt", "bert-base-uncased/vocab.txt", "vocab.txt")
FROM_TOWER = ("vision.", "qformer.", "projection.", "relation.queries")
BEGUN = "begun anew: R ~ N(0, 0.02^2), attention copied from the Q-Former's first, R' silent"
OTHERS = ("PixelLM", "UniPixel", "LISA")
SEED = 27  # the published training's
CROSS = "qformer.encoder.layer.0.crossattention."


def plan(source: Source, tower: Source | None) -> Plan:
    """Return where every tensor goes.

    Args:
        source: a released PRIMA; or GLaMM-FullScope, with
        tower: InstructBLIP (Vicuna-7B), from which vision, Q-Former and projection are taken.

    Raises:
        WeightsError: tensors that are missing or cannot be told apart, or no tokenizers.
    """
    values = source.config()
    outside = {f"{tower.name}: {n}": h for n, h in tower.headers().items()} if tower else {}
    foresee(source.folder, tower is not None)
    headers = source.headers()
    _check_published(headers, source)
    resolved = resolve(values, headers, source.name, outside)
    config, tokens = resolved.config, _added_tokens(source)
    _place_tokens(config, tokens, source)
    config.dtype = str(values.get("torch_dtype") or values.get("dtype") or "bfloat16")
    config.architectures = [PrimaModel.__name__]
    return Plan(
        family=FAMILY,
        config=config,
        model=PrimaModel,
        moves=resolved.moves(_lora_scale(source, values)),
        dropped=resolved.dropped,
        files=_files(source, tower, tokens),
        advice=_advice,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """Where the tensors of a release go.

    Attributes:
        pieces: what fills our tensors, by our names.
        dropped: tensors that are not used, and why.
        headers: all tensors of the release, those of another checkpoint with its name before.
    """

    config: PrimaConfig
    pieces: dict[str, Piece]
    dropped: dict[str, str]
    headers: Mapping[str, Header]

    def moves(self, scale: float) -> tuple[Move, ...]:
        """Return what is read and written; ``scale`` is alpha / r of LoRA beside its base."""
        return tuple(_move(piece, self.headers, scale) for piece in self.pieces.values())


def resolve(
    values: Mapping[str, Any],
    own: Mapping[str, Header],
    where: str,
    outside: Mapping[str, Header] | None = None,
) -> Resolved:
    """Find out what every tensor is, by names and shapes alone.

    Args:
        values: of the released config.
        own: its tensors.
        where: its name, for errors.
        outside: the tensors of InstructBLIP, for GLaMM's.

    Raises:
        WeightsError: tensors that are missing or cannot be told apart.
    """
    headers = {**own, **(outside or {})}
    pieces, dropped = _pieces(own, where)
    if outside:
        pieces, dropped = _with_outside(own, pieces, dropped, outside)
    used = {name for piece in pieces.values() for name in piece.names}
    left = {n: h.shape for n, h in headers.items() if n not in dropped and n not in used}
    sizes = {target: _shape_of(piece, headers) for target, piece in pieces.items()}
    config = measured_config(values, sizes, left, where)
    qformer = config.qformer_config.hidden_size
    widths = qformer, config.vision_config.hidden_size, config.text_config.hidden_size
    told, unknown, layers = tell_square(
        left, where, count=config.num_queries, widths=widths, known="relation.queries" in pieces
    )
    pieces |= told
    if layers:
        config.relation_layers = layers
        config.relation_norm = "relation.relation.layers.0.norm.weight" in pieces
    elif outside:
        pieces |= _begun(config, pieces)
    else:
        config.relation = "none"
    dropped |= dict.fromkeys(unknown, UNKNOWN)
    return Resolved(config=config, pieces=pieces, dropped=dropped, headers=headers)


def foresee(folder: Path, tower: bool) -> None:
    """Refuse what its small files alone show not to fit.

    Raises:
        WeightsError: a checkpoint of another family.
    """
    named = str(read_json(folder / "config.json").get("architectures") or "")
    other = next((name for name in OTHERS if name.lower() in named.lower()), None)
    if other:
        raise WeightsError(
            f"{folder.name}: expected a published PRIMA, or GLaMM, got {other}. Give --family as "
            f"the checkpoint is; see: deixis models."
        )


def _check_published(headers: Mapping[str, Header], source: Source) -> None:
    if any(name.startswith("vision.eva.") for name in headers):
        raise WeightsError(
            f"{source.name}: expected a published PRIMA, got one that is converted already. "
            f'Use it: deixis ask IMAGE "QUESTION" --model {source.name}.'
        )


# -- which tensor is what ----------------------------------------------------------------------


def _pieces(headers: Mapping[str, Header], where: str) -> tuple[dict[str, Piece], dict[str, str]]:
    """Return what the table explains, and what is dropped and why."""
    pieces, dropped, _, twice = explained(headers)
    for target, names in twice.items():
        shown = ", ".join(f"{name} {headers[name].shape}" for name in names)
        raise WeightsError(
            f"{where}: {target}: expected one tensor, got {shown}. Keep the weights of one "
            f"release only."
        )
    return pieces, dropped


def _with_outside(
    own: Mapping[str, Header],
    pieces: Mapping[str, Piece],
    dropped: Mapping[str, str],
    outside: Mapping[str, Header],
) -> tuple[dict[str, Piece], dict[str, str]]:
    """Take InstructBLIP's vision, Q-Former, queries and projection, and the rest from GLaMM."""
    labels = {header.name: label for label, header in outside.items()}
    theirs, unused = _pieces({header.name: header for header in outside.values()}, "InstructBLIP")
    taken = {
        target: replace(piece, names=tuple(labels[name] for name in piece.names))
        for target, piece in theirs.items()
        if target.startswith(FROM_TOWER)
    }
    kept = {target: piece for target, piece in pieces.items() if not target.startswith(FROM_TOWER)}
    used = {name for piece in (*kept.values(), *taken.values()) for name in piece.names}
    reasons = {**dropped, **{labels[name]: reason for name, reason in unused.items()}}
    more = [name for name in (*own, *outside) if name not in used and name not in reasons]
    return {**kept, **taken}, {**reasons, **dict.fromkeys(more, NOT_OURS)}


def _begun(config: PrimaConfig, pieces: Mapping[str, Piece]) -> dict[str, Piece]:
    """Return the pieces of a relation that no checkpoint has yet (specification 2.3)."""
    layer = "relation.relation.layers.0.attention."
    begun = {"relation.relation.queries": ("relation.queries", "normal")}
    for what in ("weight", "bias"):
        for role in ("query", "key", "value"):
            begun[f"{layer}{role}.{what}"] = (f"{CROSS}attention.{role}.{what}", "begun")
        begun[f"{layer}output.{what}"] = (f"{CROSS}output.dense.{what}", "nought")
    config.relation_heads = config.qformer_config.num_attention_heads
    return {
        target: Piece(target=target, names=pieces[name].names, how=how)
        for target, (name, how) in begun.items()
        if name in pieces
    }


# -- what is done to it ------------------------------------------------------------------------


def _shape_of(piece: Piece, headers: Mapping[str, Header]) -> Shape:
    shape = headers[piece.names[0]].shape
    if piece.how in ("queries", "normal"):
        return shape[-2:]
    if piece.how == "qkv_bias":
        return (3 * shape[0],)
    if piece.how.startswith("third:"):
        return (shape[0] // 3, *shape[1:])
    if piece.how == "zeros":
        return shape[:1]
    return shape


def _move(piece: Piece, headers: Mapping[str, Header], scale: float) -> Move:
    """Return what is read and what becomes of it."""
    names = piece.names
    first, rest = headers[names[0]], tuple(headers[name] for name in names[1:])
    shape = _shape_of(piece, headers)
    changes: dict[str, tuple[str, Callable[[Tensor], Tensor]]] = {
        "queries": ("one axis less", lambda value: value.reshape(shape)),
        "qkv_bias": (f"q and v bias of {', '.join(names)} with zeros between",
                     partial(_qkv_bias, rest=rest)),
        "lora": (f"W + {scale:g} B A of {', '.join(names)}",
                 partial(_merged, rest=rest, scale=scale)),
        "zeros": ("zeros: the published layer has no bias", partial(_zeros, shape=shape)),
        "begun": (BEGUN, torch.clone),
        "nought": (BEGUN, torch.zeros_like),
        "normal": (BEGUN, _normal),
    }  # fmt: skip
    change = None
    if piece.how.startswith("third:"):
        part = int(piece.how.removeprefix("third:"))
        change = Change(why=f"third {part + 1} of 3", apply=partial(_third, part=part), shape=shape)
    elif piece.how in changes and (piece.how != "queries" or shape != first.shape):
        why, apply = changes[piece.how]
        change = Change(why=why, apply=apply, shape=shape)
    return Move(name=names[0], header=first, target=piece.target, change=change)


def _read(header: Header) -> Tensor:
    with opened(header.shard) as read:
        return read(header.name)


def _qkv_bias(query: Tensor, rest: tuple[Header, ...]) -> Tensor:
    value = _read(rest[0])
    return torch.cat([query, torch.zeros_like(query), value])


def _merged(weight: Tensor, rest: tuple[Header, ...], scale: float) -> Tensor:
    """Return W + scale B A, multiplied in float32."""
    down, up = (_read(header).float() for header in rest)
    return (weight.float() + scale * (up @ down)).to(weight.dtype)


def _zeros(weight: Tensor, shape: Shape) -> Tensor:
    return weight.new_zeros(shape)


def _third(value: Tensor, part: int) -> Tensor:
    return value.chunk(3)[part].contiguous()


def _normal(like: Tensor) -> Tensor:
    generator = torch.Generator().manual_seed(SEED)
    drawn = torch.randn(like.shape[-2:], generator=generator) * 0.02
    return drawn.to(like.dtype)


def _lora_scale(source: Source, values: Mapping[str, Any]) -> float:
    """Return alpha / r: as an adapter's config says, else the config, else the published 16 / 8."""
    path = source.folder / "adapter_config.json"
    said = read_json(path) if path.is_file() else values
    rank = said.get("r") or said.get("lora_r") or 8
    return float(said.get("lora_alpha") or 16) / float(rank)


# -- the rest of the folder --------------------------------------------------------------------


def _added_tokens(source: Source) -> dict[str, int]:
    folder = source.folder
    if (folder / "added_tokens.json").is_file():
        return {str(k): int(v) for k, v in read_json(folder / "added_tokens.json").items()}
    if (folder / "tokenizer_config.json").is_file():
        listed = read_json(folder / "tokenizer_config.json").get("added_tokens_decoder") or {}
        found = {str(one["content"]): int(number) for number, one in listed.items()}
        if found:
            return {k: v for k, v in found.items() if k not in ("<unk>", "<s>", "</s>")}
    raise WeightsError(
        f"{source.name}: expected added_tokens.json with [SEG], <p>, </p>, <im_start> and "
        f"<im_end>, got none. Copy the tokenizer's files of the same checkpoint."
    )


def _place_tokens(config: PrimaConfig, tokens: Mapping[str, int], source: Source) -> None:
    missing = [name for name in SPECIAL if name not in tokens]
    if missing:
        raise WeightsError(
            f"{source.name}: added tokens: expected {', '.join(SPECIAL)}, got none for "
            f"{', '.join(missing)}. Copy the tokenizer's files of the same checkpoint."
        )
    for name, key in SPECIAL.items():
        setattr(config, key, tokens[name])


def _files(source: Source, tower: Source | None, tokens: Mapping[str, int]) -> dict[str, bytes]:
    """Return both tokenizers' files."""
    if not (source.folder / "tokenizer.model").is_file():
        raise WeightsError(
            f"{source.name}: expected tokenizer.model, got none. Copy it from the same checkpoint."
        )
    found = {name: source.folder / name for name in PAPERS if (source.folder / name).is_file()}
    files = {name: path.read_bytes() for name, path in found.items()}
    asker = _asker(source, tower)
    return {**files, "added_tokens.json": json.dumps(dict(tokens)).encode(), ASKER: asker}


def _asker(source: Source, tower: Source | None) -> bytes:
    """Return the Q-Former's tokenizer, made of BERT's list of words wherever it lies."""
    folders = [one.folder for one in (source, tower) if one is not None]
    for folder in folders:
        if (folder / ASKER).is_file():
            return (folder / ASKER).read_bytes()
        for name in ASKERS:
            if (folder / name).is_file():
                words = (folder / name).read_text(encoding="utf-8").splitlines()
                vocabulary = {word: number for number, word in enumerate(words)}
                return asker_of(vocabulary).to_str().encode()
    raise WeightsError(
        f"{source.name}: expected the words of the Q-Former (vocab.txt of bert-base-uncased), got "
        f"none. Put it beside the weights as qformer_tokenizer/vocab.txt."
    )


def _advice(missing: list[str], extra: list[str], found: list[str]) -> str:
    """Say what was probably given."""
    vision = [name for name in missing if name.startswith(("vision.", "qformer."))]
    if vision and len(vision) == len([n for n in missing if not re.match("relation|projec", n)]):
        return "This is GLaMM without the vision part; add --vision-tower INSTRUCTBLIP."
    return "Give the checkpoint of one release, whole; see: deixis models."
