"""Tells objects, half way through the decoder, how they stand among those a question touches.

By then the decoder has noticed which objects fit the words of a question and beside which others
are looked for. "The second mug from the left" needs the place among the mugs, "left of the tree"
the side of the tree, "which image has more" how many there are: these are counted here, over
whatever was noticed, and told to every object. Shapes: B rows, O objects per set, D language width,
R ways to be touched.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deixis.relation.neighbours import AMONG, Compared


class Midway(nn.Module):
    """What an object is told of those that the question touches.

    Args:
        ways: R.
        width: D.
    """

    def __init__(self, ways: int, width: int) -> None:
        super().__init__()
        self.among = nn.Linear(ways * (AMONG + 1), width)
        self.told = nn.Linear(width, width)
        self.gain = nn.Parameter(torch.tensor(0.5))

    def forward(self, touched: Tensor, known: Compared, rows: Tensor) -> Tensor:
        """Return (B, O, D).

        Args:
            touched: (B, O, R) how surely each object is touched in each way.
            known: all pairs of the objects of the sets.
            rows: (B,) the set of each row.
        """
        among = known.among(rows, touched.float())
        known_now = torch.cat([among, touched.float()], 2).to(self.gain.dtype)
        told = self.told(F.gelu(self.among(known_now)))
        return F.rms_norm(told, (told.shape[2],), eps=1e-4) * self.gain
