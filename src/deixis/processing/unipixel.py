"""Samples <-> tensors for UniPixel: ``encode`` walks the road forward, ``decode`` back.

A sample shows one picture or one clip. Some frames of a clip are read, all are drawn.

Shapes: T frames, t h w merged cells, O objects, S side of SAM's canvas.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from deixis.errors import DataError, WeightsError
from deixis.processing.batches.unipixel_batch import RefPrompts
from deixis.processing.frames.unipixel_frames import (
    MERGED,
    most_pixels,
    mrope_positions,
    pair_masks,
    patchify,
    resize_frames,
    restore,
    sam_frames,
    sam_masks,
    sample_with,
    smart_resize,
    touched_cells,
    whole_if_empty,
)
from deixis.processing.words.concluding import conclusion
from deixis.processing.words.unipixel_text import (
    CLIP_BEGIN,
    CLIP_END,
    CLIP_PAD,
    END,
    SYSTEM,
    TURN,
)
from deixis.processing.words.unipixel_words import UniPixelVocabulary, protect, token_ids
from deixis.structures.answers import GroundedAnswer, Target, kept_logits
from deixis.structures.images import ImageSet
from deixis.structures.logits import MaskLogits, Step
from deixis.structures.masks import Mask
from deixis.structures.prompts import Box, Point, Prompt, Region
from deixis.structures.samples import Sample

CHUNK = 4  # frames that SAM looks at together
SECONDS = 1.0  # that a pair of frames stands for, whatever the clip's speed, as published


@dataclass(frozen=True, kw_only=True, slots=True)
class ClipView:
    """What the language decoder is shown of a clip.

    Attributes:
        read: frames that it reads.
        patches, grid: their patches and (t, h, w) of these.
        head: (N,) ids of the conversation up to the end of the clip.
        positions: (3, 1, N).
    """

    read: tuple[int, ...]
    patches: Tensor
    grid: tuple[int, int, int]
    head: Tensor
    positions: Tensor

    @property
    def cells(self) -> tuple[int, int]:
        """(h, w) merged cells of a frame."""
        return self.grid[1] // 2, self.grid[2] // 2


class UniPixelProcessor:
    """Knows the words and the sizes of one model.

    Args:
        config: of the model.
        vocabulary: its tokenizer.

    Raises:
        WeightsError: a tokenizer that does not belong to the config.
    """

    def __init__(self, config: Any, vocabulary: UniPixelVocabulary) -> None:
        wanted = {name: getattr(config, name) for name in token_ids(vocabulary)}
        got, most = token_ids(vocabulary), config.text_config.vocab_size
        if got != wanted or len(vocabulary) > most:
            raise WeightsError(
                f"tokenizer: expected at most {most} tokens and the ids {wanted} of config.json, "
                f"got {len(vocabulary)} and {got}. Take tokenizer and config of one model."
            )
        self.config = config
        self.vocabulary = vocabulary
        self.keeps_logits = False  # whether answers bring what was drawn in the first frame

    @classmethod
    def from_texts(cls, config: Any, texts: Sequence[str]) -> "UniPixelProcessor":
        """Train a tokenizer on texts and complete the config with its ids."""
        vocabulary = UniPixelVocabulary.train(texts, config.text_config.vocab_size)
        for name, value in token_ids(vocabulary).items():
            setattr(config, name, value)
        config.text_config.eos_token_id = vocabulary.end
        return cls(config, vocabulary)

    @classmethod
    def from_pretrained(cls, folder: str | Path, config: Any) -> "UniPixelProcessor":
        """Read ``tokenizer.json`` of a model folder.

        Raises:
            WeightsError: the file is missing, broken, or of another model.
        """
        return cls(config, UniPixelVocabulary.load(Path(folder)))

    def save_pretrained(self, folder: str | Path) -> None:
        """Write ``tokenizer.json``."""
        self.vocabulary.save(Path(folder))

    # -- forward ---------------------------------------------------------------------------------

    def frames_read(self, images: ImageSet, keep: Sequence[int] = ()) -> tuple[int, ...]:
        """Return which frames of a clip are read, those of ``keep`` among them.

        Raises:
            DataError: several images, or more frames to keep than are read.
        """
        check_images(images)
        return tuple(sample_with(len(images), keep, self.config.read_frames))

    def view(self, images: ImageSet, keep: Sequence[int] = ()) -> ClipView:
        """Return what is read of a picture or a clip; frames of ``keep`` are among it.

        Raises:
            DataError: several images, or one too long for its width.
        """
        return self.view_of(images, self.frames_read(images, keep))

    def view_of(self, images: ImageSet, read: Sequence[int]) -> ClipView:
        """Return what is read of a picture or a clip whose frames to read are known.

        Raises:
            DataError: an image too long for its width.
        """
        height, width = images[read[0]].size
        least = self.config.least_cells * MERGED**2
        size = smart_resize(height, width, least, most_pixels(len(read)))
        frames = [resize_frames(images[index].pixels[None], size)[0] for index in read]
        frames += frames[-1:] * (len(frames) % 2)
        patches, grid = patchify(np.stack(frames))
        count = grid[0] * grid[1] * grid[2] // 4
        text = f"{TURN}system\n{SYSTEM}{END}\n{TURN}user\n{CLIP_BEGIN}{CLIP_PAD * count}{CLIP_END}"
        head = torch.tensor(self.vocabulary.encode(text))
        vision = self.config.vision_config
        positions, _ = mrope_positions(
            head[None],
            torch.ones(1, len(head), dtype=torch.bool),
            torch.tensor([grid]),
            video_token=self.config.video_token_id,
            step=vision.tokens_per_second * SECONDS,
        )
        return ClipView(
            read=tuple(read), patches=patches, grid=grid, head=head, positions=positions
        )

    def question(self, text: str) -> list[int]:
        """Return the ids of a question, after its clip, up to where the answer begins."""
        return self.vocabulary.encode(f"{text}{END}\n{TURN}assistant\n")

    def typed(self, text: str) -> str:
        """Return what a person typed, with nothing in it that is read as a slot."""
        return protect(text)

    def frames(self, images: ImageSet, wanted: Sequence[int] | None = None) -> Iterator[Tensor]:
        """Yield all frames of a clip, or those wanted, as SAM reads them, a few (n, 3, S, S) at a
        time."""
        side = self.config.sam_config.image_size
        indices = range(len(images)) if wanted is None else wanted
        for start in range(0, len(indices), CHUNK):
            some = [images[index].pixels for index in indices[start : start + CHUNK]]
            yield torch.cat([sam_frames(pixels[None], side) for pixels in some])

    def canvas_mask(self, mask: Mask) -> Tensor:
        """Return (S, S), a mask as 0 and 1 on SAM's canvas; what is too thin for it stays whole."""
        side = self.config.sam_config.image_size
        whole = torch.from_numpy(mask.pixels)[None, None]  # (1, 1, H, W)
        small = F.interpolate(whole.float(), (side, side), mode="bilinear", antialias=True)
        inside = small[0, 0] >= 0.5
        return (inside if inside.any() else sam_masks(whole, side)[0, 0]).float()

    def prompts(
        self, prompts: Sequence[Point | Box], images: ImageSet, view: ClipView
    ) -> RefPrompts:
        """Return points and boxes in pixels of SAM's canvas, in the order given."""
        side = self.config.sam_config.image_size
        last = 2 * view.grid[0] - 1
        return RefPrompts(
            coords=torch.tensor(
                [canvas_corners(p, images[p.image].size, side) for p in prompts]
            ).reshape(-1, 2, 2),
            is_box=torch.tensor([isinstance(p, Box) for p in prompts], dtype=torch.bool),
            time=torch.tensor([view.read.index(p.image) / last for p in prompts]),
        )

    def regions(
        self, objects: Mapping[int, Mapping[int, Mask]], images: ImageSet, view: ClipView
    ) -> Tensor:
        """Return (t, O, h, w) bool: which cells the masks of each object touch.

        Args:
            objects: id -> frame -> mask; one that shows nowhere counts as everywhere.
        """
        masks = torch.zeros(len(view.read), len(objects), *images[view.read[0]].size).bool()
        for index, shown in enumerate(objects.values()):
            for place, frame in enumerate(view.read):
                if frame in shown:
                    masks[place, index] = torch.from_numpy(shown[frame].pixels)
        return touched_cells(pair_masks(whole_if_empty(masks)), view.cells, MERGED)

    # -- backward --------------------------------------------------------------------------------

    def mask(self, logits: Tensor, size: tuple[int, int]) -> Mask:
        """Return one mask at the size of its frame, of SAM's logits (h, w)."""
        return Mask((restore(logits[None], size)[0] > 0).cpu().numpy())

    def small_logits(self, logits: Tensor, size: tuple[int, int]) -> MaskLogits:
        """Return SAM's logits (h, w) of one mask with their way to a frame, as `mask` goes."""
        height, width = logits.shape
        values = logits.detach().float().cpu().numpy()
        return MaskLogits(values=values, steps=(Step(extent=(height, width), size=size),))

    def text(self, ids: Sequence[int]) -> str:
        """Return what a person reads of an answer, whole or begun."""
        return self.vocabulary.read(ids).text

    def decode(self, ids: Sequence[int], targets: Sequence[Target]) -> GroundedAnswer:
        """Join what was written with what was drawn, one target per <seg>."""
        said = self.vocabulary.read(ids)
        named = [
            Target(
                phrase=said.text[a:b],
                masks=target.masks,
                object_id=target.object_id,
                score=target.score if target.masks else None,
                presence=target.presence,
            )
            for target, (a, b) in zip(targets, said.names, strict=True)
        ]
        there = [(t, span) for t, span in zip(named, said.names, strict=True) if t.masks]
        return GroundedAnswer(
            text=said.text,
            targets=tuple(t for t, _ in there),
            spans=tuple(span for _, span in there),
            conclusion=conclusion(said.text),
            absent=tuple(t for t in named if not t.masks),
            drawn=tuple(bool(t.masks) for t in named),
            logits=kept_logits(targets),
        )


