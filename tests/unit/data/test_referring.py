"""RefCOCO and its kin, written in their layout and read back to the same truth."""

import json
import pickle

import numpy as np
import pytest
from published import BOXES, box_mask, ref, write_refcoco

from deixis.data.images.referring import open_referring
from deixis.errors import DataError
from deixis.structures.masks import Mask


@pytest.fixture
def root(tmp_path):
    refs = [
        ref(0, 10, "val", " The Box ", "left one"),
        ref(1, 12, "val", "tiny", image=2),
        ref(2, 11, "val", *[f"word {i}" for i in range(7)]),
        ref(3, 11, "testA", "other"),
        ref(4, 10, "testB", "another"),
    ]
    write_refcoco(tmp_path, "refcoco", "unc", refs)
    return tmp_path


def test_sentences_come_by_image_with_their_masks(root):
    samples = open_referring(root, "refcoco", "val")
    assert len(samples) == 10
    assert [s.question.text for s in samples[:2]] == ["the box", "left one"]
    assert samples[-1].question.text == "tiny"
    assert samples[0].answer.targets[0].masks[0] == Mask(box_mask(*BOXES[10]))
    assert samples[0].answer.text == "the box."
    assert len(open_referring(root / "refer_seg", "refcoco", "testA")) == 1


def test_polygons_of_one_annotation_are_added_in_labels_and_united_in_masks(root):
    samples = open_referring(root, "refcoco", "testA")
    assert samples.labels(0).max() == 2
    assert samples[0].answer.targets[0].masks[0] == Mask(box_mask(*BOXES[11]))


def test_multi_refcoco_asks_for_six_five_and_four_sentences_in_turns(root):
    samples = open_referring(root, "refcoco", "val", together=True)
    assert [len(s.answer.targets) for s in samples] == [6, 3, 1]
    assert samples[0].question.text.startswith("the box, left one, word 0")
    assert samples[0].question.text.endswith("word 2 and word 3")
    assert samples.labels(0).shape == (6, 30, 40)


def test_expressions_of_grefcoco_mean_several_objects_or_none(tmp_path):
    refs = [ref(0, [10, 11], "val", "both"), ref(1, [-1], "val", "none")]
    write_refcoco(tmp_path, "grefcoco", "unc", refs)
    both, none = open_referring(tmp_path, "grefcoco", "val")
    union = box_mask(*BOXES[10]) | box_mask(*BOXES[11])
    assert both.answer.targets[0].masks[0] == Mask(union)
    assert not none.answer.targets
    assert [target.phrase for target in none.answer.absent] == ["none"]
    assert none.type == "no target"


def test_samples_travel_to_other_processes(root):
    samples = pickle.loads(pickle.dumps(open_referring(root, "refcoco", "val")))
    assert np.array_equal(samples.labels(3), open_referring(root, "refcoco", "val").labels(3))


def test_a_pickle_that_asks_for_code_is_refused(root):
    evil = b"cos\nsystem\n(S'true'\ntR."
    (root / "refer_seg/refcoco/refs(unc).p").write_bytes(evil)
    with pytest.raises(DataError, match=r"refs\(unc\)\.p: .* asks for os\.system.* Do not trust"):
        open_referring(root, "refcoco", "val")


@pytest.mark.parametrize("content", [b"", b"\x80", b"junk", b"\x80\x02]q\x00(", b"(lp0\nI1\na."])
def test_broken_pickles_are_located_errors(root, content):
    (root / "refer_seg/refcoco/refs(unc).p").write_bytes(content)
    with pytest.raises(DataError, match=r"refs\(unc\)\.p"):
        list(open_referring(root, "refcoco", "val"))


def test_what_is_missing_is_said_with_its_place(root):
    with pytest.raises(DataError, match=r"expected refs\(umd\)\.p or .* there, got neither"):
        open_referring(root, "refcoco", "val", "umd")
    with pytest.raises(DataError, match=r"split test9, got none\. It has: testA, testB, val"):
        open_referring(root, "refcoco", "test9")
    name = "COCO_train2014_000000000002.jpg"
    (root / "refer_seg/images/mscoco/images/train2014" / name).unlink()
    with pytest.raises(DataError, match=f"{name}: expected in .*train2014, got none"):
        open_referring(root, "refcoco", "val")[9]


def test_an_annotation_of_another_release_is_named(root):
    path = root / "refer_seg/refcoco/instances.json"
    value = json.loads(path.read_text())
    value["annotations"] = value["annotations"][1:]
    path.write_text(json.dumps(value))
    samples = open_referring(root, "refcoco", "val")
    with pytest.raises(DataError, match=r'instances\.json: "ann_id": .* got 10\. Check'):
        samples[0]
