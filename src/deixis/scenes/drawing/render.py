"""Turns a view into pixels and exact maps of visible things, parts and nominal colours."""

from dataclasses import dataclass, replace
from functools import cache, lru_cache
from math import cos, sin

import numpy as np
from numpy.typing import NDArray

from deixis.scenes.catalogue import COLOURS, PART_NAMES
from deixis.scenes.drawing.shapes import CODES, paint, shape_of
from deixis.scenes.things import Background, Placed, View

DARK = 128  # added to the code of a pixel in a stripe or dot
DARKER = 0.7  # brightness of stripes and dots
EDGE = 0.66  # brightness of outlines
STEPS = 192  # between the two colours of a background
BANK = 512  # side of the noise that every view takes its own window of

_PLACE_OF_PART = {part: 1 + i for i, part in enumerate(PART_NAMES)}
_PLACE_OF_COLOUR = {colour: 1 + i for i, colour in enumerate(COLOURS)}
_PALETTE = np.array([(0, 0, 0), *COLOURS.values()], np.float32)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendering:
    """A picture and what each of its pixels shows; all (H, W), pixels (H, W, 3), all uint8.

    Attributes:
        things: id of the thing, 0 for background.
        parts: 1 + index in PART_NAMES, 0 for background.
        colours: 1 + index in COLOURS of the pixel's nominal colour, 0 for background.
    """

    pixels: NDArray[np.uint8]
    things: NDArray[np.uint8]
    parts: NDArray[np.uint8]
    colours: NDArray[np.uint8]


def render(view: View) -> Rendering:
    """Draw a view; the maps hold visible pixels only, and every part lies inside its thing."""
    upright = unflipped(view)
    codes = paint(upright.placed, view.height, view.width)  # (H, W)
    tables = _tables(upright)
    plain = codes & (CODES - 1)
    pixels = _colour(upright, _patterned(upright, codes), tables)
    drawn = Rendering(
        pixels=pixels,
        things=tables.things[plain],
        parts=tables.parts[plain],
        colours=tables.colours[plain],
    )
    return _turned_over(drawn) if view.flipped else drawn


def _turned_over(drawn: Rendering) -> Rendering:
    return Rendering(
        pixels=np.ascontiguousarray(drawn.pixels[:, ::-1]),
        things=np.ascontiguousarray(drawn.things[:, ::-1]),
        parts=np.ascontiguousarray(drawn.parts[:, ::-1]),
        colours=np.ascontiguousarray(drawn.colours[:, ::-1]),
    )


def unflipped(view: View) -> View:
    """Return the view that was mirrored into this one, or the view itself."""
    if not view.flipped:
        return view
    return replace(view, placed=tuple(flip(p, view.width) for p in view.placed), flipped=False)


def flip(placed: Placed, width: int) -> Placed:
    """Return a thing as a mirror beside the view shows it."""
    return replace(placed, x=width - placed.x, tilt=-placed.tilt, mirrored=not placed.mirrored)


@dataclass(frozen=True, slots=True)
class _Tables:
    """What each code means: maps (CODES,), and the brightness and colour of each code."""

    things: NDArray[np.uint8]
    parts: NDArray[np.uint8]
    colours: NDArray[np.uint8]
    rgb: NDArray[np.uint8]  # (256, 3), by code with OUTLINE and DARK


def _tables(view: View) -> _Tables:
    things, parts, colours = (np.zeros(CODES, np.uint8) for _ in range(3))
    shades, patterned = np.zeros((CODES, 1), np.float32), np.zeros((CODES, 1), bool)
    for place, item in enumerate(view.placed):
        thing = item.thing
        accent, accent_colour = thing.accent or ("", "")
        light = view.light * (0.93 + 0.14 * (view.noise >> thing.id % 40 & 63) / 63)
        for code, layer in enumerate(shape_of(thing.category, thing.parts).layers, 8 * place + 8):
            own = layer.part != accent
            things[code] = thing.id
            parts[code] = _PLACE_OF_PART[layer.part]
            colours[code] = _PLACE_OF_COLOUR[thing.colour if own else accent_colour]
            shades[code] = layer.shade * light
            patterned[code] = own
    rgb = _PALETTE[colours] * shades  # (CODES, 3)
    dark = np.where(patterned, DARKER, 1.0)
    every = np.concatenate([rgb, rgb * EDGE, rgb * dark, rgb * dark * EDGE])
    return _Tables(things, parts, colours, np.minimum(every, 255).astype(np.uint8))


