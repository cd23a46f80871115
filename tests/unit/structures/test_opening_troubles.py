"""Pictures that cannot be opened are refused: broken, missing, too large, of two sizes."""

import os
import struct
import warnings
import zlib

import numpy as np
import pytest
from opening_pictures import GREYS, encoded, noise
from PIL import Image

from deixis.errors import DataError
from deixis.structures.opening import open_frame, open_images


def png(width, height, content) -> bytes:
    """A PNG of RGB that claims a size; its compressed content may be anything."""

    def chunk(kind, data):
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", content) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


BOMB = png(100_000, 100_000, zlib.compress(b"0"))


GIF = encoded(GREYS[0], "GIF", save_all=True, append_images=GREYS[1:], duration=100)
BROKEN = {
    "text.png": (b"this is not a picture", r"expected a picture .* got something else"),
    "empty.jpg": (b"", r"expected a picture or a video, got an empty file"),
    "cut.jpg": (noise("JPEG")[:-200], r"got one that is cut short"),
    "half.jpg": (noise("JPEG", progressive=True)[:2000], r"got one that is cut short"),
    "header.jpg": (noise("JPEG")[:30], r"expected a"),
    "cut.png": (noise("PNG")[:-2000], r"expected a whole picture, got a broken one"),
    "wrong.png": (noise("PNG")[:-40] + b"x" * 40, r"expected a whole picture"),
    "cut.webp": (noise("WEBP")[:-100], r"expected a"),
    "cut.gif": (GIF[:-60], r"expected a"),
    "cut.bmp": (noise("BMP")[:-100], r"expected a whole picture"),
    "cut.tif": (noise("TIFF")[:4000], r"expected a"),
    "bomb.png": (BOMB, r"bomb\.png: expected at most 178 megapixels, got 10000\. Make a small"),
    "text.mp4": (b"this is not a video, but words", r"expected a video, got a file that cannot"),
    "box.mp4": (
        b"\0\0\0\x18ftypisom\0\0\0\0isomiso2" + b"\0" * 99,
        r"expected a video|expected so",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_file_is_refused_when_it_is_opened(tmp_path, name):
    content, message = BROKEN[name]
    (tmp_path / name).write_bytes(content)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(DataError, match=message) as refusal:
            open_images([tmp_path / name])
    assert str(refusal.value).startswith(name)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("content", [b"", b"no picture", noise("JPEG")[:-200], BOMB])
def test_broken_bytes_are_refused_by_number(content):
    with pytest.raises(DataError, match=r"image 2: expected"):
        open_images([noise("PNG"), content])


def test_a_file_of_a_set_is_refused_by_its_number_and_name(tmp_path):
    (tmp_path / "a.png").write_bytes(noise("PNG"))
    said = r"^image 3 of 3: gone\.png: expected a file or folder, got none"
    with pytest.raises(DataError, match=said):
        open_images([tmp_path / "a.png", tmp_path / "a.png", tmp_path / "gone.png"])


def test_a_picture_that_is_broken_inside_is_refused_when_it_is_read(tmp_path):
    (tmp_path / "a.png").write_bytes(png(80, 60, b"nothing that was compressed"))
    frame = open_frame(tmp_path / "a.png")
    for read in (lambda: frame.pixels, lambda: frame.reduced(16)):
        with pytest.raises(DataError, match=r"a\.png: expected a whole picture, got a broken one"):
            read()


def test_a_file_that_goes_away_is_refused_when_it_is_read(tmp_path):
    (tmp_path / "a.png").write_bytes(noise("PNG"))
    frame = open_frame(tmp_path / "a.png")
    (tmp_path / "a.png").unlink()
    with pytest.raises(DataError, match=r"a\.png: expected a file or folder, got none"):
        _ = frame.pixels


def test_bytes_after_the_end_of_a_jpeg_do_no_harm():
    rng = np.random.default_rng(0)
    film = rng.integers(0, 256, 1_000_000, np.uint8).tobytes()  # as telephones append it
    assert open_frame(noise("JPEG") + film).size == (60, 80)


@pytest.mark.parametrize("name", ["nowhere.png", "nowhere", "nowhere/a.png"])
def test_a_missing_file_is_refused(tmp_path, name):
    with pytest.raises(
        DataError, match=r"expected a file or folder, got none of this name\. Check"
    ):
        open_images([tmp_path / name])


def test_a_path_through_a_file_is_refused(tmp_path):
    (tmp_path / "a.png").write_bytes(noise("PNG"))
    with pytest.raises(DataError, match=r"expected a file or folder, got none"):
        open_images([tmp_path / "a.png" / "b.png"])


def test_a_pipe_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(DataError, match=r"pipe\.png: expected a file or folder, got a device"):
        open_images([tmp_path / "pipe.png"])


def test_a_folder_without_pictures_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("words")
    with pytest.raises(DataError, match=r"expected a folder with pictures as frames, got none"):
        open_images([tmp_path])


def test_a_folder_with_frames_of_two_sizes_is_refused(tmp_path):
    GREYS[0].save(tmp_path / "1.png")
    Image.new("RGB", (5, 4)).save(tmp_path / "2.png")
    with pytest.raises(DataError, match=r"2\.png: expected a frame of \(4, 6\) .* got \(4, 5\)"):
        open_images([tmp_path])


def test_a_folder_with_a_broken_frame_is_refused(tmp_path):
    GREYS[0].save(tmp_path / "1.png")
    (tmp_path / "2.png").write_text("words")
    with pytest.raises(DataError, match=r"2\.png: expected a picture"):
        open_images([tmp_path])


def test_a_name_that_is_no_utf_8_is_shown_with_marks(tmp_path):
    path = os.path.join(os.fsencode(tmp_path), b"caf\xe9.png")
    with open(path, "wb") as file:
        file.write(noise("PNG"))
    frame = open_frame(os.fsdecode(path))
    assert frame.name.encode() == "caf�.png".encode()
    assert frame.pixels.shape == (60, 80, 3)
