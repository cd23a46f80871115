"""What PRIMA's runs on our scenes are made of: a stage 0 that stands in for pre-trained bases,
and the published stage after it.

Stage 0 first teaches EVA and SAM's encoder what every cell shows (``prima_dense``), then lets
everything learn from answers; LoRA and the dense heads are there from the start and leave the
published model: the first merged, the second dropped.

Shapes: F frames, H W pixels, P patches, C width, h w cells.
"""

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from deixis.config import TrainRun
from deixis.models.configs.deixis_config import scene_words
from deixis.models.prima import PRESETS, PrimaConfig, PrimaModel
from deixis.nn.cells import cell_cross_entropy, read_cells
from deixis.processing.batch import moved
from deixis.processing.frames.prima_pixels import eva_pixels, sam_pixels
from deixis.processing.prima import PrimaProcessor
from deixis.scenes.questions import Scene
from deixis.structures.images import Frame
from deixis.training.objective import DenseObjective, dense_batch
from deixis.training.prima.prima_objective import PrimaObjective, prepare_published_stage
from deixis.training.recipes import READ_QUESTIONS, scene_of, scene_texts
from deixis.training.running.adapters import merge_adapters
from deixis.training.running.beginning import begin
from deixis.training.running.feeding import Workshop

TAUGHT = ("refer", "many", "multi", "absent", "plain")  # tasks without prompts and clips
JUDGED = ("refer", "many", "multi-words", "absent", "plain", "compose")
READ_SCENES = 80  # of each task, whose words the tokenizers are trained on
WORDS: Mapping[str, int] = {kind: len(names) for kind, names in scene_words().items()}


def prima_workshop() -> Workshop:
    """Return the workshop of PRIMA on our own scenes."""
    return Workshop(
        build=build_model,
        objectives={"prima": PrimaObjective, "prima_dense": PrimaDense},
        scene=scene_of,
        tasks=TAUGHT,
        judged=JUDGED,
        publish=publish,
    )


def build_model(run: TrainRun, folder: Path) -> tuple[PrimaModel, PrimaProcessor]:
    """Build the preset that a run names, or open the folder of a PRIMA, and make it ready to
    learn: LoRA beside q and v, dense heads beside both encoders.

    Raises:
        ConfigError: an unknown preset or config key, or overrides of a folder's config.
    """
    model, processor = begin(run, folder / "last", "prima", PRESETS, texts)
    return ready(model), processor


def ready(model: PrimaModel) -> PrimaModel:
    """Add what only training needs: LoRA and the dense heads."""
    prepare_published_stage(model)
    config: Any = model.config
    model.teaching = Teaching(config)
    return model


def texts(config: PrimaConfig) -> Iterator[str]:
    """Yield questions and answers of every task that is taught, the same ones for every run."""
    for task in TAUGHT:
        yield from scene_texts(task, READ_SCENES, READ_QUESTIONS)


def publish(model: PreTrainedModel, folder: Path) -> None:
    """Write the model as it is used, LoRA merged and dense heads gone; the given one stays."""
    used: Any = copy.deepcopy(model)
    merge_adapters(used.language.model)
    used.teaching = None
    used.save_pretrained(folder)


# -- dense labels --------------------------------------------------------------------------------


class Teaching(nn.Module):
    """Says of every patch of EVA and every cell of SAM which word of each kind it shows."""

    def __init__(self, config: PrimaConfig) -> None:
        super().__init__()
        self.sizes = [1 + count for count in WORDS.values()]
        self.patches = nn.Linear(config.vision_config.hidden_size, sum(self.sizes))
        self.cells = nn.Conv2d(config.prompt_width, sum(self.sizes), 1)

    def of_patches(self, features: Tensor) -> dict[str, Tensor]:
        """Return logits (F, C, h, w) by kind of EVA's features (F, 1 + h * w, C)."""
        side = int((features.shape[1] - 1) ** 0.5)
        grid = self.patches(features[:, 1:]).unflatten(1, (side, side)).permute(0, 3, 1, 2)
        return dict(zip(WORDS, grid.split(self.sizes, 1), strict=True))

    def of_cells(self, features: Tensor) -> dict[str, Tensor]:
        """Return logits (F, C, h, w) by kind of SAM's features (F, C, h, w)."""
        return dict(zip(WORDS, self.cells(features).split(self.sizes, 1), strict=True))


@dataclass(frozen=True, kw_only=True, slots=True)
class PrimaViews:
    """Frames in both views, and what their pixels show.

    Attributes:
        pixels, canvas: (F, 3, side, side) of EVA and of SAM.
        words: kind -> (F, H, W) 1 + index of the word, 0 for none.
        extent: shares of SAM's canvas that the frames fill, height and width.
    """

    pixels: Tensor
    canvas: Tensor
    words: Mapping[str, Tensor]
    extent: tuple[float, float]

    def to(self, device: torch.device | str) -> "PrimaViews":
        """Return the views with their tensors on a device."""
        return moved(self, device)


class PrimaDense:
    """Teaches EVA and SAM's encoder, apart from each other, the words of every cell."""

    def __init__(self, processor: PrimaProcessor) -> None:
        self.config = processor.config
        shares = {kind: DenseObjective.weights[kind] for kind in WORDS}
        self.weights: Mapping[str, float] = {
            **{f"eva_{kind}": share for kind, share in shares.items()},
            **{f"sam_{kind}": share for kind, share in shares.items()},
        }

    def collate(self, scenes: Sequence[Scene]) -> PrimaViews:
        """Turn renderings into views and labels; all frames have one size."""
        dense = dense_batch(scenes, WORDS)
        frames = [Frame.from_array(pixels.numpy()) for pixels in dense.pixels.permute(0, 2, 3, 1)]
        canvas = self.config.sam_config.vision_config.image_size
        views = [sam_pixels(frame, canvas) for frame in frames]
        height, width = views[0][1].resized
        side = self.config.vision_config.image_size
        return PrimaViews(
            pixels=torch.stack([eva_pixels(frame, side) for frame in frames]),
            canvas=torch.stack([pixels for pixels, _ in views]),
            words=dense.words,
            extent=(height / canvas, width / canvas),
        )

    def __call__(self, model: Any, batch: PrimaViews) -> dict[str, Tensor]:
        look = model.look(batch.pixels, batch.canvas)
        seen = {
            "eva": (model.teaching.of_patches(look.vision), (1.0, 1.0)),
            "sam": (model.teaching.of_cells(look.masks), batch.extent),
        }
        parts = {}
        for eye, (logits, extent) in seen.items():
            for kind, ids in batch.words.items():
                grid = logits[kind].shape[2:]
                labels = read_cells(ids, (grid[0], grid[1]), extent)
                parts[f"{eye}_{kind}"] = cell_cross_entropy(logits[kind], labels)
        return {name: part * self.weights[name] for name, part in parts.items()}
