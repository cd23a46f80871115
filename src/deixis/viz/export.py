"""Answers as files: overlay pictures, one PNG per mask, JSON, and one standalone HTML page.

A folder appears whole or not at all: everything is written beside it first, then moved.
"""

from __future__ import annotations

import base64
import html
import io
import json
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import numpy as np
from PIL import Image

from deixis.extras import require
from deixis.structures.answers import GroundedAnswer
from deixis.structures.files import write_whole
from deixis.structures.images import ImageSet
from deixis.structures.numbering import frame_key, ordinal
from deixis.structures.opening import VIDEO_ENDINGS
from deixis.structures.prompts import Prompt
from deixis.viz.frames import write_frames
from deixis.viz.overlay import overlay_frames

# what an earlier answer left
OURS = re.compile(r"image_\d+(\.(png|gif|mp4)|_frames)|masks|answer\.json")
STILL = 0.125  # seconds per frame where a clip's own times say nothing
TICKS = 1000  # of a film's clock in a second

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 88rem; padding: 0 1rem;
  color: #1c1e26; background: #eef0f4 }}
main {{ columns: 26rem; column-gap: 1rem }}
figure {{ background: #fff; border-radius: 10px; margin: 0 0 1rem; padding: 1rem;
  break-inside: avoid; box-shadow: 0 1px 4px #0002 }}
img {{ width: 100% }} figcaption {{ color: #707684; margin-bottom: .4rem }}
</style></head>
<body><h1>{title}</h1><main>
{figures}
</main></body></html>
"""


@contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """Lend an empty folder near ``folder``; what is in it at the end moves there, all at once.

    Files of the same name are replaced, others stay. After an error nothing has changed.
    """
    home = folder if folder.is_dir() else folder.parent
    home.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=home))
    try:
        yield draft
        if folder.is_dir():
            _move_into(draft, folder)
        else:
            draft.chmod(0o755)
            draft.rename(folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def write_answer(
    folder: Path,
    images: ImageSet,
    answer: GroundedAnswer,
    document: Mapping[str, object],
    prompts: Sequence[Prompt] = (),
) -> None:
    """Write overlays, masks and ``answer.json`` (the document), in place of an earlier answer's;
    of a clip also each frame's labels, as a picture and in COCO's form.

    The overlay of a video is a film (MP4), that of any other clip an animation (GIF).
    """
    with whole_folder(folder) as draft:
        for image in range(len(images.lengths)):
            _write_overlay(draft, images, image, answer, prompts)
        write_masks(draft / "masks", images, answer)
        text = json.dumps(document, indent=2, ensure_ascii=False)
        (draft / "answer.json").write_text(text + "\n", encoding="utf-8")
        for old in folder.iterdir() if folder.is_dir() else ():
            if OURS.fullmatch(old.name) and not (draft / old.name).exists():
                _remove(old)


def write_masks(folder: Path, images: ImageSet, answer: GroundedAnswer) -> None:
    """Write each mask as a PNG (0 and 255) of its image's size: ``target_1_image_2.png``."""
    folder.mkdir(parents=True, exist_ok=True)
    for position, target in enumerate(answer.targets):
        number = ordinal(position) if target.object_id is None else target.object_id
        for index, mask in target.masks.items():
            grey = Image.fromarray(mask.pixels.astype(np.uint8) * 255)
            name = f"target_{number}_image_{frame_key(images, index)}.png"
            grey.save(folder / name, compress_level=1)


def write_animation(path: Path, frames: Iterator[Image.Image], times: Sequence[float]) -> None:
    """Write frames as a GIF that runs at the clip's own speed and repeats."""
    gaps = np.diff(times).tolist() or [STILL]
    lasting = [max(20, round(1000 * gap)) for gap in (*gaps, gaps[-1])][: len(times)]
    first = next(frames).quantize(254, dither=Image.Dither.NONE)
    rest = (frame.quantize(254, dither=Image.Dither.NONE) for frame in frames)
    first.save(
        path,
        save_all=True,
        append_images=rest,
        duration=lasting,
        loop=0,
        optimize=False,
        disposal=1,
    )


def write_film(path: Path, frames: Iterator[Image.Image], times: Sequence[float]) -> None:
    """Write frames as an MP4 (H.264) in which each is shown at its time.

    Raises:
        MissingExtra: PyAV is not installed.
    """
    require("av", extra="video")
    import av

    clock = Fraction(1, TICKS)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=TICKS)
        stream.pix_fmt, stream.options = "yuv420p", {"crf": "20", "preset": "veryfast"}
        stream.codec_context.time_base = clock
        for number, (picture, time) in enumerate(zip(frames, times, strict=True)):
            pixels = np.asarray(picture.convert("RGB"))
            odd = [(0, side % 2) for side in pixels.shape[:2]]  # H.264 halves the sides
            pixels = np.pad(pixels, (*odd, (0, 0)), mode="edge")
            if not number:
                stream.height, stream.width = pixels.shape[:2]
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = round((time - times[0]) * TICKS), clock
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def write_page(path: Path, title: str, figures: Sequence[tuple[str, Image.Image | bytes]]) -> None:
    """Write one HTML page that carries all its pictures: (caption, picture or GIF bytes) each."""
    parts = []
    for caption, picture in figures:
        kind, data = ("gif", picture) if isinstance(picture, bytes) else ("png", _as_png(picture))
        source = f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}"
        words = html.escape(caption)
        parts.append(
            f'<figure><figcaption>{words}</figcaption><img alt="{words}" src="{source}"></figure>'
        )
    write_whole(path, PAGE.format(title=html.escape(title), figures="\n".join(parts)))


def _write_overlay(
    folder: Path,
    images: ImageSet,
    image: int,
    answer: GroundedAnswer,
    prompts: Sequence[Prompt],
) -> None:
    frames, times = overlay_frames(images, image, answer, prompts), images.times[image]
    stem = folder / f"image_{ordinal(image)}"
    if times is None:
        next(frames).save(stem.with_suffix(".png"), compress_level=4)
    else:
        came = Path(images[images.spans[image].start].name).suffix.lower()
        if came in VIDEO_ENDINGS:
            write_film(stem.with_suffix(".mp4"), frames, times)
        else:
            write_animation(stem.with_suffix(".gif"), frames, times)
        write_frames(folder / f"{stem.name}_frames", images, image, answer)


def _move_into(draft: Path, folder: Path) -> None:
    """Put every entry of the draft into a folder that exists, replacing those of its name."""
    for entry in draft.iterdir():
        place = folder / entry.name
        if place.is_dir():
            shutil.rmtree(place)
        entry.replace(place)


def _remove(entry: Path) -> None:
    if entry.is_dir():
        shutil.rmtree(entry)
    else:
        entry.unlink()


def _as_png(picture: Image.Image) -> bytes:
    data = io.BytesIO()
    picture.save(data, "PNG")
    return data.getvalue()
