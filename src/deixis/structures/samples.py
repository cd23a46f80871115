"""What is asked about which images, and the true answer where one is known."""

from dataclasses import dataclass, replace

from deixis.errors import DataError
from deixis.structures.answers import GroundedAnswer
from deixis.structures.images import ImageSet
from deixis.structures.numbering import frame_key
from deixis.structures.prompts import Box, Point, Prompt

LONGEST = 20_000  # characters of a question


@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    """What a person asks: text, and what they point at. ``[2]`` or ``[cup]`` names a prompt.

    Raises:
        DataError: the text is too long, or holds what UTF-8 cannot write.
    """

    text: str
    prompts: tuple[Prompt, ...] = ()

    def __post_init__(self) -> None:
        if len(self.text) > LONGEST:
            raise DataError(
                f"question: expected at most {LONGEST} characters, got {len(self.text)}. "
                f"Ask for less."
            )
        if any("\ud800" <= letter <= "\udfff" for letter in self.text):
            raise DataError(
                "question: expected text in UTF-8, got bytes that are not. "
                "Set the terminal or the file to UTF-8."
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """Images, a question about them, and the true answer (None where nobody knows it).

    Raises:
        DataError: a prompt or a true mask that does not fit its image.
    """

    images: ImageSet
    question: Question
    answer: GroundedAnswer | None = None
    id: str = ""
    source: str = ""  # where it comes from, for example "scenes:multi/test"
    type: str = ""  # which kind of question it is, for example "spatial"

    def __post_init__(self) -> None:
        for prompt in self.question.prompts:
            self._check_prompt(prompt)
        for target in self.answer.targets if self.answer else ():
            for index, mask in target.masks.items():
                self._check_mask(f"target {target.phrase!r}", index, mask.size)

    def without_answer(self) -> "Sample":
        """Return the same question with the true answer taken away."""
        return replace(self, answer=None)

    def _check_prompt(self, prompt: Prompt) -> None:
        if not 0 <= prompt.image < len(self.images):
            raise DataError(
                f"prompt: expected an image from 0 to {len(self.images) - 1}, got {prompt.image}."
            )
        height, width = self.images[prompt.image].size
        where = frame_key(self.images, prompt.image)
        if isinstance(prompt, Point):
            if not (0 <= prompt.x < width and 0 <= prompt.y < height):
                raise DataError(
                    f"point: expected x in [0, {width}) and y in [0, {height}) of image {where}, "
                    f"got {prompt.x:g},{prompt.y:g}. Coordinates are pixels of the image as shown."
                )
        elif isinstance(prompt, Box):
            inside = min(prompt.x0, prompt.y0) >= 0 and prompt.x1 <= width and prompt.y1 <= height
            if not inside:
                raise DataError(
                    f"box: expected corners inside {width} x {height} of image {where}, got "
                    f"{prompt.x0:g},{prompt.y0:g},{prompt.x1:g},{prompt.y1:g}. "
                    f"Coordinates are pixels of the image as shown."
                )
        else:
            self._check_mask("prompt", prompt.image, prompt.mask.size)

    def _check_mask(self, what: str, index: int, size: tuple[int, int]) -> None:
        if not 0 <= index < len(self.images):
            raise DataError(
                f"{what}: expected a frame from 0 to {len(self.images) - 1}, got {index}."
            )
        if size != self.images[index].size:
            raise DataError(
                f"{what}: expected a mask of image {frame_key(self.images, index)}'s size "
                f"{self.images[index].size} (height, width), got {size}."
            )
