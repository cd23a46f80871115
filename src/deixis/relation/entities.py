"""Which proposals of an image set are the same thing: over its images by looks, along a clip by
looks and place. Comparing decides; nothing here is learned.

Shapes: S frames of one set, P proposals per frame, K things so far, L width of a look.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

STEPS = 8  # moments at which a path is described


@dataclass(frozen=True, kw_only=True, slots=True)
class Linking:
    """How alike two proposals must be to be one thing.

    Attributes:
        likeness: how alike two proposals of different images must look, in [0, 1].
        likeness_nearby: the same, between frames of a clip and at one place.
        reach: the distance, in [0, 1] of the canvas, at which place no longer speaks for it.
    """

    likeness: float = 0.8
    likeness_nearby: float = 0.3
    reach: float = 0.25


def link(
    looks: np.ndarray,
    centre: np.ndarray,
    valid: np.ndarray,
    image: np.ndarray,
    clip: np.ndarray,
    rule: Linking,
    alike: Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray],
) -> np.ndarray:
    """Number the things of a set: (S, P) entity numbers from 0, -1 where there is no proposal.

    Args:
        looks: (S, P, L) what each proposal looks like.
        centre: (S, P, 2) in [0, 1].
        valid: (S, P).
        image: (S,) which image each frame belongs to; its frames stand in order.
        clip: (S,) whether the frame is one of a clip.
        rule: how alike is alike enough.
        alike: (N, L), (K, L) and (K,), whether a part that is lacking speaks against the things,
            to (N, K) in [0, 1].
    """
    entities = np.full(valid.shape, -1, dtype=np.int64)
    known = np.zeros((0, looks.shape[2]))  # what each thing looked like, lately more than before
    weights = np.zeros((0, 1))
    places = np.zeros((0, 2))
    last_image = np.zeros(0, dtype=np.int64)
    for frame in range(len(valid)):
        here = np.flatnonzero(valid[frame])
        if not len(here):
            continue
        same_clip = (last_image == image[frame]) & bool(clip[frame])
        likeness = alike(looks[frame, here], known, ~same_clip)  # (n, K)
        distance = np.linalg.norm(centre[frame, here][:, None] - places[None], axis=2)
        near = np.where(same_clip, np.clip(1 - distance / rule.reach, 0, 1), 0.0)
        least = rule.likeness - (rule.likeness - rule.likeness_nearby) * near
        gain = np.where(likeness >= least, likeness - least + 0.1, -1.0)
        rows, columns = linear_sum_assignment(-gain) if gain.size else ([], [])
        chosen = {r: c for r, c in zip(rows, columns, strict=True) if gain[r, c] > 0}
        for row, proposal in enumerate(here):
            entity = chosen.get(row)
            if entity is None:
                entity = len(known)
                known = np.vstack([known, np.zeros(looks.shape[2])])
                weights = np.vstack([weights, np.zeros(1)])
                places = np.vstack([places, np.zeros(2)])
                last_image = np.append(last_image, 0)
            weights[entity] = weights[entity] * 0.8 + 1
            known[entity] += (looks[frame, proposal] - known[entity]) / weights[entity]
            places[entity] = centre[frame, proposal]
            last_image[entity] = image[frame]
            entities[frame, proposal] = entity
    return entities


def paths(centre: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Describe paths (O, S, 2), seen (O, S), along the S frames of one clip: (O, STEPS * 3 + 8).

    Place and visibility at STEPS moments, then first and last moment, share of time seen,
    displacement (x, y), length of the way, its longest step, and how often x or y turns back.
    """
    num, frames = seen.shape
    moments = np.round(np.linspace(0, frames - 1, STEPS)).astype(int)
    at = centre[:, moments] * seen[:, moments, None]
    first = seen.argmax(1)
    last = frames - 1 - seen[:, ::-1].argmax(1)
    index = np.arange(frames)
    filled = np.maximum.accumulate(np.where(seen, index, 0), axis=1)  # last frame seen so far
    held = np.take_along_axis(centre, np.maximum(filled, first[:, None])[..., None], axis=1)
    step = np.diff(held, axis=1, prepend=held[:, :1])
    length = np.linalg.norm(step, axis=2)
    displacement = held[:, -1] - held[:, 0]
    way = np.abs(step).sum(1)
    turning = (way - np.abs(displacement)).max(1)
    span = max(frames - 1, 1)
    extra = np.stack(
        [
            first / span,
            last / span,
            seen.mean(1),
            displacement[:, 0],
            displacement[:, 1],
            length.sum(1),
            length.max(1) * min(frames, STEPS),
            turning,
        ],
        axis=1,
    )
    return np.concatenate([at.reshape(num, -1), seen[:, moments].astype(float), extra], axis=1)


PATH_WIDTH = STEPS * 3 + 8
