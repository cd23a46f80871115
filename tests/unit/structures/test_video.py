"""Videos: frames in any order, one at a time, from files of several kinds; broken ones refused."""

import pickle
import tracemalloc

import numpy as np
import pytest

from deixis.errors import DataError, MissingExtra
from deixis.structures.opening import open_images

CODECS = {
    "a.mp4": "libx264",
    "a.mov": "mpeg4",
    "a.mkv": "libx264",
    "a.webm": "libvpx-vp9",
    "a.ts": "libx264",
    "a.avi": "libx264",  # without times
}


def greys(images, order):
    return [round(float(images[i].pixels.mean())) for i in order]


@pytest.mark.parametrize("name", CODECS)
def test_frames_come_in_the_order_that_is_asked_for(write_video, name):
    images = open_images([write_video(name, codec=CODECS[name])])
    assert (images.lengths, images[0].size, images[0].name) == ((30,), (48, 64), name)
    np.testing.assert_allclose(images.times[0], np.arange(30) / 10, atol=1e-3)
    np.testing.assert_allclose(greys(images, range(30)), np.arange(30) * 8, atol=5)
    order = [17, 3, 29, 0, 12, 11, 10, 28]
    np.testing.assert_allclose(greys(images, order), np.array(order) * 8, atol=5)


def test_a_video_goes_to_other_processes(write_video):
    images = open_images([write_video("a.mp4")])
    again = pickle.loads(pickle.dumps(images))
    assert greys(again, [20, 4]) == greys(images, [20, 4])
    assert again[4].key == images[4].key != images[5].key


def test_a_video_and_a_picture_stand_side_by_side(write_video, corner_picture):
    images = open_images([corner_picture, write_video("a.mp4", frames=5)])
    assert images.spans == (range(0, 1), range(1, 6))
    assert images[3].reduced(32).shape == (24, 32, 3)


def test_a_video_is_known_by_its_content(write_video):
    path = write_video("a.mp4")
    assert len(open_images([path.rename(path.with_name("film"))])) == 30


def test_a_telephone_held_upright_gives_an_upright_video(write_video):
    path = write_video("a.mp4", frames=3)
    content = bytearray(path.read_bytes())
    matrix = content.index(b"tkhd") + 44
    quarter = [0, 1 << 16, 0, -(1 << 16), 0, 0, 48 << 16, 0, 1 << 30]  # clockwise
    content[matrix : matrix + 36] = b"".join(n.to_bytes(4, signed=True) for n in quarter)
    path.write_bytes(content)
    images = open_images([path])
    assert images[0].size == (64, 48)
    assert images[2].pixels.shape == (64, 48, 3)
    assert images[2].pixels.flags["C_CONTIGUOUS"]


def test_a_quarter_turn_goes_the_right_way(tmp_path):
    import av

    pixels = np.zeros((48, 64, 3), np.uint8)
    pixels[:24, :32] = 255  # white in the left upper corner, as stored
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
    content = bytearray(path.read_bytes())
    matrix = content.index(b"tkhd") + 44
    quarter = [0, 1 << 16, 0, -(1 << 16), 0, 0, 48 << 16, 0, 1 << 30]
    content[matrix : matrix + 36] = b"".join(n.to_bytes(4, signed=True) for n in quarter)
    path.write_bytes(content)
    shown = open_images([path])[0].pixels
    assert shown[5, 40].min() > 200  # clockwise: now in the right upper corner
    assert max(shown[5, 5].max(), shown[60, 40].max(), shown[60, 5].max()) < 60


def test_a_long_video_takes_no_more_memory_than_a_short_one(write_video):
    peaks = []
    for frames in (40, 400):
        path = write_video(f"{frames}.mp4", frames=frames, step=0, size=(240, 320))
        tracemalloc.start()
        for frame in open_images([path]):
            frame.pixels.sum()
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    one_frame = 240 * 320 * 3
    assert peaks[1] - peaks[0] < 4 * one_frame  # 360 more frames


@pytest.mark.parametrize(
    ("keep", "message"),
    [(0.4, r"a\.mp4: expected"), (0.9, r"a\.mp4: expected"), (0.02, r"a\.mp4: expected a video")],
)
@pytest.mark.parametrize("options", [{}, {"movflags": "faststart"}])
def test_a_video_that_is_cut_short_is_refused(write_video, tmp_path, keep, message, options):
    import av

    path = write_video("whole.mp4")
    with av.open(str(path)) as source:
        cut = tmp_path / "a.mp4"
        with av.open(str(cut), "w", options=options) as container:
            stream = source.streams.video[0]
            copy = container.add_stream_from_template(stream)
            for packet in source.demux(stream):
                if packet.dts is not None:
                    packet.stream = copy
                    container.mux(packet)
    content = cut.read_bytes()
    cut.write_bytes(content[: int(len(content) * keep)])
    with pytest.raises(DataError, match=message):
        open_images([cut])


def test_a_video_with_rubbish_inside_is_refused_when_it_is_read(write_video):
    path = write_video("a.mp4")
    content = bytearray(path.read_bytes())
    start = content.index(b"mdat") + 4
    content[start : start + 20_000] = b"\xff" * min(20_000, len(content) - start)
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"a\.mp4: expected a"):
        open_images([path])


def test_sound_alone_is_refused(tmp_path):
    import av

    with av.open(str(tmp_path / "a.mkv"), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), layout="mono")
        sound.sample_rate = 8000
        container.mux(stream.encode(sound))
        container.mux(stream.encode(None))
    with pytest.raises(DataError, match=r"a\.mkv: expected a video, got a file without pictures"):
        open_images([tmp_path / "a.mkv"])


def test_without_the_extra_the_error_names_it(write_video, monkeypatch):
    path = write_video("a.mp4", frames=3)
    monkeypatch.setattr("deixis.extras.find_spec", lambda module: None)
    with pytest.raises(MissingExtra, match=r"pip install 'deixis\[video\]'"):
        open_images([path])
