"""Which pictures are familiar: their colours and texture against those that were learned.

What a picture is made of gives it away long before what it shows does: how colours are shared out,
how large the steps between neighbouring pixels are at several scales, and how both go together.
Two judges look at such statistics: how far they lie from the familiar ones, by their covariance
(Mahalanobis), and a small network that has learned to tell familiar pictures from strange ones.

Shapes: F pictures, H W pixels, K statistics, D hidden width.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SCALES = (1, 2, 4, 8)
BLOCKS = (8, 16)
BRIGHT = (0.0, 0.12, 0.3, 0.5, 0.7, 0.88)  # lower borders of the bins of brightness
COLOURFUL = (0.0, 0.06, 0.15, 0.3, 0.5)  # and of the spread between the channels
SATURATED = 0.35
GREY_STEPS = (0.008, 0.02, 0.045, 0.1, 0.2, 0.4)
COLOUR_STEPS = (0.01, 0.03, 0.08, 0.2)
RARE = 0.01  # a share that is as good as none
NUM_STATISTICS = (
    len(BRIGHT) * len(COLOURFUL)
    + 8
    + len(SCALES) * (len(GREY_STEPS) + 2 * len(COLOUR_STEPS) + 4)
    + len(BLOCKS) * (len(GREY_STEPS) + 2 * len(COLOUR_STEPS))
    + 8
)
LEAST_SIDE = 2 * BLOCKS[-1]  # a thinner picture has no texture to speak of
HIDDEN = 24
SHRINKAGE = 0.1  # of the covariance, towards independence
STEPS, RATE, SHAKEN = 400, 0.02, 0.7  # how the network learns
STRANGE_CLEAN, STRANGE_WORN = 0.001, 0.025  # shares of familiar pictures that each judge may miss
LEAST_SCALE = 0.01
FAR = 8.0  # standard deviations beyond which a statistic says no more


def describe(pixels: Tensor) -> Tensor:
    """Return the statistics (F, K) of pictures (F, 3, H, W) uint8, no side under LEAST_SIDE."""
    colours = pixels.float() / 255
    grey = colours.mean(1, keepdim=True)
    spread = colours.amax(1, keepdim=True) - colours.amin(1, keepdim=True)
    red, green, blue = colours.split(1, 1)
    opposed = torch.cat([grey, red - green, (red + green) / 2 - blue], 1)  # (F, 3, H, W)
    rows = [_shares_of_colours(colours, grey, spread), _saturated_and_dull(grey, spread)]
    rows += [_steps(F.avg_pool2d(opposed, scale) if scale > 1 else opposed) for scale in SCALES]
    for block in BLOCKS:
        mean = F.avg_pool2d(opposed, block, block // 2)
        square = F.avg_pool2d(opposed**2, block, block // 2)
        rows.append(_beyond((square - mean**2).clamp(min=0).sqrt()))
    return torch.cat(rows, 1)


def _shares_of_colours(colours: Tensor, grey: Tensor, spread: Tensor) -> Tensor:
    """Return how many pixels are how bright and colourful, and how much colour has which hue."""
    bright = torch.bucketize(grey, grey.new_tensor(BRIGHT[1:]), right=True)
    colourful = torch.bucketize(spread, grey.new_tensor(COLOURFUL[1:]), right=True)
    cell = (bright * len(COLOURFUL) + colourful).flatten(1)  # (F, HW)
    shares = torch.zeros(len(grey), len(BRIGHT) * len(COLOURFUL), device=grey.device)
    shares.scatter_add_(1, cell, torch.full_like(cell, 1 / cell.shape[1], dtype=shares.dtype))
    order = colours >= colours.roll(1, 1)  # which channel tops which: a sector of hue
    sector = (order * order.new_tensor([1, 2, 4], dtype=torch.long)[:, None, None]).sum(1)
    hues = torch.zeros(len(grey), 8, device=grey.device)
    hues.scatter_add_(1, sector.flatten(1), spread.flatten(1) / cell.shape[1])
    return torch.cat([(shares + RARE).log(), (hues + RARE).log()], 1)


def _saturated_and_dull(grey: Tensor, spread: Tensor) -> Tensor:
    """Return of strongly coloured pixels, and of the others: their share, brightness, and steps."""
    step = F.pad(_length(grey), (0, 1, 0, 1))
    strong, rows = (spread > SATURATED).float(), []
    for mask in (strong, 1 - strong):
        count = mask.sum((1, 2, 3)) + 20
        mean = (grey * mask).sum((1, 2, 3)) / count
        square = (grey**2 * mask).sum((1, 2, 3)) / count
        rows += [
            (mask.mean((1, 2, 3)) + RARE).log(),
            mean,
            ((square - mean**2).clamp(min=0).sqrt() + RARE).log(),
            ((step * mask).sum((1, 2, 3)) / count + RARE).log(),
        ]
    return torch.stack(rows, 1)


def _length(values: Tensor) -> Tensor:
    """Return (F, C, H - 1, W - 1): the length of the step to the neighbours right and below."""
    across, down = values.diff(dim=3)[..., :-1, :], values.diff(dim=2)[..., :-1]
    return (across**2 + down**2).sqrt()


def _steps(values: Tensor) -> Tensor:
    """Return how many steps of (F, 3, H, W) are large, how bent they are, how coloured."""
    step = _length(values)
    energy = (step**2).mean((2, 3))
    inner = values[:, 0, 1:-1, 1:-1]
    bend = 4 * inner - values[:, 0, 2:, 1:-1] - values[:, 0, :-2, 1:-1]
    bend = (bend - values[:, 0, 1:-1, 2:] - values[:, 0, 1:-1, :-2]).abs().flatten(1)
    bends = torch.stack([bend.mean(1), bend.square().mean(1).sqrt()], 1)
    coloured = energy[:, 1:] / (energy[:, :1] + 1e-5)
    return torch.cat([_beyond(step), (bends + 0.004).log(), (coloured + RARE).log()], 1)


def _beyond(values: Tensor) -> Tensor:
    """Return which shares of (F, 3, H, W), grey and two of colour, are beyond some sizes."""
    flat = values.flatten(2)
    shares = [(flat[:, :1] > size).float().mean(2) for size in GREY_STEPS]
    shares += [(flat[:, 1:] > size).float().mean(2) for size in COLOUR_STEPS]
    return (torch.cat(shares, 1) + RARE).log()


class Familiar(nn.Module):
    """What was learned about familiar pictures; buffers that are saved with a model.

    They have one axis each, since matrices may be stored with fewer digits.
    """

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("centre", torch.zeros(NUM_STATISTICS))
        self.register_buffer("spread", torch.ones(NUM_STATISTICS))
        self.register_buffer("inverse", torch.eye(NUM_STATISTICS).flatten())
        self.register_buffer("hidden", torch.zeros(HIDDEN * (NUM_STATISTICS + 1)))
        self.register_buffer("out", torch.zeros(HIDDEN + 1))
        self.register_buffer("limits", torch.full((2,), 1e9))  # of the distance, of the network

    def forward(self, pixels: Tensor) -> Tensor:
        """Return (F,): how strange pictures (F, 3, H, W) uint8 are; beyond 0 they are strange."""
        if min(pixels.shape[2:]) < LEAST_SIDE:
            return torch.full((len(pixels),), torch.inf, device=pixels.device)
        return self.strangeness(describe(pixels))

    def strangeness(self, described: Tensor) -> Tensor:
        """Return (F,) of statistics (F, K): by how much the stricter judge finds them too far."""
        return (self.judged(described) - self.get_buffer("limits")).amax(1)

    def judged(self, described: Tensor) -> Tensor:
        """Return (F, 2) of statistics (F, K): the log of their distance from the familiar ones,
        and how sure the network is that they are strange (log odds)."""
        far = self._standard(described)
        inverse = self.get_buffer("inverse").unflatten(0, (NUM_STATISTICS, NUM_STATISTICS))
        distance = torch.einsum("fk,kj,fj->f", far, inverse, far) / far.shape[1]
        hidden = self.get_buffer("hidden").unflatten(0, (HIDDEN, NUM_STATISTICS + 1))
        odds = answer(far, hidden, self.get_buffer("out"))
        return torch.stack([distance.clamp(min=1e-6).log(), odds], 1)

    def learn(self, familiar: Tensor, strange: Tensor, *, seed: int) -> None:
        """Learn from statistics of familiar pictures (F, K) and strange ones (G, K); until
        ``limit`` has set its limits, nothing is strange."""
        spread = familiar.std(0).clamp(min=LEAST_SCALE)
        self.get_buffer("centre").copy_(familiar.mean(0))
        self.get_buffer("spread").copy_(spread)
        near, far = self._standard(familiar), self._standard(strange)
        covariance = (1 - SHRINKAGE) * torch.cov(near.T) + SHRINKAGE * torch.eye(near.shape[1])
        self.get_buffer("inverse").copy_(torch.linalg.inv(covariance).flatten())
        hidden, out = trained(near, far, torch.Generator().manual_seed(seed))
        self.get_buffer("hidden").copy_(hidden.flatten())
        self.get_buffer("out").copy_(out)

    def limit(self, clean: Tensor, worn: Sequence[Tensor]) -> float:
        """Set the limits by familiar pictures (F, K) that were not learned, and by such that are
        worn, (G, K) for each way; return which share of the clean ones is strange."""
        shares = [(clean, STRANGE_CLEAN), *((rows, STRANGE_WORN) for rows in worn)]
        edges = [self.judged(rows).quantile(1 - share, dim=0) for rows, share in shares]
        self.get_buffer("limits").copy_(torch.stack(edges).amax(0))
        return float((self.strangeness(clean) > 0).float().mean())

    def _standard(self, described: Tensor) -> Tensor:
        """Return statistics (F, K) in standard deviations of the familiar ones."""
        far = (described - self.get_buffer("centre")) / self.get_buffer("spread")
        return far.clamp(-FAR, FAR)


def answer(far: Tensor, hidden: Tensor, out: Tensor) -> Tensor:
    """Return the log odds (F,) of a network with weights (D, K + 1) and (D + 1,), biases last."""
    return (far @ hidden[:, :-1].T + hidden[:, -1]).tanh() @ out[:-1] + out[-1]


@torch.enable_grad()
def trained(near: Tensor, far: Tensor, random: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return the weights (D, K + 1) and (D + 1,) of a network that tells near from far (F, K)."""
    width = near.shape[1]
    hidden = torch.randn(HIDDEN, width + 1, generator=random) * 0.5 * width**-0.5
    out = torch.randn(HIDDEN + 1, generator=random) * 0.1
    weights = [hidden.requires_grad_(), out.requires_grad_()]
    optimizer = torch.optim.AdamW(weights, lr=RATE, weight_decay=0.01)
    for step in range(STEPS):
        for group in optimizer.param_groups:
            group["lr"] = RATE * (1 - step / STEPS)
        told = [  # shaken a little, so that no single statistic decides
            answer(x + SHAKEN * torch.randn(x.shape, generator=random), hidden, out)
            for x in (near, far)
        ]
        loss = F.softplus(told[0]).mean() + F.softplus(-told[1]).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return hidden.detach(), out.detach()
