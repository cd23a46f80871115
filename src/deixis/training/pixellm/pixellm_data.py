"""The data sets of PixelLM's published mixture as a training reads them (arXiv:2312.02228).

``train([run], workshop=published_workshop(root))`` with a run such as ``runs/pixellm_paper.yaml``;
where each data set belongs below the root, its reader says.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random

from deixis.data.annotations.rows import LazySamples
from deixis.data.catalogue import open_data
from deixis.data.mixture import Draw
from deixis.errors import DataError
from deixis.processing.lessons.pixellm_lessons import Lesson, named_lessons, own_lesson
from deixis.structures.images import Frame
from deixis.structures.samples import Sample
from deixis.training.pixellm.pixellm_recipe import PIXELLM, Recipe
from deixis.training.pixellm.pixellm_stages import PaperObjective
from deixis.training.pixellm.pixellm_workshop import build_model, publish
from deixis.training.running.feeding import Workshop

OPENED = {  # data set of the recipe -> its name and split in our catalogue
    "ade20k": ("ade20k", "all"),
    "cocostuff": ("cocostuff", "all"),
    "pascal_part": ("pascal_part", "all"),
    "paco_lvis": ("paco_lvis", "all"),
    "mapillary": ("mapillary", "all"),
    "refclef": ("refclef", "train"),
    "refcoco": ("multi-refcoco", "train"),
    "refcoco+": ("multi-refcoco+", "train"),
    "refcocog": ("multi-refcocog", "train"),
    "llava_instruct_150k": ("llava_instruct", "all"),
    "muse": ("muse", "train"),
}
BY_NAMES = ("sem_seg", "refer_seg")  # asked by templates; the others in their own words
WISHING = ("multi_reason_seg",)  # whose questions say that masks are wanted
TRIES = 20  # samples drawn until one has something to ask for


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """What a step learns of one image.

    Attributes:
        task: kind of data.
        samples: about one image, which they share.
        salt: decides how their questions are put.
    """

    task: str
    samples: tuple[Sample, ...]
    salt: str

    @property
    def renderings(self) -> tuple[Frame, ...]:
        """The image."""
        return tuple(self.samples[0].images)


@dataclass
class PublishedData:
    """Draws images of the mixture; a data set is opened when it is first drawn."""

    root: Path
    recipe: Recipe = PIXELLM
    opened: dict[str, LazySamples] = field(default_factory=dict)

    def scene(self, draw: Draw) -> Read:
        """Return an image of a draw's kind of data, with questions about it.

        Raises:
            DataError: a file of the data set is missing or broken, or nothing in it can be asked.
        """
        salt = f"{draw.seed}/{draw.index}/{draw.salt}"
        random = Random(f"{draw.task}/{salt}")
        for _ in range(TRIES):
            name = random.choice(self.recipe.sets[draw.task])
            samples = self._some(name, random, draw.questions)
            shown = any(sample.answer.targets for sample in samples if sample.answer)
            if shown or draw.task not in BY_NAMES:
                return Read(task=draw.task, samples=samples, salt=salt)
        raise DataError(
            f"{draw.task}: expected something to ask for within {TRIES} samples, got none. "
            f"Check the data sets below {self.root}."
        )

    def _some(self, name: str, random: Random, most: int) -> tuple[Sample, ...]:
        """Return a sample and those after it about the same image, which they come to share."""
        if name not in self.opened:
            self.opened[name] = open_data(OPENED[name][0], self.root, OPENED[name][1])
        reader = self.opened[name]
        return about_one_image(reader, random.randrange(len(reader)), most)


def about_one_image(reader: Sequence[Sample], first: int, most: int) -> tuple[Sample, ...]:
    """Return a sample and those after it about the same image, which they come to share."""
    found = [reader[first]]
    image, slash, _ = found[0].id.rpartition("/")
    while slash and len(found) < most and first + len(found) < len(reader):
        after = reader[first + len(found)]
        if after.id.rpartition("/")[0] != image:
            break
        found.append(replace(after, images=found[0].images))
    return tuple(found)


class PublishedObjective(PaperObjective):
    """The paper's stage on its own data."""

    def _lessons(self, scene: Read) -> list[tuple[Lesson, None]]:
        random = Random(scene.salt)
        if scene.task in BY_NAMES:
            dealt = named_lessons(
                self.processor, scene.samples, random, questions=PIXELLM.questions,
                targets=PIXELLM.targets,
            )  # fmt: skip
            return [(lesson, None) for lesson in dealt]
        wish = random if scene.task in WISHING else None
        return [(own_lesson(self.processor, sample, wish), None) for sample in scene.samples]


def published_workshop(root: Path | str, recipe: Recipe = PIXELLM) -> Workshop:
    """Return the workshop of PixelLM on the published mixture, whose data sets lie below a root."""
    return Workshop(
        build=build_model,
        objectives={"paper": PublishedObjective},
        scene=PublishedData(Path(root), recipe).scene,
        tasks=tuple(recipe.mixture),
        judged=(),
        publish=publish,
    )
