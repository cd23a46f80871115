"""One broken record of any data set is told with its place; the others are read all the same."""

import json
import pickle
from pathlib import Path

import pytest
from scene_sets import write_scenes

from deixis.data.catalogue import DATA_SETS, open_data
from deixis.data.checking import check
from deixis.errors import DataError

REFER, CLIPS = "refer_seg", "meta_expressions/valid/meta_expressions.json"
OSPREY = "osprey/Osprey-724K/osprey"
GPT = "general/llava_v1_5_mix665k_with_videogpt_plus_576k.json"


def first(value, *path):
    """Return what lies at a path; None stands for the first key or entry."""
    for key in path:
        key = next(iter(value)) if key is None and isinstance(value, dict) else key or 0
        value = value[key]
    return value


def expression(value):
    first(value, "videos", None, "expressions", None)["exp"] = 3


def spoken(value):
    value[0]["conversations"].append({"from": "human", "value": "left over"})


def set_to(name, wrong, *path):
    """Return what puts a wrong value under a name."""

    def change(value):
        first(value, *path)[name] = wrong

    return change


BROKEN = {  # file, and what breaks one of its records
    **{
        f"{multi}{name}": (f"{REFER}/{name}/refs(unc).p", set_to("sentences", 3, 0))
        for name in ("refcoco", "refcoco+", "refclef")
        for multi in (("",) if name == "refclef" else ("", "multi-"))
    },
    "refcocog": (f"{REFER}/refcocog/refs(umd).p", set_to("image_id", "x", 0)),
    "multi-refcocog": (f"{REFER}/refcocog/refs(umd).p", set_to("image_id", None, 0)),
    "refcocog-google": (f"{REFER}/refcocog/refs(google).p", set_to("split", 4, 0)),
    "grefcoco": (f"{REFER}/grefcoco/grefs(unc).json", set_to("ann_id", ["x"], 0)),
    "reason_seg": ("reason_seg/ReasonSeg/val/0.json", set_to("text", [])),
    "muse": ("muse/muse_val.json", set_to("questions", 3, 0)),
    "grandf": (
        "GranDf/annotations/val_test/val_gcg_coco_caption_gt.json",
        set_to("labels", [], "annotations", 0),
    ),
    "grandf/ha": (
        "GranDf/annotations/train/GranDf_HA_GCG_train.json",
        set_to("caption", None, 0),
    ),
    "grandf/flickr": (
        "GranDf/annotations/train/flickr_mergedGT_GCG_train.json",
        set_to("image_id", None, "annotations", 0),
    ),
    "mevis": ("mevis/valid_u/meta_expressions.json", expression),
    "revos": ("ReVOS/meta_expressions_valid_.json", expression),
    "ref_sav": ("ref_sav/valid/meta_expressions_valid.json", expression),
    "lvvis": ("lvvis/meta_expressions.json", set_to("expressions", 3, "videos", None)),
    "ref_youtube_vos": (f"ref_youtube_vos/{CLIPS}", expression),
    "ref_davis17": (f"ref_davis17/{CLIPS}", expression),
    "vicas": (
        "vicas/annotations/annotations_wo_masks_v1.0.json",
        set_to("object_referrals", 3, None),
    ),
    "groundmore": (
        "groundmore/test_v2.json",
        set_to("action_start", "soon", "videos", None, "questions", None),
    ),
    "videorefer-d": ("VideoRefer-Bench-D.json", set_to("annotation", 3, 0)),
    **{
        name: ("VideoRefer-Bench-Q.json", set_to("annotation", 3, 0))
        for name in ("videorefer-q", "pixelqa-point", "pixelqa-box", "pixelqa-mixed")
    },
    "ade20k": ("ade20k/annotations/training/0.png", None),
    "cocostuff": ("cocostuff/train2017/0.png", None),
    "mapillary": ("mapillary/training/v2.0/labels/0.png", None),
    "paco_lvis": (
        "vlpart/paco/annotations/paco_lvis_v1_train.json",
        set_to("image_id", None, "annotations", 0),
    ),
    "pascal_part": ("vlpart/pascal_part/train.json", set_to("id", None, "annotations", 0)),
    "osprey-conversation": (f"{OSPREY}_conversation.json", spoken),
    "osprey-pos_neg": (f"{OSPREY}_lvis_positive_negative.json", spoken),
    "osprey-detail": (f"{OSPREY}_detail_description.json", set_to("description", 3, 0)),
    "inst_it": (
        "inst_it/Inst-IT-Dataset/inst_it_dataset_video_21k_w_mask.json",
        set_to("question_answer_pairs", 3, 0),
    ),
    "llava_instruct": ("llava_dataset/llava_instruct_150k.json", spoken),
    "videogpt_plus": (GPT, spoken),
    "mvbench": ("json/t.json", set_to("candidates", 3, 0)),
}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scenes")
    write_scenes(folder)
    return folder


def damaged(path: Path, change) -> None:
    if change is None:
        path.write_bytes(path.read_bytes()[:20])
        return
    old = path.suffix == ".p"
    value = pickle.loads(path.read_bytes()) if old else json.loads(path.read_text())
    change(value)
    path.write_bytes(pickle.dumps(value, protocol=2) if old else json.dumps(value).encode())


def test_every_data_set_is_broken_once():
    assert {name.split("/")[0] for name in BROKEN} == set(DATA_SETS) - {"video_mme"}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_record_is_told_and_the_others_are_read(root, name):
    file, change = BROKEN[name]
    path, (data, _, split) = root / file, name.partition("/")
    whole, count = path.read_bytes(), len(open_data(data, root, split or None))
    try:
        damaged(path, change)
        samples = open_data(data, root, split or None)
        report = check(samples, name)
        assert report.refused
        assert report.read + len(report.refused) == report.count
        assert count - 2 * 3 <= report.read <= count  # a reference has up to six sentences
        for index, reason in report.refused:
            assert Path(file).stem in reason, reason
            with pytest.raises(DataError):
                samples[index]
    finally:
        path.write_bytes(whole)


def test_a_broken_row_of_video_mme_is_told_too(root):
    parquet = pytest.importorskip("pyarrow.parquet")
    import pyarrow

    path = root / "test-00000-of-00001.parquet"
    whole = path.read_bytes()
    rows = parquet.read_table(path).to_pylist()
    parquet.write_table(pyarrow.Table.from_pylist([*rows, {**rows[0], "answer": "Z"}]), path)
    report = check(open_data("video_mme", root), "video_mme")
    path.write_bytes(whole)
    assert (report.read, [index for index, _ in report.refused]) == (1, [1])
    assert "test-00000-of-00001.parquet:1" in report.refused[0][1]


def test_a_thorough_look_asks_for_all_that_metrics_take(root):
    path = root / REFER / "refcoco/instances.json"
    whole = path.read_text()
    value = json.loads(whole)
    del value["annotations"][0]["bbox"]
    path.write_text(json.dumps(value))
    looks = [check(open_data("refcoco", root), "x", thorough=t) for t in (False, True)]
    path.write_text(whole)
    assert not looks[0].refused
    assert [index for index, _ in looks[1].refused] == [0, 1]
    assert "annotation 0: expected a bbox" in looks[1].refused[0][1]
