"""What PRIMA's training minimises (specification 2.9), and which of its parts learn (2.1).

Shapes: B rows, N tokens, M targets, h w mask cells, H W pixels of a frame, V vocabulary.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from deixis.config import Trained
from deixis.errors import DataError
from deixis.models.prima import PrimaModel
from deixis.nn.losses import bce_per_mask, dice_per_mask, info_nce
from deixis.processing.batch import Output
from deixis.processing.batches.prima_batch import PrimaBatch
from deixis.processing.frames.prima_pixels import sam_masks
from deixis.processing.prima import IGNORED, PrimaProcessor
from deixis.training.running.adapters import add_adapters

ADAPTERS = "language.*.lora_?.*"
MASK_DECODER = "decoding.sam.mask_decoder.*"
SECOND = ("relation.relation.*", "projection.*", "seg_head.*", ADAPTERS)  # as released
FIRST = ("vision.fuse.attention.*", ADAPTERS)  # the first version, with DINOv2


def published_parts(config: Any) -> list[Trained]:
    """Return patterns of exactly the parameters that the published stage trains.

    The second version trains the relational queries and attention, the projection, the [SEG]
    head, the mask decoder and LoRA; the first its attention to DINOv2, the mask decoder and LoRA.
    The global queries learn in both unless ``train_queries`` says no.
    """
    names = list(SECOND if config.dino_config is None else FIRST)
    if config.relation == "none":
        names = [name for name in names if name != "relation.relation.*"]
    asks = config.image_rows == "queries"
    names += ["relation.queries"] if config.train_queries and asks else []
    names += [MASK_DECODER] if config.train_mask_decoder else []
    return [Trained(name=name) for name in names]


def prepare_published_stage(model: PrimaModel) -> list[Trained]:
    """Add LoRA to the language decoder as published and return what learns beside it."""
    add_adapters(model.language.model)
    return published_parts(model.config)


class PrimaObjective:
    """Text, BCE and dice, weighted as published, and, where asked for, the alignment of targets
    that are one thing in different images."""

    def __init__(self, processor: PrimaProcessor) -> None:
        config = processor.config
        self.processor = processor
        self.weights: Mapping[str, float] = {
            "text": config.text_weight,
            "bce": config.bce_weight,
            "dice": config.dice_weight,
            "alignment": config.alignment_weight,
        }

    def collate(self, scenes: Sequence[Any]) -> Any:
        """Encode all questions about all scenes that do not point; PRIMA reads no prompts.

        Raises:
            DataError: every question points.
        """
        samples = [sample for scene in scenes for sample in readable(scene)]
        if not samples:
            raise DataError(
                "PRIMA: expected a question without points or boxes in every batch, got none. "
                "Raise sets or questions of the stage."
            )
        return self.processor.encode(samples, with_truth=True)

    def __call__(self, model: Any, batch: Any) -> dict[str, Tensor]:
        output: Output = model(batch)
        assert batch.truth is not None
        assert output.text_logits is not None
        bce, dice = mask_losses(output, batch)
        parts = {
            "text": text_loss(output.text_logits, batch.truth.labels),
            "bce": bce,
            "dice": dice,
        }
        if self.weights["alignment"]:
            temperature = model.config.alignment_temperature
            parts["alignment"] = alignment(output.extra, batch, temperature)
        return {name: part * self.weights[name] for name, part in parts.items()}


def readable(scene: Any) -> list[Any]:
    """Return the samples of a scene that PRIMA can be asked: it reads no prompts."""
    return [sample for sample in scene.samples if not sample.question.prompts]


def text_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the mean cross-entropy of all labelled tokens; logits (B, N, V) of labels (B, N)."""
    known = labels != IGNORED
    if not bool(known.any()):
        return logits.sum() * 0
    return F.cross_entropy(logits[known].float(), labels[known])


def mask_losses(output: Output, batch: PrimaBatch) -> tuple[Tensor, Tensor]:
    """Return BCE and dice, means over all masks of the batch, in the pixels of the originals."""
    assert batch.truth is not None
    if not len(output.frame):
        nothing = output.mask_logits.sum() * 0
        return nothing, nothing
    bce, dice = [], []
    rows = zip(output.mask_logits, output.frame.tolist(), batch.truth.masks, strict=True)
    for logits, frame, true in rows:
        whole = sam_masks(logits[None], batch.placements[frame])  # (1, H, W)
        bce.append(bce_per_mask(whole, true[None]))
        dice.append(dice_per_mask(whole, true[None]))
    return torch.cat(bce).mean(), torch.cat(dice).mean()


def alignment(prompts: Tensor, batch: PrimaBatch, temperature: float) -> Tensor:
    """Return the InfoNCE of the prompts (M, C): what is alike in other images of a row against
    all other targets of the row.

    No formula is public; this is ours. Targets of one image and number in one row (two masks of
    one phrase) are likes as well.
    """
    assert batch.truth is not None
    return info_nce(prompts, batch.truth.alike, temperature, within=batch.slots.row)
