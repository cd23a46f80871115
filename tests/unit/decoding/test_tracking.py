"""Frame memory: the same masks in any batch and any chunks; never more than the window holds."""

import pytest
import torch

from deixis.decoding.tracking import Tracker, sine_of_time
from deixis.models.configs.unipixel_config import unipixel_tiny

CONFIG = unipixel_tiny().sam_config
SIDE = CONFIG.image_size


def made(**changes) -> Tracker:
    torch.manual_seed(4)
    tracker = Tracker(CONFIG, **changes)
    with torch.no_grad():
        for weight in tracker.parameters():
            weight.normal_(std=0.2)
    return tracker.eval()


@pytest.fixture(scope="module")
def tracker():
    return made()


@pytest.fixture(scope="module")
def clip():
    return torch.randn(11, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def hidden():
    width = CONFIG.vision_config.fpn_hidden_size
    return torch.randn(3, 2, width, generator=torch.Generator().manual_seed(2))


@torch.no_grad()
def masks(tracker, hidden, chunks, length):
    return torch.stack([d.mask_logits for d in tracker.track(hidden, chunks, length)])


def test_objects_are_tracked_together_as_alone(tracker, clip, hidden):
    together = masks(tracker, hidden, [clip], len(clip))
    for row in range(len(hidden)):
        alone = masks(tracker, hidden[row : row + 1], [clip], len(clip))
        torch.testing.assert_close(together[:, row], alone[:, 0], rtol=1e-3, atol=1e-3)


def test_the_order_of_objects_is_the_order_of_their_masks(tracker, clip, hidden):
    order = [2, 0, 1]
    there = masks(tracker, hidden[order], [clip], len(clip))
    here = masks(tracker, hidden, [clip], len(clip))[:, order]
    torch.testing.assert_close(there, here, rtol=1e-3, atol=1e-3)


def test_chunks_of_any_size_give_the_same_masks(tracker, clip, hidden):
    whole = masks(tracker, hidden, [clip], len(clip))
    parts = masks(tracker, hidden, [clip[:1], clip[1:4], clip[4:]], len(clip))
    torch.testing.assert_close(parts, whole, rtol=1e-3, atol=1e-3)


def test_each_frame_is_looked_at_once_however_many_objects(tracker, clip, hidden):
    looked = []
    hook = tracker.sam.vision.register_forward_pre_hook(lambda _, i: looked.append(len(i[0])))
    masks(tracker, hidden, clip.split(2), len(clip))
    hook.remove()
    assert sum(looked) == len(clip)


def test_masks_leave_before_later_frames_are_read(tracker, clip, hidden):
    given = []

    def frames():
        for index in range(len(clip)):
            given.append(index)
            yield clip[index : index + 1]

    with torch.no_grad():
        next(tracker.track(hidden, frames(), len(clip)))
    assert given == [0]


def test_memory_does_not_grow_with_the_clip(tracker, hidden):
    sizes = []
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        memory = None
        for _ in range(40):
            frame = tracker.sam.look(torch.randn(1, 3, SIDE, SIDE, generator=generator))
            drawing = (
                tracker.draw_first(frame, hidden)
                if memory is None
                else tracker.draw_next(frame, memory)
            )
            kept = tracker.remember(frame, drawing)
            if memory is None:
                memory = tracker.begin(kept, 40)
            else:
                memory.add(kept)
            sizes.append(memory.num_bytes)
    assert len(memory.recent) == CONFIG.num_maskmem - 1
    assert len(memory.pointers) == CONFIG.max_object_pointers_in_encoder - 1
    assert sizes[16:] == [sizes[16]] * len(sizes[16:])


def test_what_is_older_than_the_window_has_no_say(tracker, hidden, clip):
    """Frame 1 is forgotten once six masks and fifteen pointers followed it; frame 0 is not."""
    generator = torch.Generator().manual_seed(5)
    drawn = []
    with torch.no_grad():
        for changed in (False, True):
            kept = [tracker.begin(_kept(tracker, hidden, 0), 99)]
            for index in range(1, 20):
                kept[0].add(_kept(tracker, hidden, 100 if changed and index == 1 else index))
            frame = tracker.sam.look(
                torch.randn(1, 3, SIDE, SIDE, generator=generator.manual_seed(5))
            )
            drawn.append(tracker.recall(frame, kept[0]))
    assert torch.equal(*drawn)


def _kept(tracker, hidden, seed):
    generator = torch.Generator().manual_seed(seed)
    frame = tracker.sam.look(torch.randn(1, 3, SIDE, SIDE, generator=generator))
    return tracker.remember(frame, tracker.draw_first(frame, hidden))


def test_frames_alone_do_not_know_of_each_other(tracker, clip, hidden):
    with torch.no_grad():
        alone = [d.mask_logits for d in tracker.track(hidden, [clip], len(clip), alone=True)]
        last = next(tracker.track(hidden, [clip[-1:]], 1)).mask_logits
    torch.testing.assert_close(alone[-1], last, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("still", "learns"), [(False, True), (True, False)])
def test_queries_of_memory_learn_unless_the_turn_stands_still(clip, hidden, still, learns):
    tracker = made(still_rotation=still).train()
    drawn = list(tracker.track(hidden, [clip[:3]], 3))
    sum(d.candidates.square().mean() for d in drawn).backward()
    grads = [layer.cross_attn_image.q_proj.weight.grad for layer in tracker.memory_attention.layers]
    assert all((g is not None and bool(g.any())) is learns for g in grads)


def test_the_code_of_time_is_written_as_its_formula_says():
    code = sine_of_time(torch.tensor([0.0, 2.0]), 8)
    rates = [1.0, 1.0, 10000.0**0.5, 10000.0**0.5]
    wanted = torch.tensor([[2 / rate for rate in rates]])
    torch.testing.assert_close(code[1:], torch.cat([wanted.sin(), wanted.cos()], 1))
    assert code[0].tolist() == [0.0] * 4 + [1.0] * 4
