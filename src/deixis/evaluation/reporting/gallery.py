"""Keeps the best and the worst answers of a run, and draws them beside the truth."""

from collections.abc import Sequence
from pathlib import Path

from deixis.structures.answers import GroundedAnswer
from deixis.structures.samples import Sample

SIDES = ("worst", "best")
Kept = tuple[float, int, GroundedAnswer]  # (score, index of the sample, predicted answer)


class Gallery:
    """The ``size`` worst and the ``size`` best answers that were offered."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.worst: list[Kept] = []
        self.best: list[Kept] = []

    def offer(self, score: float, index: int, answer: GroundedAnswer) -> None:
        """Keep an answer if it is among the worst or the best so far; earlier ones win ties."""
        one = (score, index, answer)
        self.worst = sorted([*self.worst, one], key=lambda kept: kept[:2])[: self.size]
        self.best = sorted([*self.best, one], key=lambda k: (-k[0], k[1]))[: self.size]

    def save(self, folder: Path, samples: Sequence[Sample]) -> list[Path]:
        """Draw each kept answer and the truth side by side; return the files."""
        if not self.size:
            return []
        from deixis.viz.overlay import contact_sheet

        folder.mkdir(parents=True, exist_ok=True)
        for old in drawn_in(folder):  # by an earlier run with more pictures
            old.unlink()
        paths = []
        for side, kept in (("worst", self.worst), ("best", self.best)):
            for rank, (score, index, answer) in enumerate(kept, start=1):
                sample = samples[index]
                assert sample.answer is not None
                titles = (f"{sample.id} {sample.type}: predicted, score {score:.2f}", "truth")
                sheet = contact_sheet(
                    [sample, sample], [answer, sample.answer], columns=2, titles=titles
                )
                paths.append(folder / f"{side}_{rank:02d}.png")
                sheet.save(paths[-1])
        return paths


def drawn_in(folder: Path) -> list[Path]:
    """Return the pictures of cases in a folder, the worst first."""
    return [path for side in SIDES for path in sorted(folder.glob(f"{side}_*.png"))]
