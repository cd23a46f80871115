"""A video file goes in, a film with its frames comes out; a broken one is used up to its break."""

import json

import av
import numpy as np
import pytest
import torch
from calling import call, run
from PIL import Image

from deixis.models.configs.unipixel_config import unipixel_tiny
from deixis.models.unipixel import UniPixelModel
from deixis.processing.unipixel import UniPixelProcessor
from deixis.structures.masks import Mask
from deixis.structures.opening import open_images

FRAMES, SIZE = 9, (48, 64)
QUESTION = "What does [cup] do?"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """The folder of an untrained `unipixel_tiny` that finds everything it is asked for."""
    folder = tmp_path_factory.mktemp("unipixel")
    config = unipixel_tiny()
    config.most_answer = 6
    processor = UniPixelProcessor.from_texts(config, [QUESTION])
    torch.manual_seed(0)
    model = UniPixelModel(config)
    with torch.no_grad():
        model.tracker.sam.mask_decoder.pred_obj_score_head.proj_out.bias.fill_(9)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


@pytest.fixture
def film(tmp_path):
    """A video of nine frames, ten a second."""
    path = tmp_path / "cup.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.height, stream.width, stream.pix_fmt = *SIZE, "yuv420p"
        stream.options = {"g": "4", "bf": "0"}
        noise = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), dtype=np.uint8)
        for i in range(FRAMES):
            frame = av.VideoFrame.from_ndarray(np.roll(noise, 3 * i, 1), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def test_a_box_at_a_moment_gives_a_film_labels_and_a_document_of_every_frame(model, film, tmp_path):
    out = tmp_path / "out"
    asked = ("ask", film, QUESTION, "--box", "1@0.42s:10,8,40,40=cup", "--model", model)
    done = call(*asked, "--json", "--out", out)
    assert done.code == 0, done.err
    (target,) = (t for t in json.loads(done.out)["targets"] if t["id"] == 1)
    overlay = open_images([out / "image_1.mp4"])
    np.testing.assert_allclose(overlay.times[0], np.arange(FRAMES) / 10, atol=2e-3)
    for number in range(1, FRAMES + 1):
        frame = out / "image_1_frames" / f"{number:06d}"
        labels = np.asarray(Image.open(frame.with_suffix(".png")))
        document = json.loads(frame.with_suffix(".json").read_text())
        assert labels.shape == SIZE
        shown = {one["category_id"]: one["segmentation"] for one in document["annotations"]}
        assert (1 in shown) == (f"1@{number}" in target["masks"])
        if set(shown) == {1}:
            assert np.array_equal(labels == 1, Mask.from_rle(shown[1]).pixels)


def test_a_number_and_a_moment_of_one_frame_ask_the_same(model, film):
    answers = [
        call("ask", film, QUESTION, "--box", f"{key}:10,8,40,40=cup", "--model", model, "--json")
        for key in ("1@5", "1@0.4s")
    ]
    assert all(done.code == 0 for done in answers)
    assert json.loads(answers[0].out) == json.loads(answers[1].out)


def test_a_video_that_breaks_is_answered_up_to_its_break_which_is_said(model, film, tmp_path):
    with av.open(str(film)) as container:
        found = sorted((p.pts, p.pos, p.size) for p in container.demux(video=0) if p.size)
    content, (_, start, size) = bytearray(film.read_bytes()), found[6]
    content[start + 4 : start + size] = b"\xff" * (size - 4)
    film.write_bytes(content)
    out = tmp_path / "out"
    asked = ("ask", film, QUESTION, "--box", "1@2:10,8,40,40=cup", "--model", model)
    done = run(*asked, "--json", "--out", out)
    assert done.code == 0, done.err
    assert "cup.mp4: expected 9 frames, got a video that is broken at 0.60 s. The 6 f" in done.err
    assert json.loads(done.out)["images"][0]["frames"] == 6
    assert len(list((out / "image_1_frames").glob("*.png"))) == 6
    late = call("ask", film, QUESTION, "--box", "1@8:10,8,40,40=cup", "--model", model)
    assert late.code == 2
    assert "frame number: expected 1 to 6 in image 1, got 8" in late.err
