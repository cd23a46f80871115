"""Benchmarks of others in their published protocols: data set and protocol -> samples, figures.

A table names, for each data set of `deixis.data.catalogue`, the protocols in which it is scored:
the first is the one that its papers' numbers follow. ``counting.py`` beside it does the sums.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from deixis.config import pick
from deixis.data.annotations.rows import LazySamples
from deixis.data.catalogue import DATA_SETS, REGIONS, open_data
from deixis.data.checking import check, write_refused
from deixis.data.clips.regions import open_regions
from deixis.data.images.reasoning import open_reason_seg
from deixis.errors import ConfigError, DataError
from deixis.evaluation.answering import asking
from deixis.evaluation.answering.asking import Asking
from deixis.evaluation.protocols import counting, counting_muse, counting_sets
from deixis.evaluation.protocols.counting import Counting
from deixis.evaluation.running.benchmarks import Benchmark, Task

Opener = Callable[[Path, str], LazySamples]


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One way to score a data set.

    Attributes:
        metric: a key of `deixis.metrics.protocols.PROTOCOLS`.
        protocol: one of its protocols.
        count: makes what counts, of the opened samples.
        open: opens the split where the protocol reads it in its own way.
        asking: how it asks the models of its family; None: as the data set does.
    """

    metric: str
    protocol: str
    count: Callable[[LazySamples, str, str], Counting]
    open: Opener | None = None
    asking: Asking | None = None


def _ways(
    metric: str, count: type[Counting], *protocols: str, **asking: Asking
) -> dict[str, Way]:
    """Return ways by protocol, clean last; ``asking`` says of a protocol how it asks."""
    return {
        p: Way(metric=metric, protocol=p, count=count, asking=asking.get(p))
        for p in (*protocols, "clean")
    }


def _every_text(root: Path, split: str) -> LazySamples:
    return open_reason_seg(root, split, every_text=True, ignored=0)


def _one_mask(count: type[Counting], open: Opener | None = None) -> dict[str, Way]:
    """Return SegZero's and UniPixel's ways where a question means one thing."""
    unipixel = Way(
        metric="mask_and_box",
        protocol="unipixel",
        count=count,
        open=open,
        asking=asking.UNIPIXEL_WORDS,
    )
    segzero = Way(metric="masks", protocol="segzero", count=counting.OneMask)
    return {"segzero": segzero, "unipixel": unipixel}


SAMPLED = 16  # frames of a clip that UniPixel reads
LISA = ("lisa", "pixellm", "glamm", "sa2va")
SINGLE = {
    **_ways("masks", counting.Masks, *LISA, pixellm=asking.PIXELLM_NAMES),
    **_one_mask(counting.MaskAndBox),
}
MULTI = _ways("masks", counting.Masks, "pixellm", "lisa", pixellm=asking.PIXELLM_NAMES)
REASON_SEG = {
    **_ways("masks", counting.Masks, "lisa", "pixellm", pixellm=asking.PIXELLM_SENTENCES),
    **_one_mask(counting.MaskOnly, _every_text),
}
GRES = {
    **_ways("gres", counting.NoTarget, "rela"),
    "grec": Way(metric="grec", protocol="grefcoco", count=counting.Boxes),
    "grec-clean": Way(metric="grec", protocol="clean", count=counting.Boxes),
}
EXPRESSIONS = _ways(
    "expressions", counting.Expressions, "mevis", "unipixel", unipixel=asking.UNIPIXEL_WORDS
)
CHOICES = _ways("choices", counting.Choices, "unipixel")


def _sampled(file: str, prompt: str, *, every_frame: bool = False) -> Opener:
    """Open questions about regions as UniPixel does, over 16 of the annotated frames."""
    return lambda root, split: open_regions(
        root, file, prompt=prompt, every_frame=every_frame, frames=SAMPLED
    )


def _regions(*, every_frame: bool) -> Way:
    """Return UniPixel's way with VideoRefer-Bench-Q: masks of the prompt frame, or of all."""
    return Way(
        metric="choices",
        protocol="unipixel",
        count=counting.Choices,
        open=_sampled(REGIONS, "region", every_frame=every_frame),
        asking=asking.UNIPIXEL_REGIONS,
    )


def _pixelqa(prompt: str) -> dict[str, Way]:
    published = Way(
        metric="pixelqa",
        protocol="unipixel",
        count=counting.PointedVolumes,
        open=_sampled(REGIONS, prompt),
        asking=asking.UNIPIXEL_REGIONS,
    )
    return {"unipixel": published, **_ways("pixelqa", counting.PointedVolumes)}


PARTS = _ways("masks", counting.AnswerMasks)
CLASSES = _ways("classes", counting_sets.Classes, "lisa")

