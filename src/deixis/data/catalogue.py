"""Every data set by name: how its splits are opened below one root."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from deixis.config import pick
from deixis.data.annotations.rows import LazySamples
from deixis.data.clips.expressions import open_expressions
from deixis.data.clips.groundmore import open_groundmore
from deixis.data.clips.inst_it import open_inst_it
from deixis.data.clips.regions import open_regions
from deixis.data.clips.vicas import open_vicas
from deixis.data.images.captions import EVALUATED, TRAINING, open_captions
from deixis.data.images.osprey import open_osprey
from deixis.data.images.reasoning import open_muse, open_reason_seg
from deixis.data.images.referring import open_referring
from deixis.data.images.semantic import open_parts, open_semantic
from deixis.data.words.choices import open_mvbench, open_video_mme
from deixis.data.words.conversation import VIDEOGPT_PLUS, open_conversations

UNC, UMD = ("val", "testA", "testB", "train"), ("val", "test", "train")
Opener = Callable[[Path], LazySamples]


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSet:
    """A data set: its splits, the usual one first, and how one of them is opened below a root."""

    splits: tuple[str, ...]
    open: Callable[[Path, str], LazySamples]


def _referring(dataset: str, by: str, together: bool = False) -> Callable[[Path, str], LazySamples]:
    return lambda root, split: open_referring(root, dataset, split, by, together=together)


def _whole(opener: Opener) -> DataSet:
    """Return a data set of one split."""
    return DataSet(splits=("all",), open=lambda root, split: opener(root))


def _expressions(dataset: str, *splits: str) -> DataSet:
    def opened(root: Path, split: str) -> LazySamples:
        return open_expressions(root, dataset, split)

    return DataSet(splits=splits, open=opened)


def _pointed(file: str, prompt: str) -> DataSet:
    return _whole(partial(open_regions, file=file, prompt=prompt))


REGIONS = "VideoRefer-Bench-Q"
DATA_SETS: Mapping[str, DataSet] = {
    "refcoco": DataSet(splits=UNC, open=_referring("refcoco", "unc")),
    "refcoco+": DataSet(splits=UNC, open=_referring("refcoco+", "unc")),
    "refcocog": DataSet(splits=UMD, open=_referring("refcocog", "umd")),
    "refcocog-google": DataSet(splits=("val", "train"), open=_referring("refcocog", "google")),
    "refclef": DataSet(splits=UNC, open=_referring("refclef", "unc")),
    "grefcoco": DataSet(splits=UNC, open=_referring("grefcoco", "unc")),
    "multi-refcoco": DataSet(splits=UNC, open=_referring("refcoco", "unc", True)),
    "multi-refcoco+": DataSet(splits=UNC, open=_referring("refcoco+", "unc", True)),
    "multi-refcocog": DataSet(splits=UMD, open=_referring("refcocog", "umd", True)),
    "reason_seg": DataSet(splits=("val", "test", "train"), open=open_reason_seg),
    "muse": DataSet(splits=("val", "test_less", "test_many", "train"), open=open_muse),
    "grandf": DataSet(splits=(*EVALUATED, *TRAINING), open=open_captions),
    "mevis": _expressions("mevis", "valid_u", "valid", "train"),
    "revos": _expressions("revos", "valid", "train"),
    "ref_sav": _expressions("ref_sav", "valid"),
    "lvvis": _expressions("lvvis", "train"),
    "vicas": DataSet(splits=("val", "test", "train"), open=open_vicas),
    "ref_youtube_vos": _expressions("ref_youtube_vos", "valid", "train"),
    "ref_davis17": _expressions("ref_davis17", "valid", "train"),
    "groundmore": DataSet(
        splits=("test_v2", "groundmore_test", "trainval_v2"), open=open_groundmore
    ),
    "videorefer-d": _pointed("VideoRefer-Bench-D", "region"),
    "videorefer-q": _pointed(REGIONS, "region"),
    "pixelqa-point": _pointed(REGIONS, "point"),
    "pixelqa-box": _pointed(REGIONS, "box"),
    "pixelqa-mixed": _pointed(REGIONS, "mixed"),
    "ade20k": _whole(partial(open_semantic, dataset="ade20k")),
    "cocostuff": _whole(partial(open_semantic, dataset="cocostuff")),
    "mapillary": _whole(partial(open_semantic, dataset="mapillary")),
    "paco_lvis": _whole(partial(open_parts, dataset="paco_lvis")),
    "pascal_part": _whole(partial(open_parts, dataset="pascal_part")),
    "osprey-conversation": _whole(partial(open_osprey, part="conversation")),
    "osprey-pos_neg": _whole(partial(open_osprey, part="pos_neg")),
    "osprey-detail": _whole(partial(open_osprey, part="detail_description")),
    "inst_it": _whole(open_inst_it),
    "llava_instruct": _whole(open_conversations),
    "videogpt_plus": _whole(
        partial(
            open_conversations,
            file=VIDEOGPT_PLUS,
            images="llava_instruct",
            videos="videogpt_plus",
        )
    ),
    "mvbench": _whole(open_mvbench),
    "video_mme": _whole(open_video_mme),
}


def open_data(name: str, root: Path | str, split: str | None = None) -> LazySamples:
    """Open a split of a data set by name; without one, the split that is usually evaluated.

    Raises:
        ConfigError: an unknown name or split.
        DataError: a file is missing or broken; the message says which, and where to get it.
    """
    found = pick(DATA_SETS, name, "data set")
    chosen = found.splits[0] if split is None else split
    pick(dict.fromkeys(found.splits), chosen, f"split of {name}")
    return found.open(Path(root), chosen)
