"""UniPixel's pictures: frames and masks to what Qwen2.5-VL and SAM 2 read (arXiv:2509.18094).

Specification sections 4.2, 5.3 and 6. Qwen's frames are resized by Pillow as in the original, SAM's
by torch as floats; torchvision is not needed.

Shapes: T frames, H W pixels, t h w patches, S side of SAM's canvas, O objects.
"""

from collections.abc import Collection, Sequence
from itertools import pairwise
from math import ceil, floor, sqrt
from random import Random

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from deixis.errors import DataError, ShapeError
from deixis.nn.shapes import expect_shape

PATCH, MERGED, PAIR = 14, 28, 2  # pixels of a patch, of a merged cell; frames of a pair
MAX_PIXELS = 256 * MERGED**2  # times how often the frames could be sampled
LONGEST = 200  # a picture may be so many times as long as it is wide
CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def sample_frames(total: int, count: int) -> list[int]:
    """Return the indices of ``count`` frames spread evenly over ``total``; -1 takes all."""
    if count < 0 or total <= count:
        return list(range(total))
    if count == 1:
        return [0]
    places = np.arange(0, total, (total - 1) / (count - 1))[:count]
    return [int(place) for place in places.round()]


def sample_around(frames: Sequence[int], keep: int, count: int) -> list[int]:
    """Return indices into ``frames``, spread evenly, one of them that of the frame to keep.

    Raises:
        DataError: the frame to keep is not among them.
    """
    if keep not in frames:
        raise DataError(
            f"frame: expected one of the {len(frames)} frames of the clip, got {keep}. "
            f"Count from 0 among the frames that exist."
        )
    return sample_with(len(frames), [list(frames).index(keep)], count)


def sample_with(total: int, keep: Collection[int], count: int) -> list[int]:
    """Return frames spread evenly over ``total``, among them those to keep.

    Each of them takes the place of the nearest frame that need not be kept.

    Raises:
        DataError: more frames to keep than are taken.
    """
    return with_kept(sample_frames(total, count), keep)