def _patterned(view: View, codes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the codes with DARK added where a striped or dotted thing is darker."""
    for place, item in enumerate(view.placed):
        if item.thing.pattern == "plain":
            continue
        reach = item.size * shape_of(item.thing.category, item.thing.parts).reach + 1
        top, left = max(int(item.y - reach), 0), max(int(item.x - reach), 0)
        window = codes[
            top : max(int(item.y + reach) + 1, 0), left : max(int(item.x + reach) + 1, 0)
        ]
        y = (np.arange(top, top + window.shape[0], dtype=np.float32) + 0.5 - item.y) / item.size
        x = (np.arange(left, left + window.shape[1], dtype=np.float32) + 0.5 - item.x) / item.size
        across = x * cos(item.tilt) + y[:, None] * sin(item.tilt)
        down = y[:, None] * cos(item.tilt) - x * sin(item.tilt)
        if item.thing.pattern == "striped":
            dark = (down + 0.35 * across) % 0.19 < 0.085
        else:
            dark = (across % 0.2 - 0.1) ** 2 + (down % 0.2 - 0.1) ** 2 < 0.0042
        mine = (window & (CODES - 1)) >> 3 == place + 1
        window += (dark & mine).astype(np.uint8) * np.uint8(DARK)
    return codes


def _colour(view: View, codes: NDArray[np.uint8], tables: _Tables) -> NDArray[np.uint8]:
    """Return the picture (H, W, 3): background, things, soft edges, grain and uneven light."""
    behind, steps = view.background, np.linspace(0, 1, STEPS, dtype=np.float32)[:, None]
    near, far = np.array(behind.near, np.float32), np.array(behind.far, np.float32)
    table = np.zeros((256 + STEPS, 4), np.uint8)
    table[:256, :3] = tables.rgb
    table[256:, :3] = np.minimum((near + (far - near) * steps) * view.light, 255)
    mix = (_texture(behind, view) * (STEPS - 1) + 256).astype(np.uint16)  # (H, W)
    entries = np.where(codes & (CODES - 1), codes, mix)
    pixels = table.view(np.uint32)[:, 0][entries].view(np.uint8).reshape(*codes.shape, 4)[..., :3]
    soft = _softened(_softened(pixels.astype(np.uint16)).swapaxes(0, 1)).swapaxes(0, 1) >> 6
    grain = _window(_grain(), view, view.noise)
    return np.clip(soft.astype(np.int16) + grain, 0, 255).astype(np.uint8)


def _softened(pixels: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """Return eight times the pixels (H, W, 3), each mixed a little with those above and below."""
    soft = pixels * np.uint16(6)
    soft[1:] += pixels[:-1]
    soft[:-1] += pixels[1:]
    soft[0] += pixels[0]
    soft[-1] += pixels[-1]
    return soft


def _texture(behind: Background, view: View) -> NDArray[np.float32]:
    """Return how much of the far colour each pixel has, from 0 to 1 (H, W)."""
    x, y = _grid(view.height, view.width)
    turn, across = cos(behind.angle), sin(behind.angle)
    if behind.kind == "soft":
        return _window(_clouds(), view, view.noise >> 7)
    if behind.kind == "gradient":
        return np.clip(0.5 + 0.55 * (x * turn + y * across), 0, 1)
    if behind.kind == "stripes":
        wave = np.sin((x * turn + y * across) * np.float32(6.0 / behind.scale))
        return (0.5 + 0.5 * wave).astype(np.float32)
    columns = np.floor((x * turn + y * across) / behind.scale)
    rows = np.floor((y * turn - x * across) / behind.scale)
    return ((columns + rows) % 2 * 0.7).astype(np.float32)


@lru_cache(maxsize=8)
def _grid(height: int, width: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return x (1, W) and y (H, 1) from the middle, in halves of the shorter side."""
    half = min(height, width) / 2
    x = (np.arange(width, dtype=np.float32) + 0.5 - width / 2) / half
    y = (np.arange(height, dtype=np.float32) + 0.5 - height / 2) / half
    return x[None, :], y[:, None]


def _window(bank: NDArray, view: View, noise: int) -> NDArray:
    """Return a window (H, W, ...) of a bank that has no seams; ``noise`` says which."""
    if view.height > BANK or view.width > BANK:
        repeats = (-(-view.height // BANK), -(-view.width // BANK), 1)
        bank = np.tile(bank, repeats[: bank.ndim])
    top = noise % (bank.shape[0] - view.height + 1)
    left = (noise >> 10) % (bank.shape[1] - view.width + 1)
    return bank[top : top + view.height, left : left + view.width]


@cache
def _grain() -> NDArray[np.int16]:
    """Return fine noise in colour over slow changes of light (BANK, BANK, 3)."""
    generator = np.random.Generator(np.random.Philox(1))
    fine = generator.normal(0, 4.5, (BANK, BANK, 1)) + generator.normal(0, 2.5, (BANK, BANK, 3))
    slow = _smooth(generator, 4.0)[..., None] * 9
    return np.clip(fine + slow, -40, 40).astype(np.int16)


@cache
def _clouds() -> NDArray[np.float32]:
    """Return soft blobs from 0 to 1 (BANK, BANK)."""
    generator = np.random.Generator(np.random.Philox(2))
    field = _smooth(generator, 10.0) + 0.35 * _smooth(generator, 32.0)
    return np.clip(0.5 + 0.35 * field, 0, 1).astype(np.float32)


def _smooth(generator: np.random.Generator, cycles: float) -> NDArray[np.float64]:
    """Return noise of unit deviation that repeats at its edges and varies over BANK / cycles."""
    frequencies = np.fft.fftfreq(BANK) * BANK
    power = np.exp(-(frequencies**2) / (2 * cycles**2))
    spectrum = np.fft.fft2(generator.normal(size=(BANK, BANK))) * power[:, None] * power[None, :]
    field = np.fft.ifft2(spectrum).real
    return field / field.std()
