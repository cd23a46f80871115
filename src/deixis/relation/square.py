"""SQuARE: queries that first look across all images of a set, then into each of them.

PRIMA (arXiv:2412.15209; specification 2.3): relational queries attend to the features of all
images, R' = RelAttn(R, V); they are added to the global queries, Gt = G + R'; Gt then attends to
each image alone. The rows of an image are its tokens in the language decoder.

Shapes: B sets, S images, P patches per image, C feature width, Q queries, D query width, A heads.
"""

from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deixis.errors import ConfigError
from deixis.nn.shapes import expect_shape

Relation = Literal["square", "none", "mean", "projection", "concat", "image_to_image"]


@dataclass(frozen=True, kw_only=True, slots=True)
class SQuAREConfig:
    """How the images of a set meet.

    Attributes:
        num_queries: tokens of an image.
        relation: what the global queries learn of the whole set.
            "square": R' is added to G, query by query.
            "none": nothing; each image is seen as if it were alone.
            "mean": the mean of all features, projected once, added to every query alike.
            "projection": the mean of all features, projected to a term of its own per query.
            "concat": R' is not added but stands in for the last Q // 2 queries of G, so that an
                image still has Q tokens; G keeps its shape, so that it can be another relation's.
            "image_to_image": nothing, but every patch looks at all patches of the set first, and
                adds what it finds to its features; its cost grows with the square of S.
        num_layers, pre_norm, ffn, residual: the inside of the relational attention, which no
            source settles. By default one plain cross-attention: it has the shape of a
            Q-Former's and can be started from one.
        per_image_position: whether R' knows the order of the images.

    Raises:
        ConfigError: an unknown relation, heads that do not divide the width, too few queries.
    """

    num_queries: int = 32
    query_width: int = 768
    feature_width: int = 1408
    num_heads: int = 12
    relation: Relation = "square"
    num_layers: int = 1
    pre_norm: bool = False
    ffn: bool = False
    residual: bool = False
    per_image_position: bool = False

    def __post_init__(self) -> None:
        if self.relation not in get_args(Relation):
            known = ", ".join(get_args(Relation))
            raise ConfigError(f'relation: expected one of {known}, got "{self.relation}".')
        for name in ("num_queries", "query_width", "feature_width", "num_heads", "num_layers"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name}: expected at least 1, got {getattr(self, name)}.")
        if self.query_width % self.num_heads:
            raise ConfigError(
                f"num_heads: expected a divisor of query_width ({self.query_width}), "
                f"got {self.num_heads}."
            )
        if self.relation == "image_to_image" and self.feature_width % self.num_heads:
            raise ConfigError(
                f"num_heads: expected a divisor of feature_width ({self.feature_width}) for "
                f'relation "image_to_image", got {self.num_heads}.'
            )
        if self.relation == "concat" and self.num_queries < 2:
            raise ConfigError(
                f'num_queries: expected at least 2 for relation "concat", got {self.num_queries}.'
            )


class CrossAttention(nn.Module):
    """Multi-head attention of queries (B, Q, D) to features (B, P, C)."""

    def __init__(self, query_width: int, feature_width: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.query = nn.Linear(query_width, query_width)
        self.key = nn.Linear(feature_width, query_width)
        self.value = nn.Linear(feature_width, query_width)
        self.output = nn.Linear(query_width, query_width)

    def forward(self, queries: Tensor, features: Tensor, seen: Tensor | None = None) -> Tensor:
        """Return (B, Q, D); features where ``seen`` (B, P) is False are left out."""
        query, key, value = (
            layer(rows).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)  # (B, A, ., D / A)
            for layer, rows in (
                (self.query, queries),
                (self.key, features),
                (self.value, features),
            )
        )
        allowed = None if seen is None else seen[:, None, None, :]
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=allowed)
        return self.output(mixed.transpose(1, 2).flatten(2))


class FeedForward(nn.Sequential):
    """Widens, bends, narrows."""

    def __init__(self, width: int) -> None:
        super().__init__(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))


