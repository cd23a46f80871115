"""Opening images: every kind of source and of picture as a person sees it."""

import pickle

import numpy as np
import pytest
from opening_pictures import GREYS, encoded, noise
from PIL import Image

from deixis.errors import DataError
from deixis.structures.images import Frame, ImageSet
from deixis.structures.opening import open_frame, open_images

RED, GREY = (200, 20, 20), (120, 120, 120)


def near(pixels, expected, tolerance=2):
    return np.abs(pixels.astype(int) - np.asarray(expected, int)).max() <= tolerance


# -- sources -------------------------------------------------------------------------------------


def test_every_source_shows_the_same_pixels(tmp_path, corner_picture):
    picture = Image.fromarray(corner_picture)
    picture.save(tmp_path / "a.png")
    frame = Frame.from_array(corner_picture)
    sources = [
        str(tmp_path / "a.png"),
        tmp_path / "a.png",
        (tmp_path / "a.png").read_bytes(),
        picture,
        corner_picture,
        frame,
        ImageSet.pictures([frame]),
    ]
    images = open_images(sources)
    assert images.lengths == (1,) * 7
    assert all(f.size == (20, 32) and near(f.pixels, corner_picture, 0) for f in images)
    assert images[0].name == "a.png"
    assert images[4].name == "image 5"


def test_one_source_needs_no_list(tmp_path, corner_picture):
    Image.fromarray(corner_picture).save(tmp_path / "a.png")
    for source in (str(tmp_path / "a.png"), corner_picture, Image.fromarray(corner_picture)):
        assert len(open_images(source)) == 1


def test_the_key_of_a_file_is_its_content(tmp_path, corner_picture):
    Image.fromarray(corner_picture).save(tmp_path / "a.png")
    content = (tmp_path / "a.png").read_bytes()
    (tmp_path / "b.png").write_bytes(content)
    keys = {f.key for f in open_images([tmp_path / "a.png", tmp_path / "b.png", content])}
    assert len(keys) == 1


def test_an_array_is_shown_as_it_was_when_it_was_given_as_a_picture(corner_picture):
    picture = Image.fromarray(corner_picture)
    frame = open_frame(picture)
    picture.paste((0, 0, 0), (0, 0, 32, 20))
    assert near(frame.pixels, corner_picture, 0)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([[0, 128, 255]], np.uint8), [0, 128, 255]),
        (np.array([[0, 32896, 65535]], np.uint16), [0, 128, 255]),
        (np.array([[0, 32896, 99999]], np.int64), [0, 128, 255]),
        (np.array([[False, True, True]]), [0, 255, 255]),
        (np.array([[0.0, 0.5, 1.0]]), [0, 128, 255]),
        (np.array([[0.0, 128.0, 300.0]], np.float32), [0, 128, 255]),
        (np.array([[np.nan, 0.5, 1.0]]), [0, 128, 255]),
        (np.array([[[0], [128], [255]]], np.uint8), [0, 128, 255]),
    ],
)
def test_arrays_of_any_numbers_become_grey(values, expected):
    pixels = open_frame(values).pixels
    np.testing.assert_array_equal(pixels, np.array([[[v] * 3 for v in expected]]))


def test_what_is_transparent_in_an_array_is_white():
    pixels = open_frame(np.array([[[10, 20, 30, 255], [10, 20, 30, 0]]], np.uint8)).pixels
    np.testing.assert_array_equal(pixels, [[[10, 20, 30], [255, 255, 255]]])


def test_pixels_lie_row_by_row_for_those_who_share_the_memory(corner_picture):
    sources = (corner_picture[:, ::-1], corner_picture[..., ::-1], Image.fromarray(corner_picture))
    for frame in open_images([*sources, noise("PNG"), noise("JPEG")]):
        for pixels in (frame.pixels, frame.reduced(9)):
            assert pixels.flags["C_CONTIGUOUS"]
            assert pixels.flags["WRITEABLE"]  # torch warns of memory that is not


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (np.zeros((2, 2, 5)), r"image 1: expected an array .* got \(2, 2, 5\)"),
        (np.zeros((3, 2, 2, 3)), r"got \(3, 2, 2, 3\)\. Give several images"),
        (np.zeros((0, 4, 3)), r"got \(0, 4, 3\)"),
        (np.array([["a"]]), r"expected an array of numbers, got <U1"),
        (7, r"image 1: expected a path, bytes, .* got int"),
        (None, r"got NoneType"),
    ],
)
def test_what_is_no_image_is_refused(source, message):
    with pytest.raises(DataError, match=message):
        open_images([source])


