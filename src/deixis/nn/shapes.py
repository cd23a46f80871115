"""Checks tensor shapes where one station hands over to the next: expected, got."""

from torch import Tensor

from deixis.errors import ShapeError


def expect_shape(name: str, tensor: Tensor, shape: tuple[int | None, ...]) -> None:
    """Refuse a tensor of another shape; None stands for any size.

    Raises:
        ShapeError: another number of axes, or another size of one.

    Example:
        >>> import torch
        >>> expect_shape("queries", torch.zeros(5, 2), (None, 3))
        Traceback (most recent call last):
        deixis.errors.ShapeError: queries: expected shape (any, 3), got (5, 2).
    """
    got = tuple(tensor.shape)
    fits = len(got) == len(shape) and all(
        wanted is None or wanted == size for wanted, size in zip(shape, got, strict=True)
    )
    if not fits:
        wanted_text = ", ".join("any" if wanted is None else str(wanted) for wanted in shape)
        trail = "," if len(shape) == 1 else ""
        raise ShapeError(f"{name}: expected shape ({wanted_text}{trail}), got {got}.")
