"""How far two targets cover the same pixels: intersections and unions over all their images.

Frames are flat indices into the image set; a frame without a mask is one without a pixel.
"""

from deixis.structures.answers import GroundedAnswer, Target


def visible_frames(target: Target) -> frozenset[int]:
    """Return the flat frame indices in which a target covers at least one pixel."""
    return frozenset(index for index, mask in target.masks.items() if mask.area)


def visible_targets(answer: GroundedAnswer) -> tuple[Target, ...]:
    """Return the targets that cover anything at all; one without a pixel says "nothing"."""
    return tuple(target for target in answer.targets if visible_frames(target))


def area(target: Target) -> int:
    """Return the number of pixels of a target, over all its frames."""
    return sum(mask.area for mask in target.masks.values())


def overlap(one: Target, other: Target) -> tuple[int, int]:
    """Return (intersection, union) of two targets, summed over every frame where either is.

    Raises:
        ShapeError: the targets' masks of one frame have different sizes.
    """
    shared = sum(
        mask.intersection(other.masks[index])
        for index, mask in one.masks.items()
        if index in other.masks
    )
    return shared, area(one) + area(other) - shared


def iou(intersection: int, union: int) -> float:
    """Return intersection over union; 1 where both sides are empty."""
    return intersection / union if union else 1.0
