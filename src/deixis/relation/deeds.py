"""Says in words what a thing does in a clip: what it moves like is guessed, and told to its token.

A path is numbers; questions speak of "moving left" and "coming back". As the dense heads say what a
cell shows, this head says what a track does, and the guess becomes part of the object's token.
Shapes: G sets, O objects per set, D language width, M deeds.
"""

import torch.nn.functional as F
from torch import Tensor, nn

DEEDS = 13  # as many as the scenes have words for: ``MOTIONS`` in ``scenes/knowing/motion.py``


class Deeds(nn.Module):
    """Contents of objects (G, O, D) to what their guessed deeds add to them.

    Args:
        width: D.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.guess = nn.Sequential(
            nn.Linear(width, width // 2), nn.GELU(), nn.Linear(width // 2, DEEDS)
        )
        self.told = nn.Linear(DEEDS, width, bias=False)

    def logits(self, content: Tensor) -> Tensor:
        """Return (G, O, M): does it do this?"""
        return self.guess(F.rms_norm(content, (content.shape[-1],), eps=1e-4)).float()

    def forward(self, content: Tensor, moving: Tensor) -> Tensor:
        """Return (G, O, D); zeros where ``moving`` (G, O, 1) says that there is no clip."""
        return self.told(self.logits(content).sigmoid().to(content.dtype)) * moving.to(content)
