"""The recorded UniPixel cases, with an account of what was fed in or compared.

Everything is read from the folder: sizes, ids, counts, weights. ``DEIXIS_GOLDENS`` names its
parent.
"""

import json
import os
import re
from functools import cache
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from deixis.models.configs.unipixel_config import UniPixelConfig
from deixis.models.published.unipixel_keys import our_tensors
from deixis.models.released import load_strictly
from deixis.models.unipixel import UniPixelModel
from deixis.processing.batches.unipixel_batch import RefPrompts, UniPixelBatch, UniPixelTruth
from deixis.processing.frames.unipixel_frames import mrope_positions, sam_frames

ROOT = Path(__file__).parents[2]
FOLDER = Path(os.environ.get("DEIXIS_GOLDENS", ROOT / "../shared/goldens")) / "unipixel"
USED: set[tuple[str, str]] = set()  # (case, tensor or value) that a check has taken


def read(name: str) -> Any:
    """Return a JSON file of the folder."""
    return json.loads((FOLDER / name).read_text(encoding="utf-8"))


class Case:
    """One recording: tensors, and values beside them."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.tensors = load_file(FOLDER / f"{name}.safetensors")
        self.meta = read(f"{name}.json")["meta"]

    def __getitem__(self, key: str) -> Tensor:
        USED.add((self.name, key))
        return self.tensors[key]

    def __contains__(self, key: str) -> bool:
        return key in self.tensors

    def value(self, key: str) -> Any:
        USED.add((self.name, f"meta.{key}"))
        return self.meta[key]

    def count(self, prefix: str) -> int:
        """Return how many numbered groups "prefix0.", "prefix1.", ... there are."""
        numbers = {
            int(m[1]) for k in self.tensors if (m := re.match(rf"{re.escape(prefix)}(\d+)\.", k))
        }
        assert numbers == set(range(len(numbers))), f"{prefix}: gaps in {sorted(numbers)}"
        return len(numbers)

    def close(self, key: str, got: Tensor, limit: float) -> None:
        """Compare by the README's measure: difference / largest absolute value of the tensor."""
        wanted, got = self[key], got.detach()
        assert got.shape == wanted.shape, f"{self.name} {key}: {got.shape}, not {wanted.shape}"
        scale = max(float(wanted.abs().max()), 1e-12) if wanted.numel() else 1.0
        error = float((got.double() - wanted.double()).abs().max()) / scale if got.numel() else 0
        assert error <= limit, f"{self.name} {key}: off by {error:.2e} of the largest value"

    def same(self, key: str, got: Tensor) -> None:
        """Compare whole numbers and booleans exactly."""
        wanted = self[key]
        assert got.shape == wanted.shape, f"{self.name} {key}: {got.shape}, not {wanted.shape}"
        assert torch.equal(got.to(wanted.dtype), wanted), f"{self.name} {key}: differs"

    def masks(self, key: str, got: Tensor) -> None:
        """Compare boolean masks: at most 0.05 % of the pixels may differ."""
        wanted = self[key]
        assert got.shape == wanted.shape, f"{self.name} {key}: {got.shape}, not {wanted.shape}"
        assert (got != wanted).float().mean() <= 5e-4, f"{self.name} {key}: pixels differ"


@cache
def case(name: str) -> Case:
    return Case(name)


class Tables:
    """The recorded tables."""

    def __init__(self) -> None:
        self.values = read("14_preprocess_tables.json")

    def all(self, name: str) -> Any:
        USED.add(("tables", name))
        return self.values[name]

    def rows(self, name: str) -> list[Any]:
        rows = self.all(name)["rows"]
        assert rows, f"{name}: no rows"
        return rows


@cache
def tables() -> Tables:
    return Tables()


@cache
def weights() -> dict[str, Tensor]:
    return load_file(FOLDER / "model.safetensors")


def config(**changes: Any) -> UniPixelConfig:
    """Return the folder's configuration."""
    own = UniPixelConfig.from_released(read("config.json"), read("sam2_config.json"))
    for name, value in changes.items():
        setattr(own, name, value)
    return own


def model(**changes: Any) -> UniPixelModel:
    """Return the published weights in our model; in evaluation mode."""
    own = config(**changes)
    built = UniPixelModel(own)
    tensors = our_tensors(weights(), "goldens", tied=own.tie_word_embeddings)
    load_strictly(built, tensors, FOLDER)
    return built.eval()


@cache
def reader() -> UniPixelModel:
    """Return one model for all cases that change nothing."""
    return model()


def prompts(source: Case, time: Tensor, prefix: str = "") -> RefPrompts:
    """Return the recorded points and boxes of one sample."""
    coords, is_box = [], []
    for index in range(source.count(f"{prefix}obj")):
        own = source[f"{prefix}obj{index}.coords"][0]
        labels = source[f"{prefix}obj{index}.labels"][0].tolist()
        is_box.append(len(own) == 2)
        assert labels == ([2, 3] if len(own) == 2 else [1])
        coords.append(own.expand(2, -1) if len(own) == 1 else own)
    return RefPrompts(
        coords=torch.stack(coords) if coords else torch.zeros(0, 2, 2),
        is_box=torch.tensor(is_box, dtype=torch.bool),
        time=time,
    )


def no_prompts() -> RefPrompts:
    nothing = torch.zeros(0)
    return RefPrompts(coords=torch.zeros(0, 2, 2), is_box=nothing.bool(), time=nothing)


def moments(frames: Tensor, grid: Tensor) -> Tensor:
    """Return frame indices as times in [0, 1] of a clip of whole pairs."""
    return frames.float() / (2 * int(grid[0]) - 1)


def batch(
    tokens: Tensor,
    patches: Tensor,
    grids: Tensor,
    clips: list[Tensor],
    sizes: list[tuple[int, int]],
    *,
    asked: RefPrompts | None = None,
    regions: list[Tensor | None] | None = None,
    truth: UniPixelTruth | None = None,
    seconds: float = 1.0,
) -> UniPixelBatch:
    """Return recorded inputs as our batch."""
    values = read("config.json")
    held = held_tokens(tokens)
    positions, _ = mrope_positions(
        tokens,
        held,
        grids,
        video_token=values["video_token_id"],
        step=values["vision_config"]["tokens_per_second"] * seconds,
    )
    return UniPixelBatch(
        tokens=tokens,
        held=held,
        positions=positions,
        patches=patches,
        grids=grids,
        clips=tuple(clips),
        sizes=tuple(sizes),
        prompts=asked or no_prompts(),
        regions=tuple(regions or [None] * len(grids)),
        truth=truth,
    )


def held_tokens(tokens: Tensor) -> Tensor:
    """Return which tokens are there: padding stands at the end of a row."""
    pad = read("config.json")["pad_token_id"]
    ends = (tokens != pad).int().flip(1).cumsum(1).flip(1)
    return ends > 0


def frames_of(source: Case) -> Tensor:
    """Return SAM's frames of a case; where they are recorded too, ours must equal them."""
    ours = sam_frames(source["raw_frames"], int(read("config.json")["sam2_image_size"]))
    if "frames" in source:
        source.close("frames", ours, 1e-5)
    return ours


def clip_batch(
    source: Case, vision: Case | None = None, tokens: str = "input_ids", **more: Any
) -> UniPixelBatch:
    """Return the batch of a case with one clip, whose pictures may lie in another case."""
    shown = vision or source
    clip = frames_of(shown)
    raw = shown["raw_frames"]
    return batch(
        source[tokens],
        shown["pixel_values_videos"],
        shown["video_grid_thw"],
        [clip],
        [(raw.shape[1], raw.shape[2])],
        **more,
    )
