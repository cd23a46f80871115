"""The small convolutional pyramid of deixis-tiny: one image in, features at four strides out.

A residual network goes down to stride 16; a top-down path brings what it saw back to stride 2,
where things are known, and one step further to the pixels, where their outlines are.
Shapes: S images, H W pixels.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Residual(nn.Module):
    """Two 3 x 3 convolutions beside a shortcut; ``stride`` 2 halves the grid."""

    def __init__(self, in_width: int, width: int, stride: int = 1) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(in_width, width, 3, stride, 1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
            nn.Conv2d(width, width, 3, 1, 1, bias=False),
            nn.BatchNorm2d(width),
        )
        same = in_width == width and stride == 1
        self.shortcut = nn.Identity() if same else nn.Conv2d(in_width, width, 1)
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        # a 1 x 1 convolution with a stride would write past its memory on CPUs when it learns
        # with under 16 channels, channels last (oneDNN issue 6035); to skip first is the same
        skipped = x[..., :: self.stride, :: self.stride]
        return F.relu(self.body(x) + self.shortcut(skipped))


class ConvPyramid(nn.Module):
    """Images (S, 3, H, W) in [0, 1] to features at strides 2, 4, 8 and 16.

    Args:
        widths: channels of the way down, at strides 2, 4, 8, 16.
        top_down_width: channels of the way back, at strides 2, 4, 8.
        blocks: residual blocks per stride.
    """

    def __init__(
        self,
        widths: tuple[int, ...] = (24, 48, 96, 192),
        top_down_width: int = 48,
        blocks: tuple[int, ...] = (1, 1, 1, 2),
    ) -> None:
        super().__init__()
        self.stem = nn.Conv2d(5, widths[0], 3, 2, 1)  # RGB and the place (x, y)
        down, width = [], widths[0]
        for level, out in enumerate(widths):
            stages = [Residual(width, out, 1 if level == 0 else 2)]
            stages += [Residual(out, out) for _ in range(blocks[level] - 1)]
            down.append(nn.Sequential(*stages))
            width = out
        self.down = nn.ModuleList(down)
        self.lateral = nn.ModuleList(nn.Conv2d(w, top_down_width, 1) for w in widths)
        self.smooth = nn.ModuleList(
            Residual(top_down_width, top_down_width) for _ in widths[:-1]
        )

    def forward(self, pixels: Tensor) -> list[Tensor]:
        """Return [stride 2 (S, T, H/2, W/2), stride 4, stride 8, stride 16 (S, W4, H/16, W/16)]."""
        size, height, width = pixels.shape[0], pixels.shape[2], pixels.shape[3]
        y = torch.linspace(-1, 1, height, device=pixels.device, dtype=pixels.dtype)
        x = torch.linspace(-1, 1, width, device=pixels.device, dtype=pixels.dtype)
        place = torch.stack(torch.meshgrid(x, y, indexing="xy")).expand(size, 2, height, width)
        features = self.stem(torch.cat([pixels * 2 - 1, place], 1))
        seen = []
        for stage in self.down:
            features = stage(features)
            seen.append(features)
        back = self.lateral[-1](seen[-1])
        levels = [seen[-1]]
        for level in reversed(range(len(seen) - 1)):
            up = F.interpolate(back, size=seen[level].shape[-2:], mode="nearest")
            back = self.smooth[level](up + self.lateral[level](seen[level]))
            levels.insert(0, back)
        return levels


class FinestFeatures(nn.Module):
    """What is known at stride 2, brought to the pixels beside what they look like."""

    def __init__(self, in_width: int, width: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, width, 3, 1, 1)
        self.spread = nn.Conv2d(in_width, 4 * width, 1)  # a cell says what each of its pixels is
        self.smooth = Residual(width, width)

    def forward(self, pixels: Tensor, fine: Tensor) -> Tensor:
        """Return (S, width, H, W) of pixels (S, 3, H, W) in [0, 1] and fine (S, T, H/2, W/2)."""
        known = F.pixel_shuffle(self.spread(fine), 2)
        features: Tensor = self.smooth(self.stem(pixels * 2 - 1) + known)
        return features