WAYS: Mapping[str, Mapping[str, Way]] = {
    "refcoco": SINGLE,
    "refcoco+": SINGLE,
    "refcocog": SINGLE,
    "refcocog-google": SINGLE,
    "refclef": SINGLE,
    "grefcoco": GRES,
    "multi-refcoco": MULTI,
    "multi-refcoco+": MULTI,
    "multi-refcocog": MULTI,
    "reason_seg": REASON_SEG,
    "muse": _ways("muse", counting_muse.Questions, "pixellm", pixellm=asking.PIXELLM_MUSE),
    "grandf": _ways("gcg", counting_sets.GroundedCaptions, "glamm"),
    "mevis": EXPRESSIONS,
    "revos": _ways("revos", counting.Robust, "visa"),
    "ref_sav": EXPRESSIONS,
    "ref_youtube_vos": EXPRESSIONS,
    "ref_davis17": EXPRESSIONS,
    "lvvis": EXPRESSIONS,
    "vicas": {"clean": EXPRESSIONS["clean"]},
    "groundmore": _ways("clips", counting.Clips, "davis"),
    "videorefer-d": _ways("judged", counting_sets.Judged, "videorefer"),
    "videorefer-q": {
        "videorefer": Way(metric="choices", protocol="videorefer", count=counting.Choices),
        **CHOICES,
        "unipixel": _regions(every_frame=False),
        "unipixel-multi": _regions(every_frame=True),
    },
    "pixelqa-point": _pixelqa("point"),
    "pixelqa-box": _pixelqa("box"),
    "pixelqa-mixed": _pixelqa("mixed"),
    "ade20k": CLASSES,
    "cocostuff": CLASSES,
    "mapillary": CLASSES,
    "paco_lvis": PARTS,
    "pascal_part": PARTS,
    "mvbench": {
        **_ways("choices", counting.Choices, "unipixel", unipixel=asking.UNIPIXEL_MVBENCH),
        "mvbench": Way(metric="choices", protocol="mvbench", count=counting.Choices),
    },
    "video_mme": CHOICES,
}
UNSCORED = tuple(name for name in DATA_SETS if name not in WAYS)  # training data in words


def open_published(
    name: str,
    root: Path | str,
    *,
    split: str | None = None,
    protocol: str = "published",
    count: int | None = None,
    quarantine: Path | None = None,
) -> Benchmark:
    """Return a data set as a benchmark, scored in one of its protocols.

    Args:
        name: a key of `deixis.data.catalogue.DATA_SETS`.
        root: the folder of the data.
        split: None: the one that is usually evaluated.
        protocol: "published" (the first of the data set's), "clean", or one by name.
        count: how many samples; None: all.
        quarantine: a file for records that cannot be read, which are then left out; None: the
            first of them ends the run.

    Raises:
        ConfigError: an unknown name, split or protocol, or a data set without any evaluation.
        DataError: the data cannot be read, or its true answers are not public.
    """
    found = pick(DATA_SETS, name, "data set")
    chosen, way = _way(name, protocol)
    split = found.splits[0] if split is None else split
    pick(dict.fromkeys(found.splits), split, f"split of {name}")
    opened = partial(open_data, name) if way.open is None else way.open
    samples = opened(Path(root), split)
    if count is not None and count < 1:
        raise ConfigError(f"count: expected at least 1 sample, got {count}. Ask for more.")
    samples = replace(samples, rows=samples.rows[:count])
    if quarantine is not None:
        samples = _readable(samples, f"{name}/{split}", quarantine)
    counts = way.count(samples, way.metric, way.protocol)
    counts.notes |= {"protocol": chosen, "metric": way.metric, "says": counts.says}
    return Benchmark(
        name=name,
        samples=samples,
        task=Task(
            measures=(way.metric,),
            notes=counts.notes,
            counts=counts,
            asking=way.asking,
            wants_logits=counts.wants_logits,
        ),
        split=split,
    )


def _way(name: str, protocol: str) -> tuple[str, Way]:
    """Return a protocol of a data set with its own name."""
    if name not in WAYS:
        raise ConfigError(
            f"{name}: expected a data set with an evaluation, got one to train with. "
            f"Choose another: {', '.join(WAYS)}."
        )
    ways = WAYS[name]
    chosen = next(iter(ways)) if protocol == "published" else protocol
    return chosen, pick(ways, chosen, f"protocol of {name}")


def _readable(samples: LazySamples, name: str, quarantine: Path) -> LazySamples:
    """Return the samples that can be read, and write down the others."""
    report = check(samples, name, thorough=True)
    write_refused(quarantine, report)
    refused = {index for index, _ in report.refused}
    rows = [samples.rows[i] for i in range(len(samples)) if i not in refused]
    if not rows:
        raise DataError(f"{name}: expected records that can be read, got none. See {quarantine}.")
    return replace(samples, rows=rows)
