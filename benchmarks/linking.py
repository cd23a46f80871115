"""Finding things again: pairs of sightings that are linked, over images and along clips.

    python benchmarks/linking.py [MODEL]

The claim is about `multi`: two sightings of one thing are linked, and no others, F1 at least 0.8.
The embedding alone, at the threshold that suits it best, stands beside it.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from results import record

from deixis.models.deixis import DeixisModel
from deixis.models.parts.deixis_teaching import things_of
from deixis.models.released import open_model
from deixis.relation.entities import Linking, link
from deixis.relation.likeness import Likeness
from deixis.scenes.questions import make_scene
from deixis.scenes.world import WorldKey

SEED = 79
SETS = {"multi": 150, "clip": 50}


@dataclass(frozen=True, slots=True)
class Sightings:
    """What is known of the proposals of one set, and which thing each is (-1: none)."""

    looks: np.ndarray
    centre: np.ndarray
    valid: np.ndarray
    image: np.ndarray
    clip: np.ndarray
    thing: np.ndarray


def sightings(model: DeixisModel, task: str, index: int) -> Sightings:
    """Look at the images of a world of the split ``val``."""
    scene = make_scene(WorldKey(split="val", task=task, seed=SEED, index=index))
    pixels = np.stack([rendering.pixels for rendering in scene.renderings])
    things = np.stack([rendering.things[::2, ::2] for rendering in scene.renderings])
    with torch.inference_mode():
        look = model.vision.look(torch.from_numpy(pixels).permute(0, 3, 1, 2))
    seen, frames = look.proposals, len(pixels)
    return Sightings(
        looks=look.looks.numpy(),
        centre=seen.centre.numpy(),
        valid=seen.valid.numpy(),
        image=np.zeros(frames, int) if task == "clip" else np.arange(frames),
        clip=np.full(frames, task == "clip"),
        thing=things_of(seen.masks, torch.from_numpy(things.astype(np.int64))).numpy(),
    )


def agreement(
    sets: list[Sightings],
    rule: Linking,
    alike: Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray],
) -> dict[str, float]:
    """Return precision, recall and F1 over all pairs of sightings in different frames."""
    right = linked = same = 0
    for one in sets:
        entity = link(one.looks, one.centre, one.valid, one.image, one.clip, rule, alike)
        frame, slot = np.nonzero(one.valid & (one.thing > 0))
        apart = frame[:, None] < frame
        mine, truth = entity[frame, slot], one.thing[frame, slot]
        pairs, true = (mine[:, None] == mine) & apart, (truth[:, None] == truth) & apart
        right, linked = right + int((pairs & true).sum()), linked + int(pairs.sum())
        same += int(true.sum())
    precision, recall = right / max(linked, 1), right / max(same, 1)
    f1 = 2 * right / max(linked + same, 1)
    return {name: round(value, 4) for name, value in zip("PRF", (precision, recall, f1))}  # noqa: B905


def main() -> None:
    """Link by the model's rule, and by its embedding alone."""
    model = open_model(*sys.argv[1:2] or ["deixis-tiny"]).model.eval()
    config = model.config
    rule = Linking(
        likeness=config.likeness, likeness_nearby=config.likeness_nearby, reach=config.reach
    )
    width = config.identity_width

    def embedded(one: np.ndarray, other: np.ndarray, _: np.ndarray) -> np.ndarray:
        length = np.maximum(np.linalg.norm(other[:, :width], axis=1), 1e-9)
        return one[:, :width] @ other[:, :width].T / length

    found: dict[str, dict] = {}
    for task, count in SETS.items():
        sets = [sightings(model, task, index) for index in range(count)]
        alone = [
            agreement(sets, replace(rule, likeness=least), embedded)
            for least in np.linspace(0.7, 0.98, 15)
        ]
        found[task] = {
            "rule": agreement(sets, rule, Likeness.of(width, config.words)),
            "embedding_alone": max(alone, key=lambda one: one["F"]),
        }
    record(
        __file__,
        "F1 of linked pairs of sightings over the images of multi",
        found["multi"]["rule"]["F"],
        ">= 0.8",
        **found,
        sets=SETS,
        seed=SEED,
    )


if __name__ == "__main__":
    main()
