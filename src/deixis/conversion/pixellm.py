"""PixelLM: from the published layout (``hf_model/``, CLIP apart) to one folder of our own.

The layout and its traps: arXiv:2312.02228 and its released code and checkpoints.
"""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor

from deixis.conversion.recipe import Change, Move, Plan, Source
from deixis.conversion.shards import INDEXES, Header, opened, read_json
from deixis.errors import WeightsError
from deixis.models.configs.pixellm_config import published_config
from deixis.models.pixellm import PixelLM
from deixis.models.published.pixellm_keys import TOWER, is_dropped, our_key

FAMILY = "pixellm"
PARTS = ("", "hf_model")
ARCHITECTURE = "PixelLMForCausalLM"
CLIP = "openai/clip-vit-large-patch14-336"
CLIP_LARGE = {
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "patch_size": 14,
    "hidden_act": "quick_gelu",
}
PAPERS = ("tokenizer.model", "special_tokens_map.json", "tokenizer_config.json")
EMBEDDINGS = ("model.embed_tokens.weight", "lm_head.weight")
TABLE = "embeddings.position_embedding.weight"
NORM = "model.norm.weight"
LEAST_NORM = 0.1  # a trained final norm is near 1, the difference of two of them near 0
COMPUTED = "computed from the config"
TEXT_SIDE = r"text_model\..+|logit_scale|visual_projection\.weight|text_projection\.weight"
HEAD = "model.mask_decoder."
TWO_WAY = r"^pyramid\.(transformer\.\d+)"
MLPS = r"^pyramid\.(output_hypernetworks_mlps\.\d+|iou_prediction_head)"
WAY_BACK = (
    (r"^vision\.", TOWER),
    (r"^projector\.", "model.mm_projector."),
    (r"^pixel_projector\.", "model.out_mm_projector."),
    (r"^language\.", "model."),
    (r"^codebook\.project\.", "model.text_hidden_fcs.0."),
    (r"^neck\.", "model.image_feature_neck."),
    (r"^prompts\.", "model.prompt_encoder."),
    (TWO_WAY + r"\.layers\.(\d+)\.layer_norm", HEAD + r"\1.layers.\2.norm"),
    (TWO_WAY + r"\.layer_norm_final_attn", HEAD + r"\1.norm_final_attn"),
    (MLPS + r"\.proj_in", HEAD + r"\1.layers.0"),
    (MLPS + r"\.layers\.0", HEAD + r"\1.layers.1"),
    (MLPS + r"\.proj_out", HEAD + r"\1.layers.2"),
    (r"^pyramid\.", HEAD),
)
FETCH = f"Give --vision-tower {CLIP}, or a folder with its config.json and weights."


def plan(source: Source, tower: Source | None) -> Plan:
    """Return where every tensor of a published PixelLM goes.

    Raises:
        WeightsError: another family, no vision tower, a tokenizer that does not belong to the
            weights, or weights that are no merged PixelLM.
        ConfigError: a config that makes no PixelLM.
    """
    values = source.config()
    _check_family(values, source)
    headers = source.headers()
    tokens = read_added_tokens(source)
    _check_tokens(values, tokens, headers, source)
    own = {name for name in headers if name.startswith(TOWER)}
    outside = _tower_headers(tower) if tower else {}
    clip = _clip_config(values, tower, headers, source, bool(own or outside))
    mlp = headers.get("model.mask_decoder.transformer.0.layers.0.mlp.lin1.weight")
    config = published_config(
        values, clip, added_tokens=tokens, **({"decoder_mlp_width": mlp.shape[0]} if mlp else {})
    )
    dropped = {name: COMPUTED for name in headers if is_dropped(name)}
    if outside:
        dropped |= dict.fromkeys(own, "replaced by --vision-tower")
    moves = [
        Move(name=name, header=header, target=our_key(name) or name)
        for name, header in headers.items()
        if name not in dropped
    ]
    more, unused = _tower_moves(outside)
    rows = config.grid**2 + 1
    moves = [_resized(move, rows, config.grid) for move in (*moves, *more)]
    config.dtype = _main_dtype(values, headers)
    config.architectures = [PixelLM.__name__]
    _check_merged(headers, source)
    return Plan(
        family=FAMILY,
        config=config,
        model=PixelLM,
        moves=tuple(moves),
        dropped={**dropped, **unused},
        files=_files(source, tokens),
        published=published_key,
        advice=_advice,
    )


