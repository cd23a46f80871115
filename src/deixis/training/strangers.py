"""Pictures that are no scenes of ours, made from noise: what a model shall not find familiar.

Photographs obey two laws that are easy to imitate: their spectrum falls with frequency, and things
cover each other in all sizes (the "dead leaves" model). Beside such pictures stand flat ones,
gradients, plain noise, and pages and screens. None shows anything; they are as unlike our scenes
as a photograph is. Shapes: H W pixels; everything is drawn from a ``numpy.random.Generator``.
"""

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

SIDE = 128


def stranger(random: np.random.Generator) -> np.ndarray:
    """Return a picture (H, W, 3) uint8 that is no scene."""
    photos: tuple[Callable[[np.random.Generator], np.ndarray], ...] = (leaves, fog, cut)
    others = (page, screen, flat, static, cartoon)
    makers = photos if random.random() < 0.7 else others
    pixels = makers[random.integers(len(makers))](random)
    if random.random() < 0.5:  # dull light: a narrow range of tones around the middle
        pixels = random.uniform(0.25, 0.7) + random.uniform(0.25, 0.9) * (pixels - pixels.mean())
    if random.random() < 0.15:
        pixels = np.repeat(pixels.mean(2, keepdims=True), 3, axis=2)  # without colour
    if random.random() < 0.4:  # of another shape
        height, width = random.integers(SIDE // 2, SIDE + 1, 2)
        pixels = pixels[:height, :width]
    return (pixels.clip(0, 1) * 255).round().astype(np.uint8)


# -- what looks like a photograph, all (H, W, 3) around [0, 1] ---------------------------------


def fog(random: np.random.Generator) -> np.ndarray:
    """Noise whose spectrum falls with frequency, mostly grey."""
    fall, colourful = random.uniform(0.6, 1.9), random.exponential(0.35)
    fields = np.stack([_field(random, fall) for _ in range(3)], 2)
    fields[..., 1:] *= colourful
    mixing = np.array([[1, 1, 1], *random.normal(0, 0.6, (2, 3))])
    return _tone(random)[0] + random.uniform(0.05, 0.3) * fields @ mixing


def leaves(random: np.random.Generator) -> np.ndarray:
    """Shaded, textured shapes of all sizes that cover each other, the smallest last."""
    y, x = np.mgrid[0:SIDE, 0:SIDE] / SIDE
    count = int(random.integers(8, 90))
    out = np.zeros((SIDE, SIDE, 3)) + _tone(random)[0]
    grain = _field(random, random.uniform(0.3, 1.2)) * random.exponential(0.06)
    palette = _tone(random, int(random.integers(2, 9)))
    for size in np.sort(0.04 + 0.6 * random.random(count) ** 2.5)[::-1]:
        turn, flat_by = random.uniform(0, np.pi), random.uniform(0.25, 1)
        dx, dy = x - random.uniform(-0.1, 1.1), y - random.uniform(-0.1, 1.1)
        along, across = dx * np.cos(turn) + dy * np.sin(turn), dy * np.cos(turn) - dx * np.sin(turn)
        power = random.choice([1.0, 2.0, 8.0])
        inside = (abs(along) / size) ** power + (abs(across) / (size * flat_by)) ** power < 1
        shade = random.normal(0, 0.25) * along / size + random.normal(0, 0.15) * across / size
        lit = (shade + grain * random.exponential(1.0))[..., None] + random.normal(0, 0.08)
        out[inside] = (palette[random.integers(len(palette))] + lit)[inside]
    return _lens(random, out + 0.5 * grain[..., None])


def cut(random: np.random.Generator) -> np.ndarray:
    """Two such pictures, each in its part of the plane."""
    one, other = ((leaves, fog)[random.integers(2)](random) for _ in range(2))
    share = _field(random, 2.2) + random.normal(0, 0.5) > 0
    return _lens(random, np.where(share[..., None], one, other))


# -- what is no photograph either ------------------------------------------------------------


def page(random: np.random.Generator) -> np.ndarray:
    """Rows of small dark marks on bright paper, or bright ones on a dark screen."""
    out = np.full((SIDE, SIDE), random.uniform(0.85, 1))
    step = int(random.integers(3, 14))
    margin = int(random.integers(2, 20))
    for top in range(margin, SIDE - step, step):
        marks = random.random((max(1, step // 2), SIDE - 2 * margin)) < random.uniform(0.2, 0.6)
        out[top : top + len(marks), margin : SIDE - margin] -= marks * random.uniform(0.3, 0.9)
    out = out if random.random() < 0.7 else 1 - out
    return np.repeat(out[..., None], 3, axis=2) * (1 - 0.1 * random.random(3))


def screen(random: np.random.Generator) -> np.ndarray:
    """Flat rectangles, some with rows of marks."""
    tones = np.concatenate([random.random((4, 3)), [[1, 1, 1], [0.95] * 3, [0.12] * 3]])
    out = np.zeros((SIDE, SIDE, 3)) + tones[random.integers(len(tones))]
    for _ in range(int(random.integers(1, 16))):
        top, left = random.integers(0, SIDE - 8, 2)
        box = np.s_[top : top + random.integers(4, 70), left : left + random.integers(6, 100)]
        out[box] = tones[random.integers(len(tones))]
        if random.random() < 0.4:
            rows = page(random)[box]
            out[box] = np.where(rows < 0.6, tones[random.integers(len(tones))], out[box])
    return out


def cartoon(random: np.random.Generator) -> np.ndarray:
    """Flat shapes with outlines on one flat colour, or outlines alone."""
    picture = Image.new("RGB", (SIDE, SIDE), tuple(random.integers(0, 256, 3).tolist()))
    if random.random() < 0.5:
        picture.paste("white", (0, 0, SIDE, SIDE))
    draw, filled = ImageDraw.Draw(picture), random.random() < 0.6
    for _ in range(int(random.integers(1, 12))):
        left, top = random.integers(-10, SIDE - 10, 2).tolist()
        box = (left, top, left + int(random.integers(6, 80)), top + int(random.integers(6, 80)))
        colour = tuple(random.integers(0, 256, 3).tolist()) if filled else None
        kind = (draw.ellipse, draw.rectangle)[random.integers(2)]
        kind(box, fill=colour, outline="black", width=int(random.integers(1, 3)))
    return np.asarray(picture) / 255


def flat(random: np.random.Generator) -> np.ndarray:
    """One colour, or one that turns slowly into another."""
    one, other = random.random((2, 3))
    ramp = np.linspace(0, random.integers(2), SIDE)[:, None, None]
    out = (1 - ramp) * one + ramp * other + np.zeros((1, SIDE, 1))
    return out if random.random() < 0.5 else out.transpose(1, 0, 2)


def static(random: np.random.Generator) -> np.ndarray:
    """Every pixel by itself, or in small blocks."""
    block = int(random.choice([1, 1, 2, 4, 16]))
    noise = random.random((SIDE // block, SIDE // block, 3))
    noise = noise if random.random() < 0.5 else noise.mean(2, keepdims=True).repeat(3, 2)
    tall = noise.repeat(block, 0).repeat(block, 1)
    return random.random(3) + (tall - 0.5) * random.uniform(0.1, 1.5)


# -- ingredients -----------------------------------------------------------------------------


def _field(random: np.random.Generator, fall: float) -> np.ndarray:
    """Return noise (H, W) of mean 0 and deviation 1 whose amplitudes fall as frequency^-fall."""
    frequency = np.hypot(np.fft.fftfreq(SIDE)[:, None], np.fft.rfftfreq(SIDE)[None])
    frequency[0, 0] = 1
    spectrum = np.fft.rfft2(random.normal(size=(SIDE, SIDE))) / frequency**fall
    spectrum[0, 0] = 0
    field = np.fft.irfft2(spectrum, (SIDE, SIDE))
    return field / field.std()


def _tone(random: np.random.Generator, count: int = 1) -> np.ndarray:
    """Return colours (count, 3) of one light: mostly dull, of any brightness."""
    light = random.normal(0, 0.06, 3)
    brightness = random.beta(0.9, 0.9, (count, 1))
    return brightness * (1 + random.exponential(0.25) * random.normal(0, 0.6, (count, 3)) + light)


def _lens(random: np.random.Generator, pixels: np.ndarray) -> np.ndarray:
    """Return a picture through a lens: some of it out of focus, light from one side."""
    picture = Image.fromarray((pixels.clip(0, 1) * 255).astype(np.uint8))
    soft = np.asarray(picture.filter(ImageFilter.GaussianBlur(random.uniform(0.4, 3)))) / 255
    focus = 1 / (1 + np.exp(-3 * _field(random, 2.2) - random.normal(0, 2)))[..., None]
    side = np.linspace(-1, 1, SIDE)[:, None, None] * random.normal(0, 0.15)
    return (focus * pixels.clip(0, 1) + (1 - focus) * soft) * (1 + side)
