"""Bad input ends in one sentence and exit code 2, before torch, and leaves nothing behind."""

import json
import os
import resource
import shutil
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from calling import call, run
from PIL import Image

from deixis import Box, Question, Sample, load
from deixis.scenes.questions import make_sample
from deixis.structures.opening import open_images

PHOTOS = sorted((Path(__file__).parents[3] / "shared" / "photos").glob("*.jpg"))
ASKED = (
    "Where is the dog?",
    "What is written on the sign?",
    "Outline the person on the left.",
    "Is there a bicycle?",
    "How many people are there?",
    "Where is the red mug?",
    "Which thing could you drink from?",
    "Segment the car.",
    "What colour is the chair?",
    "Show all flowers.",
)


def check_refused(done, *words: str, early: bool = True) -> None:
    """One sentence with these words, exit code 2, no traceback; ``early``: without torch."""
    said = [line for line in done.err.splitlines() if line.startswith("deixis: ")]
    assert done.code == 2, done.err
    assert "Traceback" not in done.err
    assert len(said) == 1
    for word in ("expected", "got", *words):
        assert word in said[0]
    assert done.out == ""
    assert not (early and done.torch)


def write_text_as_png(path: Path) -> None:
    path.write_text("This is no picture.")


def write_nothing(path: Path) -> None:
    path.touch()


