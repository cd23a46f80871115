"""How published protocols ask: their wording of questions, and answers that are given, not written.

PixelLM reads the masks of RefCOCO and ReasonSeg from answers that it is given; UniPixel begins the
answers of multiple choice. A model of another family answers freely, and the report says so.
Read in the specifications of PixelLM (16) and UniPixel (4.3, 11) and in UniPixel's scripts.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from deixis.processing.lessons.pixellm_templates import joined
from deixis.processing.words.unipixel_text import segment
from deixis.reasoning.given import TARGET, Given
from deixis.structures.answers import GroundedAnswer
from deixis.structures.samples import Sample

ONLY = "\nPlease only give the best option."  # the last line of multiple choice
FIRST = "\n(A)"  # where options begin


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """How one protocol asks the models of one family.

    Attributes:
        family: which models are asked so.
        says: what a reader of a report must know.
        question: the words of a sample's question.
        given: what is given of its answer; None: nothing.
    """

    family: str
    says: str
    question: Callable[[Sample], str]
    given: Callable[[Sample], Given] | None = None

    def fits(self, reasoner: Any) -> bool:
        """Say whether a reasoner is asked so."""
        return getattr(reasoner, "family", None) == self.family

    def note(self, reasoner: Any) -> str:
        """Say how a reasoner is asked."""
        if self.fits(reasoner):
            return self.says
        if self.given is None:
            return "in the words of the data set"
        return f"answers written freely; published ones are {self.family}'s: {self.says}"


class Task(Protocol):
    """What is asked of `deixis.evaluation.running.benchmarks.Task`."""

    @property
    def asking(self) -> Asking | None: ...

    @property
    def wants_logits(self) -> bool: ...


def put(reasoner: Any, task: Task, samples: Sequence[Sample]) -> list[GroundedAnswer]:
    """Ask a reasoner some questions as a task does; the truth stays hidden from it.

    Only how many targets are asked for is told, where a protocol gives the answer.
    """
    asked, asking = [blind(sample) for sample in samples], task.asking
    keep = {"logits": True} if gives_logits(reasoner, task) else {}
    answers: list[GroundedAnswer]
    if asking is None or not asking.fits(reasoner):
        answers = reasoner.answer_batch(asked, **keep)
        return answers
    asked = [
        replace(one, question=replace(one.question, text=asking.question(sample)))
        for one, sample in zip(asked, samples, strict=True)
    ]
    if asking.given is None:
        answers = reasoner.answer_batch(asked, **keep)
    else:
        given = [asking.given(sample) for sample in samples]
        answers = reasoner.answer_given(asked, given, **keep)
    return answers


def gives_logits(reasoner: Any, task: Task) -> bool:
    """Say whether a task wants logits and the reasoner, a model of ours, has them."""
    return task.wants_logits and getattr(reasoner, "family", None) is not None


def notes(reasoner: Any, task: Task) -> dict[str, str]:
    """Return what a reader of a report must know of how this reasoner was asked."""
    found = {}
    if task.asking is not None and getattr(reasoner, "family", None) is not None:
        found["asked"] = task.asking.note(reasoner)
    if gives_logits(reasoner, task):
        found["logits"] = "the model's own"
    return found


def blind(sample: Sample) -> Sample:
    """Return what a user could have asked: no true answer, and no word about its kind."""
    return replace(sample.without_answer(), type="", source="")


# -- PixelLM --------------------------------------------------------------------------------------


def _what_is(sample: Sample) -> str:
    return f"What is {sample.question.text} in this image? Please output segmentation mask."


def _output(sample: Sample) -> str:
    return f"{sample.question.text} Please output segmentation mask."


def _groups(sample: Sample) -> Given:
    """Give an answer of nothing but targets: "T, T and T."."""
    assert sample.answer is not None, "the evaluator checks"
    count = max(1, len(sample.answer.targets) + len(sample.answer.absent))
    return Given(begun=f"{joined([TARGET] * count)}.", whole=True)


FORCED = "masks are read from given answers, nothing is written"
PIXELLM_NAMES = Asking(family="pixellm", says=FORCED, question=_what_is, given=_groups)
PIXELLM_SENTENCES = Asking(family="pixellm", says=FORCED, question=_output, given=_groups)
PIXELLM_MUSE = Asking(
    family="pixellm",
    says='with "Please output segmentation mask."; published: one of two such endings, by lot',
    question=_output,
)

# -- UniPixel -------------------------------------------------------------------------------------


def _segment(sample: Sample) -> str:
    """Ask for what a short text names, and for the mask of a sentence.

    Assumed: ReasonSeg's long texts are UniPixel's sentences; its own list was not read.
    """
    if sample.type == "long":
        return f"{sample.question.text} Please provide the segmentation mask."
    clip = any(times is not None for times in sample.images.times)
    return segment(sample.question.text, "video" if clip else "image")


def _options(sample: Sample) -> str:
    return sample.question.text.replace(FIRST, f"\nOptions:{FIRST}", 1)


def _begun(words: str) -> Callable[[Sample], Given]:
    def given(sample: Sample) -> Given:
        return Given(begun=words, located=_options(sample).removesuffix(ONLY))

    return given


UNIPIXEL_WORDS = Asking(family="unipixel", says="in UniPixel's words", question=_segment)
UNIPIXEL_REGIONS = Asking(
    family="unipixel",
    says='answers begin with "The best option is ("; masks of points and boxes by given answers',
    question=_options,
    given=_begun("The best option is ("),
)
UNIPIXEL_MVBENCH = Asking(
    family="unipixel",
    says='answers begin with "Best Option: ("',
    question=_options,
    given=_begun("Best Option: ("),
)
