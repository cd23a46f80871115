"""Where numbers must be exact although training runs in a shorter type."""

from contextlib import AbstractContextManager, nullcontext

import torch


def exactly(device: torch.device) -> AbstractContextManager:
    """Return a block without autocast, on devices that know it and on those that do not."""
    if not torch.amp.is_autocast_available(device.type):
        return nullcontext()
    return torch.autocast(device.type, enabled=False)
