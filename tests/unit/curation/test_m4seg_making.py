"""M4Seg made from scenes: what is written is read back, proved, and the same after a kill."""

import json
from dataclasses import replace

import pytest

from deixis.curation.checks import faults_of, faults_of_set
from deixis.curation.drafts import KINDS, Draft
from deixis.curation.entities import read_pictures
from deixis.curation.making import Order, make
from deixis.curation.records import make_records
from deixis.curation.rules import RuleAuthor
from deixis.curation.scenes import write_source
from deixis.curation.sets import Sampler
from deixis.data.m4seg import open_m4seg, statistics
from deixis.errors import ConfigError, DataError


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    path = tmp_path_factory.mktemp("m4seg")
    write_source(path, "val", worlds=14, seed=3)
    return path


@pytest.fixture(scope="module")
def groups(root):
    sampler = Sampler(read_pictures(root, "val").pictures, seed=5)
    return [sampler.draw(number) for number in range(40)]


def order(root, **changes):
    return replace(Order(root=root, split="val", sets=12, seed=5), **changes)


def lines_of(path):
    return path.read_text().splitlines()


def test_scenes_give_objects_and_parts_that_know_their_object(root):
    found = read_pictures(root, "val")
    assert not found.faults
    for picture in found.pictures:
        objects = {entity.key for entity in picture.objects}
        assert {e.owner for e in picture.entities if e.owner is not None} <= objects


def test_what_rules_write_passes_every_check(groups):
    author = RuleAuthor(seed=1)
    written = [author.write(group) for group in groups]
    for group, drafts in zip(groups, written, strict=True):
        for draft in drafts:
            assert faults_of(draft, group) == [], draft
    whole = sum(not faults_of_set(drafts) for drafts in written)
    assert whole >= 0.8 * len(groups)


def test_sets_share_a_category_and_hold_no_picture_twice(groups):
    for group in groups:
        assert 2 <= len(group.pictures) <= 5
        assert len({picture.key for picture in group.pictures}) == len(group.pictures)
        showing = [i for i in range(len(group.pictures)) if group.objects(i, group.shared)]
        assert len(showing) >= 2


def test_a_made_set_is_read_as_published_with_masks_and_in_balance(root, tmp_path):
    out = root / "8q_val.json"
    report = make(order(root), out)
    data = open_m4seg(root, "val", file=out)
    assert not data.rejected
    assert len(data.samples) == report["records"] == statistics(data)["samples"]
    assert set(report["kinds"]) == set(KINDS)
    for index in range(0, len(data.samples), 7):
        sample = data.samples[index]
        shown = {image for target in sample.answer.targets for image in target.masks}
        assert shown == set(range(len(sample.images)))
        assert sample.answer.text.count("_") == 0
    out.unlink()


def test_a_killed_run_goes_on_and_writes_the_same_file(root, tmp_path):
    whole = tmp_path / "whole.json"
    make(order(root), whole)

    class Killed(Exception):
        pass

    def kill(done, total):
        if done == 5:
            raise Killed

    again = tmp_path / "again.json"
    with pytest.raises(Killed):
        make(order(root), again, progress=kill)
    partial = tmp_path / "again.json.partial.jsonl"
    assert len(lines_of(partial)) == 1 + 5
    with partial.open("a") as file:
        file.write('{"set": 99, "rec')  # cut in the middle of a line
    seen = []
    make(order(root), again, progress=lambda done, total: seen.append(done))
    assert seen == list(range(6, 13))
    assert again.read_bytes() == whole.read_bytes()
    assert not partial.exists()


def test_several_processes_write_the_same_file_as_one(root, tmp_path):
    make(order(root), tmp_path / "one.json")
    make(order(root), tmp_path / "two.json", workers=2)
    assert (tmp_path / "one.json").read_bytes() == (tmp_path / "two.json").read_bytes()


def test_the_beginnings_of_another_order_are_not_gone_on_with(root, tmp_path):
    out = tmp_path / "out.json"
    header = {"root": "elsewhere"}
    (tmp_path / "out.json.partial.jsonl").write_text(json.dumps(header) + "\n")
    with pytest.raises(ConfigError, match=r"expected the beginnings of this order"):
        make(order(root), out)


def test_more_sets_than_there_are_is_an_error_that_counts_them(root, tmp_path):
    with pytest.raises(DataError, match=r"expected 100000 different ones, got \d+ from these"):
        make(order(root, sets=100000, fewest=2, most=2), tmp_path / "out.json")


def test_a_part_whose_object_is_missing_is_put_aside_by_its_id(root, tmp_path):
    value = json.loads((root / "paco_lvis_v1_val.json").read_text())
    part = next(a for a in value["annotations"] if a["obj_ann_id"] != a["id"])
    part["obj_ann_id"] = 10**9
    (tmp_path / "paco_lvis_v1_val.json").write_text(json.dumps(value))
    (fault,) = read_pictures(tmp_path, "val").faults
    assert f"annotation {part['id']}" in fault
    assert "expected an object of the same picture, got 1000000000" in fault


def drafts_of(group):
    """A true draft about the first two images, from which wrong ones are made."""
    first, second = (group.objects(image)[0] for image in (0, 1))
    answer = f"See one {first.name} ({first.word}) and the {second.word}."
    return Draft(kind="numerical", question="How many?", answer=answer), first, second


@pytest.fixture
def pair(root):
    sampler = Sampler(read_pictures(root, "val").pictures, seed=5, most=2)
    return sampler.draw(0)


def test_a_true_draft_has_no_faults(pair):
    assert faults_of(drafts_of(pair)[0], pair) == []


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda a, f, s: a.replace(f.word, "mug_199"), "no such code"),
        (lambda a, f, s: a.replace(f.word, f"zebra_{f.code}"), "that is a "),
        (lambda a, f, s: a.replace(s.word, "rest"), "image 2 is not cited"),
        (lambda a, f, s: "Nothing.", "the answer cites nothing"),
        (lambda a, f, s: a.replace("one", "two"), "says 2 and cites 1"),
        (lambda a, f, s: f"{a} So 2 + 2 = 5.", "wrong sum: 2 + 2 = 5"),
        (lambda a, f, s: f"{a} [SEG]", "[SEG] stands in the answer"),
        (lambda a, f, s: f"{a} Code {s.code}.", "stands in the text"),
        (lambda a, f, s: f"{a} The {f.word} is left of the {s.word}.", "not so by the boxes"),
        (lambda a, f, s: a + "x" * 12000, "characters"),
        (lambda a, f, s: f"See {f.word} and {s.word}.", "expected counts with what is counted"),
    ],
)
def test_every_fault_is_found_and_said(pair, change, fault):
    draft, first, second = drafts_of(pair)
    wrong = replace(draft, answer=change(draft.answer, first, second))
    assert any(fault in said for said in faults_of(wrong, pair)), faults_of(wrong, pair)


def test_a_question_asked_twice_and_a_missing_kind_are_faults(pair):
    draft, *_ = drafts_of(pair)
    said = faults_of_set([draft, draft])
    assert "asked twice: how many?" in said
    assert "expected 2 spatial questions, got 0" in said


def test_of_two_drafts_that_ask_the_same_one_becomes_a_record(pair):
    draft, first, _ = drafts_of(pair)
    again = replace(draft, question=draft.question.upper())
    other = replace(draft, question=f"How many {first.name}s?")
    records, faults = make_records(pair, [draft, again, other])
    assert [record["q"] for record in records] == [draft.question, other.question]
    assert f"set {pair.number}: numerical: asked twice: how many?" in faults
