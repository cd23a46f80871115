"""Pictures as they come through mails and screens: compressed, out of focus, grainy, darker.

What they show stays the same. Shapes: H W pixels; everything is drawn from a
``numpy.random.Generator``.
"""

import io
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import numpy as np
from PIL import Image, ImageFilter

from deixis.scenes.questions import Scene, image_set

FILTERS = (Image.Resampling.NEAREST, Image.Resampling.BILINEAR, Image.Resampling.BICUBIC)
LIGHT = (0.5, 1.5)  # the range of brightness, where it is changed
OFTEN = 0.65  # how often the light of a worn scene is changed, and how often anything else is
TIMES = {"compressed": 5, "darker": 0, "brighter": 0}  # how often a way comes beside the light


def worn_scene(scene: Scene, random: np.random.Generator) -> Scene:
    """Return a scene whose pictures are worn, each in its own way half of the time, else all in
    one way; every picture keeps its size, and a clip is worn as a whole."""
    starts = np.cumsum((0, *scene.world.lengths)).tolist()
    seeds = random.integers(2**32, size=len(starts) - 1)
    seeds = seeds if random.random() < 0.5 else np.full_like(seeds, seeds[0])
    pictures = [rendering.pixels for rendering in scene.renderings]
    for (first, end), seed in zip(pairwise(starts), seeds, strict=True):
        pictures[first:end] = [_used(p, np.random.default_rng(seed)) for p in pictures[first:end]]
    renderings = tuple(
        replace(drawn, pixels=pixels)
        for drawn, pixels in zip(scene.renderings, pictures, strict=True)
    )
    images = image_set(scene.world, renderings)
    samples = tuple(replace(sample, images=images) for sample in scene.samples)
    return replace(scene, renderings=renderings, samples=samples)


def _used(pixels: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Return a picture in another light, or changed in one more way, or both; of its own size."""
    light, other, much = random.random(), random.random(), random.random() ** 0.5
    if light < OFTEN:
        pixels = (pixels * random.uniform(*LIGHT)).round().clip(0, 255).astype(np.uint8)
    if other < OFTEN:
        ways = [way for name, way in WEAR.items() for _ in range(TIMES.get(name, 1))]
        height, width = pixels.shape[:2]
        pixels = ways[random.integers(len(ways))](pixels, much, random)
        if pixels.shape[:2] != (height, width):
            back = Image.fromarray(pixels).resize((width, height), Image.Resampling.BILINEAR)
            pixels = np.array(back)
    return pixels


def worn(pixels: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Return a picture (H, W, 3) uint8 as it comes through mails and screens: changed in one way,
    more or less; or as it was."""
    changes = list(WEAR.values())
    change = int(random.integers(len(changes) + 1))
    if change == len(changes):
        return pixels
    return changes[change](pixels, random.random() ** 0.5, random)  # rather more than less


def compressed(pixels: np.ndarray, much: float, random: np.random.Generator) -> np.ndarray:
    """Return a picture as a JPEG of quality 95 down to 28 keeps it."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=round(95 - 67 * much))
    return np.array(Image.open(file).convert("RGB"))


def blurred(pixels: np.ndarray, much: float, random: np.random.Generator) -> np.ndarray:
    """Return a picture out of focus, by up to 1.1 pixels."""
    return np.array(Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(0.3 + 0.8 * much)))


def noisy(pixels: np.ndarray, much: float, random: np.random.Generator) -> np.ndarray:
    """Return a picture with grain, of a deviation of up to 11."""
    grain = random.normal(0, 2 + 9 * much, pixels.shape)
    return (pixels + grain).round().clip(0, 255).astype(np.uint8)


def smaller(pixels: np.ndarray, much: float, random: np.random.Generator) -> np.ndarray:
    """Return a picture at down to 0.45 of its size."""
    return _resized(pixels, 1 - 0.55 * much, random)


def larger(pixels: np.ndarray, much: float, random: np.random.Generator) -> np.ndarray:
    """Return a picture at up to 2.2 times its size."""
    return _resized(pixels, 1 + 1.2 * much, random)


def darker(pixels: np.ndarray, much: float, random: np.random.Generator) -> np.ndarray:
    """Return a picture at down to 0.55 of its brightness."""
    return (pixels * (1 - 0.45 * much)).round().astype(np.uint8)


def brighter(pixels: np.ndarray, much: float, random: np.random.Generator) -> np.ndarray:
    """Return a picture at up to 1.45 times its brightness, as far as there is any."""
    return (pixels * (1 + 0.45 * much)).round().clip(0, 255).astype(np.uint8)


WEAR: dict[str, Callable[[np.ndarray, float, np.random.Generator], np.ndarray]] = {
    "compressed": compressed,
    "blurred": blurred,
    "noisy": noisy,
    "smaller": smaller,
    "larger": larger,
    "darker": darker,
    "brighter": brighter,
}


def _resized(pixels: np.ndarray, scale: float, random: np.random.Generator) -> np.ndarray:
    height, width = (max(1, round(side * scale)) for side in pixels.shape[:2])
    resample = FILTERS[random.integers(len(FILTERS))]
    return np.array(Image.fromarray(pixels).resize((width, height), resample))
