"""Objects are followed both ways from where they are known, in any batch, and in several sittings.

The laws need no reference: a clip followed backward is the reversed clip followed forward; what is
stopped and taken up gives what is done at once; objects do not know of each other.
"""

import pytest
import torch

from deixis.decoding.sweeping import Anchor, Shown, Sweeps, Wanted
from deixis.decoding.tracking import MOST_ANCHORS, Tracker
from deixis.errors import ShapeError
from deixis.models.configs.unipixel_config import unipixel_tiny

CONFIG = unipixel_tiny().sam_config
SIDE = CONFIG.image_size
LENGTH = 9
NEAR = {"rtol": 1e-3, "atol": 1e-3}


@pytest.fixture(scope="module")
def tracker():
    torch.manual_seed(4)
    tracker = Tracker(CONFIG)
    with torch.no_grad():
        for weight in tracker.parameters():
            weight.normal_(std=0.2)
        tracker.sam.mask_decoder.pred_obj_score_head.proj_out.bias.fill_(9)  # all is there
    return tracker.eval()


@pytest.fixture(scope="module")
def clip(tracker):
    pixels = torch.randn(LENGTH, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        return tracker.sam.look(pixels)


@pytest.fixture(scope="module")
def hidden():
    width = CONFIG.vision_config.fpn_hidden_size
    return torch.randn(3, 2, width, generator=torch.Generator().manual_seed(2))


def looker(clip, seen=None):
    def look(frames):
        for frame in frames:
            if seen is not None:
                seen.append(frame)
            yield clip[frame : frame + 1]

    return look


def box(x0, x1):
    mask = torch.zeros(SIDE, SIDE)
    mask[10:40, x0:x1] = 1
    return mask


def drawn(sweeps, look):
    """Return (object, frame) -> mask logits; each comes once."""
    found = {}
    for frame, shown in sweeps.run(look):
        for row, logits in zip(shown.rows.tolist(), shown.mask_logits, strict=True):
            assert (row, frame) not in found
            found[row, frame] = logits
    return found


def same(ours, theirs):
    assert ours.keys() == theirs.keys()
    for key, logits in ours.items():
        torch.testing.assert_close(logits, theirs[key], msg=str(key), **NEAR)


def test_from_the_first_frame_on_it_is_what_follow_draws(tracker, clip, hidden):
    wanted = [Wanted(anchors=(Anchor(frame=0, hidden=one),)) for one in hidden]
    found = drawn(Sweeps(tracker, wanted, LENGTH), looker(clip))
    with torch.no_grad():
        frames = [clip[t : t + 1] for t in range(LENGTH)]
        plain = list(tracker.follow(hidden, frames, LENGTH))
    same(found, {(o, t): d.mask_logits[o] for t, d in enumerate(plain) for o in range(3)})


def test_backward_is_the_reversed_clip_forward(tracker, clip, hidden):
    last = LENGTH - 1
    there = Wanted(anchors=(Anchor(frame=last, hidden=hidden[0]),))
    back = drawn(Sweeps(tracker, [there], LENGTH), looker(clip))
    turned = clip[torch.arange(LENGTH).flip(0)]
    start = Wanted(anchors=(Anchor(frame=0, hidden=hidden[0]),))
    forth = drawn(Sweeps(tracker, [start], LENGTH), looker(turned))
    same(back, {(row, last - t): logits for (row, t), logits in forth.items()})


def test_a_known_frame_in_the_middle_leads_to_every_frame_once(tracker, clip, hidden):
    seen = []
    wanted = [
        Wanted(anchors=(Anchor(frame=4, hidden=hidden[0]),)),
        Wanted(anchors=(Anchor(frame=4, mask=box(5, 30)),)),
    ]
    found = drawn(Sweeps(tracker, wanted, LENGTH), looker(clip, seen))
    assert set(found) == {(row, t) for row in range(2) for t in range(LENGTH)}
    assert sorted(seen) == list(range(LENGTH))


def test_objects_known_on_different_frames_are_followed_as_alone(tracker, clip, hidden):
    wanted = [
        Wanted(anchors=(Anchor(frame=6, hidden=hidden[0]),)),
        Wanted(anchors=(Anchor(frame=2, mask=box(20, 50)), Anchor(frame=7, hidden=hidden[1]))),
        Wanted(anchors=(Anchor(frame=6, mask=box(3, 20)),)),
    ]
    together = drawn(Sweeps(tracker, wanted, LENGTH), looker(clip))
    for row, one in enumerate(wanted):
        alone = drawn(Sweeps(tracker, [one], LENGTH), looker(clip))
        same({key: x for key, x in together.items() if key[0] == row},
             {(row, t): x for (_, t), x in alone.items()})  # fmt: skip


def test_a_given_mask_comes_back_as_it_was_given(tracker, clip):
    mask = box(12, 44)
    found = drawn(Sweeps(tracker, [Wanted(anchors=(Anchor(frame=3, mask=mask),))], LENGTH),
                  looker(clip))  # fmt: skip
    whole = torch.nn.functional.interpolate(found[0, 3][None, None], (SIDE, SIDE), mode="bilinear")
    both = ((whole[0, 0] > 0) & (mask > 0)).sum() / ((whole[0, 0] > 0) | (mask > 0)).sum()
    assert both > 0.9


def test_a_correction_changes_what_comes_after_it_and_holds_on_its_frame(tracker, clip, hidden):
    first = Anchor(frame=1, hidden=hidden[0])
    before = drawn(Sweeps(tracker, [Wanted(anchors=(first,))], LENGTH), looker(clip))
    again = Anchor(frame=5, mask=box(0, 20))
    after = drawn(Sweeps(tracker, [Wanted(anchors=(first, again))], LENGTH), looker(clip))
    with torch.no_grad():
        wanted, _ = tracker.given(clip[5:6], box(0, 20)[None])
    torch.testing.assert_close(after[0, 5], wanted.mask_logits[0])
    torch.testing.assert_close(after[0, 1], before[0, 1])
    assert all((after[0, t] - before[0, t]).abs().max() > 1e-4 for t in (6, 7, 8))


def test_of_two_corrections_of_one_frame_the_last_counts(tracker, clip, hidden):
    both = (Anchor(frame=2, hidden=hidden[0]), Anchor(frame=2, hidden=hidden[1]))
    one = drawn(Sweeps(tracker, [Wanted(anchors=both)], LENGTH), looker(clip))
    other = drawn(Sweeps(tracker, [Wanted(anchors=both[1:])], LENGTH), looker(clip))
    same(one, other)


@pytest.mark.parametrize("stop", [0, 3, 6, 8])
def test_a_run_that_was_stopped_goes_on_to_the_same_masks(tracker, clip, hidden, tmp_path, stop):
    wanted = [
        Wanted(anchors=(Anchor(frame=3, hidden=hidden[0]),)),
        Wanted(anchors=(Anchor(frame=3, mask=box(4, 25)),)),
        Wanted(hidden=hidden[2]),
    ]
    whole = drawn(Sweeps(tracker, wanted, LENGTH), looker(clip))
    run, found = Sweeps(tracker, wanted, LENGTH), {}
    steps = run.run(looker(clip))
    for _ in range(stop):
        frame, shown = next(steps)
        rows = shown.rows.tolist()
        found |= {(row, frame): m for row, m in zip(rows, shown.mask_logits, strict=True)}
    torch.save(run.state(), tmp_path / "run.pt")
    state = torch.load(tmp_path / "run.pt", weights_only=True)
    same(found | drawn(Sweeps.from_state(tracker, state), looker(clip)), whole)


def test_what_nobody_pointed_at_is_followed_from_where_it_shows(tracker, clip, hidden, monkeypatch):
    plain = tracker.draw_first

    def late(frame, asked):  # the clip's first four frames show nothing
        drawing = plain(frame, asked)
        if any(torch.equal(frame.coarse, clip[t : t + 1].coarse) for t in range(4)):
            drawing.presence_logits.fill_(-3)
            drawing.mask_logits.fill_(-9)
        return drawing

    monkeypatch.setattr(tracker, "draw_first", late)
    found = drawn(Sweeps(tracker, [Wanted(hidden=hidden[0])], LENGTH), looker(clip))
    assert [bool((found[0, t] > -9).any()) for t in range(LENGTH)] == [False] * 4 + [True] * 5
    known = Wanted(anchors=(Anchor(frame=4, hidden=hidden[0]),))
    from_there = drawn(Sweeps(tracker, [known], LENGTH), looker(clip))
    for t in range(4, LENGTH):
        torch.testing.assert_close(found[0, t], from_there[0, t], **NEAR)


def test_what_is_held_does_not_grow_with_the_clip(tracker, clip, hidden):
    def held(length):
        run = Sweeps(tracker, [Wanted(anchors=(Anchor(frame=0, hidden=hidden[0]),))], length)
        for _ in run.run(lambda frames: (clip[t % LENGTH : t % LENGTH + 1] for t in frames)):
            pass
        return run.groups[0].memory.num_bytes

    assert held(30) == held(90)


def test_the_nearest_known_frames_of_both_sides_are_looked_at(tracker, clip):
    anchors = dict.fromkeys((0, 1, 2, 3, 4, 30))
    memory = tracker.begin_at(anchors, 40, last=9)
    near = memory.near()
    assert len(near) == MOST_ANCHORS
    assert set(near) == {4, 30, 3, 2}


def test_the_order_of_objects_is_kept_when_groups_are_joined():
    def part(*rows):
        rows = torch.tensor(rows)
        return Shown(rows=rows, mask_logits=rows.float()[:, None, None].expand(-1, 2, 3),
                     score=rows / 10, presence_logits=rows * 1.0)  # fmt: skip

    joined = Shown.joined([part(4, 1), part(0), part(3, 2)])
    assert joined.rows.tolist() == [0, 1, 2, 3, 4]
    assert joined.mask_logits[:, 0, 0].tolist() == [0.0, 1.0, 2.0, 3.0, 4.0]


def test_a_frame_that_is_not_there_is_refused(tracker, hidden):
    with pytest.raises(ShapeError, match=r"a frame index below 9, got 9\. Point at a frame"):
        Sweeps(tracker, [Wanted(anchors=(Anchor(frame=9, hidden=hidden[0]),))], LENGTH)
    with pytest.raises(ShapeError, match="frame index 2: expected hidden tokens or a mask, got ne"):
        Anchor(frame=2)
