"""From the published layout to masks: convert, ask, list, examine, on recorded random weights."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from calling import call, run
from PIL import Image
from safetensors.torch import load_file

from deixis.models.released import open_model
from deixis.structures.masks import Mask

ROOT = Path(__file__).parents[2]
RECORDED = ROOT / os.environ.get("DEIXIS_GOLDENS", "../shared/goldens") / "pixellm"
PHOTOS = sorted((ROOT.parent / "shared" / "photos").glob("*.jpg"))
pytestmark = pytest.mark.skipif(
    not RECORDED.is_dir(), reason=f"no recordings at {RECORDED}: set DEIXIS_GOLDENS"
)
TOKENS = 24  # of an answer; the recorded weights point in nearly every word


@pytest.fixture(scope="module")
def published(tmp_path_factory) -> Path:
    """The recordings as the hub has a checkpoint: two pickled shards in hf_model/."""
    folder = tmp_path_factory.mktemp("published") / "PixelLM-recorded"
    inside = folder / "hf_model"
    inside.mkdir(parents=True)
    recorded = json.loads((RECORDED / "config.json").read_text())
    values = {
        **recorded["llava_config"],
        "architectures": ["PixelLMForCausalLM"],
        "vision_config": recorded["clip_vision_config"],
    }
    tokens = json.loads((RECORDED / "tokenization.json").read_text())["added_tokens"]
    (inside / "config.json").write_text(json.dumps(values))
    (inside / "added_tokens.json").write_text(json.dumps(tokens))
    shutil.copy(RECORDED / "tokenizer.model", inside / "tokenizer.model")
    state, index = load_file(RECORDED / "state_dict.safetensors"), {}
    for i in (0, 1):
        part = {name: state[name].clone() for name in sorted(state)[i::2]}
        file = f"pytorch_model-{i + 1:05}-of-00002.bin"
        torch.save(part, inside / file)
        index |= dict.fromkeys(part, file)
    (inside / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": index}))
    return folder


@pytest.fixture(scope="module")
def photograph(tmp_path_factory) -> Path:
    """A photograph; where none is at hand, a picture with the noise and soft edges of a camera."""
    if PHOTOS:
        return PHOTOS[0]
    y, x = np.mgrid[0:70, 0:96]
    light = 90 + 60 * np.sin(x / 17) + 40 * np.cos(y / 11)
    pixels = np.stack([light, light * 0.8 + y, 255 - light], axis=-1)
    pixels += np.random.default_rng(4).normal(0, 9, pixels.shape)
    path = tmp_path_factory.mktemp("photograph") / "photograph.jpg"
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(path, quality=88)
    return path


@pytest.fixture(scope="module")
def converted(published) -> Path:
    """What `deixis convert` makes of it."""
    out = published.parent / "ours"
    done = call("convert", published, out, "--family", "pixellm")
    assert done.code == 0, done.err
    assert f"{out}: " in done.out
    assert "checksum" in done.out
    return out


def test_every_recorded_tensor_is_in_the_model(converted):
    state = load_file(RECORDED / "state_dict.safetensors")
    report = json.loads((converted / "conversion.json").read_text())
    ours = open_model(converted).model.state_dict()
    assert {e["from"] for e in report["tensors"].values()} | set(report["dropped"]) == set(state)
    assert report["tensors"].keys() == ours.keys()
    for name, entry in report["tensors"].items():
        assert torch.equal(ours[name], state[entry["from"]]), name


def test_a_question_about_a_photograph_is_answered_with_masks(converted, photograph, tmp_path):
    with Image.open(photograph) as opened:
        size = opened.size[::-1]
    model = Path(shutil.copytree(converted, tmp_path / "short"))
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps({**config, "most_answer": TOKENS}))
    done = call("ask", photograph, "What is the cup?", "--json", "--model", model)
    assert done.code == 0, done.err
    document = json.loads(done.out)
    targets = document["targets"]
    assert targets
    masks = [Mask.from_rle(rle) for target in targets for rle in target["masks"].values()]
    assert masks
    assert all(mask.pixels.shape == size and mask.area > 0 for mask in masks)


def test_the_doctor_finds_it_as_it_was_made(converted):
    done = call("doctor", "--model", converted)
    assert "as converted from PixelLM-recorded" in done.out
    assert "GiB for 512 tokens" in done.out
    assert "the same answer as when it was made" in done.out


def test_models_lists_both_sides_and_says_how_to_get_from_one_to_the_other(converted, published):
    done = run("models", converted, published)
    assert done.code == 0, done.err
    assert not done.torch
    assert f"Run: deixis convert {published} OUT --family pixellm" in done.out
    assert "deixis convert maverickrzw/PixelLM-7B PixelLM-7B --family pixellm" in done.out
    assert converted.name in done.out


def test_what_does_not_fit_is_one_sentence_and_nothing_is_left(published, tmp_path):
    broken = Path(shutil.copytree(published, tmp_path / "broken"))
    (broken / "hf_model/pytorch_model-00002-of-00002.bin").unlink()
    done = call("convert", broken, tmp_path / "ours", "--family", "pixellm")
    assert done.code == 2
    assert done.err.startswith("deixis: ")
    assert "got no pytorch_model-00002-of-00002.bin" in done.err
    assert "Traceback" not in done.err
    assert [path.name for path in tmp_path.iterdir()] == ["broken"]