class RelationalLayer(nn.Module):
    """One look of the relational queries at all images; plain unless told otherwise."""

    def __init__(self, config: SQuAREConfig) -> None:
        super().__init__()
        width = config.query_width
        self.residual = config.residual
        self.norm = nn.LayerNorm(width) if config.pre_norm else nn.Identity()
        self.attention = CrossAttention(width, config.feature_width, config.num_heads)
        self.ffn = nn.Sequential(nn.LayerNorm(width), FeedForward(width)) if config.ffn else None

    def forward(self, queries: Tensor, features: Tensor, seen: Tensor) -> Tensor:
        looked = self.attention(self.norm(queries), features, seen)
        queries = queries + looked if self.residual else looked
        return queries if self.ffn is None else queries + self.ffn(queries)


class RelationalQueries(nn.Module):
    """R' (B, Q, D): what the images of a set have to say to each other."""

    def __init__(self, config: SQuAREConfig, num_queries: int) -> None:
        super().__init__()
        self.positioned = config.per_image_position
        self.queries = nn.Parameter(torch.randn(num_queries, config.query_width) * 0.02)
        self.layers = nn.ModuleList(RelationalLayer(config) for _ in range(config.num_layers))

    def forward(self, features: Tensor, mask: Tensor) -> Tensor:
        """Return (B, Q, D) of features (B, S, P, C) and the images that exist (B, S)."""
        num_images, num_patches = features.shape[1:3]
        if self.positioned:
            code = image_codes(num_images, features)  # (S, C)
            features = features + code[:, None]
        seen = mask[:, :, None].expand(-1, -1, num_patches).flatten(1)  # (B, S * P)
        queries = self.queries.expand(len(features), -1, -1)
        for layer in self.layers:
            queries = layer(queries, features.flatten(1, 2), seen)
        return queries


class PooledRelation(nn.Module):
    """The baselines without attention: the mean of all features, projected."""

    def __init__(self, config: SQuAREConfig) -> None:
        super().__init__()
        self.num_terms = config.num_queries if config.relation == "projection" else 1
        self.project = nn.Linear(config.feature_width, self.num_terms * config.query_width)

    def forward(self, features: Tensor, mask: Tensor) -> Tensor:
        """Return (B, Q or 1, D); features of images that do not exist are zeros already."""
        count = mask.sum(1).clamp(min=1)[:, None] * features.shape[2]
        mean = features.sum((1, 2)) / count  # (B, C)
        return self.project(mean).unflatten(-1, (self.num_terms, -1))


class ImageToImage(nn.Module):
    """The baseline without queries: all patches of a set look at each other."""

    def __init__(self, config: SQuAREConfig) -> None:
        super().__init__()
        width = config.feature_width
        self.attention = CrossAttention(width, width, config.num_heads)

    def forward(self, features: Tensor, mask: Tensor) -> Tensor:
        """Return what patches (B, S, P, C) find in the images that exist (B, S), as large."""
        flat = features.flatten(1, 2)  # (B, S * P, C)
        seen = mask[:, :, None].expand(features.shape[:3]).flatten(1)
        return self.attention(flat, flat, seen).unflatten(1, features.shape[1:3])


class GlobalAttention(nn.Module):
    """Lets the queries look into one image: attention, feed-forward, each with residual and norm.

    One block, post-norm as in a Q-Former; the published system has a whole Q-Former here.
    """

    def __init__(self, config: SQuAREConfig) -> None:
        super().__init__()
        width = config.query_width
        self.attention = CrossAttention(width, config.feature_width, config.num_heads)
        self.attention_norm = nn.LayerNorm(width)
        self.ffn = FeedForward(width)
        self.ffn_norm = nn.LayerNorm(width)

    def forward(self, queries: Tensor, features: Tensor) -> Tensor:
        """Return (B, Q, D) of queries (B, Q, D) and the features (B, P, C) of one image each."""
        queries = self.attention_norm(queries + self.attention(queries, features))
        return self.ffn_norm(queries + self.ffn(queries))


