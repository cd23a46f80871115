"""Says in words what a thing does in a clip: what it moves like is guessed, and told to its token.

A path is numbers; questions speak of "moving left" and "coming back". As the dense heads say what a
cell shows, this head says what a track does, and the guess becomes part of the object's token.
Shapes: G sets, O objects per set, D language width, M deeds.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

DEEDS = 13  # as many as the scenes have words for: ``MOTIONS`` in ``scenes/knowing/motion.py``


class Deeds(nn.Module):
    """Guesses what objects do, and tells it to their tokens.

    Args:
        width: D.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.guess = nn.Sequential(
            nn.Linear(width, width // 2), nn.GELU(), nn.Linear(width // 2, DEEDS)
        )
        self.gain = nn.Parameter(torch.tensor(0.5))

    def forward(self, content: Tensor) -> Tensor:
        """Return logits (G, O, M) for contents (G, O, D): does it do this?"""
        return self.guess(F.rms_norm(content, (content.shape[-1],), eps=1e-4)).float()

    def tell(self, logits: Tensor, moving: Tensor, words: Tensor) -> Tensor:
        """Return (G, O, D), what guesses add to contents: the words (M, D) of the deeds, so that
        they can be said as they are; zeros where ``moving`` (G, O, 1) says that there is no
        clip."""
        said = logits.sigmoid().to(words.dtype) @ words
        return F.rms_norm(said, (said.shape[2],), eps=1e-4) * self.gain * moving.to(words.dtype)
