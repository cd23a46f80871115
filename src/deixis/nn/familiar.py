"""Which pictures are familiar: their texture and colours against those that were learned.

A drawn scene and a photograph differ in the statistics of neighbouring pixels long before they
differ in what they show; what counts is how far a picture lies from the familiar ones, measured
by their covariance (Mahalanobis). Shapes: F pictures, H W pixels, K statistics.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SCALES = (1, 2, 4)
CHANNELS = 5  # red, green, blue, brightness, saturation
NUM_STATISTICS = CHANNELS * (2 + len(SCALES) * 2 * 3)
LEAST_SIDE = 3 * SCALES[-1]  # a thinner picture has no texture to speak of
SHRINKAGE = 0.05  # of the covariance, towards independence


def describe(pixels: Tensor) -> Tensor:
    """Return (F, K) of pictures (F, 3, H, W) uint8: colours and steps between neighbours."""
    colours = pixels.float() / 255
    brightness = colours.mean(1, keepdim=True)
    saturation = (colours.amax(1) - colours.amin(1))[:, None]
    shown = torch.cat([colours, brightness, saturation], 1)
    rows = [shown.mean((2, 3)), shown.std((2, 3))]
    for scale in SCALES:
        seen = F.avg_pool2d(shown, scale)
        for steps in (seen.diff(dim=3), seen.diff(dim=2)):
            size = steps.abs().flatten(2)
            rows += [size.mean(2), size.std(2), size.sqrt().mean(2)]
    return (torch.cat(rows, 1) + 0.01).log()


class Familiar(nn.Module):
    """What was learned about familiar pictures; buffers that are saved with a model."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(NUM_STATISTICS))
        self.register_buffer("scale", torch.ones(NUM_STATISTICS))
        self.register_buffer("precision", torch.eye(NUM_STATISTICS))
        self.register_buffer("limit", torch.full((1,), 1e9))

    def forward(self, pixels: Tensor) -> Tensor:
        """Return (F,): how strange pictures (F, 3, H, W) are; a familiar one is near 1 or below."""
        if min(pixels.shape[2:]) < LEAST_SIDE:
            return torch.full((len(pixels),), torch.inf, device=pixels.device)
        return self.distance(describe(pixels))

    def distance(self, described: Tensor) -> Tensor:
        """Return (F,): the distance of descriptions (F, K) from the familiar ones."""
        far = (described - self.get_buffer("mean")) / self.get_buffer("scale")
        return torch.einsum("fk,kj,fj->f", far, self.get_buffer("precision"), far) / far.shape[1]

    def learn(self, described: Tensor, margin: float) -> float:
        """Take descriptions (F, K) as familiar; return the limit: the strangest in a thousand
        of them, times a margin."""
        mean, scale = described.mean(0), described.std(0).clamp(min=1e-3)
        covariance = torch.cov(((described - mean) / scale).T)
        kept = (1 - SHRINKAGE) * covariance + SHRINKAGE * torch.eye(len(covariance))
        self.get_buffer("mean").copy_(mean)
        self.get_buffer("scale").copy_(scale)
        self.get_buffer("precision").copy_(torch.linalg.inv(kept))
        limit = float(self.distance(described).quantile(0.999)) * margin
        self.get_buffer("limit").fill_(limit)
        return limit
