"""Checkpoints come from a hub: at one commit, resumable, verified; a hub on loopback."""

import shutil
from copy import deepcopy

import pytest
import torch
from hub_server import COMMIT, serving
from layouts import read_tensors, write_shards

from deixis.conversion.convert import convert
from deixis.conversion.hub import fetch
from deixis.conversion.pixellm import PARTS
from deixis.conversion.shards import find_shards
from deixis.errors import WeightsError


@pytest.fixture
def hub(made, tmp_path, monkeypatch):
    """A hub with the published layout and much that nobody needs."""
    made_folder = deepcopy(made)
    made_folder.with_tower()
    made_folder.write(tmp_path / "hub")
    (tmp_path / "hub/README.md").write_text("words")
    (tmp_path / "hub/hf_model/training_args.bin").write_bytes(b"not for us")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    with serving(tmp_path / "hub") as server:
        monkeypatch.setenv("HF_ENDPOINT", server.address)
        yield server


def test_a_repository_is_fetched_at_one_commit_and_only_what_is_needed(hub, converted, tmp_path):
    report = convert("owner/model", tmp_path / "ours", "pixellm")
    assert report["sources"] == [{"name": "owner/model", "commit": COMMIT}]
    ours, other = read_tensors(tmp_path / "ours"), read_tensors(converted)
    assert all(torch.equal(ours[name], other[name]) for name in other)
    fetched = {path.rpartition("/")[2] for how, path, _ in hub.asked if "/resolve/" in path}
    assert fetched == {path.name for path in (tmp_path / "hub/hf_model").iterdir()} - {
        "training_args.bin"
    }
    assert not list(tmp_path.glob(".ours*"))


def test_a_cut_download_goes_on_at_its_byte_in_another_call(hub, tmp_path):
    hub.ailing = True
    with pytest.raises(WeightsError, match=r"expected a hub that answers.*hf download owner/model"):
        convert("owner/model", tmp_path / "ours", "pixellm")
    part = next((tmp_path / ".ours.partial/source").glob("*.part"))
    begun = part.stat().st_size
    assert begun > 0
    hub.ailing = hub.down = False
    hub.asked.clear()
    convert("owner/model", tmp_path / "ours", "pixellm")
    ranges = [where for how, _, where in hub.asked if how == "GET" and where]
    assert ranges == [f"bytes={begun}-"]
    assert not [path for how, path, _ in hub.asked if "/api/" in path]  # the commit is pinned


def test_a_file_with_another_hash_is_thrown_away(hub, tmp_path):
    hub.lies = "hf_model/pytorch_model-00002-of-00002.bin"
    with pytest.raises(WeightsError, match="expected the hash 000000000000 that the hub states"):
        convert("owner/model", tmp_path / "ours", "pixellm")
    assert not list((tmp_path / ".ours.partial/source").glob("*00002-of-00002.bin*"))
    assert not (tmp_path / "ours").exists()


def test_a_repository_without_its_tower_is_refused_before_weights_are_fetched(hub, made, tmp_path):
    inside = tmp_path / "hub/hf_model"
    write_shards(inside, made.state, 2, "bin")
    with pytest.raises(WeightsError, match="expected the weights of the vision tower"):
        convert("owner/model", tmp_path / "ours", "pixellm")
    assert not [path for _, path, _ in hub.asked if path.endswith(".bin")]


def test_another_revision_and_a_tokenizer_one_folder_deeper_are_fetched(hub, tmp_path):
    words = tmp_path / "hub/hf_model/my_tokenizer"
    words.mkdir()
    (words / "vocab.txt").write_text("a")
    (words / "weights.bin").write_text("not ours")
    folder, commit = fetch("owner/model@v1.0", tmp_path / "into", PARTS)
    assert commit == COMMIT
    assert (folder / "my_tokenizer/vocab.txt").read_text() == "a"
    assert not (folder / "my_tokenizer/weights.bin").exists()
    assert [path for _, path, _ in hub.asked if "/revision/" in path] == [
        "/api/models/owner/model/revision/v1.0"
    ]


@pytest.mark.parametrize("online", [True, False])
def test_what_the_hubs_own_client_has_fetched_is_not_fetched_again(hub, tmp_path, online):
    cache = tmp_path / "cache/models--owner--model"
    (cache / "refs").mkdir(parents=True)
    (cache / "refs/main").write_text(COMMIT)
    shutil.copytree(tmp_path / "hub", cache / "snapshots" / COMMIT)
    hub.down = not online
    folder, commit = fetch("owner/model", tmp_path / "into", PARTS)
    assert commit == COMMIT
    assert sorted(find_shards(folder)) == [
        folder / path.name for path in sorted((tmp_path / "hub/hf_model").glob("pytorch_model-*"))
    ]
    assert not [path for how, path, _ in hub.asked if "/resolve/" in path and how == "GET"]


def test_an_unknown_repository_is_refused_with_its_name(hub, tmp_path):
    with pytest.raises(WeightsError, match=r'"owner/other": expected a repository.*got 404'):
        convert("owner/other", tmp_path / "ours", "pixellm")


def test_without_a_hub_it_says_what_to_fetch_and_where_to_put_it(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(WeightsError) as refused:
        convert("maverickrzw/PixelLM-7B", tmp_path / "ours", "pixellm")
    said = str(refused.value)
    assert 'hf download maverickrzw/PixelLM-7B --include "hf_model/*"' in said
    assert "copy the folder PixelLM-7B here and give it in place of maverickrzw/PixelLM-7B" in said