def test_no_image_at_all_is_refused():
    with pytest.raises(DataError, match=r"images: expected at least one, got none"):
        open_images([])


# -- pictures of every mode ----------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF", "PPM"])
def test_every_usual_format_opens(kind, corner_picture):
    options = {"JPEG": {"quality": 95, "subsampling": 0}, "WEBP": {"lossless": True}}
    content = encoded(Image.fromarray(corner_picture), kind, **options.get(kind, {}))
    frame = open_frame(content)
    assert frame.size == (20, 32)
    assert near(frame.pixels[3, 3], RED, 12)
    assert near(frame.pixels[15, 25], GREY, 12)


def modes():
    grey = Image.new("L", (3, 2), 77)
    palette = Image.new("P", (3, 2), 1)
    palette.putpalette([0, 0, 0, 200, 20, 20])
    clear = Image.new("RGBA", (3, 2), (200, 20, 20, 0))
    half = Image.new("LA", (3, 2), (0, 127))
    deep = Image.fromarray(np.full((2, 3), 0x4D4D, np.uint16))
    bits = Image.new("1", (3, 2), 1)
    cmyk = Image.new("CMYK", (3, 2), (0, 255, 255, 0))
    wide = Image.fromarray(np.full((2, 3), 0.5, np.float32))
    whole = Image.fromarray(np.full((2, 3), 0x4D4D, np.int32))
    return {
        "grey": (encoded(grey, "PNG"), (77, 77, 77)),
        "palette": (encoded(palette, "PNG"), RED),
        "palette with a transparent colour": (encoded(palette, "PNG", transparency=1), (255,) * 3),
        "RGB with a transparent colour": (
            encoded(Image.new("RGB", (3, 2), RED), "PNG", transparency=RED),
            (255,) * 3,
        ),
        "RGBA": (encoded(clear, "PNG"), (255, 255, 255)),
        "grey and alpha": (encoded(half, "PNG"), (128, 128, 128)),
        "16 bits": (encoded(deep, "PNG"), (77, 77, 77)),
        "16 bits TIFF": (encoded(deep, "TIFF"), (77, 77, 77)),
        "32 bits": (encoded(whole, "TIFF"), (77, 77, 77)),
        "fractions": (encoded(wide, "TIFF"), (128, 128, 128)),
        "1 bit": (encoded(bits, "PNG"), (255, 255, 255)),
        "CMYK": (encoded(cmyk, "JPEG", quality=95), (255, 0, 0)),
        "grey JPEG": (encoded(grey, "JPEG", quality=95), (77, 77, 77)),
    }


@pytest.mark.parametrize("mode", modes())
def test_every_mode_is_shown_as_a_person_sees_it(mode):
    content, colour = modes()[mode]
    frame = open_frame(content)
    assert frame.size == (2, 3)
    assert near(frame.pixels, np.broadcast_to(colour, (2, 3, 3)), 3)
    assert near(frame.reduced(2), np.broadcast_to(colour, frame.reduced(2).shape), 3)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_a_turned_picture_is_shown_upright(orientation, kind, corner_picture):
    stored = {
        1: lambda p: p,
        2: lambda p: p[:, ::-1],
        3: lambda p: p[::-1, ::-1],
        4: lambda p: p[::-1],
        5: lambda p: p.swapaxes(0, 1),
        6: lambda p: np.rot90(p, 1),
        7: lambda p: p[::-1, ::-1].swapaxes(0, 1),
        8: lambda p: np.rot90(p, -1),
    }[orientation](corner_picture)
    exif = Image.Exif()
    exif[0x0112] = orientation
    frame = open_frame(encoded(Image.fromarray(stored.copy()), kind, exif=exif))
    assert frame.size == (20, 32)
    assert near(frame.pixels[2, 2], RED, 60)
    assert near(frame.pixels[15:, 20:], np.broadcast_to(GREY, (5, 12, 3)), 25)
    assert frame.reduced(16).shape == (10, 16, 3)
    assert near(frame.reduced(16)[8:, 10:], np.broadcast_to(GREY, (2, 6, 3)), 25)


