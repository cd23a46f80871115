"""Deixis answers questions about images in words and in pixels."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from deixis.reasoning.reasoner import Reasoner as Reasoner
    from deixis.reasoning.reasoner import load as load
    from deixis.structures.answers import GroundedAnswer as GroundedAnswer
    from deixis.structures.answers import Target as Target
    from deixis.structures.images import Frame as Frame
    from deixis.structures.images import ImageSet as ImageSet
    from deixis.structures.masks import Mask as Mask
    from deixis.structures.prompts import Box as Box
    from deixis.structures.prompts import Point as Point
    from deixis.structures.prompts import Region as Region
    from deixis.structures.samples import Question as Question
    from deixis.structures.samples import Sample as Sample

_HOMES = {
    "load": "deixis.reasoning.reasoner",
    "Reasoner": "deixis.reasoning.reasoner",
    "Frame": "deixis.structures.images",
    "ImageSet": "deixis.structures.images",
    "Mask": "deixis.structures.masks",
    "Point": "deixis.structures.prompts",
    "Box": "deixis.structures.prompts",
    "Region": "deixis.structures.prompts",
    "Question": "deixis.structures.samples",
    "Sample": "deixis.structures.samples",
    "Target": "deixis.structures.answers",
    "GroundedAnswer": "deixis.structures.answers",
}
__all__ = ["__version__", *sorted(_HOMES)]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'deixis' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
