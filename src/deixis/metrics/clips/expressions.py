"""Expressions about clips: the truth that MeViS, Ref-SAV and others build, and scores per set.

Tracks are lists of COCO RLE, or None, per frame. One expression is scored at a time, so memory is
bounded by one clip. Shapes: T frames of (H, W) pixels.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from deixis.errors import DataError, ShapeError
from deixis.metrics.clips.davis import frame_f, frame_f_clean, frame_j
from deixis.metrics.sums import FAILED, Tally
from deixis.structures.masks import Mask

MISSING = f"{FAILED}prediction missing"
DECIMALS = 2  # of a percentage, as UniPixel's script for Ref-SAV and Ref-DAVIS17 prints it

FrameF = Callable[[np.ndarray, np.ndarray], float]
Track = Sequence[Mapping[str, Any] | None]


def summed_truth(tracks: Sequence[Track], size: tuple[int, int], frames: int) -> np.ndarray:
    """Return how many of the tracks cover each pixel, uint8 (T, H, W).

    No track at all means that there is nothing to find. Published code takes the size from the
    first predicted picture, and uses the sum as "anything there" for J and F.

    Raises:
        DataError: a track that has fewer frames than the clip.
        ShapeError: a mask of another size.
    """
    total = np.zeros((frames, *size), dtype=np.uint8)
    for track in tracks:
        if len(track) < frames:
            raise DataError(f"track: expected {frames} frames, got {len(track)}. Check the clip.")
        for index, rle in zip(range(frames), track, strict=False):
            if rle is None:
                continue
            if tuple(rle["size"]) != size:
                raise ShapeError(
                    f"track: expected masks of size {size}, got {tuple(rle['size'])}. "
                    f"Check that the predictions belong to this clip."
                )
            total[index] += Mask.from_rle(rle).pixels
    return total


def clip_scores(
    true: np.ndarray, predicted: np.ndarray, contour: FrameF = frame_f
) -> tuple[float, float]:
    """Return (J, F) of one expression: the means over all frames (T, H, W), none left out."""
    pairs = list(zip(true.astype(bool), predicted.astype(bool), strict=True))
    js, fs = [frame_j(*pair) for pair in pairs], [contour(*pair) for pair in pairs]
    return float(np.mean(js)), float(np.mean(fs))


def measure(true: np.ndarray, predicted: np.ndarray | None, contour: FrameF = frame_f) -> Tally:
    """Tally one expression of a set; where the prediction is missing it scores 0, by name.

    Args:
        true: anything not 0 (T, H, W) is the target.
        predicted: the same of the prediction, or None.
        contour: the boundary score of a frame.
    """
    if predicted is None:
        return Tally.of([("j", 0, 1), ("f", 0, 1), (MISSING, 1, 0)])
    scores = clip_scores(true, predicted, contour)
    return Tally.of([("j", scores[0], 1), ("f", scores[1], 1)])


def measure_clean(true: np.ndarray, predicted: np.ndarray | None) -> Tally:
    """Tally one expression where the image's own edge bounds masks too."""
    return measure(true, predicted, frame_f_clean)


def result(tally: Tally) -> dict[str, float]:
    """Return J, F and J&F: means over expressions, as MeViS's script does."""
    values = {name: tally.top(name) / max(tally.bottom(name), 1) for name in ("j", "f")}
    return {**values, "jf": (values["j"] + values["f"]) / 2}


def result_in_percent(tally: Tally) -> dict[str, float]:
    """Return J, F and J&F in percent, rounded as UniPixel's script prints them."""
    return {name: round(100 * value, DECIMALS) for name, value in result(tally).items()}


def running_index(meta: Mapping[str, Any]) -> Iterable[tuple[int, str, str]]:
    """Yield (index, video, expression id) as evaluators of Ref-DAVIS17 count them.

    Videos are sorted, and ids are sorted as strings: "10" comes before "2". Readers that count in
    the order of the file get other masks.
    """
    videos = meta["videos"]
    keys = [
        (video, eid) for video in sorted(videos) for eid in sorted(videos[video]["expressions"])
    ]
    for index, (video, eid) in enumerate(keys):
        yield index, video, eid