def sample_in_buckets(total: int, count: int, random: Random) -> list[int]:
    """Return ``count`` of ``total`` frames, one by chance of each stretch of equal length.

    So clips are sampled in training; a shorter one is taken whole.
    """
    if total <= count:
        return list(range(total))
    edges = [index * total // count for index in range(count + 1)]
    return [random.randrange(a, b) for a, b in pairwise(edges)]


def with_kept(chosen: list[int], keep: Collection[int]) -> list[int]:
    """Return chosen frames in order, each to keep in the place of the nearest that need not be.

    Raises:
        DataError: more frames to keep than are chosen.
    """
    chosen = list(chosen)
    if len(set(keep)) > len(chosen):
        raise DataError(
            f"prompts: expected them on at most {len(chosen)} frames, which the model reads of a "
            f"clip, got {len(set(keep))}. Ask in several turns."
        )
    for place in sorted(set(keep) - set(chosen)):
        free = [i for i, one in enumerate(chosen) if one not in keep]
        chosen[min(free, key=lambda i: abs(chosen[i] - place))] = place
    return sorted(chosen)


def frames_by_rate(total: int, rate: float, *, most: int, wanted: float = 2.0) -> int:
    """Return how many frames to take of a video file for plain questions, an even number.

    Args:
        total: frames of the file; rate: its frames per second.
        most: at most so many; wanted: frames per second.

    Raises:
        DataError: fewer frames than one pair.
    """
    least = 4
    wished = min(max(total / rate * wanted, least), floor(most / PAIR) * PAIR, total)
    count = floor(wished / PAIR) * PAIR
    if count < PAIR:
        raise DataError(f"video: expected at least {PAIR} frames, got {total}. Give an image.")
    return count


def smart_resize(height: int, width: int, least: int, most: int) -> tuple[int, int]:
    """Return (height, width) in whole cells of 28, with least to most pixels, its shape kept.

    Raises:
        DataError: over 200 times as long as wide.
    """
    if max(height, width) / min(height, width) > LONGEST:
        raise DataError(
            f"image: expected at most {LONGEST} times as long as wide, got {width} x {height}. "
            f"Cut it."
        )
    rows, columns = (max(MERGED, round(side / MERGED) * MERGED) for side in (height, width))
    if rows * columns > most:
        scale = sqrt(height * width / most)
        rows, columns = (
            max(MERGED, floor(side / scale / MERGED) * MERGED) for side in (height, width)
        )
    elif rows * columns < least:
        scale = sqrt(least / (height * width))
        rows, columns = (ceil(side * scale / MERGED) * MERGED for side in (height, width))
    return rows, columns


def most_pixels(frames: int, sampled: int = 16, budget: int = MAX_PIXELS) -> int:
    """Return the pixels that each of so many frames may have; few frames may be larger."""
    return budget * max(int(sampled / frames), 1)


def resize_frames(frames: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return uint8 frames (T, h, w, 3) of an even number, resized as Qwen's own code does."""
    if not len(frames):
        raise DataError("video: expected at least one frame, got none.")
    resized = [np.asarray(Image.fromarray(one).resize(size[::-1])) for one in frames]
    if len(resized) % PAIR:
        resized.append(resized[-1])
    return np.stack(resized)


def patchify(frames: np.ndarray) -> tuple[Tensor, tuple[int, int, int]]:
    """Return patches (t * h * w, 3 * 2 * 14 * 14) of frames (2t, 14h, 14w, 3), and (t, h, w).

    Patches of one merged cell follow one another.

    Raises:
        ShapeError: an odd number of frames, or sides that are no whole cells.
    """
    count, height, width, _ = frames.shape
    if count % PAIR or height % MERGED or width % MERGED:
        raise ShapeError(
            f"frames: expected pairs of whole cells of {MERGED}, got {frames.shape}. "
            f"Resize them with resize_frames first."
        )
    grid = (count // PAIR, height // PATCH, width // PATCH)
    pixels = _normalised(torch.from_numpy(np.ascontiguousarray(frames)), CLIP_MEAN, CLIP_STD)
    cells = pixels.reshape(
        grid[0], PAIR, 3, grid[1] // 2, 2, PATCH, grid[2] // 2, 2, PATCH
    )  # (t, 2, 3, h / 2, 2, 14, w / 2, 2, 14)
    return cells.permute(0, 3, 6, 4, 7, 2, 1, 5, 8).reshape(grid[0] * grid[1] * grid[2], -1), grid


def sam_frames(frames: np.ndarray | Tensor, side: int) -> Tensor:
    """Return (T, 3, S, S) of uint8 frames (T, H, W, 3), squeezed to a square."""
    pixels = torch.as_tensor(np.asarray(frames)).permute(0, 3, 1, 2).float() / 255
    square = F.interpolate(pixels, (side, side), mode="bilinear", antialias=True)
    mean, std = (torch.tensor(v)[:, None, None] for v in (IMAGENET_MEAN, IMAGENET_STD))
    return (square - mean) / std


def sam_masks(masks: Tensor, side: int) -> Tensor:
    """Return (T, O, S, S) bool of masks (T, O, H, W): every pixel that a mask reaches."""
    return F.interpolate(masks.float(), (side, side), mode="bilinear", antialias=True) > 0


def whole_if_empty(masks: Tensor) -> Tensor:
    """Return masks (T, O, H, W) in which an object that shows nowhere shows everywhere.

    So the published object memory treats what could not be found.
    """
    nowhere = ~masks.bool().flatten(2).any(2).any(0)  # (O,)
    return (
        masks | nowhere[:, None, None]
        if masks.dtype == torch.bool
        else masks + nowhere.to(masks.dtype)[:, None, None]
    )


def pair_masks(masks: Tensor) -> Tensor:
    """Return (t, O, H, W): each mask of two frames united; an odd last frame stands twice.

    Args:
        masks: (T, O, H, W) bool or in [0, 1].
    """
    expect_shape("masks of a clip", masks, (None, None, None, None))
    if len(masks) % 2:
        masks = torch.cat([masks, masks[-1:]])
    return masks.unflatten(0, (-1, 2)).amax(1)


def touched_cells(masks: Tensor, size: tuple[int, int], cell: int) -> Tensor:
    """Return (t, O, h, w) bool: which cells each mask touches, if only by the blur of resizing.

    Args:
        masks: (t, O, H, W), as ``pair_masks`` gives them.
        size: (h, w).
        cell: side of a cell in the pixels that masks are resized to.
    """
    pixels = (size[0] * cell, size[1] * cell)
    resized = F.interpolate(masks.float(), pixels, mode="bilinear", antialias=True)
    return F.max_pool2d(resized, cell) > 0


def centre_point(mask: np.ndarray) -> tuple[int, int]:
    """Return (x, y) of the pixel of a mask (H, W) that lies farthest from its border.

    Raises:
        DataError: an empty mask.
    """
    from scipy.ndimage import distance_transform_edt

    if not mask.any():
        raise DataError("mask: expected at least one pixel to point at, got none.")
    depth = distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1].astype(np.float32)
    y, x = np.unravel_index(int(depth.argmax()), depth.shape)
    return int(x), int(y)


def corners(mask: np.ndarray) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return the first and the last pixel (x, y) of a mask's box.

    Raises:
        DataError: an empty mask.
    """
    rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
    if not len(rows):
        raise DataError("mask: expected at least one pixel in the box, got none.")
    return (int(columns[0]), int(rows[0])), (int(columns[-1]), int(rows[-1]))


def restore(logits: Tensor, size: tuple[int, int]) -> Tensor:
    """Return mask logits (N, H, W) at a frame's size, of SAM's (N, h, w)."""
    return F.interpolate(logits[:, None].float(), size, mode="bilinear")[:, 0]


def mrope_positions(
    tokens: Tensor,
    held: Tensor,
    grids: Tensor,
    *,
    video_token: int,
    step: float,
) -> tuple[Tensor, Tensor]:
    """Return positions (3, B, N) in time, height and width, and (B,) the next free position.

    Text counts on; a clip's cells count from where it begins, pairs of frames ``step`` apart, and
    text goes on after the clip's longest side or its time, whichever is greater.

    Args:
        tokens: (B, N) ids; held: (B, N) which of them are there.
        grids: (V, 3) patches (t, h, w) of the clips, in reading order.
    """
    positions = torch.ones(3, *tokens.shape, dtype=torch.long)
    after = torch.zeros(len(tokens), dtype=torch.long)
    clips = iter(grids.tolist())
    for row in range(len(tokens)):
        there = torch.nonzero(held[row])[:, 0]
        pads = (tokens[row, there] == video_token).tolist()
        parts: list[Tensor] = []
        start = index = 0
        while index < len(pads):
            if pads[index]:
                part = _clip_positions(next(clips), step) + start
            else:
                stop = pads.index(True, index) if True in pads[index:] else len(pads)
                part = (torch.arange(stop - index) + start).expand(3, -1)
            parts.append(part)
            start = int(part.max()) + 1
            index += part.shape[1]
        positions[:, row, there] = torch.cat(parts, 1)
        after[row] = start
    return positions, after


def _clip_positions(grid: list[int], step: float) -> Tensor:
    time, height, width = grid[0], grid[1] // 2, grid[2] // 2
    moment = (torch.arange(time) * step).long()
    axes = torch.meshgrid(moment, torch.arange(height), torch.arange(width), indexing="ij")
    return torch.stack(axes).flatten(1)


def _normalised(frames: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Return float (T, 3, H, W) of uint8 (T, H, W, 3)."""
    shift, scale = (torch.tensor(values)[:, None, None] * 255 for values in (mean, std))
    return (frames.permute(0, 3, 1, 2).float() - shift) / scale
