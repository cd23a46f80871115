"""SAM prompted by vectors: frames and targets together, the same as one at a time."""

import pytest
import torch
from transformers import SamConfig

from deixis.decoding.segment_anything import SegHead, SegmentAnything
from deixis.errors import ShapeError
from deixis.models.configs.prima_config import tiny_sam

FRAMES = torch.tensor([2, 0, 2, 2, 0])


@pytest.fixture(scope="module")
def station():
    torch.manual_seed(0)
    station = SegmentAnything(SamConfig(**tiny_sam())).double().eval()
    with torch.no_grad():
        for weight in station.parameters():
            weight.add_(0.1 * torch.randn_like(weight))
    return station


@pytest.fixture(scope="module")
def features(station):
    with torch.no_grad():
        return station.look(torch.randn(3, 3, 64, 64).double())


def test_targets_together_are_targets_alone(station, features):
    prompts = torch.randn(5, 32).double()
    logits, score = station.draw(prompts, FRAMES, features)
    assert logits.shape == (5, 32, 32)
    for target in range(5):
        one = slice(target, target + 1)
        alone, own = station.draw(prompts[one], FRAMES[one], features)
        torch.testing.assert_close(logits[one], alone)
        torch.testing.assert_close(score[one], own)


def test_a_target_is_drawn_in_its_frame_only(station, features):
    prompts, other = torch.randn(5, 32).double(), features.clone()
    other[0] += 1
    before, after = (station.draw(prompts, FRAMES, f)[0] for f in (features, other))
    changed = [not torch.allclose(a, b) for a, b in zip(before, after, strict=True)]
    assert changed == (FRAMES == 0).tolist()


@pytest.mark.parametrize(
    ("frames", "calls"), [(FRAMES.tolist(), 2), ([0, 1, 2], 1), ([2, 2, 0, 1, 1], 2)]
)
def test_frames_with_equally_many_targets_are_drawn_together(station, features, frames, calls):
    made = []
    handle = station.sam.mask_decoder.register_forward_hook(lambda *_: made.append(1))
    station.draw(torch.randn(len(frames), 32).double(), torch.tensor(frames), features)
    handle.remove()
    assert len(made) == calls


def test_large_frames_are_seen_one_at_a_time_and_small_ones_together(station, monkeypatch):
    made, pixels = [], torch.randn(5, 3, 64, 64).double()
    encoder = station.sam.vision_encoder
    handle = encoder.register_forward_hook(lambda _, given, __: made.append(len(given[0])))
    together = station.look(pixels)
    monkeypatch.setattr("deixis.decoding.segment_anything.MOST_PIXELS", 2 * 64 * 64 - 1)
    apart = station.look(pixels)
    handle.remove()
    assert made == [5, 1, 1, 1, 1, 1]
    torch.testing.assert_close(together, apart)


def test_no_targets_give_no_masks(station, features):
    logits, score = station.draw(torch.zeros(0, 32).double(), FRAMES[:0], features)
    assert logits.shape == (0, 32, 32)
    assert score.shape == (0,)


def test_prompts_of_another_width_are_refused(station, features):
    with pytest.raises(ShapeError, match=r"expected shape \(any, 32\), got \(5, 31\)"):
        station.draw(torch.randn(5, 31).double(), FRAMES, features)


def test_the_head_has_two_layers_with_a_bend_between():
    head = SegHead(6, 4)
    hidden = torch.randn(3, 6)
    expected = head[2](torch.relu(head[0](hidden)))
    torch.testing.assert_close(head(hidden), expected)
