"""Scenes with the odd entries of published layouts are read back to the same truth."""

import numpy as np
import pytest
from scene_odd import (
    ALONE,
    GROUNDED,
    KINDS,
    LONG,
    runs,
    write_crowds,
    write_film_and_folder,
    write_labels,
    write_long_clip,
)
from scene_shows import pictures

from deixis.data.catalogue import open_data
from deixis.data.clips.groundmore import open_groundmore
from deixis.data.clips.regions import open_regions
from deixis.data.images.semantic import open_parts, open_semantic


def found(sample):
    return [(t.phrase, dict(t.masks)) for t in sample.answer.targets]


def test_a_clip_of_61_frames_has_masks_while_the_action_lasts_and_files_are_there(tmp_path):
    truth = write_long_clip(tmp_path)
    whole = open_groundmore(tmp_path, frames=None)
    assert [one.type for one in whole] == 2 * [kind for kind, *_ in GROUNDED.values()]
    for index, sample in enumerate(whole):
        masks = truth[sample.id.split("/")[1]]
        assert len(sample.images) == LONG
        assert found(sample) == ([("it", masks)] if masks else [])
        assert [t.phrase for t in sample.answer.absent] == ([] if masks else ["it"])
        assert np.flatnonzero(whole.labels(index).any((1, 2))).tolist() == sorted(masks)


def test_twenty_of_61_frames_are_looked_at_with_their_own_masks(tmp_path):
    truth = write_long_clip(tmp_path)
    places = [60 * i // 19 for i in range(20)]
    for sample in open_data("groundmore", tmp_path):
        masks = truth[sample.id.split("/")[1]]
        assert len(sample.images) == 20
        shown = {i: masks[place] for i, place in enumerate(places) if place in masks}
        assert found(sample) == ([("it", shown)] if shown else [])


@pytest.mark.parametrize("name", ["paco_lvis", "pascal_part"])
def test_a_crowd_of_runs_is_a_target_or_joins_that_of_its_name(tmp_path, name):
    truth = write_crowds(tmp_path)
    samples = open_parts(tmp_path, name)
    assert [found(sample) for sample in samples] == truth
    for index, (one, sample) in enumerate(zip(pictures(), samples, strict=True)):
        *parts, crowd = samples.labels(index)
        for part, (_, masks) in zip(parts, one.targets, strict=True):
            assert np.array_equal(part > 0, masks[0].pixels)  # 2 where polygons overlap
        assert any(np.array_equal(crowd, t.masks[0].pixels) for t in sample.answer.targets)


def test_runs_are_written_as_coco_reads_them():
    from pycocotools import mask as coco

    one = pictures()[0].targets[0][1][0]
    drawn = coco.encode(np.asfortranarray(one.pixels.astype(np.uint8)))
    assert coco.frPyObjects(runs(one), *one.size) == drawn


@pytest.mark.parametrize("name", ["ade20k", "cocostuff", "mapillary"])
def test_labels_of_0_and_255_mean_what_the_data_set_says(tmp_path, name):
    truth = write_labels(tmp_path)[name]
    samples = open_semantic(tmp_path, name)
    assert len(samples) == len(truth)
    for index, (classes, targets) in enumerate(truth):
        assert {t.phrase: t.masks[0] for t in samples[index].answer.targets} == targets
        assert np.array_equal(samples.labels(index)[0], classes)
    shown = {t.phrase for sample in samples for t in sample.answer.targets}
    assert any("-" in phrase for phrase in shown) == (name != "cocostuff")


def test_a_film_beside_a_folder_of_its_name_shows_the_same_frames(tmp_path):
    pytest.importorskip("av")
    clip = write_film_and_folder(tmp_path)
    samples = open_regions(tmp_path, "VideoRefer-Bench-D")
    assert [sample.images[0].name for sample in samples] == ["talk.mp4", "talk"]
    for sample in samples:
        seen = np.stack([image.pixels for image in sample.images]).astype(int)
        assert seen.shape == clip.frames.shape
        apart = np.abs(seen[:, None] - clip.frames[None]).mean((2, 3, 4))
        assert apart.argmin(1).tolist() == list(range(len(clip.frames)))
        assert sample.images.is_clip(0)


def test_questions_of_all_kinds_are_asked_about_films_and_folders_alike(tmp_path):
    pytest.importorskip("av")
    clip = write_film_and_folder(tmp_path)
    masks = [masks for _, masks in clip.targets]
    samples = open_regions(tmp_path, "VideoRefer-Bench-Q")
    assert [sample.type for sample in samples] == [f"{kind} Questions" for kind in KINDS]
    assert [sample.answer.conclusion for sample in samples] == ["A", None, "B", "B", "A"]
    for sample in samples:
        pointed = [(p.object_id, p.image, p.mask) for p in sample.question.prompts]
        first = min(masks[0])  # the first object is not in the prompt frame
        assert pointed == [(1, first, masks[0][first]), (2, ALONE, masks[1][ALONE])]
    for sample in open_data("pixelqa-point", tmp_path):
        assert found(sample) == [("object 1", masks[0]), ("object 2", masks[1])]
