"""An answer over its images: what the words name is coloured, and a legend links the two."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from PIL import Image, ImageDraw

from deixis.structures.answers import GroundedAnswer, Target
from deixis.structures.images import ImageSet
from deixis.structures.numbering import frame_key, image_name, ordinal
from deixis.structures.prompts import Prompt
from deixis.structures.samples import Sample
from deixis.viz.captions import (
    AMBER,
    FAINT,
    PAPER,
    Colour,
    Item,
    font_for,
    legend,
    paragraph,
    stacked,
    text_size,
)
from deixis.viz.painting import PALETTE, SMALL, Pointer, Stroke, paint, shown_size

NEUTRAL: Colour = (96, 100, 110)  # prompts about no target
CLIP_STILLS = 4  # frames of a clip that a card shows


def colours_of(answer: GroundedAnswer) -> tuple[Colour, ...]:
    """Return one colour per target: an object keeps its own in every answer that names it."""
    taken: list[int] = []
    for position, target in enumerate(answer.targets):
        wanted = position if target.object_id is None else target.object_id - ordinal(0)
        free = [k for k in range(len(PALETTE)) if k not in taken] or list(range(len(PALETTE)))
        wanted %= len(PALETTE)
        taken.append(wanted if wanted in free else free[0])
    return tuple(PALETTE[k] for k in taken)


def overlay_frames(
    images: ImageSet, image: int, answer: GroundedAnswer, prompts: Sequence[Prompt] = ()
) -> Iterator[Image.Image]:
    """Yield the frames of one image (one, if it is no clip), each with the same legend below."""
    size = shown_size(images[images.spans[image].start].size)
    width = max(size[1], SMALL)
    below = _explanation(images, answer, width, image)
    for index in images.spans[image]:
        picture = _framed(_painted(images, index, answer, prompts, size), width)
        yield stacked([picture, below])


def overlay(
    images: ImageSet, answer: GroundedAnswer, prompts: Sequence[Prompt] = ()
) -> list[Image.Image | list[Image.Image]]:
    """Return one picture per image, with the answer below it; for a clip the list of its frames."""
    shown: list[Image.Image | list[Image.Image]] = []
    for image in range(len(images.lengths)):
        frames = list(overlay_frames(images, image, answer, prompts))
        shown.append(frames if images.is_clip(image) else frames[0])
    return shown


def card(
    sample: Sample, answer: GroundedAnswer, *, width: int = 640, title: str = ""
) -> Image.Image:
    """Return one picture of a whole question: its text, all images, the answer and a legend."""
    images, prompts = sample.images, sample.question.prompts
    indices = _stills(images, answer, prompts)
    blocks = [paragraph(title, width, size=13, ink=FAINT, most_lines=1)] if title else []
    blocks.append(paragraph(sample.question.text, width, size=17, ink=FAINT, most_lines=3))
    blocks.append(_row(images, indices, answer, prompts, width))
    blocks.append(_explanation(images, answer, width, None))
    return stacked(blocks)


def contact_sheet(
    samples: Sequence[Sample],
    answers: Sequence[GroundedAnswer],
    columns: int = 4,
    *,
    titles: Sequence[str] = (),
    width: int = 440,
) -> Image.Image:
    """Return all questions with their answers and masks on one sheet, ``columns`` in a row."""
    names = titles or ("",) * len(samples)
    cards = [
        card(sample, answer, width=width, title=name)
        for sample, answer, name in zip(samples, answers, names, strict=True)
    ]
    rows = [cards[start : start + columns] for start in range(0, len(cards), columns)]
    return stacked([_beside(row, gap=10) for row in rows], gap=10, padding=10)


def _painted(
    images: ImageSet,
    index: int,
    answer: GroundedAnswer,
    prompts: Sequence[Prompt],
    size: tuple[int, int],
) -> Image.Image:
    """Return one frame at ``size`` with its targets and prompts."""
    colours = colours_of(answer)
    strokes = [
        Stroke(mask=target.masks[index], colour=colour, label=_label(answer, position))
        for position, (target, colour) in enumerate(zip(answer.targets, colours, strict=True))
        if index in target.masks
    ]
    strokes.sort(key=lambda stroke: -stroke.mask.area)  # a part above its owner
    by_id = {t.object_id: c for t, c in zip(answer.targets, colours, strict=True)}
    tagged = {stroke.label for stroke in strokes}
    pointers = [_pointer(one, by_id, tagged) for one in prompts if one.image == index]
    return paint(images[index], strokes, pointers, size=size)


def _pointer(prompt: Prompt, by_id: Mapping[int | None, Colour], tagged: set[str]) -> Pointer:
    """Return a prompt in its target's colour, with its number where no mask shows that."""
    if prompt.object_id is None:
        return Pointer(prompt=prompt, colour=NEUTRAL)
    label = str(prompt.object_id)
    colour = by_id.get(prompt.object_id, NEUTRAL)
    return Pointer(prompt=prompt, colour=colour, label="" if label in tagged else label)