def test_a_large_jpeg_is_reduced_without_shifting_it():
    y, x = np.mgrid[:1501, :2203]
    pixels = np.stack([x * 255 / 2203, y * 255 / 1501, (x + y) % 251], 2).astype(np.uint8)
    frame = open_frame(encoded(Image.fromarray(pixels), "JPEG", quality=90))
    small = frame.reduced(128)
    assert small.shape == (87, 128, 3)
    across, down = (np.arange(128) + 0.5) * 255 / 128, (np.arange(87) + 0.5) * 255 / 87
    assert np.abs(small[..., 0] - across).mean() < 1
    assert np.abs(small[..., 1] - down[:, None]).mean() < 1


@pytest.mark.parametrize("size", [(1, 1), (1, 20000), (20000, 1)])
def test_strange_sizes_open(size):
    frame = open_frame(encoded(Image.new("RGB", size, RED), "PNG"))
    assert frame.size == size[::-1]
    assert max(frame.reduced(64).shape) <= 64


def test_opening_reads_the_header_only(tmp_path, monkeypatch, corner_picture):
    Image.fromarray(corner_picture).save(tmp_path / "a.jpg")
    Image.fromarray(corner_picture).save(tmp_path / "a.png")
    monkeypatch.setattr(Image.Image, "convert", None)
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", None)
    assert [f.size for f in open_images([tmp_path / "a.jpg", tmp_path / "a.png"])] == [(20, 32)] * 2


# -- clips ---------------------------------------------------------------------------------------


def test_a_folder_is_a_clip_in_the_order_of_its_numbers(tmp_path):
    for i in (1, 2, 10, 9):
        Image.new("RGB", (6, 4), (i, i, i)).save(tmp_path / f"f{i}.png")
    (tmp_path / "notes.txt").write_text("not a frame")
    (tmp_path / ".hidden.png").write_text("not a frame")
    images = open_images([tmp_path])
    assert images.lengths == (4,)
    assert [f.pixels[0, 0, 0] for f in images] == [1, 2, 9, 10]
    assert images.times[0] == (0.0, 0.04, 0.08, 0.12)
    assert images[3].name == tmp_path.name




@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_an_animation_is_a_clip_with_its_own_times(kind):
    options = {"lossless": True} if kind == "WEBP" else {}
    content = encoded(
        GREYS[0], kind, save_all=True, append_images=GREYS[1:], duration=[100, 300, 50], **options
    )
    images = open_images([content])
    assert images.times == ((0.0, 0.1, 0.4),)
    assert [f.pixels[1, 1, 1] for f in images] == [10, 90, 170]
    assert [images[i].pixels[1, 1, 1] for i in (2, 0, 1)] == [170, 10, 90]
    assert len({f.key for f in images}) == 3
    again = pickle.loads(pickle.dumps(images))
    assert [f.pixels[1, 1, 1] for f in again] == [10, 90, 170]
    assert [f.key for f in again] == [f.key for f in images]


def test_frames_that_take_no_time_are_shown_for_a_tenth_of_a_second():
    content = encoded(GREYS[0], "GIF", save_all=True, append_images=GREYS[1:], duration=0)
    assert open_images([content]).times == ((0.0, 0.1, 0.2),)


def test_the_still_picture_of_an_animation_is_no_frame_of_it():
    content = encoded(
        GREYS[0], "PNG", save_all=True, default_image=True, append_images=GREYS[1:], duration=100
    )
    assert [f.pixels[0, 0, 0] for f in open_images([content])] == [90, 170]


def test_pages_of_a_tiff_and_a_gif_of_one_frame_are_pictures():
    pages = encoded(GREYS[0], "TIFF", save_all=True, append_images=GREYS[1:])
    assert not open_images([pages]).is_clip(0)
    assert not open_images([encoded(GREYS[0], "GIF")]).is_clip(0)


def test_a_clip_is_no_picture():
    content = encoded(GREYS[0], "GIF", save_all=True, append_images=GREYS[1:], duration=100)
    with pytest.raises(DataError, match=r"expected a picture, got a clip of 3 frames"):
        open_frame(content)
