"""Model folders open strictly: every fault is one sentence that names it."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from deixis.errors import WeightsError
from deixis.models.configs.deixis_config import DeixisConfig
from deixis.models.released import open_model


@pytest.fixture(scope="module")
def whole(tiny, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "saved-tiny"
    for part in tiny:
        part.save_pretrained(folder)
    return folder


@pytest.fixture
def folder(whole, tmp_path) -> Path:
    """A copy that may be broken."""
    return Path(shutil.copytree(whole, tmp_path / "broken"))


def change(folder: Path, edit) -> None:
    path = folder / "model.safetensors"
    tensors = load_file(path)
    edit(tensors)
    save_file(tensors, path)


def test_a_saved_model_opens_with_the_same_weights_words_and_config(whole, tiny):
    opened = open_model(whole)
    model, processor = tiny
    assert opened.name == "saved-tiny"
    assert opened.model.config.to_json_string() == model.config.to_json_string()
    assert opened.processor.config is opened.model.config
    assert opened.processor.known_words == processor.known_words
    state = opened.model.state_dict()
    assert state.keys() == model.state_dict().keys()
    assert all(torch.equal(state[key], value) for key, value in model.state_dict().items())


def test_an_opened_model_sees_what_the_saved_one_saw(whole, tiny):
    """A folder sorts the keys of a config; what a channel means must not depend on their order."""
    pixels = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)
    vision = open_model(whole).model.eval().vision
    _, said = vision.dense(pixels)
    _, wanted = tiny[0].vision.dense(pixels)
    assert list(vision.config.words) == list(tiny[0].config.words)
    assert said.logits.keys() == wanted.logits.keys()
    for kind, logits in wanted.logits.items():
        torch.testing.assert_close(said.logits[kind], logits)
    ours, theirs = vision.look(pixels), tiny[0].vision.look(pixels)
    torch.testing.assert_close(ours.observed, theirs.observed)
    torch.testing.assert_close(ours.words, theirs.words)


def test_the_order_in_which_kinds_of_words_are_given_changes_nothing(make_tiny):
    words = make_tiny()[0].config.words
    other = dict(reversed(words.items()))
    assert list(DeixisConfig(words=other).words) == list(words)
    assert next(reversed(words)) == "part"


def test_the_fingerprint_is_of_the_weights(whole, folder):
    def nudge(tensors):
        tensors["score.bias"] += 1

    before = open_model(whole).fingerprint
    assert open_model(folder).fingerprint == before
    change(folder, nudge)
    assert open_model(folder).fingerprint != before


def test_missing_unexpected_and_misshapen_tensors_are_all_named(folder):
    def spoil(tensors):
        tensors["score.wait"] = tensors.pop("score.weight")
        tensors["speech.nothing"] = torch.zeros(3, 2)

    change(folder, spoil)
    with pytest.raises(WeightsError) as fault:
        open_model(folder)
    message = str(fault.value)
    assert "missing: score.weight" in message
    assert "unexpected: score.wait" in message
    assert "misshapen: speech.nothing (3, 2) in place of (96,)" in message
    assert "Nothing was loaded" in message


def test_many_faults_are_named_in_part(folder):
    change(folder, lambda tensors: [tensors.pop(k) for k in list(tensors) if "speech" in k])
    with pytest.raises(WeightsError, match=r"missing: (speech\.[\w.]+, ){4}\.\.\."):
        open_model(folder)


def test_a_file_that_was_cut_short_is_named(folder):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(WeightsError, match=r"model\.safetensors: expected whole .*Copy the file"):
        open_model(folder)


def test_a_folder_without_weights_says_so(folder):
    (folder / "model.safetensors").unlink()
    with pytest.raises(WeightsError, match=r"expected weights in \*\.safetensors, got none"):
        open_model(folder)


def test_another_family_is_named(folder):
    values = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**values, "model_type": "llama"}))
    with pytest.raises(WeightsError, match=r'expected a model of deixis, pixellm.*, got "llama"'):
        open_model(folder)


@pytest.mark.parametrize("content", ["", "[1, 2]", '{"model_type": '])
def test_a_config_that_is_none_is_refused(folder, content):
    (folder / "config.json").write_text(content)
    with pytest.raises(WeightsError, match=r"expected a folder with config\.json or one of"):
        open_model(folder)


def test_a_name_that_nobody_has_is_refused():
    with pytest.raises(WeightsError, match=r'model "deixis-giant": expected .*See: deixis models'):
        open_model("deixis-giant")


def test_the_tokenizer_of_the_folder_belongs_to_its_model(folder):
    values = json.loads((folder / "config.json").read_text())
    values["group_token"] += 1
    (folder / "config.json").write_text(json.dumps(values))
    with pytest.raises(WeightsError, match=r"expected at most 1500 tokens and the special ids"):
        open_model(folder)