def _explanation(
    images: ImageSet, answer: GroundedAnswer, width: int, image: int | None
) -> Image.Image:
    """Return the answer's words, the legend and the caution; of one image, or of all (None)."""
    colours = colours_of(answer)
    size = text_size(width)
    blocks = [paragraph(answer.text, width, spans=answer.spans, colours=colours, size=size)]
    items = [
        Item(
            text=target.phrase,
            note=_note(images, target, image),
            label=_label(answer, position),
            colour=colour,
        )
        for position, (target, colour) in enumerate(zip(answer.targets, colours, strict=True))
    ]
    items += [Item(text=target.phrase, note="not found") for target in answer.absent]
    if items:
        blocks.append(legend(items, width, size=text_size(width, 15)))
    if answer.caution:
        blocks.append(
            paragraph(f"Caution: {answer.caution}", width, size=text_size(width, 13), ink=AMBER)
        )
    return stacked(blocks, gap=4, padding=0)


def _label(answer: GroundedAnswer, position: int) -> str:
    """Return the number under which an object goes: the conversation's, else its place."""
    known = answer.targets[position].object_id
    return str(ordinal(position) if known is None else known)


def _note(images: ImageSet, target: Target, image: int | None) -> str:
    """Say where a target is, as far as the pictures at hand do not show it."""
    found = sorted({images.image_of(index) for index in target.masks})
    if len(images.lengths) == 1 or found == [image]:
        return ""
    names = [image_name(index) for index in found]
    return "" if all(name in target.phrase for name in names) else ", ".join(names)


def _stills(images: ImageSet, answer: GroundedAnswer, prompts: Sequence[Prompt]) -> list[int]:
    """Return the frames that stand for the images: pictures, and of each clip some frames.

    A frame that a prompt points at, or else one that shows a target, is among them.
    """
    asked = {prompt.image for prompt in prompts}
    shown = {index for target in answer.targets for index in target.masks}
    chosen: set[int] = set()
    for span in images.spans:
        evenly = np.linspace(span.start, span.stop - ordinal(0), min(CLIP_STILLS, len(span)))
        stills = {round(float(index)) for index in evenly}
        wanted = asked & set(span) or set(sorted(shown & set(span))[: ordinal(0)])
        if not stills & wanted:
            for index in wanted:
                stills.discard(min(stills - wanted, key=lambda still: abs(still - index)))
                stills.add(index)
        chosen |= stills | wanted
    return sorted(chosen)


def _row(
    images: ImageSet,
    indices: Sequence[int],
    answer: GroundedAnswer,
    prompts: Sequence[Prompt],
    width: int,
) -> Image.Image:
    """Return the frames side by side over the full width, each with its number if several."""
    gap, columns = 8, 2 if len(indices) == 4 else min(3, len(indices))
    cell = (width - gap * (columns - ordinal(0))) // columns
    pictures = []
    for index in indices:
        height, wide = images[index].size
        scale = min(cell / wide, 1.25 * cell / height)
        size = (max(1, round(height * scale)), max(1, round(wide * scale)))
        picture = _framed(_painted(images, index, answer, prompts, size), cell)
        pictures.append(_numbered(picture, images, index) if len(indices) > 1 else picture)
    rows = [pictures[start : start + columns] for start in range(0, len(pictures), columns)]
    return stacked([_beside(row, gap=gap) for row in rows], gap=gap, padding=0)


def _numbered(picture: Image.Image, images: ImageSet, index: int) -> Image.Image:
    """Write "image 2", or "2@17" for a frame of a clip, into the lower left corner."""
    image = images.image_of(index)
    name = frame_key(images, index) if images.is_clip(image) else image_name(image)
    draw, font = ImageDraw.Draw(picture), font_for(name, 13)
    long = font.getlength(name)
    top = picture.height - 22
    draw.rounded_rectangle((4, top, 16 + long, top + 18), 5, fill=(24, 26, 32))
    draw.text((10, top + 9), name, PAPER, font, "lm")
    return picture


def _framed(picture: Image.Image, width: int) -> Image.Image:
    """Return the picture in the middle of a strip of that width, where it is narrower."""
    if picture.width >= width:
        return picture
    strip = Image.new("RGB", (width, picture.height), (236, 238, 242))
    strip.paste(picture, ((width - picture.width) // 2, 0))
    return strip


def _beside(pictures: Sequence[Image.Image], *, gap: int) -> Image.Image:
    """Return pictures side by side, upper edges in line."""
    width = sum(picture.width for picture in pictures) + gap * (len(pictures) - ordinal(0))
    sheet = Image.new("RGB", (width, max(picture.height for picture in pictures)), PAPER)
    left = 0
    for picture in pictures:
        sheet.paste(picture, (left, 0))
        left += picture.width + gap
    return sheet
