"""The meaning of a question (``Asked``) and what is true of it (``Truth``), both without words."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from deixis.scenes.knowing.meaning import MIRRORED, Which
from deixis.structures.masks import Mask
from deixis.structures.prompts import Box, Point, Prompt, Region


@dataclass(frozen=True, slots=True, kw_only=True)
class Pointed:
    """A prompt and what lies under it."""

    prompt: Prompt
    thing: int
    part: str | None = None

    @property
    def frame(self) -> int:
        """Flat index of the frame that the prompt lies on."""
        return self.prompt.image

    @property
    def drawn(self) -> bool:
        """Say whether a person would want an outline: not of what comes as a mask."""
        return not isinstance(self.prompt, Region)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a question asks, without its words.

    Attributes:
        rule: how the truth follows, a key of ``RULES`` in ``scenes/knowing/truth.py``.
        kind: the sample's type.
        which: what is described.
        frames: the flat frames that the question covers.
        pointed: what is pointed at, by object id.
        about: index into ``pointed`` of what the conclusion is about.
        detail: a word that the rule needs: a side, a motion, a colour.
        named: the question names the covered image, one of several.
        silent: only the conclusion is wanted, nothing outlined.
    """

    rule: str
    kind: str
    which: tuple[Which, ...] = ()
    frames: tuple[int, ...] = ()
    pointed: tuple[Pointed, ...] = ()
    about: int = 0
    detail: str = ""
    named: bool = False
    silent: bool = False

    def mirrored(self, widths: Sequence[int]) -> "Asked":
        """Return the same question about the mirrored world, whose frames have these widths."""
        return replace(
            self,
            which=tuple(which.mirrored() for which in self.which),
            pointed=tuple(
                replace(p, prompt=_mirrored(p.prompt, widths[p.frame])) for p in self.pointed
            ),
            detail=MIRRORED.get(self.detail, self.detail),
        )

    def permuted(self, order: Sequence[int]) -> "Asked":
        """Return the same question about a set of pictures in another order."""
        place = {old: new for new, old in enumerate(order)}
        return replace(
            self,
            frames=tuple(sorted(place[frame] for frame in self.frames)),
            pointed=tuple(
                replace(p, prompt=replace(p.prompt, image=place[p.frame])) for p in self.pointed
            ),
        )


def _mirrored(prompt: Prompt, width: int) -> Prompt:
    if isinstance(prompt, Point):
        return replace(prompt, x=width - prompt.x)
    if isinstance(prompt, Box):
        return replace(prompt, x0=width - prompt.x1, x1=width - prompt.x0)
    return replace(prompt, mask=Mask(prompt.mask.pixels[:, ::-1]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """A thing, or a part of it, in the frames where it is a target."""

    thing: int
    frames: tuple[int, ...]
    part: str | None = None
    object_id: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """What is true: targets, a conclusion, and what was asked for in vain."""

    hits: tuple[Hit, ...] = ()
    conclusion: str | None = None
    absent: tuple[Which, ...] = ()
