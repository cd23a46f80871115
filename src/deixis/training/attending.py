"""Where the tokens of a mask decoder of SAM's kind look, told while it draws.

From nothing, masks of all things look alike for long: what draws learns which cells are meant only
from the masks that come out. So stage 0 tells the attention from tokens to cells where the target
lies; what is found there can be drawn.

Shapes: M targets, N tokens, P cells, A heads, E width of a head, H W pixels.
"""

from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deixis.errors import ShapeError


class Attending:
    """Notes, while it is open, where the first head of each attention from tokens to cells looks.

    Args:
        transformer: SAM's or SAM 2's, with ``cross_attn_token_to_image`` and
            ``final_attn_token_to_image``.
    """

    def __init__(self, transformer: nn.Module) -> None:
        self.parts: list[Any] = [
            part for name, part in transformer.named_modules() if name.endswith("token_to_image")
        ]
        self.asked: list[list[Tensor]] = [[] for _ in self.parts]
        self.shown: list[list[Tensor]] = [[] for _ in self.parts]
        self.hooks: list[Any] = []

    def __enter__(self) -> Self:
        for part, asked, shown in zip(self.parts, self.asked, self.shown, strict=True):
            for line, kept in ((part.q_proj, asked), (part.k_proj, shown)):
                self.hooks.append(line.register_forward_hook(_keeping(kept)))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        for hook in self.hooks:
            hook.remove()
        self.hooks = []

    def missed(self, masks: Sequence[Tensor], grid: tuple[int, int]) -> Tensor:
        """Return how far the tokens look from their targets, in nats; 0 without any.

        Args:
            masks: (M, H, W) of the targets of each drawing since it was opened.
            grid: (h, w) of the cells.

        Raises:
            ShapeError: another number of drawings.
        """
        if any(len(asked) != len(masks) for asked in self.asked):
            raise ShapeError(
                f"attention: expected one drawing for each of {len(masks)} sets of masks, got "
                f"{[len(asked) for asked in self.asked]}. Give the masks of every drawing."
            )
        losses = []
        for number, true in enumerate(masks):
            cover = F.adaptive_avg_pool2d(true.float(), grid).flatten(1)  # (M, P)
            total = cover.sum(1)
            share = cover / total.clamp(min=1e-6)[:, None]
            for part, asked, shown in zip(self.parts, self.asked, self.shown, strict=True):
                logs = _looks(part, asked[number], shown[number])  # (M, N, P)
                each = -(share[:, None] * logs).sum(2).mean(1)
                losses.append((each * (total > 0)).sum() / (total > 0).sum().clamp(min=1))
        return torch.stack(losses).mean()


def _keeping(kept: list[Tensor]) -> Any:
    """Return a hook that keeps what a module gives."""

    def keep(module: nn.Module, read: Any, given: Tensor) -> None:
        kept.append(given)

    return keep


def _looks(part: Any, asked: Tensor, shown: Tensor) -> Tensor:
    """Return (M, N, P): the logarithm of how much the first head of an attention looks at each
    cell; asked (..., N, A * E), shown (..., P, A * E)."""
    size = asked.shape[-1] // part.num_attention_heads
    asks, shows = (one.flatten(0, -3)[..., :size].float() for one in (asked, shown))
    logits: Tensor = asks @ shows.mT * size**-0.5
    return logits.log_softmax(2)
