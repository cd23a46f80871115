"""Puts the rows of images where their placeholders stand in a text.

Shapes: B rows, N tokens, W columns after the splice, Y image rows of the whole batch, D width.
"""

import torch
from torch import Tensor

from deixis.errors import ShapeError
from deixis.nn.shapes import expect_shape


def splice_rows(embedded: Tensor, lengths: Tensor, images: Tensor, rows: Tensor) -> Tensor:
    """Return (B, W, D): tokens in their order, each placeholder replaced by its image's rows.

    Args:
        embedded: (B, N, D) of the tokens; what stands at placeholders is not read.
        lengths: (B, N) columns that each token takes: 1, an image's number of rows, 0 for padding.
        images: (B, N) bool, which tokens are placeholders.
        rows: (Y, D) of all images, row by row of the batch and in order of their placeholders.

    Raises:
        ShapeError: placeholders ask for another number of rows than there are.
    """
    expect_shape("token lengths", lengths, tuple(embedded.shape[:2]))
    expect_shape("image placeholders", images, tuple(embedded.shape[:2]))
    wanted = int((lengths * images).sum())
    if wanted != len(rows):
        raise ShapeError(
            f"image slots: expected {wanted} rows for {int(images.sum())} placeholders, "
            f"got {len(rows)}. Every image of the set needs one <image> in the prompt."
        )
    held = held_columns(lengths)  # (B, W)
    words = torch.zeros_like(held)
    row, column = torch.nonzero((lengths > 0) & ~images, as_tuple=True)
    place = starts_of(lengths)[row, column]
    words[row, place] = True
    out = embedded.new_zeros(*held.shape, embedded.shape[2])
    out = out.index_put((row, place), embedded[row, column])
    return out.index_put(torch.nonzero(held & ~words, as_tuple=True), rows.to(out.dtype))


def starts_of(lengths: Tensor) -> Tensor:
    """Return (B, N): the column where each token begins once images are spliced in."""
    return lengths.cumsum(1) - lengths


def held_columns(lengths: Tensor) -> Tensor:
    """Return (B, W) bool: which columns hold something; rows are filled from the left."""
    total = lengths.sum(1)
    most = int(total.max()) if len(total) else 0
    return torch.arange(most, device=lengths.device) < total[:, None]