def write_half_a_jpeg(path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (200, 200, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path, "JPEG")
    path.write_bytes(path.read_bytes()[:9000])


def write_bomb(path: Path) -> None:
    """Write a small PNG that claims 60000 x 60000 pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        check = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", check)

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    rows = chunk(b"IDAT", zlib.compress(bytes(1000)))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + rows + chunk(b"IEND", b""))


def write_corrupt_video(path: Path) -> None:
    path.write_bytes(struct.pack(">I", 24) + b"ftypisom" + bytes(range(256)) * 20)


@pytest.mark.parametrize(
    ("name", "write", "word"),
    [
        ("text.png", write_text_as_png, "picture"),
        ("empty.jpg", write_nothing, "empty"),
        ("half.jpg", write_half_a_jpeg, "cut short"),
        ("bomb.png", write_bomb, "megapixels"),
        ("broken.mp4", write_corrupt_video, "video"),
    ],
)
def test_a_broken_file_is_refused_by_its_name(tmp_path, name, write, word):
    write(tmp_path / name)
    check_refused(run("ask", tmp_path / name, "What is it?"), name, word)


def test_a_missing_file_is_refused():
    check_refused(run("ask", "gone.png", "What is it?"), "gone.png")


def test_without_a_question_nothing_is_asked(picture):
    check_refused(run("ask", picture), "question", "words after the images")
    check_refused(run("ask", picture, ""), "question")
    check_refused(run("ask", picture, picture), "question", picture.name)


def test_a_question_of_100000_characters_is_refused(picture):
    check_refused(run("ask", picture, "why " * 25_000), "100000")


def test_bytes_that_are_no_utf8_are_refused(picture):
    check_refused(run("ask", picture, b"o\xf9 est la tasse ?"), "UTF-8")


@pytest.mark.parametrize(
    ("option", "typed", "words"),
    [
        ("--point", "1:128,5", ("point", "[0, 128)", "128,5")),
        ("--box", "1:5,5,5,9", ("box", "5,5,5,9")),
        ("--point", "2:5,5", ("image number", "1 to 1", "got 2")),
        ("--point", "1@3:5,5", ("frame number", "got 3")),
        ("--point", "5,5", ("point", "2:x,y")),
    ],
)
def test_a_prompt_that_does_not_fit_is_refused(picture, option, typed, words):
    check_refused(run("ask", picture, "What is it?", option, typed), *words)


def test_a_mask_of_another_size_is_refused(picture, tmp_path):
    Image.new("L", (64, 32), 255).save(tmp_path / "mask.png")
    done = run("ask", picture, "What is it?", "--mask", f"1:{tmp_path}/mask.png")
    check_refused(done, "mask", "(128, 128)", "(32, 64)")


def test_an_unknown_model_is_refused(picture):
    check_refused(run("ask", picture, "What?", "--model", "deixis-huge"), "deixis-huge")


def test_a_folder_that_is_no_model_is_refused(picture, tmp_path):
    check_refused(run("ask", picture, "What?", "--model", tmp_path), "config.json")


@pytest.fixture
def copied(tiny_model, tmp_path) -> Path:
    return Path(shutil.copytree(tiny_model, tmp_path / "model"))


def test_weights_cut_short_are_refused_before_torch(picture, copied):
    weights = copied / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    check_refused(run("ask", picture, "What?", "--model", copied), "cut short", "model.safetensors")


def test_a_renamed_tensor_is_refused_by_its_name(picture, copied):
    path = copied / "model.safetensors"
    content = path.read_bytes()
    length = struct.unpack("<Q", content[:8])[0]
    header = json.loads(content[8 : 8 + length])
    name = max((n for n in header if n != "__metadata__"), key=len)
    renamed = name[:-1] + ("x" if name[-1] != "x" else "y")
    changed = content[8 : 8 + length].replace(f'"{name}"'.encode(), f'"{renamed}"'.encode())
    path.write_bytes(content[:8] + changed + content[8 + length :])
    done = call("ask", picture, "What?", "--model", copied)
    check_refused(done, renamed, early=False)


def test_an_output_folder_that_cannot_be_written_is_refused(picture, tmp_path):
    (tmp_path / "file").touch()
    check_refused(run("ask", picture, "What?", "--out", tmp_path / "file" / "out"), "folder")
    check_refused(run("ask", picture, "What?", "--out", "/proc/deixis"), "/proc/deixis")


def test_a_full_disk_leaves_nothing_half_written(picture, tiny_model, tmp_path):
    def small_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))

    out = tmp_path / "out"
    done = run(
        "ask",
        picture,
        "Where is the mug?",
        "--model",
        tiny_model,
        "--out",
        out,
        prepare=small_files,
    )
    check_refused(done, "full disk", early=False)
    assert os.listdir(tmp_path) == []


def test_a_full_stdout_is_an_error_and_not_a_silent_loss(picture, tiny_model):
    """Needs a device that is always full."""
    import subprocess
    import sys

    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    command = [sys.executable, "-c", "from deixis.cli import main; main()"]
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [*command, "ask", str(picture), "What?", "--model", str(tiny_model), "--json"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert done.returncode == 2
    assert "expected room to write" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("size", [(1, 1), (20_000, 1)])
def test_a_picture_of_one_pixel_or_one_row_is_answered(size, tiny_model, tmp_path):
    Image.new("RGB", size, (200, 30, 30)).save(tmp_path / "thin.png")
    done = call("ask", tmp_path / "thin.png", "Where is the mug?", "--model", tiny_model, "--json")
    assert done.code == 0, done.err
    (entry,) = json.loads(done.out)["images"]
    assert (entry["width"], entry["height"]) == size


def test_a_question_of_10000_characters_is_answered(picture, tiny_model):
    done = call("ask", picture, "where is the mug " * 588, "--model", tiny_model, "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["images"]


@pytest.mark.skipif(not PHOTOS, reason="shared/photos is not beside the repository")
def test_photographs_are_taken_at_full_size(tiny_model):
    reasoner = load(tiny_model)
    for path in PHOTOS:
        with Image.open(path) as photo:
            width, height = photo.size
        box = Box(image=0, x0=0, y0=0, x1=width, y1=height // 2, object_id=1)
        answer = reasoner.answer([path], "Outline [1].", [box])
        sizes = {mask.size for target in answer.targets for mask in target.masks.values()}
        assert sizes <= {(height, width)}


@pytest.mark.skipif(not PHOTOS, reason="shared/photos is not beside the repository")
def test_no_answer_about_a_photograph_comes_without_a_caution():
    reasoner = load()
    for path in PHOTOS:
        images = open_images([path])
        samples = [Sample(images=images, question=Question(text=text)) for text in ASKED]
        assert all(answer.caution for answer in reasoner.answer_batch(samples)), path.name


def test_scenes_like_those_of_training_need_no_caution():
    samples = [make_sample("test", "refer", 71, index).without_answer() for index in range(100)]
    answers = load().answer_batch(samples[:50]) + load().answer_batch(samples[50:])
    assert sum(answer.caution is not None for answer in answers) <= 2
