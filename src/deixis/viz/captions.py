"""Lettering under pictures: wrapped text whose coloured words are the phrases of targets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from PIL import Image, ImageDraw, ImageFont

Colour = tuple[int, int, int]

PAPER: Colour = (255, 255, 255)
INK: Colour = (28, 30, 38)
FAINT: Colour = (112, 118, 132)
AMBER: Colour = (178, 98, 0)
WIDE_FONTS = ("DejaVuSans.ttf", "NotoSans-Regular.ttf", "Arial.ttf", "LiberationSans-Regular.ttf")
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One line of a legend: a swatch and what it stands for; no colour = a hollow swatch."""

    text: str
    note: str = ""
    label: str = ""
    colour: Colour | None = None


@cache
def _wide_font(size: int) -> Font:
    for name in WIDE_FONTS:
        try:
            return ImageFont.truetype(name, size)
        except OSError:
            continue
    return ImageFont.load_default(size)


@cache
def _plain_font(size: int) -> Font:
    return ImageFont.load_default(size)


def text_size(width: int, normal: int = 17) -> int:
    """Return the height of letters for a picture of that width: larger below larger pictures."""
    return round(normal * min(2.0, max(1.0, (width / 640) ** 0.6)))


def font_for(text: str, size: int) -> Font:
    """Return Pillow's own font, or one of the system's where the text is more than ASCII."""
    return _plain_font(size) if text.isascii() else _wide_font(size)


def wrapped(text: str, width: int, font: Font, most_lines: int) -> list[tuple[int, int]]:
    """Return the character ranges of the lines that fit ``width``, at most ``most_lines``."""
    lines: list[tuple[int, int]] = []
    start = 0
    while start < len(text) and len(lines) < most_lines:
        stop = _line_end(text, start, width, font)
        lines.append((start, stop))
        start = stop
        while start < len(text) and text[start] in " \n":
            start += 1
    return lines


def _line_end(text: str, start: int, width: int, font: Font) -> int:
    """Return where the line that begins at ``start`` ends: after a word, or inside a long one."""
    limit = text.find("\n", start)
    limit = min(len(text) if limit < 0 else limit, start + 400)
    if font.getlength(text[start:limit]) <= width:
        return limit
    low, high = start + 1, limit
    while low < high:  # the longest beginning that fits
        middle = (low + high + 1) // 2
        if font.getlength(text[start:middle]) <= width:
            low = middle
        else:
            high = middle - 1
    space = text.rfind(" ", start, low + 1)
    return space if space > start else low


def paragraph(
    text: str,
    width: int,
    *,
    spans: Sequence[tuple[int, int]] = (),
    colours: Sequence[Colour] = (),
    size: int = 17,
    ink: Colour = INK,
    most_lines: int = 8,
) -> Image.Image:
    """Return the text as a picture of that width; ``spans[i]`` is marked with ``colours[i]``."""
    font = font_for(text, size)
    lines = wrapped(text, width, font, most_lines)
    step = round(size * 1.55)
    picture = Image.new("RGB", (width, max(1, step * len(lines))), PAPER)
    draw = ImageDraw.Draw(picture)
    for row, (start, stop) in enumerate(lines):
        shown = text[start:stop]
        if row == most_lines - 1 and text[stop:].strip():
            shown = shown[:-2].rstrip() + " ..."
        for (first, last), colour in zip(spans, colours, strict=True):
            a, b = max(first, start), min(last, stop)
            if a < b:
                left = font.getlength(text[start:a])
                _mark(draw, left, font.getlength(text[start:b]), row * step, step, colour)
        draw.text((0, row * step + step // 2), shown, fill=ink, font=font, anchor="lm")
    return picture


def _mark(
    draw: ImageDraw.ImageDraw, left: float, right: float, top: int, step: int, colour: Colour
) -> None:
    """Tint the place of some words and underline it."""
    tint = tuple(round(0.16 * c + 0.84 * p) for c, p in zip(colour, PAPER, strict=True))
    thick = max(2, step // 9)
    box = (left - 1, top + 2, right, top + step - 3)
    draw.rounded_rectangle(box, radius=4, fill=tint)
    draw.rectangle((left - 1, top + step - 2 - thick, right, top + step - 3), fill=colour)


def legend(items: Sequence[Item], width: int, *, size: int = 15) -> Image.Image:
    """Return swatches with their phrases, flowing over as many lines as they need."""
    step, side, gap = round(size * 1.75), size + 5, 18
    places: list[tuple[int, int, str, str]] = []
    x = y = 0
    for item in items:
        text = _shortened(item.text, width - side - 8, size)
        note = _shortened(item.note, max(0, width - side - 16 - _length(text, size)), size)
        long = side + 8 + _length(text, size) + (8 + _length(note, size) if note else 0)
        if x and x + long > width:
            x, y = 0, y + step
        places.append((x, y, text, note))
        x += long + gap
    picture = Image.new("RGB", (width, y + step if items else 1), PAPER)
    draw = ImageDraw.Draw(picture)
    for item, (left, top, text, note) in zip(items, places, strict=True):
        swatch(draw, (left, top + (step - side) // 2), side, item.label, item.colour)
        middle = top + step // 2
        draw.text((left + side + 8, middle), text, INK, font_for(text, size), "lm")
        after = left + side + 16 + _length(text, size)
        draw.text((after, middle), note, FAINT, font_for(note, size), "lm")
    return picture


def swatch(
    draw: ImageDraw.ImageDraw, corner: tuple[int, int], side: int, label: str, colour: Colour | None
) -> None:
    """Draw a rounded square with its label; without a colour a hollow, crossed one."""
    x, y = corner
    box = (x, y, x + side - 1, y + side - 1)
    if colour is None:
        draw.rounded_rectangle(box, radius=4, outline=FAINT, width=2)
        draw.line((x + 5, y + side - 6, x + side - 6, y + 5), fill=FAINT, width=2)
        return
    draw.rounded_rectangle(box, radius=4, fill=colour)
    centre = (x + side / 2, y + side / 2)
    draw.text(centre, label, readable_on(colour), font_for(label, side - 7), "mm")


def readable_on(colour: Colour) -> Colour:
    """Return ink or paper, whichever reads better on the colour."""
    brightness = 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2]
    return INK if brightness > 140 else PAPER


def stacked(blocks: Sequence[Image.Image], *, gap: int = 8, padding: int = 12) -> Image.Image:
    """Return pictures one below the other on paper, left edges in line."""
    width = max(block.width for block in blocks) + 2 * padding
    height = sum(block.height for block in blocks) + gap * (len(blocks) - 1) + 2 * padding
    sheet = Image.new("RGB", (width, height), PAPER)
    top = padding
    for block in blocks:
        sheet.paste(block, (padding, top))
        top += block.height + gap
    return sheet


def _length(text: str, size: int) -> int:
    return round(font_for(text, size).getlength(text))


def _shortened(text: str, width: int, size: int) -> str:
    """Return the text, cut with dots where it is longer than ``width``."""
    text = " ".join(text.split())
    font = font_for(text, size)
    if font.getlength(text) <= width:
        return text
    (start, stop), *_ = wrapped(text, max(1, width - 20), font, 1) or [(0, 0)]
    return text[start:stop] + " ..."
