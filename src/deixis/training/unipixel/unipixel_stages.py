"""What UniPixel's stages minimise: lessons, after bases that others bring along.

The published system begins with a trained Qwen2.5-VL and a trained SAM 2.1. On our scenes a named
stage 0 stands in for both: ``unipixel_bases.py`` for what sees and draws, ``unipixel_rehearsal.py``
and ``unipixel_speaking.py`` for what reads and writes.
"""

from typing import Any

from torch import Tensor

from deixis.training.unipixel.unipixel_bases import Looking, Scanning, Sketching
from deixis.training.unipixel.unipixel_objective import UniPixelObjective
from deixis.training.unipixel.unipixel_recipe import STAGES, check_published_parts
from deixis.training.unipixel.unipixel_rehearsal import Rehearsing
from deixis.training.unipixel.unipixel_speaking import Speaking


class PublishedObjective(UniPixelObjective):
    """A published stage: its lessons, and exactly its parts may learn."""

    stage: str
    checked = False

    def __call__(self, model: Any, batch: Any) -> dict[str, Tensor]:
        """Return the parts of the loss.

        Raises:
            ConfigError: other parameters learn than those of the published stage.
        """
        if not self.checked:
            check_published_parts(model, self.stage)
            self.checked = True
        return super().__call__(model, batch)


class Pointing(PublishedObjective):
    """Stage 1: what points and boxes show, in words."""

    stage, lessons = "pointing", STAGES["pointing"].lessons


class Drawing(PublishedObjective):
    """Stage 2: masks of what words name."""

    stage, lessons = "drawing", STAGES["drawing"].lessons


class Whole(PublishedObjective):
    """Stage 3: everything that the system does."""

    stage, lessons = "whole", STAGES["whole"].lessons


OBJECTIVES: dict[str, Any] = {
    "looking": Looking,
    "scanning": Scanning,
    "sketching": Sketching,
    "rehearsing": Rehearsing,
    "speaking": Speaking,
    "unipixel": UniPixelObjective,
    "pointing": Pointing,
    "drawing": Drawing,
    "whole": Whole,
}
