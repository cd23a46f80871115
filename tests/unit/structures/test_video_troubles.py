"""Videos as they come: uneven times, breaks in the middle, nothing inside, hours long."""

import logging
import tracemalloc
from fractions import Fraction

import numpy as np
import pytest

from deixis.cli.asking.arguments import Asked, read_sample
from deixis.errors import DataError
from deixis.structures import video
from deixis.structures.opening import open_images

UNEVEN = [0.0, 0.1, 0.2, 1.5, 1.6, 3.2, 3.3, 9.0]


@pytest.fixture
def write_moments(tmp_path):
    """Write a video whose frame i, of grey 30 i, is shown at a time of its own."""

    def write(name, moments, *, size=(48, 64), codec="libx264"):
        import av

        path = tmp_path / name
        with av.open(str(path), "w") as container:
            stream = container.add_stream(codec, rate=25)
            stream.height, stream.width, stream.pix_fmt = *size, "yuv420p"
            stream.codec_context.time_base = Fraction(1, 1000)
            for i, moment in enumerate(moments):
                grey = np.full((*size, 3), i * 30 % 256, dtype=np.uint8)
                frame = av.VideoFrame.from_ndarray(grey, format="rgb24")
                frame.pts, frame.time_base = round(moment * 1000), Fraction(1, 1000)
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
        return path

    return write


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_frames_of_uneven_rate_keep_their_times(write_moments, name):
    images = open_images([write_moments(name, UNEVEN)])
    np.testing.assert_allclose(images.times[0], UNEVEN, atol=2e-3)
    greys = [round(float(images[i].pixels.mean())) for i in (7, 2, 5)]
    np.testing.assert_allclose(greys, [210, 60, 150], atol=5)


@pytest.mark.parametrize(
    ("typed", "frame"), [("1@0.15s", 1), ("1@1.4s", 2), ("1@3.2s", 5), ("1@8.9s", 6), ("1@9.0s", 7)]
)
def test_a_typed_time_means_the_frame_shown_then_at_any_rate(write_moments, typed, frame):
    path = write_moments("a.mkv", UNEVEN)
    sample = read_sample(Asked(inputs=(str(path), "what is it?"), boxes=(f"{typed}:1,2,9,8",)))
    assert sample.question.prompts[0].image == frame


def spoil(path, index):
    """Make one packet unreadable, counted in the order of showing."""
    import av

    with av.open(str(path)) as container:
        found = sorted((p.pts, p.pos, p.size) for p in container.demux(video=0) if p.size)
    _, start, size = found[index]
    content = bytearray(path.read_bytes())
    content[start + 4 : start + size] = b"\xff" * (size - 4)
    path.write_bytes(content)


@pytest.mark.parametrize(("name", "codec"), [("a.mp4", "libx264"), ("a.mov", "mpeg4")])
def test_of_a_clip_that_breaks_in_the_middle_the_frames_before_are_kept_and_said(
    write_video, caplog, name, codec
):
    path = write_video(name, codec=codec, options={"g": "12", "bf": "0"})
    spoil(path, 17)
    with caplog.at_level(logging.WARNING):
        images = open_images([path])
    assert len(images) == len(images.times[0]) == 17
    np.testing.assert_allclose([images[i].pixels.mean() for i in (16, 0, 9)], [128, 0, 72], atol=5)
    (said,) = caplog.messages
    assert said == (
        f"{name}: expected 30 frames, got a video that is broken at 1.70 s. "
        f"The 17 frames before are kept; fetch it again for the rest."
    )


def test_a_break_in_a_clip_too_long_to_be_decoded_at_once_is_found_when_it_is_reached(
    write_video, monkeypatch
):
    path = write_video("a.mp4", options={"g": "12", "bf": "0"})
    spoil(path, 17)
    monkeypatch.setattr(video, "CHECKED", 1000)
    images = open_images([path])
    assert len(images) == 30
    assert abs(images[16].pixels.mean() - 128) < 5
    with pytest.raises(DataError, match=r"a\.mp4: expected a frame at 1\.70 s, got none: the vid"):
        _ = images[17].pixels


def test_a_whole_clip_is_kept_without_a_word(write_video, caplog):
    assert len(open_images([write_video("a.mp4")])) == 30
    assert not caplog.messages


def test_a_video_without_frames_is_refused(tmp_path):
    import av

    with av.open(str(tmp_path / "a.mkv"), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        container.start_encoding()
    with pytest.raises(DataError, match=r"a\.mkv: expected some frames, got 0: the video is cut"):
        open_images([tmp_path / "a.mkv"])


def test_ten_hours_at_a_frame_a_minute_are_opened_in_little_memory(write_moments):
    path = write_moments("a.mkv", [60.0 * i for i in range(600)], size=(16, 16), codec="mpeg4")
    tracemalloc.start()
    images = open_images([path])
    assert len(images) == 600
    assert images.times[0][-1] == pytest.approx(599 * 60)
    assert abs(images[599].pixels.mean() - 599 * 30 % 256) < 6
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4e6


def test_more_frames_than_can_be_held_are_refused_with_the_reason(write_video, monkeypatch):
    path = write_video("a.mp4")
    monkeypatch.setattr(video, "MOST_FRAMES", 29)
    with pytest.raises(DataError, match=r"a\.mp4: expected at most 29 frames, got 30 or mo"):
        open_images([path])


def test_a_box_beside_an_upright_video_is_refused_in_what_is_shown(write_video):
    path = write_video("a.mp4", frames=3)
    content = bytearray(path.read_bytes())
    matrix = content.index(b"tkhd") + 44
    quarter = [0, 1 << 16, 0, -(1 << 16), 0, 0, 48 << 16, 0, 1 << 30]
    content[matrix : matrix + 36] = b"".join(n.to_bytes(4, signed=True) for n in quarter)
    path.write_bytes(content)

    def prompts(box):
        asked = Asked(inputs=(str(path), "what is it?"), boxes=(box,))
        return read_sample(asked).question.prompts

    assert prompts("1@2:0,0,48,64")[0].image == 1
    with pytest.raises(DataError, match=r"box: expected .* got"):
        prompts("1@2:0,0,64,48")
    with pytest.raises(DataError, match=r"frame number: expected 1 to 3 in image 1, got 4"):
        prompts("1@4:0,0,9,9")
