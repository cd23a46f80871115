"""The one JSON schema: samples, requests, answers, prompts, object memory and reports.

Images are numbered from 1 here, and a key is "2" for a picture or "2@17" for a frame of a clip.
What is read is checked strictly; an error says where: ``file:line: field: expected, got``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from deixis.errors import DataError
from deixis.structures.answers import GroundedAnswer, Target
from deixis.structures.images import ImageSet
from deixis.structures.masks import Mask
from deixis.structures.numbering import frame_index, frame_key, ordinal
from deixis.structures.opening import open_images
from deixis.structures.prompts import Box, Point, Prompt, Region
from deixis.structures.samples import Question, Sample

Fraction = Annotated[float, Field(ge=0, le=1)]
Whole = Annotated[int, Field(ge=1)]


class Strict(BaseModel):
    """No unknown field, no silent conversion, no infinite number."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class RleJson(Strict):
    size: Annotated[list[Whole], Field(min_length=2, max_length=2)]  # [height, width]
    counts: str | list[int]


class PromptJson(Strict):
    """Exactly one of point, box and mask."""

    image: str  # "2" or "2@17"
    point: Annotated[list[float], Field(min_length=2, max_length=2)] | None = None
    box: Annotated[list[float], Field(min_length=4, max_length=4)] | None = None
    mask: RleJson | None = None
    id: Whole | None = None
    name: str | None = None

    @model_validator(mode="after")
    def _one_shape(self) -> PromptJson:
        given = [n for n in ("point", "box", "mask") if getattr(self, n) is not None]
        if len(given) != 1:
            raise ValueError(f"expected one of point, box and mask, got {given or 'none'}")
        return self


class QuestionJson(Strict):
    text: str
    prompts: list[PromptJson] = []


class ImageJson(Strict):
    index: Whole
    name: str
    width: Whole
    height: Whole
    frames: Whole | None = None  # of a clip
    times: list[float] | None = None  # of a clip, in seconds


class TargetJson(Strict):
    id: Whole | None = None
    phrase: str
    span: Annotated[list[int], Field(min_length=2, max_length=2)]
    score: Fraction | None = None
    presence: Fraction | None = None
    masks: dict[str, RleJson]
    boxes: dict[str, Annotated[list[int], Field(min_length=4, max_length=4)]] | None = None


class AbsentJson(Strict):
    phrase: str
    presence: Fraction | None = None


class AnswerJson(Strict):
    """What ``deixis ask --json`` prints, and the answer of a sample."""

    text: str
    conclusion: str | None = None
    caution: str | None = None
    model: str | None = None
    images: list[ImageJson] | None = None
    targets: list[TargetJson] = []
    absent: list[AbsentJson] = []


class ClipJson(Strict):
    """A clip among the images of a sample: a folder of frames, a video or an animation."""

    path: str
    frames: Whole
    times: list[float]


def _as_question(value: Any) -> Any:
    return {"text": value} if isinstance(value, str) else value


class SampleJson(Strict):
    """One line of a samples file; without an answer it is a request."""

    id: str = ""
    source: str = ""
    type: str = ""
    images: Annotated[list[str | ClipJson], Field(min_length=1)]
    question: Annotated[QuestionJson, BeforeValidator(_as_question)]
    answer: AnswerJson | None = None


class RememberedJson(Strict):
    index: Annotated[int, Field(ge=0)]
    key: str
    mask: RleJson


class ObjectJson(Strict):
    id: Whole
    name: str | None
    phrase: str
    seen: list[RememberedJson]


class MemoryJson(Strict):
    """What a conversation has pointed at."""

    version: Literal[1]
    given: Annotated[int, Field(ge=0)]
    objects: list[ObjectJson]


class CaseJson(Strict):
    """How well one question was answered."""

    id: str
    type: str
    score: float  # the mean of the metrics that this question defines; percent in some protocols
    sums: dict[str, Annotated[list[float], Field(min_length=2, max_length=2)]] = {}


class ReportJson(Strict):
    """What ``deixis eval`` writes."""

    metrics: dict[str, float]  # shares, or percent where a published protocol prints it
    by_type: dict[str, dict[str, float]]
    intervals: dict[str, Annotated[list[float], Field(min_length=2, max_length=2)]] = {}  # 95 %
    failures: dict[str, int] = {}  # of the published code, by name
    samples: Annotated[int, Field(ge=0)]
    configuration: dict[str, Any]
    versions: dict[str, str]
    seed: Annotated[int, Field(ge=0)]
    data_hash: str
    seconds: Annotated[float, Field(ge=0)]
    counts: dict[str, Annotated[int, Field(ge=0)]] = {}  # samples of each kind
    cases: list[CaseJson] = []