def foresee(folder: Path, tower: bool) -> None:
    """Refuse what its small files alone show not to fit, before gigabytes are fetched.

    Raises:
        WeightsError: another family, or no vision tower anywhere.
    """
    source = Source(name=folder.name, folder=folder)
    values = source.config()
    _check_family(values, source)
    listed = [
        read_json(folder / name)["weight_map"] for name in INDEXES if (folder / name).is_file()
    ]
    if not tower and listed and not any(name.startswith(TOWER) for name in listed[0]):
        raise WeightsError(_no_tower(values, source))


def _no_tower(values: Mapping[str, Any], source: Source) -> str:
    named = values.get("mm_vision_tower") or CLIP
    return (
        f"{source.name}: expected the weights of the vision tower ({named}), which a published "
        f"PixelLM has apart, got none. {FETCH}"
    )


def published_key(ours: str) -> str:
    """Return the published name of one of our tensors: the way back of ``our_key``."""
    for pattern, name in WAY_BACK:
        if re.match(pattern, ours):
            return re.sub(pattern, name, ours, count=1)
    return ours


# -- what it is --------------------------------------------------------------------------------


def _check_family(values: Mapping[str, Any], source: Source) -> None:
    names = values.get("architectures") or [ARCHITECTURE]
    kind = str(values.get("model_type", "llava"))
    if ARCHITECTURE in names and kind == "llava":
        return
    if kind == FAMILY:
        raise WeightsError(
            f"{source.name}: expected a published PixelLM, got one that is converted already. "
            f'Use it: deixis ask IMAGE "QUESTION" --model {source.name}.'
        )
    got = ", ".join(map(str, names)) if ARCHITECTURE not in names else f"a {kind}"
    raise WeightsError(
        f'{source.name}/config.json: expected "{ARCHITECTURE}" of model_type "llava", got {got}. '
        f"{_other_family(got)}"
    )


def _other_family(got: str) -> str:
    if "Llava" in got:
        return "That is LLaVA, from which PixelLM was trained; give PixelLM's merged weights."
    return "Give --family as the checkpoint is; see: deixis models."


def read_added_tokens(source: Source) -> dict[str, int]:
    """Return the words that were added to the tokenizer and their ids, wherever they stand.

    Raises:
        WeightsError: no file says them.
    """
    folder = source.folder
    if (folder / "added_tokens.json").is_file():
        return {str(k): int(v) for k, v in read_json(folder / "added_tokens.json").items()}
    if (folder / "tokenizer_config.json").is_file():
        listed = read_json(folder / "tokenizer_config.json").get("added_tokens_decoder") or {}
        if listed:
            return {str(one["content"]): int(number) for number, one in listed.items()}
    raise WeightsError(
        f"{source.name}: expected added_tokens.json with [SEG0], [SEG1], ..., got none. "
        f"Copy the tokenizer's files of the same checkpoint."
    )


def _check_tokens(
    values: Mapping[str, Any],
    tokens: Mapping[str, int],
    headers: Mapping[str, Header],
    source: Source,
) -> None:
    """Check that tokenizer, config and embeddings are of one model."""
    group = {name: i for name, i in tokens.items() if re.fullmatch(r"\[SEG\d*\]", name)}
    for name, number in group.items():
        twins = [other for other, i in tokens.items() if i == number and other != name]
        if twins:
            raise WeightsError(
                f"{source.name}/added_tokens.json: expected an id of its own for every group "
                f"token, got {number} for {name} and {twins[0]}. The tokenizer was saved wrongly; "
                f"take added_tokens.json of the published checkpoint."
            )
    _check_group(values, group, source)
    named = set(tokens.values())
    for number in range(min(named), max(named)):
        if number not in named:
            raise WeightsError(
                f"{source.name}/added_tokens.json: expected a word for every id from {min(named)} "
                f"to {max(named)}, got none for {number}: a group would be too short. Take "
                f"added_tokens.json of the same checkpoint."
            )
    size = _tokenizer_size(source, tokens)
    for name in EMBEDDINGS:
        rows = headers[name].shape[0] if name in headers else size
        if rows != size:
            raise WeightsError(
                f"{source.name}: {name}: expected {size} rows, one per token of the tokenizer, "
                f"got {rows}. Take tokenizer and weights of the same checkpoint."
            )
    if values.get("vocab_size", size) != size:
        raise WeightsError(
            f"{source.name}/config.json: vocab_size: expected {size}, one per token of the "
            f"tokenizer, got {values['vocab_size']}. Take config and tokenizer of one checkpoint."
        )


