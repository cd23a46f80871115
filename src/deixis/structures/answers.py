"""What an answer says and what it points at. A true answer and a predicted one are one type."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from deixis.errors import DataError
from deixis.structures.logits import MaskLogits
from deixis.structures.masks import Mask


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """One object, or part of one, wherever it shows in the image set."""

    phrase: str
    masks: Mapping[int, Mask]  # flat frame index -> where it is; a missing index = not visible
    object_id: int | None = None  # what the conversation calls it, from 1
    score: float | None = None  # estimated IoU, in [0, 1]; None where a person drew it
    presence: float | None = None  # how sure that it is there at all, in [0, 1]
    # what was drawn in the first image, where a model was asked to keep it
    logits: MaskLogits | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class GroundedAnswer:
    """Plain text, the targets that it names, and where in the text it names them.

    Attributes:
        text: what a person reads; no special tokens.
        targets: in the order in which the text names them.
        spans: half-open character ranges of ``text``; ``spans[i]`` names ``targets[i]``.
        conclusion: the short answer where the question has one: a word, a number, "image 2".
        absent: what was asked for and not found; targets without masks, with their presence.
        caution: why this answer deserves distrust (unknown words, unfamiliar pictures), or None.
        unfinished: how many targets the model began and did not finish; they are left out.
        drawn: of all that was drawn, in the order in which it was written, whether it shows
            anywhere; targets are those that do. None where nobody knows.
        logits: what was drawn of all that in the first image; None unless it was asked for.

    Raises:
        DataError: a span without a target, or one outside the text.
    """

    text: str
    targets: tuple[Target, ...] = ()
    spans: tuple[tuple[int, int], ...] = ()
    conclusion: str | None = None
    absent: tuple[Target, ...] = ()
    caution: str | None = None
    unfinished: int = 0
    drawn: tuple[bool, ...] | None = field(default=None, compare=False, repr=False)
    logits: tuple[MaskLogits, ...] | None = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        if len(self.spans) != len(self.targets):
            raise DataError(
                f"GroundedAnswer.spans: expected one per target ({len(self.targets)}), "
                f"got {len(self.spans)}."
            )
        for start, stop in self.spans:
            if not 0 <= start < stop <= len(self.text):
                raise DataError(
                    f"GroundedAnswer.spans: expected ranges inside the text "
                    f"(0 to {len(self.text)}), got ({start}, {stop})."
                )
        for target in self.absent:
            if target.masks:
                raise DataError(
                    f"GroundedAnswer.absent: expected targets without masks, "
                    f"got masks for {target.phrase!r}."
                )


def kept_logits(targets: Sequence[Target]) -> tuple[MaskLogits, ...] | None:
    """Return what was drawn for some targets; None if it was not kept.

    Where a model found a target absent before it drew, nothing was drawn.
    """
    found = tuple(target.logits for target in targets if target.logits is not None)
    lost = any(target.masks and target.logits is None for target in targets)
    return None if lost or not found else found