Json = dict[str, Any]
Model = TypeVar("Model", bound=BaseModel)


# -- reading with located errors -----------------------------------------------------------------


def read_json(model: type[Model], data: str | bytes | Mapping[str, Any], where: str) -> Model:
    """Check JSON text, or what was read from it, against a model of this file.

    Raises:
        DataError: ``where: field: expected, got``, about the first field that is wrong.
    """
    try:
        if isinstance(data, str | bytes):
            return model.model_validate_json(data)
        return model.model_validate(data)
    except ValidationError as error:
        raise DataError(f"{where}: {_explain(error)}") from None


def _explain(error: ValidationError) -> str:
    problem = error.errors(include_url=False)[0]
    field = ""
    for part in problem["loc"]:
        field += f"[{part}]" if isinstance(part, int) else f".{part}" if field else str(part)
    field = f"{field}: " if field else ""
    got = repr(problem["input"])
    got = got if len(got) <= 60 else got[:57] + "..."
    match problem["type"]:
        case "json_invalid":
            return f"expected a line of JSON in UTF-8, got {problem['ctx']['error']}."
        case "missing":
            return f"{field}expected a value, got none. Add the field."
        case "extra_forbidden":
            return f"{field}expected no field of this name, got {got}. Remove it."
        case "value_error":
            return f"{field}{problem['ctx']['error']}."
    expected = problem["msg"].removeprefix("Input should be ").removeprefix("Input should ")
    return f"{field}expected {expected[:1].lower()}{expected[1:]}, got {got}."


# -- prompts -------------------------------------------------------------------------------------


def prompt_to_json(prompt: Prompt, images: ImageSet) -> Json:
    """Return a prompt as it stands in the JSON of a question."""
    data: Json = {"image": frame_key(images, prompt.image)}
    if isinstance(prompt, Point):
        data["point"] = [prompt.x, prompt.y]
    elif isinstance(prompt, Box):
        data["box"] = [prompt.x0, prompt.y0, prompt.x1, prompt.y1]
    else:
        data["mask"] = prompt.mask.to_rle()
    handles = {"id": prompt.object_id, "name": prompt.name}
    return data | {name: value for name, value in handles.items() if value is not None}


def _to_prompt(data: PromptJson, images: ImageSet) -> Prompt:
    image, handles = frame_index(images, data.image), {"object_id": data.id, "name": data.name}
    if data.point is not None:
        return Point(image=image, x=data.point[0], y=data.point[1], **handles)  # type: ignore[arg-type]
    if data.box is not None:
        x0, y0, x1, y1 = data.box
        return Box(image=image, x0=x0, y0=y0, x1=x1, y1=y1, **handles)  # type: ignore[arg-type]
    assert data.mask is not None
    return Region(image=image, mask=_to_mask(data.mask), **handles)  # type: ignore[arg-type]


def _to_mask(data: RleJson) -> Mask:
    return Mask.from_rle({"size": data.size, "counts": data.counts})


# -- answers -------------------------------------------------------------------------------------


def answer_to_json(answer: GroundedAnswer, images: ImageSet, *, model: str | None = None) -> Json:
    """Return an answer as the document that ``deixis ask --json`` prints."""
    return {
        "text": answer.text,
        "conclusion": answer.conclusion,
        "caution": answer.caution,
        "model": model,
        "images": [_image_to_json(images, i) for i in range(len(images.spans))],
        "targets": [
            _target_to_json(target, span, images)
            for target, span in zip(answer.targets, answer.spans, strict=True)
        ],
        "absent": [{"phrase": t.phrase, "presence": t.presence} for t in answer.absent],
    }


def answer_from_json(
    data: str | bytes | Mapping[str, Any] | AnswerJson, images: ImageSet, *, where: str = "answer"
) -> GroundedAnswer:
    """Read an answer about these images.

    Raises:
        DataError: a field that is wrong, or a mask that does not fit its image.
    """
    read = data if isinstance(data, AnswerJson) else read_json(AnswerJson, data, where)
    try:
        return GroundedAnswer(
            text=read.text,
            targets=tuple(_to_target(target, images) for target in read.targets),
            spans=tuple((t.span[0], t.span[1]) for t in read.targets),
            conclusion=read.conclusion,
            absent=tuple(
                Target(phrase=t.phrase, masks={}, presence=t.presence) for t in read.absent
            ),
            caution=read.caution,
        )
    except DataError as error:
        raise DataError(f"{where}: {error}") from None


