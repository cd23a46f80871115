"""Asks again about the same images in another order: what the answer says must move with them."""

import re
from dataclasses import replace

from deixis.metrics.overlap import visible_frames
from deixis.metrics.wording import normalise
from deixis.structures.answers import GroundedAnswer
from deixis.structures.images import ImageSet
from deixis.structures.numbering import read_image_names
from deixis.structures.samples import Sample

LIMIT = 500  # questions that are asked twice
_PICTURE = r"(?:images?|pictures?|photos?)"
_NAMES_A_PLACE = re.compile(
    rf"\b{_PICTURE}\s+(?:number\s+)?#?(?:\d|one\b|two\b|three\b|four\b)"
    rf"|\b(?:first|second|third|fourth|last|next|previous)\s+{_PICTURE}\b",
    re.IGNORECASE,
)


def is_symmetric(sample: Sample) -> bool:
    """Say whether a question treats its images alike: it neither names nor points at one."""
    several = len(sample.images.lengths) > 1
    return (
        several and not sample.question.prompts and not _NAMES_A_PLACE.search(sample.question.text)
    )


def another_order(images: int, index: int) -> tuple[int, ...]:
    """Return an order in which no image keeps its place; ``index`` chooses which."""
    shift = 1 + index % (images - 1)
    return tuple((place + shift) % images for place in range(images))


def reordered(sample: Sample, order: tuple[int, ...]) -> Sample:
    """Return a symmetric question about its images in another order, without the true answer.

    Image ``i`` of the result is image ``order[i]`` of the sample.
    """
    whole = sample.images
    single = [
        ImageSet(
            tuple(whole[index] for index in whole.spans[image]),
            (whole.lengths[image],),
            (whole.times[image],),
        )
        for image in order
    ]
    return replace(sample, images=ImageSet.join(single), answer=None)


def agree(
    sample: Sample, first: GroundedAnswer, second: GroundedAnswer, order: tuple[int, ...]
) -> bool:
    """Say whether the second answer, about the reordered images, says the same as the first."""
    images = reordered(sample, order).images
    unmoved = tuple(range(len(order)))
    return _places(first, sample.images, unmoved) == _places(second, images, order) and (
        _concluded(first, unmoved) == _concluded(second, order)
    )


def _places(
    answer: GroundedAnswer, images: ImageSet, order: tuple[int, ...]
) -> list[tuple[int, ...]]:
    """Return, for each target, the images in which it shows, as the first order counts them."""
    seen = [{images.image_of(frame) for frame in visible_frames(t)} for t in answer.targets]
    return sorted(tuple(sorted(order[image] for image in found)) for found in seen if found)


def _concluded(answer: GroundedAnswer, order: tuple[int, ...]) -> tuple[str, list[int]]:
    """Return the conclusion in words, and the images that it names as the first order counts."""
    said = normalise(answer.conclusion or "")
    named = [image for image in read_image_names(said) if 0 <= image < len(order)]
    return re.sub(r"\bimage \d+", "image", said), sorted(order[image] for image in named)
