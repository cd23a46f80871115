"""Weights that stay in their files are the same weights; broken files are named."""

import struct

import pytest
import torch
from safetensors.torch import load_file, save_file

from deixis.errors import WeightsError
from deixis.models import released_files
from deixis.models.released_files import map_weights, read_header


@pytest.fixture
def folder(tmp_path):
    """Two files with every dtype that checkpoints hold, an empty tensor and a lone number."""
    torch.manual_seed(2)
    save_file(
        {
            "a": torch.randn(700, 9).bfloat16(),
            "b": torch.randn(5, 3, dtype=torch.float64),
            "c": torch.arange(7),
            "d": torch.tensor(3.5),
            "e": torch.empty(0, 4),
        },
        tmp_path / "one.safetensors",
    )
    save_file(
        {"f": torch.rand(3, 2).half(), "g": torch.tensor([True])}, tmp_path / "two.safetensors"
    )
    return tmp_path


@pytest.mark.parametrize("mapped", [True, False])
def test_mapped_or_read_the_tensors_are_those_of_the_files(folder, mapped, monkeypatch):
    monkeypatch.setattr(released_files, "MAPPED", 0 if mapped else 1 << 40)
    weights = map_weights(folder)
    wanted = {**load_file(folder / "one.safetensors"), **load_file(folder / "two.safetensors")}
    assert len(weights.maps) == (2 if mapped else 0)
    for _ in range(2):  # once more after their memory was handed back
        assert weights.tensors.keys() == wanted.keys()
        for name, tensor in wanted.items():
            assert weights.tensors[name].dtype == tensor.dtype
            assert torch.equal(weights.tensors[name], tensor), name
        weights.let_go()


def test_changing_a_mapped_weight_leaves_its_file_as_it_was(folder, monkeypatch):
    monkeypatch.setattr(released_files, "MAPPED", 0)
    before = (folder / "one.safetensors").read_bytes()
    map_weights(folder).tensors["a"].zero_()
    assert (folder / "one.safetensors").read_bytes() == before


@pytest.mark.parametrize("kept", [0, 5, 40, -1])
def test_a_file_that_was_cut_short_is_named(folder, kept):
    path = folder / "two.safetensors"
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(WeightsError, match=r"two\.safetensors: expected whole safetensors"):
        map_weights(folder)


def test_a_header_whose_sizes_contradict_each_other_is_refused(folder):
    path = folder / "two.safetensors"
    data = path.read_bytes()
    length = struct.unpack("<Q", data[:8])[0]
    header = data[8 : 8 + length].replace(b"[3,2]", b"[3,9]")
    path.write_bytes(data[:8] + header + data[8 + length :])
    assert read_header(path)[0]["f"]["shape"] == [3, 9]
    with pytest.raises(WeightsError, match="bytes for a tensor of shape"):
        map_weights(folder)
