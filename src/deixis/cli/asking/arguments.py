"""The arguments of `deixis ask` -> images, question and prompts; without torch."""

from __future__ import annotations

import math
import os
import re
import tempfile
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from deixis.errors import ConfigError, DataError
from deixis.structures.numbering import frame_index, frame_key

if TYPE_CHECKING:
    from deixis.structures.images import ImageSet
    from deixis.structures.masks import Mask
    from deixis.structures.prompts import Prompt
    from deixis.structures.samples import Sample

HAIR = 1e-6  # seconds that a typed time may lie before its frame, for times are rounded
DTYPES = ("float32", "bfloat16", "float16")
DEVICE = re.compile(r"(cpu|mps|cuda|xpu)(:\d+)?")
PLACED = re.compile(r"(?P<key>[^:]*):(?P<rest>.+)", re.DOTALL)
MOMENT = re.compile(r"\s*(?P<image>\d+)@(?P<seconds>\d+(?:\.\d+)?)s\s*")  # 1@3.2s


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What the arguments of `ask` say, as typed."""

    inputs: Sequence[str]
    points: Sequence[str] = ()
    boxes: Sequence[str] = ()
    masks: Sequence[str] = ()


def read_sample(asked: Asked) -> Sample:
    """Return the images, the prompts and the question (the last argument).

    Raises:
        DataError: no question, no image, or a prompt that does not fit its image.
    """
    *paths, question = asked.inputs or ("",)
    if question.strip() == "" or os.path.exists(question):
        got = f'the file "{question}"' if question.strip() else "none"
        raise DataError(
            f"question: expected words after the images, got {got}. "
            f'Write: deixis ask IMAGE... "QUESTION".'
        )
    if not paths:
        raise DataError(
            "images: expected at least one before the question, got none. "
            'Write: deixis ask IMAGE... "QUESTION".'
        )
    return make_sample(paths, question, asked)


def make_sample(paths: Sequence[str], question: str, asked: Asked) -> Sample:
    """Open the images and read the prompts on them."""
    from deixis.structures.opening import open_images
    from deixis.structures.samples import Question, Sample

    images = open_images(list(paths))
    prompts = read_prompts(images, asked)
    return Sample(images=images, question=Question(text=question, prompts=prompts))


def read_prompts(images: ImageSet, asked: Asked) -> tuple[Prompt, ...]:
    """Return points, boxes and masks in that order, as ``--point 2@17:x,y=NAME`` writes them."""
    from deixis.structures.prompts import Box, Point, Region

    prompts: list[Prompt] = []
    for typed in asked.points:
        image, rest, name = _placed(images, typed, "point", "2:x,y")
        x, y = _numbers(rest, 2, typed, "point", "2:x,y")
        prompts.append(Point(image=image, x=x, y=y, name=name))
    for typed in asked.boxes:
        image, rest, name = _placed(images, typed, "box", "1:x0,y0,x1,y1")
        x0, y0, x1, y1 = _numbers(rest, 4, typed, "box", "1:x0,y0,x1,y1")
        prompts.append(Box(image=image, x0=x0, y0=y0, x1=x1, y1=y1, name=name))
    for typed in asked.masks:
        image, path, name = _placed(images, typed, "mask", "1:mask.png")
        prompts.append(Region(image=image, mask=read_mask(path), name=name))
    return tuple(prompts)


def read_mask(path: str) -> Mask:
    """Return the mask that a picture shows: its pixels in the lighter half of its range.

    Raises:
        DataError: the file is no picture.
    """
    from deixis.structures.masks import Mask
    from deixis.structures.opening import open_frame

    brightness = open_frame(path).pixels.max(axis=2)  # (H, W)
    return Mask(brightness > min(127, int(brightness.max()) // 2))


def check_settings(device: str | None, dtype: str | None, out: Path | None) -> None:
    """Refuse what no run could use, before anything heavy is loaded.

    Raises:
        ConfigError: an unknown kind of device or number.
        DataError: an output place that is a file.
        OSError: an output folder that cannot be written.
    """
    if device is not None and not DEVICE.fullmatch(device):
        raise ConfigError(f'device: expected cpu, cuda, cuda:0, mps or xpu, got "{device}".')
    if dtype is not None and dtype not in DTYPES:
        raise ConfigError(f'dtype: expected one of {", ".join(DTYPES)}, got "{dtype}".')
    if out is not None:
        check_folder(out)


def check_folder(out: Path) -> None:
    """Try whether a folder can be made, or written to where it exists."""
    home = out
    while not home.exists() and home != home.parent:
        home = home.parent
    if not home.is_dir():
        raise DataError(f"{home}: expected a folder to write to, got a file. Choose another place.")
    try:
        Path(tempfile.mkdtemp(prefix=".deixis.", dir=home)).rmdir()
    except OSError as error:
        raise DataError(
            f"{out}: expected a folder that can be written, got: {error.strerror}. "
            f"Choose another place."
        ) from error


def _placed(images: ImageSet, typed: str, what: str, form: str) -> tuple[int, str, str | None]:
    """Split ``2@17:rest=NAME`` into the flat frame index, the rest and the name."""
    match = PLACED.fullmatch(typed)
    key = _at_moment(images, match["key"]) if match else ""
    if match is None or not key.replace("@", "").strip().isdecimal():
        raise DataError(
            f'{what}: expected {form}, with =NAME behind it if you like, got "{typed}". '
            f"The number before the colon says which image."
        )
    index, rest, name = frame_index(images, key), match["rest"], None
    if "=" in rest and not os.path.exists(rest):
        rest, _, name = rest.rpartition("=")
        if not name.strip():
            raise DataError(f'{what}: expected a name behind "=", got none in "{typed}".')
    return index, rest, name


def _at_moment(images: ImageSet, key: str) -> str:
    """Return "1@97" for "1@3.2s": the frame that is shown at that time; other keys as they are.

    Raises:
        DataError: a picture, or a time after the clip's end.
    """
    match = MOMENT.fullmatch(key)
    if match is None:
        return key
    first = frame_index(images, match["image"])
    times = images.times[images.image_of(first)]
    if times is None:
        raise DataError(
            f'time: expected a clip, got image {match["image"]}, a picture, in "{key}". '
            f"Leave the time out."
        )
    seconds, last = float(match["seconds"]), times[-1] + (times[-1] - times[-2] if times[1:] else 0)
    if seconds > last + HAIR:
        raise DataError(
            f'time: expected at most {last:.2f} s, where the clip ends, got "{key}". '
            f"Point at a moment that it shows."
        )
    return frame_key(images, first + max(0, bisect_right(times, seconds + HAIR) - 1))


def _numbers(text: str, count: int, typed: str, what: str, form: str) -> list[float]:
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) != count or not all(math.isfinite(number) for number in numbers):
        raise DataError(
            f'{what}: expected {count} numbers as in {form}, got "{typed}". '
            f"Separate them with commas, without spaces."
        )
    return numbers