class SharedQueries(nn.Module):
    """Gt: the global queries G and what the whole set tells them; without the look into an image.

    PRIMA hands Gt to a whole Q-Former; ``SQuARE`` has one small block in its place.
    """

    def __init__(self, config: SQuAREConfig) -> None:
        super().__init__()
        self.config = config
        related = config.num_queries
        if config.relation == "concat":
            related = config.num_queries // 2
        self.queries = nn.Parameter(torch.randn(config.num_queries, config.query_width) * 0.02)
        self.relation: RelationalQueries | PooledRelation | ImageToImage | None = None
        if config.relation in ("square", "concat"):
            self.relation = RelationalQueries(config, related)
        elif config.relation in ("mean", "projection"):
            self.relation = PooledRelation(config)
        elif config.relation == "image_to_image":
            self.relation = ImageToImage(config)

    @torch.no_grad()
    def silence(self) -> None:
        """Let R' begin at zero, so that training starts exactly at the queries G as they are.

        With ``residual`` R' begins at R, which is small.
        """
        last: list[Any]
        if isinstance(self.relation, PooledRelation):
            last = [self.relation.project]
        elif isinstance(self.relation, ImageToImage):
            last = [self.relation.attention.output]
        elif isinstance(self.relation, RelationalQueries) and self.config.relation == "square":
            layer: Any = self.relation.layers[-1]
            last = [layer.attention.output, *([layer.ffn[1][-1]] if layer.ffn else [])]
        else:
            return
        for linear in last:
            linear.weight.zero_()
            linear.bias.zero_()

    def relate(self, features: Tensor, mask: Tensor) -> Tensor:
        """Return Gt (B, Q, D) of features (B, S, P, C) and the images that exist (B, S)."""
        own = self.queries.expand(len(features), -1, -1)
        if self.relation is None or isinstance(self.relation, ImageToImage):
            return own
        features, mask = _without_padding(features, mask)
        # A set without images (a question about nothing) may see zeros; its rows are dropped.
        seen = mask | ~mask.any(1, keepdim=True)
        related = self.relation(features, seen)
        if self.config.relation == "concat":
            return torch.cat([own[:, : -related.shape[1]], related], dim=1)
        return own + related

    def exchange(self, features: Tensor, mask: Tensor) -> Tensor:
        """Return what the queries look at: features (B, S, P, C) as they are, unless images look
        at each other."""
        if not isinstance(self.relation, ImageToImage):
            return features
        features, mask = _without_padding(features, mask)
        found: Tensor = self.relation(features, mask | ~mask.any(1, keepdim=True))
        return features + found


class SQuARE(SharedQueries):
    """Gives every image of a set Q tokens that know of the other images."""

    def __init__(self, config: SQuAREConfig) -> None:
        super().__init__(config)
        self.look = GlobalAttention(config)

    def forward(self, features: Tensor, mask: Tensor) -> Tensor:
        """Return the rows (B, S, Q, D) of features (B, S, P, C).

        Args:
            features: patches of every image; what padded images hold is never read.
            mask: (B, S) bool, which images exist. The rows of the others are zeros.

        Raises:
            ShapeError: features and mask do not fit.
        """
        expect_shape("image features", features, (None, None, None, self.config.feature_width))
        expect_shape("image mask", mask, tuple(features.shape[:2]))
        features, mask = _without_padding(features, mask)
        queries = self.relate(features, mask)  # (B, Q, D)
        sets, images = mask.shape
        repeated = queries[:, None].expand(-1, images, -1, -1)  # (B, S, Q, D)
        known = self.exchange(features, mask)
        rows = self.look(repeated.flatten(0, 1), known.flatten(0, 1))
        return rows.unflatten(0, (sets, images)).masked_fill(~mask[..., None, None], 0)


def _without_padding(features: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Zeros for what padded images hold: even NaN, which no attention mask would stop."""
    mask = mask.bool()
    return features.masked_fill(~mask[..., None, None], 0), mask


def image_codes(count: int, like: Tensor) -> Tensor:
    """Return (count, C): sines and cosines of the image's number in its set, for any number."""
    width = like.shape[-1]
    place = torch.arange(count, device=like.device, dtype=torch.float32)[:, None]
    half = (width + 1) // 2
    rate = 100.0 ** (-torch.arange(half, device=like.device, dtype=torch.float32) / half)
    angles = place * rate
    return torch.cat([angles.sin(), angles.cos()], dim=-1)[:, :width].to(like.dtype)
