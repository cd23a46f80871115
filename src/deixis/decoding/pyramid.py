"""Draws the masks of all targets of all images at once, level by level.

The light form of PixelLM's pixel decoder (arXiv:2312.02228, section 3): every level scores each
pixel against the level's query, and the mask of one level modulates the features of the next.
What depends on the image alone is computed once per image, not once per target.

Shapes: M mask rows (one per target and image), S images, L levels, C query width,
E mask width, h x w pixels of a level.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deixis.errors import ConfigError, ShapeError
from deixis.nn.fourier import grid_code
from deixis.nn.shapes import expect_shape

# A mask covers a small part of its image: logits that start low start near the truth.
START_LOGIT = -2.0
# The paper writes f * sigmoid(m); the released code computes f * (1 + sigmoid(m)).
Modulation = Literal["sigmoid", "one_plus_sigmoid"]


@dataclass(frozen=True, kw_only=True, slots=True)
class PyramidConfig:
    feature_widths: tuple[int, ...]  # one per level, coarse to fine
    query_width: int
    mask_width: int = 32
    bands: int = 4  # octaves of the position code
    modulation: Modulation = "sigmoid"
    # "sum": logits weighted by a learnable gamma per level (paper; constants 1 / L as released).
    # "product": a pixel belongs to the mask if it belongs to it at every level.
    fusion: Literal["sum", "product"] = "product"
    prior_gain: float = 4.0  # start of the learned weight of a proposal
    attention_depth: int = 0  # two-way transformer blocks per level

    def __post_init__(self) -> None:
        if not self.feature_widths:
            raise ConfigError("pyramid feature_widths: expected one width per level, got none.")
        if self.modulation not in ("sigmoid", "one_plus_sigmoid"):
            raise ConfigError(
                f'pyramid modulation: expected "sigmoid" or "one_plus_sigmoid", '
                f'got "{self.modulation}".'
            )
        if self.fusion not in ("sum", "product"):
            raise ConfigError(f'pyramid fusion: expected "sum" or "product", got "{self.fusion}".')
        if self.attention_depth:
            raise ConfigError(
                f"pyramid attention_depth: expected 0 (dot products only), "
                f"got {self.attention_depth}. Two-way attention is not this form's: see light.py."
            )


class PixelEmbedding(nn.Module):
    """Turns one level's features and the place of each pixel into the vectors that queries meet."""

    def __init__(self, feature_width: int, mask_width: int, bands: int) -> None:
        super().__init__()
        self.bands = bands
        self.features = nn.Linear(feature_width, mask_width)
        self.place = nn.Linear(2 + 4 * bands, mask_width, bias=False)
        self.output = nn.Linear(mask_width, mask_width)

    def forward(self, features: Tensor) -> Tensor:
        """Return (S, E, h, w) of features (S, C_l, h, w)."""
        size = (features.shape[-2], features.shape[-1])
        code = grid_code(size, self.bands, device=features.device, dtype=features.dtype)
        # Two products equal one over joined channels, and the place is computed once for all.
        place = self.place.weight @ code.flatten(1) + self.features.bias[:, None]  # (E, h * w)
        hidden = F.gelu(_per_pixel(self.features.weight, features.flatten(2), place))
        return _per_pixel(
            self.output.weight, hidden, self.output.bias[:, None].expand_as(place)
        ).unflatten(2, size)


