"""How much deixis-tiny loses on `refer` when its pictures are changed and the truth with them.

    python benchmarks/robustness.py [--count 500] [--seed N]

None of worn, resized or re-lit pictures may lose more than 0.08 giou; wide margins and crowds are
reported. Every change is asked the same questions.
"""

import argparse
import io
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
from PIL import Image, ImageFilter
from results import record

from deixis import Frame, ImageSet, Mask, load
from deixis.evaluation.running.benchmarks import REFERRING, Benchmark
from deixis.evaluation.running.evaluator import Answerer, evaluate
from deixis.scenes.catalogue import BY_NAME
from deixis.scenes.drawing.dice import Dice
from deixis.scenes.drawing.render import Rendering, render
from deixis.scenes.questions import Scene, answer_again, image_set, make_scene
from deixis.scenes.things import Placed, Thing, View, WorldKey
from deixis.structures.samples import Sample

Pixels = np.ndarray  # (H, W, 3) uint8, or (H, W) bool
DISTRACTORS, TOGETHER = 10, 5
ALLOWED = 0.08


@dataclass(frozen=True, slots=True)
class Change:
    """What is done to a picture, and to a mask of it where that moves."""

    picture: Callable[[Pixels], Pixels]
    mask: Callable[[Pixels], Pixels] = lambda mask: mask
    bound: bool = True


def jpeg(pixels: Pixels) -> Pixels:
    """Save as JPEG of quality 30 and open again."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=30)
    return np.asarray(Image.open(file))


def blurred(pixels: Pixels) -> Pixels:
    """Blur by a Gaussian of sigma 1 px."""
    return np.asarray(Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(1)))


def noisy(pixels: Pixels) -> Pixels:
    """Add noise of standard deviation 10 / 255, another for each picture and always the same."""
    noise = np.random.default_rng(int(pixels.sum())).normal(0, 10, pixels.shape)
    return np.clip(pixels + noise, 0, 255).round().astype(np.uint8)


def lit(times: float) -> Change:
    """Change the brightness."""
    return Change(lambda pixels: np.clip(pixels * times, 0, 255).round().astype(np.uint8))


def resized(times: float) -> Change:
    """Change the size of the picture and of its masks."""

    def sized(pixels: Pixels, how: Image.Resampling) -> Pixels:
        size = (round(pixels.shape[1] * times), round(pixels.shape[0] * times))
        return np.asarray(Image.fromarray(pixels).resize(size, how))

    return Change(
        lambda pixels: sized(pixels, Image.Resampling.BICUBIC),
        lambda mask: sized((mask * 255).astype(np.uint8), Image.Resampling.BILINEAR) > 127,
    )


def padded(times: int) -> Change:
    """Put the picture in the middle of a grey one that is so many times as wide."""

    def wide(pixels: Pixels, value: int) -> Pixels:
        side = (times - 1) * pixels.shape[1] // 2
        margin = [(0, 0), (side, side), *[(0, 0)] * (pixels.ndim - 2)]
        return np.pad(pixels, margin, constant_values=value)

    return Change(lambda p: wide(p, 127), lambda mask: wide(mask, 0), bound=False)


CHANGES = {
    "as drawn": Change(lambda pixels: pixels),
    "JPEG quality 30": Change(jpeg),
    "blur, sigma 1 px": Change(blurred),
    "noise, sd 10/255": Change(noisy),
    "half the size": resized(0.5),
    "twice the size": resized(2),
    "brightness x 0.6": lit(0.6),
    "brightness x 1.4": lit(1.4),
    "padded to 1:2": padded(2),
    "padded to 1:4": padded(4),
}


def changed(sample: Sample, change: Change) -> Sample:
    """Return a question about one picture with its picture and its truth changed."""
    assert sample.answer is not None
    frame = Frame.from_array(change.picture(sample.images[0].pixels))
    targets = tuple(
        replace(t, masks={i: Mask(change.mask(m.pixels)) for i, m in t.masks.items()})
        for t in sample.answer.targets
    )
    answer = replace(sample.answer, targets=targets)
    return replace(sample, images=ImageSet.pictures([frame]), answer=answer)


def crowded(scene: Scene, seed: int) -> Sample | None:
    """Return the question about a picture with ten more small things behind all others; None
    where its truth can no longer be proved."""
    dice = Dice(seed, 1)
    (view,) = scene.world.views
    used = {placed.thing.category for placed in view.placed}
    others = [name for name in sorted(BY_NAME) if name not in used]
    more = []
    for number in range(DISTRACTORS):
        category = BY_NAME[dice.choice(others)]
        thing = Thing(
            id=100 + number, category=category.name, colour=dice.choice(("red", "blue", "green")),
            pattern="plain", accent=None, parts=category.parts,
        )  # fmt: skip
        x, y = dice.between(8, view.width - 8), dice.between(8, view.height - 8)
        more.append(
            Placed(thing=thing, x=x, y=y, size=20.0, large=False, tilt=0.0, mirrored=False)
        )
    world = replace(scene.world, views=(replace(view, placed=(*more, *view.placed)),))
    renderings = (behind(scene.renderings[0], view, more),)
    answer = answer_again(world, renderings, scene.asked[0])
    if answer is None:
        return None
    return replace(scene.samples[0], images=image_set(world, renderings), answer=answer)


def behind(drawn: Rendering, view: View, more: Sequence[Placed]) -> Rendering:
    """Return a picture with further things where it shows background; a few are drawn at once."""
    maps = {one.name: np.array(getattr(drawn, one.name)) for one in fields(Rendering)}
    for start in range(0, len(more), TOGETHER):
        some = tuple(more[start : start + TOGETHER])
        other = render(replace(view, placed=some))
        free = (maps["things"] == 0) & (other.things > 0)
        for name, whole in maps.items():
            whole[free] = getattr(other, name)[free]
    return Rendering(**maps)


def measured(reasoner: Answerer, name: str, samples: Sequence[Sample]) -> float:
    """Return the giou of a reasoner on samples."""
    benchmark = Benchmark(name=name, samples=samples, task=REFERRING)
    return float(evaluate(reasoner, benchmark)["metrics"]["giou"])


def main() -> None:
    """Measure every change on the same questions, and the crowd beside its own as drawn."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(2**63))
    arguments = parser.parse_args()
    reasoner = load("deixis-tiny")
    keys = [
        WorldKey(split="test", task="refer", seed=arguments.seed, index=index)
        for index in range(arguments.count)
    ]
    scenes = [make_scene(key) for key in keys]
    samples = [scene.samples[0] for scene in scenes]
    giou = {}
    for name, change in CHANGES.items():
        giou[name] = round(measured(reasoner, name, [changed(s, change) for s in samples]), 4)
        print(f"{name:18} {giou[name]:.3f}", flush=True)
    crowds = [crowded(scene, arguments.seed) for scene in scenes]
    pairs = [(c, s) for c, s in zip(crowds, samples, strict=True) if c is not None]
    giou["ten distractors more"] = round(measured(reasoner, "crowd", [c for c, _ in pairs]), 4)
    alone = round(measured(reasoner, "alone", [s for _, s in pairs]), 4)
    worst = max(giou["as drawn"] - giou[name] for name, c in CHANGES.items() if c.bound)
    record(
        __file__,
        "the most giou that refer loses to a change of its pictures",
        worst,
        f"< {ALLOWED}",
        giou=giou,
        crowd={"questions": len(pairs), "without_distractors": alone},
        seed=arguments.seed,
        samples=arguments.count,
        fingerprint=reasoner.fingerprint,
    )


if __name__ == "__main__":
    main()