def _image_to_json(images: ImageSet, image: int) -> Json:
    first = images[images.spans[image].start]
    height, width = first.size
    entry: Json = {
        "index": ordinal(image),
        "name": first.name,
        "width": width,
        "height": height,
    }
    times = images.times[image]
    return entry if times is None else entry | {"frames": len(times), "times": list(times)}


def _target_to_json(target: Target, span: tuple[int, int], images: ImageSet) -> Json:
    keyed = {frame_key(images, index): mask for index, mask in sorted(target.masks.items())}
    return {
        "id": target.object_id,
        "phrase": target.phrase,
        "span": list(span),
        "score": target.score,
        "presence": target.presence,
        "masks": {key: mask.to_rle() for key, mask in keyed.items()},
        "boxes": {key: list(mask.box) for key, mask in keyed.items() if mask.box},
    }


def _to_target(data: TargetJson, images: ImageSet) -> Target:
    masks = {}
    for key, rle in data.masks.items():
        mask, index = _to_mask(rle), frame_index(images, key)
        if mask.size != images[index].size:
            raise DataError(
                f"target {data.phrase!r}: expected a mask of image {key}'s size "
                f"{images[index].size} (height, width), got {mask.size}."
            )
        box = list(mask.box) if mask.box else None
        if data.boxes is not None and data.boxes.get(key) != box:
            raise DataError(
                f"target {data.phrase!r}: expected the box of its mask in image {key}, {box}, "
                f"got {data.boxes.get(key)}. Boxes may be left out."
            )
        masks[index] = mask
    return Target(
        phrase=data.phrase,
        masks=masks,
        object_id=data.id,
        score=data.score,
        presence=data.presence,
    )


# -- samples -------------------------------------------------------------------------------------


def sample_to_json(sample: Sample, paths: Sequence[str]) -> Json:
    """Return a sample as one line of a samples file.

    Args:
        sample: what to write.
        paths: for each image its file, or its folder of frames, relative to the samples file.
    """
    images = sample.images
    entries = [
        path if times is None else {"path": path, "frames": len(times), "times": list(times)}
        for path, times in zip(paths, images.times, strict=True)
    ]
    return {
        "id": sample.id,
        "source": sample.source,
        "type": sample.type,
        "images": entries,
        "question": {
            "text": sample.question.text,
            "prompts": [prompt_to_json(p, images) for p in sample.question.prompts],
        },
        "answer": answer_to_json(sample.answer, images) if sample.answer else None,
    }


def sample_from_json(
    data: str | bytes | Mapping[str, Any], folder: Path | str, *, where: str = "sample"
) -> Sample:
    """Read a sample, or a request; its images are opened late, from paths relative to ``folder``.

    Raises:
        DataError: ``where: field: expected, got``; an image that is missing or broken.
    """
    read = read_json(SampleJson, data, where)
    try:
        images = ImageSet.join([_open_entry(entry, Path(folder)) for entry in read.images])
        prompts = tuple(_to_prompt(prompt, images) for prompt in read.question.prompts)
        answer = None if read.answer is None else answer_from_json(read.answer, images)
        return Sample(
            images=images,
            question=Question(text=read.question.text, prompts=prompts),
            answer=answer,
            id=read.id,
            source=read.source,
            type=read.type,
        )
    except DataError as error:
        raise DataError(f"{where}: {error}") from None


def _open_entry(entry: str | ClipJson, folder: Path) -> ImageSet:
    if isinstance(entry, str):
        return open_images([folder / entry])
    images = open_images([folder / entry.path])
    if len(images) != entry.frames or len(entry.times) != entry.frames:
        raise DataError(
            f"images: expected {entry.frames} frames and as many times for {entry.path}, "
            f"got {len(images)} and {len(entry.times)}."
        )
    return replace(images, lengths=(len(images),), times=(tuple(entry.times),))


def to_line(data: Mapping[str, Any]) -> str:
    """Return JSON as one line, without spaces that say nothing."""
    return json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
