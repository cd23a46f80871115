"""Changes the states half way through a decoder of transformers.

Shapes: b rows, T columns, D language width.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn


@contextmanager
def told_before(decoder: Any, layer: int, tell: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """Let ``tell`` change the states (b, T, D) before a layer, from 0, of transformers' decoder."""

    def hook(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if args:
            return (tell(args[0]), *args[1:]), kwargs
        return args, {**kwargs, "hidden_states": tell(kwargs["hidden_states"])}

    handle = decoder.layers[layer].register_forward_pre_hook(hook, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()
