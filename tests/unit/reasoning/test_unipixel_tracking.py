"""Tracking as a person uses it: from any frame, corrected, left and taken up again."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from unipixel_clips import clip, mask, random_parts

from deixis.errors import ConfigError, DataError
from deixis.processing import unipixel
from deixis.reasoning import unipixel_looks
from deixis.reasoning.reasoner import Reasoner
from deixis.reasoning.unipixel_looks import BACKWARD, blocks
from deixis.reasoning.unipixel_tracking import ClipTracking
from deixis.structures.images import ImageSet
from deixis.structures.masks import Mask
from deixis.structures.prompts import Box, Point, Region


@pytest.fixture(scope="module")
def parts():
    model, processor = random_parts()
    with torch.no_grad():  # every object is there, so that every frame has something to compare
        model.tracker.sam.mask_decoder.pred_obj_score_head.proj_out.bias.fill_(9)
    return model, processor


@pytest.fixture
def reasoner(parts):
    return Reasoner(*parts, name="tiny")


PROMPTS = (
    Box(image=3, x0=4.0, y0=6.0, x1=30.0, y1=31.0, object_id=2),
    Region(image=3, mask=mask(2), object_id=5),
)


def known(tracking):
    """Return all that is known of every frame."""
    return [tracking.frame(index) for index in range(len(tracking.images))]


def test_every_frame_comes_once_onward_and_then_back(reasoner):
    images, looked = clip(7), []
    hook = reasoner.model.tracker.sam.vision.register_forward_pre_hook(
        lambda _, inputs: looked.append(len(inputs[0]))
    )
    frames = list(reasoner.track(images, PROMPTS).run())
    hook.remove()
    assert [frame.index for frame in frames] == [3, 4, 5, 6, 2, 1, 0]
    assert all(set(frame.presence) == {2, 5} for frame in frames)
    assert all(0 <= one <= 1 for f in frames for one in (*f.scores.values(), *f.presence.values()))
    assert all(set(frame.masks) == set(frame.scores) for frame in frames)
    assert sum(looked) == len(images)


def test_a_given_mask_is_kept_on_its_frame(reasoner):
    tracking = reasoner.track(clip(4), PROMPTS[1:])
    first = next(tracking.run())
    assert first.masks[5].intersection(mask(2)) / first.masks[5].union(mask(2)) > 0.8


def test_a_run_is_saved_and_goes_on_in_another_process_s_engine(parts, reasoner, tmp_path):
    images = clip(6, seed=2)
    whole = reasoner.track(images, PROMPTS)
    assert len(list(whole.run())) == 6
    tracking = reasoner.track(images, PROMPTS)
    for frame, _ in zip(tracking.run(), range(2), strict=False):
        assert frame.presence
    tracking.save(tmp_path / "run")
    again = ClipTracking.load(tmp_path / "run", Reasoner(*parts, name="new").engine, images)
    assert not again.finished
    list(again.run())
    assert again.finished
    for ours, theirs in zip(known(again), known(whole), strict=True):
        assert ours.masks == theirs.masks
        assert ours.scores == pytest.approx(theirs.scores, abs=1e-4)


def test_a_correction_follows_that_object_again_and_leaves_others(reasoner):
    tracking = reasoner.track(clip(6, seed=4), PROMPTS)
    list(tracking.run())
    before = known(tracking)
    tracking.correct([Region(image=5, mask=mask(9), object_id=2)])
    frames = list(tracking.run())
    after = known(tracking)
    assert {one for frame in frames for one in frame.presence} == {2}
    assert after[5].masks[2].intersection(mask(9)) / after[5].masks[2].union(mask(9)) > 0.8
    assert [f.masks.get(5) for f in after] == [f.masks.get(5) for f in before]
    assert [f.presence[2] for f in after] != [f.presence[2] for f in before]


def test_one_more_point_on_a_later_frame_anchors_the_object_there(reasoner):
    tracking = reasoner.track(clip(6, seed=4), PROMPTS)
    list(tracking.run())
    before = known(tracking)
    tracking.correct([Point(image=5, x=30.0, y=20.0, object_id=2)])
    assert {frame.index for frame in tracking.run()} == set(range(6))
    after = known(tracking)
    assert [anchor.frame for anchor in tracking.anchors[2]] == [3, 5]
    assert after[5].presence[2] != before[5].presence[2]
    assert after[3].masks[2] == before[3].masks[2]  # known there from the start
    assert [f.masks.get(5) for f in after] == [f.masks.get(5) for f in before]


def test_a_correction_before_the_end_forgets_nobody(reasoner):
    tracking = reasoner.track(clip(5, seed=5), PROMPTS)
    next(tracking.run())
    tracking.correct([Point(image=4, x=9.0, y=8.0)])  # a new object: number 6
    list(tracking.run())
    assert all(set(frame.presence) == {2, 5, 6} for frame in known(tracking))


def test_the_answer_names_every_object_that_shows(reasoner):
    shown = [Region(image=1, mask=mask(one), object_id=one) for one in (5, 7)]
    tracking = reasoner.track(clip(3, seed=6), shown)
    list(tracking.run())
    answer = tracking.answer()
    assert answer.text == "[5] [7]"
    assert [answer.text[a:b] for a, b in answer.spans] == [t.phrase for t in answer.targets]
    assert [target.object_id for target in answer.targets] == [5, 7]


def test_sampled_frames_are_those_that_are_read(reasoner):
    images = clip(40, seed=7)
    reasoner.engine.frames = "sampled"
    tracking = reasoner.track(images, (Region(image=33, mask=mask(2), object_id=1),))
    frames = sorted(frame.index for frame in tracking.run())
    assert frames == list(reasoner.processor.frames_read(images, [33]))
    assert 33 in frames
    assert len(frames) == 16
    with pytest.raises(DataError, match=r'got 1@35\. Draw all frames with frames="all"'):
        tracking.correct([Point(image=34, x=9.0, y=8.0, object_id=1)])
    reasoner.engine.frames = "some"
    with pytest.raises(ConfigError, match='expected "all" or "sampled", got "some"'):
        reasoner.track(images, PROMPTS)


@pytest.mark.parametrize(
    ("prompts", "message"),
    [
        ((), "expected at least one point, box or mask, got none"),
        ((Point(image=9, x=1.0, y=1.0),), "expected a frame index below 4, got 9"),
        ((Point(image=1, x=99.0, y=1.0),), r"point: expected x in \[0, 52\) .* got 99,1"),
        (
            (Box(image=1, x0=4.0, y0=6.0, x1=53.0, y1=31.0),),
            r"box: expected corners inside 52 x 36 of image 1@2, got 4,6,53,31",
        ),
        (
            (Region(image=1, mask=Mask(np.ones((9, 9), dtype=bool))),),
            r"expected a mask of image 1@2's size \(36, 52\) .* got \(9, 9\)",
        ),
    ],
)
def test_prompts_that_lead_nowhere_are_refused(reasoner, prompts, message):
    with pytest.raises(DataError, match=message):
        reasoner.track(clip(4), prompts)


def test_a_correction_that_is_refused_changes_nothing(reasoner):
    tracking = reasoner.track(clip(40, seed=3), PROMPTS[1:])
    steps = tracking.run()
    shown = next(steps)
    good = Region(image=5, mask=mask(9), object_id=5)
    for bad in (Point(image=99, x=1.0, y=1.0), Point(image=4, x=70.0, y=1.0, object_id=5)):
        with pytest.raises(DataError):
            tracking.correct([good, bad])
    assert tracking.frame(3) == shown
    assert [anchor.frame for anchor in tracking.anchors[5]] == [3]
    assert next(steps).index == 4  # the run goes on


def test_a_run_over_another_clip_or_another_file_is_refused(reasoner, tmp_path):
    reasoner.track(clip(4), PROMPTS[1:]).save(tmp_path / "run")
    with pytest.raises(DataError, match="expected a run over this clip, got one over a clip of 4"):
        ClipTracking.load(tmp_path / "run", reasoner.engine, clip(5))
    (tmp_path / "other").write_bytes(b"no run")
    with pytest.raises(DataError, match="expected a saved run over a clip, got another file"):
        ClipTracking.load(tmp_path / "other", reasoner.engine, clip(4))
    with pytest.raises(DataError, match="expected a saved run, got: No such file"):
        ClipTracking.load(tmp_path / "none", reasoner.engine, clip(4))


def test_several_pictures_are_no_clip(reasoner):
    with pytest.raises(DataError, match="expected one picture or clip"):
        reasoner.track(ImageSet.join([clip(1), clip(1, seed=1)]), PROMPTS)


@pytest.mark.parametrize(("onward", "back"), [(1, 1), (3, 5)])
def test_nothing_depends_on_how_many_frames_are_read_at_once(parts, monkeypatch, onward, back):
    images = clip(11, seed=8)
    prompts = tuple(replace(prompt, image=6) for prompt in PROMPTS)
    usual = Reasoner(*parts, name="tiny").track(images, prompts)
    list(usual.run())
    monkeypatch.setattr(unipixel_looks, "CHUNK", onward)
    monkeypatch.setattr(unipixel_looks, "BACKWARD", back)
    monkeypatch.setattr(unipixel, "CHUNK", onward)
    other = Reasoner(*parts, name="tiny").track(images, prompts)
    list(other.run())
    for ours, theirs in zip(known(usual), known(other), strict=True):
        assert ours.presence == pytest.approx(theirs.presence, abs=1e-3)
        assert ours.scores == pytest.approx(theirs.scores, abs=1e-3)
        for number, mask_ in ours.masks.items():
            assert mask_.intersection(theirs.masks[number]) >= 0.98 * mask_.union(
                theirs.masks[number]
            )


def test_backward_frames_are_read_in_larger_blocks():
    places = [*range(20, 27), *range(19, -1, -1)]
    found = list(blocks(places))
    assert [place for block in found for place in block] == places
    assert [len(block) for block in found] == [4, 3, BACKWARD, 4]
