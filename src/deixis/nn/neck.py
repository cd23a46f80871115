"""The neck of a ready-made backbone: its maps in, features from stride 2 to its coarsest out.

A feature pyramid (arXiv:1612.03144): each map is brought to one width, and what the coarser ones
saw is added on the way down. Backbones begin at stride 4; the pixels themselves bring stride 2,
where masks are drawn. Shapes: S images, H W pixels, T fine width, C coarse width.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deixis.errors import ShapeError
from deixis.nn.backbone import Residual
from deixis.nn.fourier import grid_code
from deixis.nn.shapes import expect_shape

BANDS = 4  # octaves of the place that coarse cells are told


class FeaturePyramid(nn.Module):
    """Maps of a backbone, fine to coarse, to features of one width, and the coarsest of another.

    Args:
        widths: channels of the backbone's maps.
        fine_width: channels of all features but the coarsest.
        coarse_width: channels of the coarsest; its cells know their place, since convolutions
            and windows do not say where they look.
    """

    def __init__(self, widths: Sequence[int], fine_width: int, coarse_width: int) -> None:
        super().__init__()
        self.widths = tuple(widths)
        self.stem = nn.Conv2d(3, fine_width, 3, 2, 1)
        self.lateral = nn.ModuleList(nn.Conv2d(w, fine_width, 1) for w in self.widths)
        self.smooth = nn.ModuleList(Residual(fine_width, fine_width) for _ in self.widths)
        self.coarse = nn.Conv2d(self.widths[-1] + 2 + 4 * BANDS, coarse_width, 1)

    def forward(self, pixels: Tensor, maps: Sequence[Tensor]) -> list[Tensor]:
        """Return [stride 2 (S, T, H/2, W/2), the maps' strides (S, T, ...), ..., coarsest (S, C,
        ...)] of pixels (S, 3, H, W) and the backbone's maps.

        Raises:
            ShapeError: another number of maps, or maps of other widths.
        """
        if len(maps) != len(self.widths):
            raise ShapeError(f"backbone maps: expected {len(self.widths)}, got {len(maps)}.")
        for width, one in zip(self.widths, maps, strict=True):
            expect_shape("backbone map", one, (len(pixels), width, None, None))
        beside = [self.stem(pixels)]
        beside += [to(one) for to, one in zip(self.lateral, maps, strict=True)]
        back, levels = beside[-1], [self._coarsest(maps[-1])]
        for level in reversed(range(len(maps))):
            up = F.interpolate(back, size=beside[level].shape[-2:], mode="nearest")
            back = self.smooth[level](up + beside[level])
            levels.insert(0, back)
        return levels

    def _coarsest(self, features: Tensor) -> Tensor:
        size = (features.shape[-2], features.shape[-1])
        place = grid_code(size, BANDS, device=features.device, dtype=features.dtype)
        return self.coarse(torch.cat([features, place.expand(len(features), -1, -1, -1)], 1))