class PyramidDecoder(nn.Module):
    """Scores every pixel against the queries of its targets, from coarse to fine."""

    def __init__(self, config: PyramidConfig) -> None:
        super().__init__()
        self.config = config
        self.embed = nn.ModuleList(
            PixelEmbedding(width, config.mask_width, config.bands)
            for width in config.feature_widths
        )
        self.ask = nn.ModuleList(
            nn.Linear(config.query_width, config.mask_width + 1) for _ in config.feature_widths
        )
        self.prior_gain = nn.Parameter(torch.tensor(float(config.prior_gain)))
        if config.fusion == "sum":
            levels = len(config.feature_widths)
            self.gamma = nn.Parameter(torch.full((levels,), 1 / levels))
        self.reset_start()

    def reset_start(self) -> None:
        """Let the fused logit start near START_LOGIT; the scores then add about one to it.

        In a product the first level decides until the others have learned to object.
        """
        product = self.config.fusion == "product"
        for level, ask in enumerate(self.ask):
            start = -START_LOGIT if product and level else START_LOGIT
            nn.init.constant_(ask.get_parameter("bias")[-1:], start)

    def forward(
        self,
        queries: Tensor,
        features: Sequence[Tensor],
        image_index: Tensor,
        prior: Tensor | None = None,
    ) -> Tensor:
        """Return mask logits (M, h, w) at the size of the last level.

        Args:
            queries: (M, L, C), from codebook fusion.
            features: L tensors (S, C_l, h_l, w_l), coarse to fine.
            image_index: (M,) which image each row is drawn on.
            prior: (M, h', w') in [0, 1], how likely a proposal holds each pixel; 0.5 says nothing.

        Raises:
            ShapeError: queries, features, index or prior do not fit together.
        """
        self._check(queries, features, image_index, prior)
        rows = RowsByImage(image_index, len(features[0]))
        levels: list[Tensor] = []
        for embed, ask, query, feature in zip(
            self.embed, self.ask, queries.unbind(1), features, strict=True
        ):
            vector, bias = ask(query).tensor_split([-1], dim=1)  # (M, E), (M, 1)
            scores = rows.dot(vector, embed(feature))  # (M, h_l, w_l)
            if levels:
                scores = self._modulate(scores, levels[-1])
            logits = scores + bias[..., None].to(scores.dtype)
            if not levels and prior is not None:
                logits = logits + self.prior_gain * (2 * _resize(prior, logits) - 1)
            levels.append(logits)
        return self._fuse(levels)

    def _modulate(self, scores: Tensor, previous: Tensor) -> Tensor:
        """Weigh a level by the mask before it.

        The mask is one number per pixel, so it may weigh the dot product instead of the
        features: <q, e * s> = s * <q, e>. The features then stay one per image, not per target.
        """
        return scores * mask_gain(previous, scores, self.config.modulation)

    def _fuse(self, levels: list[Tensor]) -> Tensor:
        if self.config.fusion == "product":
            return product_logits([_resize(level, levels[-1]) for level in levels])
        return add_levels(levels, self.gamma)

    def _check(
        self,
        queries: Tensor,
        features: Sequence[Tensor],
        image_index: Tensor,
        prior: Tensor | None,
    ) -> None:
        widths = self.config.feature_widths
        if len(features) != len(widths):
            raise ShapeError(
                f"pyramid features: expected {len(widths)} levels, got {len(features)}."
            )
        expect_shape("pyramid queries", queries, (None, len(widths), self.config.query_width))
        for level, (feature, width) in enumerate(zip(features, widths, strict=True)):
            expect_shape(
                f"pyramid features of level {level}",
                feature,
                (len(features[0]), width, None, None),
            )
        expect_shape("image index of each query", image_index, (len(queries),))
        if prior is not None:
            expect_shape("mask prior", prior, (len(queries), None, None))


class RowsByImage:
    """Rows sorted by their image, so that each image meets all its rows in one product.

    Gathering the embeddings of an image for each of its rows is many times slower, and padding
    every image to the fullest one is slow where the rows gather on few images.
    """

    def __init__(self, image_index: Tensor, num_images: int) -> None:
        self.order = torch.argsort(image_index, stable=True)
        self.inverse = torch.argsort(self.order)
        self.counts = torch.bincount(image_index, minlength=num_images).tolist()
        if len(self.counts) > num_images:
            raise ShapeError(
                f"image index: expected less than {num_images} (the images given), "
                f"got {len(self.counts) - 1}."
            )

    def dot(self, vectors: Tensor, embeddings: Tensor) -> Tensor:
        """Return (M, h, w): vectors (M, E) against the embeddings (S, E, h, w) of their images."""
        if not self.counts:
            return vectors.new_zeros(0, *embeddings.shape[2:])
        by_image = vectors.index_select(0, self.order).split(self.counts)
        pixels = embeddings.flatten(2).unbind(0)  # S times (E, h * w)
        scores = torch.cat([rows @ image for rows, image in zip(by_image, pixels, strict=True)])
        exact = torch.promote_types(scores.dtype, torch.float32)  # masks are float32 at least
        scores = scores.index_select(0, self.inverse).to(exact)
        return scores.unflatten(1, embeddings.shape[2:])


def mask_gain(previous: Tensor, like: Tensor, modulation: Modulation) -> Tensor:
    """Return (M, h, w): by how much the logits of a level weigh the next one, at its size."""
    share = _resize(previous, like).sigmoid()
    return share if modulation == "sigmoid" else 1 + share


def add_levels(levels: Sequence[Tensor], weights: Tensor) -> Tensor:
    """Return the weighted sum of logits (M, h_l, w_l), brought to the size of the last level."""
    same = [_resize(level, levels[-1]) for level in levels]
    return torch.stack([weight * level for weight, level in zip(weights, same, strict=True)]).sum(0)


def product_logits(levels: Sequence[Tensor]) -> Tensor:
    """Return the logits of the product of the levels' probabilities, exact for any size.

    With a_l = exp(-m_l): 1 / p - 1 = prod(1 + a_l) - 1, which for two levels is a + b + ab.
    """
    fused = levels[0]
    for level in levels[1:]:
        either = torch.logaddexp(-fused, -level)
        fused = -torch.logaddexp(either, -fused - level)
    return fused


def _per_pixel(weight: Tensor, pixels: Tensor, added: Tensor) -> Tensor:
    """Return weight (E, C) @ pixels (S, C, h * w) + added (E, h * w), as one batched product.

    A 1x1 convolution says the same and takes three times as long on a CPU.
    """
    images = len(pixels)
    return torch.baddbmm(added.expand(images, -1, -1), weight.expand(images, -1, -1), pixels)


def _resize(rows: Tensor, like: Tensor) -> Tensor:
    """Bring (M, h', w') to the size of another level; nothing to do where they agree."""
    if rows.shape[-2:] == like.shape[-2:]:
        return rows
    if not len(rows):
        return rows.new_zeros(0, *like.shape[-2:])
    size = like.shape[-2:]
    return F.interpolate(rows[:, None], size=size, mode="bilinear", align_corners=False)[:, 0]
