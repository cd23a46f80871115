"""Model folders: recognised, counted and refused from their headers alone."""

import json

import numpy as np
import pytest
from safetensors.numpy import save_file

from deixis.cli.installed import check_model, convertible, read_model
from deixis.errors import WeightsError


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "deixis"}))
    tensors = {"a": np.zeros((3, 5), np.float32), "b": np.zeros(7, np.float16)}
    save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})
    return tmp_path


def test_the_parameters_of_a_model_are_counted(folder):
    found = read_model(folder)
    assert (found.parameters, found.name) == (22, folder.name)


def test_an_unknown_name_is_refused_with_those_that_are_known():
    with pytest.raises(WeightsError, match=r'expected the folder of a model.*got "deixis-huge"'):
        check_model("deixis-huge")


def test_a_folder_without_a_config_is_no_model(tmp_path):
    with pytest.raises(WeightsError, match=r"with config\.json in it, got none"):
        check_model(str(tmp_path))


def test_a_config_that_is_no_json_is_no_model(folder):
    (folder / "config.json").write_text("{")
    with pytest.raises(WeightsError, match="got a file that cannot be read"):
        check_model(str(folder))


def test_a_folder_without_weights_is_no_model(folder):
    (folder / "model.safetensors").unlink()
    with pytest.raises(WeightsError, match=r"expected weights in \*\.safetensors"):
        check_model(str(folder))


def test_a_model_of_another_family_is_refused_by_its_type(folder):
    (folder / "config.json").write_text(json.dumps({"model_type": "llava"}))
    with pytest.raises(WeightsError, match=r'type deixis.*, got "llava"'):
        check_model(str(folder))


@pytest.mark.parametrize("kept", [0, 5, 60])
def test_weights_cut_in_the_header_are_refused(folder, kept):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(WeightsError, match="expected a safetensors file, got a broken one"):
        check_model(str(folder))


def test_weights_cut_short_are_refused_with_both_sizes(folder):
    path = folder / "model.safetensors"
    whole = path.read_bytes()
    path.write_bytes(whole[:-3])
    with pytest.raises(WeightsError, match=f"expected {len(whole)} bytes, got {len(whole) - 3}"):
        check_model(str(folder))


def test_a_published_checkpoint_is_recognised(folder):
    (folder / "config.json").write_text(json.dumps({"architectures": ["PixelLMForCausalLM"]}))
    assert convertible(folder) == "PixelLM"


@pytest.mark.parametrize("part", ["", "hf_model"])
def test_asking_a_published_checkpoint_says_how_it_is_converted(tmp_path, part):
    (tmp_path / part).mkdir(exist_ok=True)
    (tmp_path / part / "config.json").write_text('{"architectures": ["PixelLMForCausalLM"]}')
    with pytest.raises(WeightsError) as refused:
        check_model(str(tmp_path))
    assert "got a published checkpoint of PixelLM" in str(refused.value)
    assert f"Run: deixis convert {tmp_path} OUT --family pixellm" in str(refused.value)
