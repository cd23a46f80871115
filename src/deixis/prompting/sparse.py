"""Turns points and boxes into tokens: where something is, when, and what shows there.

UniPixel's <ref> tokens (arXiv:2509.18094; specification 4.1): corners and points are Fourier codes
with a learned kind; point and box have their own projections; time is one more code.
``TimedPrompts`` is as published, ``SparsePrompts`` does without padding rows and random matrices
and may be told what shows there.

Shapes: N prompts, C code width, E hidden width, D language width.
"""

import torch
from torch import Tensor, nn

from deixis.errors import ShapeError
from deixis.nn.fourier import fourier_code
from deixis.nn.prompt_codes import BOTTOM_RIGHT as LOWER_CORNER
from deixis.nn.prompt_codes import NOT_A_POINT, FourierCode, PromptCodes
from deixis.nn.prompt_codes import TOP_LEFT as UPPER_CORNER
from deixis.nn.shapes import expect_shape

POINT, TOP_LEFT, BOTTOM_RIGHT = range(3)

CLICK = 1  # the label of a point on an object, as SAM numbers them


class SparsePrompts(nn.Module):
    """Encodes one point or box per row as one token of the language decoder.

    Args:
        width: of the tokens.
        bands: octaves of the codes; 6 tell places apart that are 1/64 of the image away.
        hidden_width: of the parts that are joined before the last projection.
        local_width: of the features sampled under the prompt; 0 where none are given.
    """

    def __init__(
        self,
        width: int,
        *,
        bands: int = 6,
        hidden_width: int | None = None,
        local_width: int = 0,
    ) -> None:
        super().__init__()
        hidden_width = hidden_width or width
        self.bands = bands
        self.local_width = local_width
        code_width = 2 * 2 * bands
        self.kind = nn.Parameter(torch.randn(3, code_width) * 0.02)
        self.point = nn.Linear(code_width, hidden_width)
        self.box = nn.Linear(2 * code_width, hidden_width)
        self.time = nn.Linear(2 * bands, hidden_width)
        self.local = nn.Linear(local_width, hidden_width) if local_width else None
        parts = 3 if local_width else 2
        self.project = nn.Sequential(nn.GELU(), nn.Linear(parts * hidden_width, width))

    def forward(
        self, coords: Tensor, is_box: Tensor, time: Tensor, local: Tensor | None = None
    ) -> Tensor:
        """Return (N, D) tokens.

        Args:
            coords: (N, 2, 2) as (x, y) in [0, 1]: a box's two corners, or a point twice; a
                point's second row is not read.
            is_box: (N,) bool.
            time: (N,) in [0, 1], when in the clip; 0 for a picture.
            local: (N, local_width), what the image shows there.

        Raises:
            ShapeError: parts of different number, or local features given and not expected.
        """
        expect_shape("prompt coordinates", coords, (None, 2, 2))
        expect_shape("prompt kinds", is_box, (len(coords),))
        expect_shape("prompt times", time, (len(coords),))
        is_box = is_box.bool()[:, None]  # (N, 1)
        place = torch.where(is_box, self._box(coords), self._point(coords))  # (N, E)
        when = self.time(self._code(time[:, None]))
        parts = [place, when, *self._local(local, len(coords))]
        return self.project(torch.cat(parts, dim=-1))

    def _point(self, coords: Tensor) -> Tensor:
        return self.point(self._code(coords[:, 0]) + self.kind[POINT])

    def _box(self, coords: Tensor) -> Tensor:
        corners = self._code(coords) + self.kind[[TOP_LEFT, BOTTOM_RIGHT]]  # (N, 2, C)
        return self.box(corners.flatten(1))

    def _code(self, values: Tensor) -> Tensor:
        return fourier_code(values, self.bands).to(self.kind.dtype)

    def _local(self, local: Tensor | None, count: int) -> list[Tensor]:
        if (local is None) != (self.local is None):
            raise ShapeError(
                f"local features of prompts: expected width {self.local_width}, "
                f"got {'none' if local is None else tuple(local.shape)}. "
                f"Give them exactly if local_width is set."
            )
        if local is None or self.local is None:
            return []
        expect_shape("local features of prompts", local, (count, self.local_width))
        return [self.local(local)]


class TimedPrompts(nn.Module):
    """Encodes one point or box per row as UniPixel's released weights expect it.

    Args:
        width: of the tokens.
        code_width: C, of the codes; SAM's width in the published models.
        canvas: side of the square in whose pixels coordinates are given.
    """

    def __init__(self, width: int, code_width: int, canvas: int) -> None:
        super().__init__()
        self.codes = PromptCodes(code_width, canvas)
        self.point = nn.Linear(2 * code_width, 3 * code_width)
        self.box = nn.Linear(3 * code_width, 3 * code_width)
        self.clock = FourierCode(1, code_width)
        self.clock_kind = nn.Embedding(1, code_width)
        self.time = nn.Linear(code_width, 3 * code_width)
        self.project = nn.Sequential(nn.GELU(), nn.Linear(6 * code_width, width))

    def forward(self, coords: Tensor, is_box: Tensor, time: Tensor) -> Tensor:
        """Return (N, D) tokens.

        Args:
            coords: (N, 2, 2) as (x, y) in pixels of the canvas: a box's two corners, or a point;
                a point's second row is not read.
            is_box: (N,) bool.
            time: (N,) in [0, 1], when in the clip.

        Raises:
            ShapeError: parts of different number.
        """
        return self.project(torch.cat([self.place(coords, is_box), self.when(time)], -1))

    def place(self, coords: Tensor, is_box: Tensor) -> Tensor:
        """Return (N, 3C): where it is."""
        expect_shape("prompt coordinates", coords, (None, 2, 2))
        expect_shape("prompt kinds", is_box, (len(coords),))
        rows = self.codes.points(coords, self.labels(is_box))  # (N, 3, C), the last is no point
        place = torch.where(
            is_box.bool()[:, None], self.box(rows.flatten(1)), self.point(rows[:, :2].flatten(1))
        )
        return place

    def labels(self, is_box: Tensor) -> Tensor:
        """Return (N, 2): a box's rows are its corners, a point's second row is none."""
        box = torch.tensor([UPPER_CORNER, LOWER_CORNER], device=is_box.device)
        point = torch.tensor([CLICK, NOT_A_POINT], device=is_box.device)
        return torch.where(is_box.bool()[:, None], box, point)

    def when(self, time: Tensor) -> Tensor:
        """Return (N, 3C): when it is."""
        expect_shape("prompt times", time, (None,))
        return self.time(self.moment(time))

    def moment(self, time: Tensor) -> Tensor:
        """Return (N, C), the codes of moments (N,) in [0, 1]."""
        return self.clock(time[:, None]) + self.clock_kind.weight