def canvas_corners(prompt: Point | Box, size: tuple[int, int], side: int) -> list[list[float]]:
    """Return the corners (x, y) of a box on SAM's canvas: its first and last pixel inside.

    A point comes twice. The picture is of ``size`` (height, width).
    """
    height, width = size
    across, down = side / width, side / height
    if isinstance(prompt, Box):
        return [
            [prompt.x0 * across, prompt.y0 * down],
            [prompt.x1 * across - 1, prompt.y1 * down - 1],
        ]
    return [[prompt.x * across - 0.5, prompt.y * down - 0.5]] * 2


def check_images(images: ImageSet) -> None:
    """Refuse more than one picture or clip.

    Raises:
        DataError: several images, or frames of different size.
    """
    if len(images.lengths) != 1:
        raise DataError(
            f"images: expected one picture or clip for UniPixel, got {len(images.lengths)}. "
            f"Ask about each alone, or use a model that relates images."
        )
    if len({frame.size for frame in images}) > 1:
        raise DataError(
            "clip: expected frames of one size, got several. Resize them, or give them as pictures."
        )


def pointing(sample: Sample) -> tuple[list[Point | Box], dict[int, dict[int, Mask]]]:
    """Return a sample's points and boxes, and the masks of its regions: id -> frame -> mask.

    Prompts without an id are numbered after the highest that is there.
    """
    prompts: Sequence[Prompt] = sample.question.prompts
    free = max([0, *(p.object_id or 0 for p in prompts)])
    sparse: list[Point | Box] = []
    regions: dict[int, dict[int, Mask]] = {}
    for prompt in prompts:
        number = prompt.object_id
        if number is None:
            free = number = free + 1
        if isinstance(prompt, Region):
            shown = regions.setdefault(number, {})
            known = shown.get(prompt.image)
            shown[prompt.image] = known.joined(prompt.mask) if known else prompt.mask
        else:
            sparse.append(replace(prompt, object_id=number))
    return sparse, regions
