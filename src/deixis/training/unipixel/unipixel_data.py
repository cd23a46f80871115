"""The data sets of UniPixel's published mixtures as a training reads them (specification 10).

``train([run], workshop=published_workshop(root))`` with a run such as ``runs/unipixel_paper.yaml``;
where each data set belongs below the root, its reader says. Those that we have no reader for
(VideoRefer-700K, Inst-IT's pictures) can be handed in; without them they are left out, which is
said.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from deixis.data.catalogue import open_data
from deixis.data.mixture import Draw
from deixis.errors import DataError
from deixis.structures.samples import Sample
from deixis.training.pixellm.pixellm_data import TRIES, Read, about_one_image
from deixis.training.running.feeding import Workshop
from deixis.training.unipixel.unipixel_recipe import STAGES
from deixis.training.unipixel.unipixel_stages import OBJECTIVES
from deixis.training.unipixel.unipixel_workshop import build_model, publish

logger = logging.getLogger("deixis.training")

TRAIN = ("revos", "mevis", "lvvis", "ref_youtube_vos", "ref_davis17", "vicas", "reason_seg")
REFERRED = ("refcoco", "refcoco+", "refcocog", "refclef")
PIXELS = ("ade20k", "cocostuff", "mapillary", "paco_lvis", "pascal_part")
OPENED: Mapping[str, tuple[tuple[str, str], ...]] = {  # of the mixtures -> ours, and the split
    **{name: ((name, "train"),) for name in (*TRAIN, *REFERRED)},
    **{name: ((name, "all"),) for name in PIXELS},
    "ref_sav": (("ref_sav", "valid"),),  # the only split that its reader knows
    "groundmore": (("groundmore", "trainval_v2"),),
    "osprey_conversation": (("osprey-conversation", "all"),),
    "osprey_detail_description": (("osprey-detail", "all"),),
    "osprey_pos_neg": (("osprey-pos_neg", "all"),),
    "inst_it_video_qa_raw": (("inst_it", "all"),),
    "inst_it_video_qa_raw_mem": (("inst_it", "all"),),
    "llava_665k_videogpt_plus_576k": (("llava_instruct", "all"), ("videogpt_plus", "all")),
}


@dataclass
class PublishedData:
    """Draws samples of a stage's mixture, of every data set as often as it is long and repeated.

    Attributes:
        root: above the data sets.
        mixtures: stage -> data set -> how often it is repeated.
        more: data sets that have no reader of ours, or that shall be read otherwise.
    """

    root: Path
    mixtures: Mapping[str, Mapping[str, int]]
    more: Mapping[str, Sequence[Sample]]
    opened: dict[str, tuple[Sequence[Sample], ...]] = field(default_factory=dict)
    said: set[str] = field(default_factory=set)

    def scene(self, draw: Draw) -> Read:
        """Return questions about one image or clip.

        Raises:
            DataError: a file of a data set is missing or broken, or nothing in them can be asked.
        """
        salt = f"{draw.task}/{draw.seed}/{draw.index}/{draw.salt}"
        random, readers = Random(salt), self._readers(draw.task)
        for _ in range(TRIES):
            shares = [len(samples) * repeats for samples, repeats in readers]
            ((reader, _),) = random.choices(readers, shares)
            samples = about_one_image(reader, random.randrange(len(reader)), draw.questions)
            if len(samples[0].images.lengths) == 1:
                return Read(task=draw.task, samples=samples, salt=salt)
        raise DataError(
            f"{draw.task}: expected one picture or clip within {TRIES} samples, got none. "
            f"Check the data sets below {self.root}."
        )

    def _readers(self, stage: str) -> list[tuple[Sequence[Sample], int]]:
        """Return the data sets of a stage, and how often each is repeated."""
        mixture = self.mixtures[stage]
        lost = [name for name in mixture if name not in OPENED and name not in self.more]
        if len(lost) == len(mixture):
            raise DataError(
                f"{stage}: expected a data set that can be read, got none of {', '.join(lost)}. "
                f"Hand them in: published_workshop(root, more={{name: samples}})."
            )
        if lost and stage not in self.said:
            logger.warning("%s: no reader for %s; left out.", stage, ", ".join(lost))
            self.said.add(stage)
        return [
            (samples, repeats)
            for name, repeats in mixture.items()
            if name not in lost
            for samples in self._opened(name)
        ]

    def _opened(self, name: str) -> tuple[Sequence[Sample], ...]:
        if name not in self.opened:
            self.opened[name] = (
                (self.more[name],)
                if name in self.more
                else tuple(open_data(ours, self.root, split) for ours, split in OPENED[name])
            )
        return self.opened[name]


def published_workshop(
    root: Path | str,
    *,
    mixtures: Mapping[str, Mapping[str, int]] | None = None,
    more: Mapping[str, Sequence[Sample]] | None = None,
) -> Workshop:
    """Return the workshop of UniPixel on the published mixtures, whose data sets lie below a root.

    Args:
        root: above the data sets.
        mixtures: stage -> data set -> how often it is repeated; the published ones if not given.
        more: data set -> samples, for those without a reader of ours.
    """
    known = mixtures or {name: stage.mixture for name, stage in STAGES.items()}
    return Workshop(
        build=build_model,
        objectives={name: OBJECTIVES[name] for name in STAGES},
        scene=PublishedData(Path(root), known, more or {}).scene,
        tasks=tuple(known),
        judged=(),
        publish=publish,
    )