def _check_group(values: Mapping[str, Any], group: Mapping[str, int], source: Source) -> None:
    levels = int(values.get("image_feature_scale_num", 2))
    per_level = values.get("seg_token_num")
    wanted = [f"[SEG{i}]" for i in range(len(group))] if len(group) != 1 else list(group)
    whole = bool(group) and len(group) % levels == 0 and all(name in group for name in wanted)
    if not whole or (per_level is not None and per_level * levels != len(group)):
        expected = f"{per_level} * {levels}" if per_level else f"a multiple of {levels}"
        raise WeightsError(
            f"{source.name}: group tokens: expected {expected} (tokens per level * levels), "
            f"numbered from [SEG0], got {len(group)}: {', '.join(sorted(group)) or 'none'}. "
            f"Take added_tokens.json of the same checkpoint, or correct seg_token_num."
        )


def _tokenizer_size(source: Source, tokens: Mapping[str, int]) -> int:
    from sentencepiece import SentencePieceProcessor

    path = source.folder / "tokenizer.model"
    if not path.is_file():
        raise WeightsError(
            f"{source.name}: expected tokenizer.model, got none. Copy it from the same checkpoint."
        )
    try:
        pieces = SentencePieceProcessor(model_file=str(path)).get_piece_size()
    except (RuntimeError, OSError) as error:
        raise WeightsError(
            f"{path}: expected a SentencePiece model, got: {error}. Copy the file again."
        ) from error
    return int(max(pieces, *(number + 1 for number in tokens.values())))


def _check_merged(headers: Mapping[str, Header], source: Source) -> None:
    """Refuse weights that are a difference to LLaMA's: their norms are near nought."""
    if NORM not in headers:
        return
    with opened(headers[NORM].shard) as read:
        size = float(read(NORM).float().abs().mean())
    if size < LEAST_NORM:
        raise WeightsError(
            f"{source.name}: {NORM}: expected values near 1, got {size:.3f} on average. "
            f"This is a delta; add LLaMA's weights to it first, or fetch merged ones: "
            f"deixis models."
        )


def _advice(missing: list[str], extra: list[str], found: list[str]) -> str:
    """Say what was probably given in place of PixelLM, and what to give."""
    if any("lora_" in name or name.startswith("base_model.") for name in found):
        return "This is LoRA beside its base; merge it first and give what was merged."
    if missing and all(name.startswith(TOWER) for name in missing):
        return f"The vision tower is not whole. {FETCH}"
    heads = ("model.mask_decoder.", "model.text_hidden_fcs.", "model.out_mm_projector.")
    if all(any(name.startswith(head) for name in missing) for head in heads):
        return (
            "These are weights of LLaVA (whole, or a delta to LLaMA), not the merged ones of "
            "PixelLM; fetch those: deixis models."
        )
    return "Fetch the checkpoint again, all shards of one release; see: deixis models."


# -- the vision tower --------------------------------------------------------------------------


def _tower_headers(tower: Source) -> dict[str, Header]:
    return {f"{tower.name}: {name}": header for name, header in tower.headers().items()}


def _clip_config(
    values: Mapping[str, Any],
    tower: Source | None,
    headers: Mapping[str, Header],
    source: Source,
    weights: bool,
) -> Mapping[str, Any]:
    """Return the vision config of the CLIP, or refuse: it is never made up."""
    if not weights:
        raise WeightsError(_no_tower(values, source))
    if tower is not None:
        given = tower.config()
        inner = given.get("vision_config", given)
        if not isinstance(inner, dict) or "clip" not in str(
            given.get("model_type", inner.get("model_type"))
        ):
            raise WeightsError(
                f"{tower.name}: expected a CLIP as the vision tower, got "
                f'"{given.get("model_type")}". {FETCH}'
            )
        return inner
    return _inner_clip(values, source) or _measured_clip(values, headers, source)


