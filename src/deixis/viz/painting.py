"""Masks and prompts painted over one picture, at a size at which a person can see them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from deixis.structures.images import Frame
from deixis.structures.masks import Mask
from deixis.structures.prompts import Box, Point, Prompt
from deixis.viz.captions import INK, PAPER, Colour, swatch

SMALL, LARGE = 384, 1600  # long side in pixels: smaller pictures are enlarged, larger ones reduced
FILL = 0.42  # share of a target's colour in its pixels
REST = 0.7  # brightness left to pixels outside all targets
PALETTE: tuple[Colour, ...] = (
    (236, 64, 148),
    (0, 186, 224),
    (255, 158, 27),
    (126, 214, 52),
    (142, 96, 250),
    (250, 220, 50),
    (36, 120, 250),
    (242, 86, 66),
    (0, 168, 132),
    (196, 130, 72),
    (206, 150, 255),
    (120, 140, 160),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stroke:
    """One mask to paint, with its colour and the number of its tag ("" = no tag)."""

    mask: Mask
    colour: Colour
    label: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pointer:
    """One prompt to draw; with a label it gets a tag of its own, as no mask bears it."""

    prompt: Prompt
    colour: Colour
    label: str = ""


def shown_size(size: tuple[int, int], small: int = SMALL, large: int = LARGE) -> tuple[int, int]:
    """Return the (height, width) at which a picture of ``size`` is painted."""
    long = max(size)
    scale = min(max(long, small), large) / long
    return (max(1, round(size[0] * scale)), max(1, round(size[1] * scale)))


def paint(
    frame: Frame,
    strokes: Sequence[Stroke],
    pointers: Sequence[Pointer] = (),
    *,
    size: tuple[int, int] | None = None,
) -> Image.Image:
    """Return a frame at ``size`` with its targets coloured and prompts drawn.

    What belongs to no target grows darker, so that the targets stand out whatever their colour.
    """
    height, width = size or shown_size(frame.size)
    picture = Image.fromarray(frame.reduced(2 * max(height, width)))
    picture = picture.resize((width, height), Image.Resampling.BICUBIC)
    covers = [_cover(stroke.mask, (height, width)) for stroke in strokes]
    if covers:
        picture = _coloured(picture, strokes, covers)
        _outline(picture, strokes, covers)
    scale = (width / frame.size[1], height / frame.size[0])
    places = [_draw_prompt(picture, one.prompt, one.colour, scale) for one in pointers]
    found = [cover.getbbox() for cover in covers]
    _tag(picture, [*zip(strokes, found, strict=True), *zip(pointers, places, strict=True)])
    return picture


def _cover(mask: Mask, size: tuple[int, int]) -> Image.Image:
    """Return the mask as a grey picture (h, w): how much of each pixel it covers."""
    grey = Image.fromarray(mask.pixels.astype(np.uint8) * 255)
    if grey.width > 2 * size[1]:
        grey = grey.reduce(max(1, grey.width // (2 * size[1])))
    return grey.resize((size[1], size[0]), Image.Resampling.BILINEAR)


def _coloured(
    picture: Image.Image, strokes: Sequence[Stroke], covers: Sequence[Image.Image]
) -> Image.Image:
    rest = picture.point(lambda value: round(value * REST))
    anywhere = np.max([np.asarray(cover) for cover in covers], axis=0)
    picture = Image.composite(picture, rest, Image.fromarray(anywhere))
    for stroke, cover in zip(strokes, covers, strict=True):
        plain = Image.new("RGB", picture.size, stroke.colour)
        picture.paste(plain, mask=cover.point(lambda value: round(value * FILL)))
    return picture


def _outline(
    picture: Image.Image, strokes: Sequence[Stroke], covers: Sequence[Image.Image]
) -> None:
    """Draw a white line around each target, and its own colour inside that line."""
    reach = 2 * max(1, round(max(picture.size) / 400)) + 1
    for stroke, cover in zip(strokes, covers, strict=True):
        solid = cover.point(lambda value: 255 if value > 127 else 0)
        if not solid.getbbox():  # too thin for half a pixel: show it all the same
            solid = cover.point(lambda value: 255 if value else 0)
        wide = solid.filter(ImageFilter.MaxFilter(reach))
        wider = wide.filter(ImageFilter.MaxFilter(3))
        wide, wider = (edge.filter(ImageFilter.GaussianBlur(0.7)) for edge in (wide, wider))
        inside = solid.filter(ImageFilter.GaussianBlur(0.7))
        picture.paste(PAPER, mask=_without(wider, wide))
        picture.paste(stroke.colour, mask=_without(wide, inside))


def _without(outer: Image.Image, inner: Image.Image) -> Image.Image:
    difference = np.asarray(outer).astype(np.int16) - np.asarray(inner)
    return Image.fromarray(difference.clip(0, 255).astype(np.uint8))


def _tag(
    picture: Image.Image,
    labelled: Sequence[tuple[Stroke | Pointer, tuple[int, int, int, int] | None]],
) -> None:
    """Put each number at a corner of what it stands for, where no other number is."""
    draw = ImageDraw.Draw(picture)
    side = min(36, max(14, min(20, max(picture.size) // 11), max(picture.size) // 45))
    places: list[tuple[int, int]] = []
    for one, box in labelled:
        if not one.label or box is None or min(picture.size) < 3 * side:
            continue
        corners = [(box[i], box[j]) for i, j in ((0, 1), (2, 1), (0, 3), (2, 3))]
        inside = [
            (
                min(max(1, x - side // 2), picture.width - side - 1),
                min(max(1, y - side // 2), picture.height - side - 1),
            )
            for x, y in corners
        ]
        free = [
            p for p in inside if all(max(abs(p[0] - x), abs(p[1] - y)) > side for x, y in places)
        ]
        x, y = (free or inside)[0]
        places.append((x, y))
        draw.rounded_rectangle((x - 1, y - 1, x + side, y + side), 5, fill=PAPER)
        swatch(draw, (x, y), side, one.label, one.colour)


def _draw_prompt(
    picture: Image.Image, prompt: Prompt, colour: Colour, scale: tuple[float, float]
) -> tuple[int, int, int, int]:
    """Draw a point as a ring with a dot, a box as a double line, a region as a dotted edge.

    Returns:
        The box of what was drawn.
    """
    draw, small = ImageDraw.Draw(picture), max(picture.size) < SMALL // 2
    if isinstance(prompt, Point):
        x, y = round(prompt.x * scale[0]), round(prompt.y * scale[1])
        radii = (6, 5, 3, 2) if small else (9, 7, 4, 2)
        for radius, ink in zip(radii, (PAPER, colour, PAPER, INK), strict=True):
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=ink)
        return (x - radii[0], y - radii[0], x + radii[0], y + radii[0])
    if isinstance(prompt, Box):
        x0, y0 = round(prompt.x0 * scale[0]), round(prompt.y0 * scale[1])
        x1 = max(x0, round(prompt.x1 * scale[0]) - 1)
        y1 = max(y0, round(prompt.y1 * scale[1]) - 1)
        draw.rectangle((x0, y0, x1, y1), outline=PAPER, width=3 if small else 5)
        inner = (x0 + 1, y0 + 1, max(x0 + 1, x1 - 1), max(y0 + 1, y1 - 1))
        draw.rectangle(inner, outline=colour, width=1 if small else 3)
        return (x0, y0, x1, y1)
    cover = _cover(prompt.mask, (picture.height, picture.width))
    _dotted_edge(picture, cover, colour)
    return cover.getbbox() or (0, 0, 0, 0)


def _dotted_edge(picture: Image.Image, cover: Image.Image, colour: Colour) -> None:
    solid = cover.point(lambda value: 255 if value > 127 else 0)
    edge = _without(solid.filter(ImageFilter.MaxFilter(5)), solid)
    rows, columns = np.indices((picture.height, picture.width))
    dots = np.where((rows + columns) // 6 % 2, np.asarray(edge), 0)  # (h, w)
    picture.paste(PAPER, mask=edge)
    picture.paste(colour, mask=Image.fromarray(dots.astype(np.uint8)))
