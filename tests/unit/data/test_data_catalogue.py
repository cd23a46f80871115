"""Data sets by name."""

import pickle
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest
from published import box_mask, picture, ref, write_json, write_refcoco
from tiny_sets import write_all

from deixis.data.catalogue import DATA_SETS, open_data
from deixis.data.checking import PICTURES, PUBLISHED, RECALLED, check
from deixis.errors import ConfigError, DataError
from deixis.structures.masks import Mask


def test_a_name_opens_the_usual_split(tmp_path):
    write_refcoco(tmp_path, "refcoco", "unc", [ref(0, 10, "val", "a"), ref(1, 11, "testA", "b")])
    assert open_data("refcoco", tmp_path)[0].question.text == "a"
    assert open_data("refcoco", tmp_path, "testA")[0].question.text == "b"
    assert len(open_data("multi-refcoco", tmp_path)) == 1
    base = tmp_path / "mevis/valid_u"
    asked = {"0": {"exp": "it", "anno_id": [0]}}
    write_json(
        base / "meta_expressions.json", {"videos": {"v": {"frames": ["0"], "expressions": asked}}}
    )
    write_json(base / "mask_dict.json", {"0": [Mask(box_mask(1, 1, 3, 3)).to_rle()]})
    picture(base / "JPEGImages/v/0.jpg")
    assert open_data("mevis", tmp_path)[0].answer.targets[0].masks[0].area == 4


@pytest.mark.parametrize("name", sorted(DATA_SETS))
def test_every_name_says_what_is_missing_and_where_to_get_it(name, tmp_path):
    for split in DATA_SETS[name].splits:
        with pytest.raises(DataError, match=r"(?s)expected .*(got none|got neither).*http"):
            open_data(name, tmp_path, split)


def test_unknown_names_and_splits_are_said(tmp_path):
    with pytest.raises(ConfigError, match='Did you mean "refcoco"'):
        open_data("refcoc", tmp_path)
    with pytest.raises(ConfigError, match='unknown split of mevis "val"'):
        open_data("mevis", tmp_path, "val")


def ids(samples):
    return [sample.id for sample in samples]


def test_every_reader_travels_to_another_process_and_reads_the_same_there(tmp_path):
    opened = {name: samples() for name, (_, samples) in write_all(tmp_path).items()}
    with ProcessPoolExecutor(1, mp_context=get_context("fork")) as pool:
        elsewhere = {name: pool.submit(ids, samples) for name, samples in opened.items()}
        for name, samples in opened.items():
            assert elsewhere[name].result() == ids(samples), name
    assert pickle.loads(pickle.dumps(opened["vicas"]))[0].answer == opened["vicas"][0].answer


def test_published_sizes_are_of_splits_that_exist():
    assert not set(PUBLISHED) & set(RECALLED)
    for key in (*PUBLISHED, *RECALLED, *PICTURES):
        name, split = key.rsplit("/", 1)
        assert split in DATA_SETS[name].splits


def test_a_size_that_people_only_recall_is_told_and_no_fault(tmp_path):
    write_refcoco(tmp_path, "refcoco", "unc", [ref(0, 10, "val", "a")])
    samples = open_data("refcoco", tmp_path)
    report = check(samples, "mvbench/all")
    assert (report.published, report.recalled, report.good) == (None, 4000, True)
    (said,) = check(samples, "refcoco/val").differences()
    assert said.startswith("refcoco/val: expected 1500 pictures or clips as published, got 1.")
    assert not check(samples, "mevis/valid_u").good
