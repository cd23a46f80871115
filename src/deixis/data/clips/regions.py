"""VideoRefer-Bench-D and -Q, and PixelQA: questions about objects that are pointed at in a clip.

Layout: ``VideoRefer-Bench-{D,Q}.json`` beside the videos, which are files or folders of frames.
Masks are COCO RLE by object and frame; keys of frames are numbers as text.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from deixis.data.annotations.coco import read_json
from deixis.data.annotations.rows import LazySamples, field, mask_of
from deixis.errors import ConfigError, DataError
from deixis.structures.answers import GroundedAnswer, Target
from deixis.structures.images import ImageSet
from deixis.structures.masks import Mask
from deixis.structures.opening import open_images
from deixis.structures.prompts import Box, Point, Prompt, Region
from deixis.structures.samples import Question, Sample

PAGE = "https://github.com/DAMO-NLP-SG/VideoRefer says where to get it."
ASKED = "Please only give the best option."
NAMED = re.compile(r"<object(\d+)>(?:\s*<region>)?")
PROMPTS = ("region", "point", "box", "mixed")


def open_regions(
    root: Path | str,
    file: str,
    *,
    prompt: str = "region",
    every_frame: bool = False,
    frames: int | None = None,
    seed: int = 0,
) -> LazySamples:
    """Open questions about pointed-at objects, in the order of the file.

    Args:
        root: the folder of the file and of the videos.
        file: "VideoRefer-Bench-D", "VideoRefer-Bench-Q" or another of their form, without ending.
        prompt: how objects are pointed at: "region" as in VideoRefer; "point" (the centre of the
            mask), "box" or "mixed" (half of a question's objects each; by lot where one is left
            over) as in PixelQA, whose answers hold the masks.
        every_frame: point in every annotated frame, not in the prompt frame alone.
        frames: show only annotated frames, at most so many, spread evenly, the prompt frame among
            them, as UniPixel does; None: the whole video.
        seed: of the lots of "mixed".

    Raises:
        ConfigError: an unknown way to point.
        DataError: the file is missing or broken.
    """
    if prompt not in PROMPTS:
        raise ConfigError(f"prompt: expected one of {', '.join(PROMPTS)}, got {prompt!r}.")
    base = Path(root)
    path = base / f"{file}.json"
    if not path.is_file():
        raise DataError(f"{path.name}: expected in {base}, got none. {PAGE}")
    entries = tuple(enumerate(read_json(path, list)))
    kind = file if prompt == "region" else f"pixelqa-{prompt}"
    maker = _Regions(kind, path, prompt, every_frame, frames, seed)
    return LazySamples(maker.name, entries, maker.sample)


@dataclass(frozen=True)
class _Regions:
    """Makes samples of VideoRefer-Bench and PixelQA."""

    name: str
    path: Path
    prompt: str
    every_frame: bool
    frames: int | None
    seed: int

    def sample(self, row: tuple[int, Any]) -> Sample:
        """Return the sample of an entry."""
        index, entry = row
        where = f"{self.path}:{index}"
        images = self._video(field(entry, "video", str, where))
        objects = [
            self._masks(one, images, f"{where}: object {number}")
            for number, one in enumerate(field(entry, "annotation", list, where), start=1)
        ]
        frame = str(field(entry, "frame_idx", (str, int), where))
        if self.frames is not None:
            shown = self._shown(entry, frame, len(images), where)
            images = ImageSet.clip([images[i] for i in shown], list(range(len(shown))))
            objects = [{shown.index(i): m for i, m in o.items() if i in shown} for o in objects]
            frame = str(shown.index(int(frame)))
        prompts = self._prompts(index, frame, objects)
        return Sample(
            images=images,
            question=Question(text=_question(entry, len(objects)), prompts=tuple(prompts)),
            answer=self._answer(entry, objects, where),
            id=str(entry.get("id", index)),
            source=self.name,
            type=str(entry.get("type", "")),
        )

    def _video(self, name: str) -> ImageSet:
        path = self.path.parent / name
        if not path.exists():
            raise DataError(f"{name}: expected in {self.path.parent}, got none. {PAGE}")
        return open_images([path])

    def _masks(self, one: Any, images: ImageSet, where: str) -> dict[int, Mask]:
        """Return the masks of an object by frame."""
        found = {}
        for key, row in (one if isinstance(one, dict) else {}).items():
            if not re.fullmatch(r"\d+", key) or int(key) >= len(images):
                raise DataError(
                    f"{where}: expected frames from 0 to {len(images) - 1} as keys, got {key!r}."
                )
            inside = f"{where}: frame {key}"
            mask = mask_of(field(row, "segmentation", dict, inside), inside)
            if mask.area:
                found[int(key)] = mask
        return found

    def _shown(self, entry: Any, frame: str, total: int, where: str) -> list[int]:
        """Return the frames that are shown: annotated ones, spread evenly, the prompt frame too."""
        keys = {key for one in entry["annotation"] if isinstance(one, dict) for key in one}
        known = sorted(int(key) for key in keys)
        if frame not in keys:
            raise DataError(
                f'{where}: "frame_idx": expected one of {len(known)} annotated frames, got {frame}.'
            )
        most = self.frames or total
        if len(known) <= most:
            return known
        step = (len(known) - 1) / (most - 1)
        places = [int(p) for p in np.arange(0, len(known), step)[:most].round()]
        wanted = known.index(int(frame))
        places[min(range(most), key=lambda i: abs(places[i] - wanted))] = wanted
        return [known[place] for place in places]

    def _prompts(
        self, index: int, frame: str, objects: Sequence[Mapping[int, Mask]]
    ) -> list[Prompt]:
        """Return what points at each object, in the prompt frame or in all."""
        ways = self._ways(index, len(objects))
        prompts: list[Prompt] = []
        for number, (masks, way) in enumerate(zip(objects, ways, strict=True), start=1):
            chosen = (
                {int(frame): masks[int(frame)]}
                if frame.isdecimal() and int(frame) in masks
                else masks
            )
            shown = masks if self.every_frame else dict(list(chosen.items())[:1])
            prompts += [_pointing(way, f, mask, number) for f, mask in shown.items()]
        return prompts

    def _ways(self, index: int, count: int) -> list[str]:
        """Return how each object of a question is pointed at."""
        if self.prompt != "mixed":
            return [self.prompt] * count
        generator = np.random.default_rng([self.seed, index])
        ways = ["point"] * (count // 2) + ["box"] * (count // 2)
        ways += [["point", "box"][int(generator.integers(2))]] * (count % 2)
        return [ways[i] for i in generator.permutation(count)]

    def _answer(
        self, entry: Any, objects: Sequence[Mapping[int, Mask]], where: str
    ) -> GroundedAnswer:
        if "Question" not in entry:
            return GroundedAnswer(text=field(entry, "caption", str, where))
        text = field(entry, "Answer", str, where)
        letter = re.match(r"\s*\(?([A-Za-z])\b", text)
        conclusion = letter[1].upper() if letter else None
        if self.prompt == "region":
            return GroundedAnswer(text=text, conclusion=conclusion)
        names = [f"object {number}" for number in range(1, len(objects) + 1)]
        said = f"{text} ({', '.join(names)})"
        starts = [said.rindex(name) for name in names]
        shown = [i for i, masks in enumerate(objects) if masks]
        return GroundedAnswer(
            text=said,
            targets=tuple(
                Target(phrase=names[i], masks=objects[i], object_id=i + 1) for i in shown
            ),
            spans=tuple((starts[i], starts[i] + len(names[i])) for i in shown),
            conclusion=conclusion,
        )


def _question(entry: Any, objects: int) -> str:
    """Return a question whose objects are named as prompts are, [1], [2] ..., and its options."""
    text = entry.get("Question")
    if not isinstance(text, str):
        named = " and ".join(f"[{number}]" for number in range(1, objects + 1))
        return f"Describe {named} in the video."
    options = entry.get("options")
    lines = [text, *map(str, options), ASKED] if isinstance(options, list) else [text]
    whole = "\n".join(lines)
    if "<object" not in whole:
        return whole.replace("<region>", "[1]")
    numbers: dict[str, int] = {}  # objects are annotated in the order of their regions
    for name in [*re.findall(r"<object(\d+)>\s*<region>", whole), *NAMED.findall(whole)]:
        numbers.setdefault(name, len(numbers) + 1)
    return NAMED.sub(lambda found: f"[{numbers[found[1]]}]", whole)


def _pointing(way: str, frame: int, mask: Mask, number: int) -> Prompt:
    """Return the prompt that points at a mask."""
    if way == "region" or mask.box is None:
        return Region(image=frame, mask=mask, object_id=number)
    if way == "box":
        x0, y0, x1, y1 = mask.box
        return Box(image=frame, x0=x0, y0=y0, x1=x1, y1=y1, object_id=number)
    rows, columns = np.nonzero(mask.pixels)
    y, x = float(rows.mean()), float(columns.mean())
    return Point(image=frame, x=x, y=y, object_id=number)