def _inner_clip(values: Mapping[str, Any], source: Source) -> Mapping[str, Any] | None:
    """Return the config of a tower within SOURCE: in its config.json, or in a file of its own."""
    for key in ("vision_config", "clip_vision_config", "mm_vision_tower_config"):
        if isinstance(values.get(key), dict):
            found: Mapping[str, Any] = values[key]
            return found
    folder = source.folder
    for path in sorted([*folder.glob("*.json"), *folder.glob("*/config.json")]):
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):  # not a config; what must be read is read elsewhere
            continue
        inner = found.get("vision_config", found) if isinstance(found, dict) else None
        if isinstance(inner, dict) and str(found.get("model_type")).startswith("clip"):
            return inner
    return None


def _measured_clip(
    values: Mapping[str, Any], headers: Mapping[str, Header], source: Source
) -> Mapping[str, Any]:
    """Return the config of a tower that lies in SOURCE without one: its shapes tell all but heads.

    Every CLIP that was published has heads of 64.
    """
    if values.get("mm_vision_tower") == CLIP:
        return CLIP_LARGE
    patches = headers.get(f"{TOWER}embeddings.patch_embedding.weight")
    inner = headers.get(f"{TOWER}encoder.layers.0.mlp.fc1.weight")
    width = patches.shape[0] if patches else 0
    if patches is None or inner is None or width % 64:
        raise WeightsError(
            f"{source.name}: expected the config of its vision tower, got none in config.json "
            f'("vision_config"). {FETCH}'
        )
    layers = {match[1] for name in headers if (match := re.search(r"encoder\.layers\.(\d+)", name))}
    return {
        "hidden_size": width,
        "intermediate_size": inner.shape[0],
        "num_hidden_layers": len(layers),
        "num_attention_heads": width // 64,
        "patch_size": patches.shape[-1],
        "hidden_act": "quick_gelu",
    }


def _tower_moves(outside: Mapping[str, Header]) -> tuple[list[Move], dict[str, str]]:
    """Return where the tensors of a CLIP go, and which are not needed."""
    moves: list[Move] = []
    unused: dict[str, str] = {}
    for label, header in outside.items():
        name = label.partition(": ")[2]
        inner = name.removeprefix("vision_model.")
        if re.fullmatch(TEXT_SIDE, name):
            unused[label] = "CLIP's text side"
        elif inner.endswith("position_ids"):
            unused[label] = COMPUTED
        else:
            moves.append(Move(name=label, header=header, target=our_key(TOWER + inner) or name))
    return moves, unused


def _resized(move: Move, rows: int, grid: int) -> Move:
    """Have a position table of another size resized as the released code does it."""
    if move.target != our_key(TOWER + TABLE) or move.header.shape[0] == rows:
        return move
    old, width = move.header.shape[0] - 1, move.header.shape[-1]
    if math.isqrt(old) ** 2 != old:
        return move
    from deixis.models.parts.pixellm_vision import resize_position_table

    apply: Any = partial(_resize, resize=resize_position_table, grid=grid)
    why = f"position table resized from {math.isqrt(old)} to {grid} patches a side"
    return replace(move, change=Change(why=why, apply=apply, shape=(rows, width)))


def _resize(table: Tensor, resize: Any, grid: int) -> Tensor:
    resized: Tensor = resize(table.float(), grid)
    return resized.to(table.dtype)


# -- the rest of the folder --------------------------------------------------------------------


def _main_dtype(values: Mapping[str, Any], headers: Mapping[str, Header]) -> str:
    """Return the dtype that the config names, or the one that most of the weights have."""
    named = values.get("torch_dtype") or values.get("dtype")
    if named:
        return str(named)
    sizes: dict[str, int] = {}
    for header in headers.values():
        sizes[header.dtype] = sizes.get(header.dtype, 0) + math.prod(header.shape)
    return max(sizes, key=lambda dtype: sizes[dtype])


def _files(source: Source, tokens: Mapping[str, int]) -> dict[str, bytes]:
    """Return the tokenizer's files, the added tokens among them in one form."""
    found = {n: source.folder / n for n in PAPERS if (source.folder / n).is_file()}
    files = {name: path.read_bytes() for name, path in found.items()}
    return {**files, "added_tokens.json": json.dumps(dict(tokens), indent=2).encode()}
