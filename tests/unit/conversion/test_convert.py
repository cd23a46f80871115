"""Conversion is whole or not at all: every tensor once, every fault named, resumable."""

import json
import os
import shutil
import signal
import subprocess
import sys
from copy import deepcopy
from pathlib import Path

import pytest
import torch
from hub_server import COMMIT, serving
from layouts import CLIP, GROUP, Layout, write_large, write_shards
from safetensors.torch import load_file

from deixis.conversion.audit import audit
from deixis.conversion.convert import RECIPES, REPORT, convert
from deixis.conversion.hub import fetch
from deixis.conversion.pixellm import PARTS, published_key
from deixis.conversion.published import READY
from deixis.conversion.shards import find_shards
from deixis.errors import ConfigError, DataError, WeightsError
from deixis.models.pixellm_vision import resize_position_table
from deixis.models.released import open_model


@pytest.fixture(scope="module")
def made() -> Layout:
    return Layout()


@pytest.fixture
def layout(made) -> Layout:
    """A copy that may be changed."""
    return deepcopy(made)


@pytest.fixture(scope="module")
def converted(made, tmp_path_factory) -> Path:
    """The published layout with a tower apart, converted."""
    folder = tmp_path_factory.mktemp("converted")
    made.write(folder / "published")
    made.write_tower(folder / "clip")
    convert(str(folder / "published"), folder / "ours", "pixellm", str(folder / "clip"))
    return folder / "ours"


def read_tensors(folder: Path) -> dict[str, torch.Tensor]:
    return {k: v for path in folder.glob("*.safetensors") for k, v in load_file(path).items()}


def refuse(layout: Layout, folder: Path, *, tower: bool = True) -> str:
    """Convert what does not fit; return the sentence. Nothing may be left."""
    layout.write(folder / "published")
    clip = str(layout.write_tower(folder / "clip")) if tower else None
    before = sorted(path.name for path in folder.iterdir())
    with pytest.raises((WeightsError, ConfigError)) as refused:
        convert(str(folder / "published"), folder / "ours", "pixellm", clip)
    assert sorted(path.name for path in folder.iterdir()) == before
    return str(refused.value)


# -- what comes out ----------------------------------------------------------------------------


def test_every_tensor_arrives_once_in_its_dtype(made, converted):
    tensors = read_tensors(converted)
    wanted = {n: t for n, t in made.state.items() if not n.endswith("inv_freq")}
    found = {published_key(n): t for n, t in tensors.items() if not n.startswith("vision.")}
    assert found.keys() == wanted.keys()
    for name, tensor in wanted.items():
        assert found[name].dtype == tensor.dtype
        assert torch.equal(found[name], tensor), name


def test_the_tower_joins_with_its_table_resized_as_released(made, converted):
    tensors = read_tensors(converted)
    for name, tensor in made.tower.items():
        if name.endswith("position_embedding.weight"):
            tensor = resize_position_table(tensor, 4)
        assert torch.equal(tensors[f"vision.{name}"], tensor), name


def test_the_report_accounts_for_every_tensor_of_both_sources(made, converted):
    report = json.loads((converted / REPORT).read_text())
    used = [entry["from"] for entry in report["tensors"].values()]
    assert len(set(used)) == len(used) == report["used"] == report["filled"]
    names = {*made.state, *(f"clip: vision_model.{name}" for name in made.tower)}
    assert names <= {*used, *report["dropped"]}
    assert not set(used) & set(report["dropped"])
    assert set(report["dropped"].values()) == {"computed from the config", "CLIP's text side"}
    assert report["dropped"]["clip: logit_scale"] == "CLIP's text side"
    assert len(report["checksum"]) == len(report["smoke"]["sha256"]) == 64


def test_what_was_converted_opens_and_runs_in_the_dtype_of_its_config(converted):
    opened = open_model(converted)
    assert opened.model.lm_head.weight.dtype == torch.bfloat16
    assert opened.model.pyramid.mask_tokens.weight.dtype == torch.float32
    assert opened.model.vision.embeddings.class_embedding.dtype == torch.bfloat16
    assert opened.model.config.tokens_per_level * 2 == GROUP
    report = json.loads((converted / REPORT).read_text())
    assert opened.fingerprint == report["checksum"][:16]


def test_safetensors_one_shard_and_a_tower_within_give_the_same_model(layout, converted, tmp_path):
    layout.with_tower()
    layout.write(tmp_path / "one", shards=1, kind="safetensors")
    convert(str(tmp_path / "one"), tmp_path / "ours", "pixellm")
    ours, other = read_tensors(tmp_path / "ours"), read_tensors(converted)
    assert ours.keys() == other.keys()
    assert all(torch.equal(ours[name], other[name]) for name in ours)
    assert [path.name for path in (tmp_path / "ours").glob("*.safetensors")] == [
        "model.safetensors"
    ]


def test_a_tower_given_beside_one_within_replaces_it(layout, converted, tmp_path):
    layout.with_tower()
    name = next(n for n in layout.state if n.endswith("class_embedding"))
    layout.state[name] = torch.full_like(layout.state[name], 9.0)
    layout.write(tmp_path / "both")
    layout.write_tower(tmp_path / "clip", prefix="")
    report = convert(str(tmp_path / "both"), tmp_path / "ours", "pixellm", str(tmp_path / "clip"))
    tensor = read_tensors(tmp_path / "ours")["vision.embeddings.class_embedding"]
    assert torch.equal(tensor, layout.tower["embeddings.class_embedding"])
    assert report["dropped"][name] == "replaced by --vision-tower"


def test_an_audit_names_the_tensor_that_was_changed(converted, tmp_path):
    copy = tmp_path / "copy"
    copy.mkdir()
    for path in converted.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    assert "as converted from published and clip" in audit(copy)
    entry = json.loads((copy / REPORT).read_text())["tensors"]["language.norm.weight"]
    path = copy / entry["file"]
    data = bytearray(path.read_bytes())
    place = data.find(load_file(path)["language.norm.weight"].view(torch.uint8).numpy().tobytes())
    data[place] ^= 1
    path.write_bytes(data)
    with pytest.raises(WeightsError, match=r"1 changed: language\.norm\.weight"):
        audit(copy)


# -- refusals ----------------------------------------------------------------------------------


def test_a_missing_tensor_is_named(layout, tmp_path):
    del layout.state["model.mask_decoder.iou_token.weight"]
    said = refuse(layout, tmp_path)
    assert "1 missing (model.mask_decoder.iou_token.weight)" in said


def test_a_tensor_too_many_is_named(layout, tmp_path):
    layout.state["model.region_encoder.weight"] = torch.ones(2)
    assert "no part of the model reads (model.region_encoder.weight)" in refuse(layout, tmp_path)


def test_a_transposed_tensor_is_named_with_both_shapes(layout, tmp_path):
    name = "model.layers.1.mlp.down_proj.weight"
    layout.state[name] = layout.state[name].T.contiguous()
    said = refuse(layout, tmp_path)
    assert f"{name}: expected shape (24, 40), got (40, 24) (transposed)" in said


@pytest.mark.parametrize("name", ["model.embed_tokens.weight", "lm_head.weight"])
def test_a_wrong_vocabulary_is_refused(layout, tmp_path, name):
    rows = len(layout.state[name])
    layout.state[name] = layout.state[name][:-3].clone()
    assert f"{name}: expected {rows} rows" in refuse(layout, tmp_path)


def test_a_vocabulary_that_only_the_config_has_wrong_is_refused(layout, tmp_path):
    layout.values["vocab_size"] += 1
    assert "vocab_size: expected" in refuse(layout, tmp_path)


def test_a_wrong_number_of_tokens_per_group_is_refused(layout, tmp_path):
    layout.values["seg_token_num"] = 3
    assert "expected 3 * 2 (tokens per level * levels)" in refuse(layout, tmp_path)


def test_group_tokens_that_do_not_fill_the_levels_are_refused(layout, tmp_path):
    del layout.added["[SEG3]"]
    assert "a multiple of 2" in refuse(layout, tmp_path)


def test_group_tokens_that_collapse_to_one_id_are_refused(layout, tmp_path):
    layout.added.update(dict.fromkeys(["[SEG0]", "[SEG1]", "[SEG2]", "[SEG3]"], 3))
    said = refuse(layout, tmp_path)
    assert "expected an id of its own for every group token, got 3 for [SEG0] and [SEG1]" in said


def test_weights_of_llava_are_recognised(layout, tmp_path):
    keep = ("model.layers", "model.embed", "model.norm", "lm_head", "model.mm_projector")
    layout.state = {n: t for n, t in layout.state.items() if n.startswith(keep)}
    assert "These are weights of LLaVA (whole, or a delta to LLaMA)" in refuse(layout, tmp_path)


def test_a_delta_in_place_of_weights_is_recognised_by_its_norm(layout, tmp_path):
    norm = layout.state["model.norm.weight"]
    layout.state["model.norm.weight"] = torch.full_like(norm, 0.004)
    assert "model.norm.weight: expected values near 1, got 0.004" in refuse(layout, tmp_path)


@pytest.mark.parametrize(
    ("architecture", "cure"),
    [("LlavaLlamaForCausalLM", "That is LLaVA"), ("PrimaForCausalLM", "Give --family")],
)
def test_another_family_is_refused(layout, tmp_path, architecture, cure):
    layout.values["architectures"] = [architecture]
    said = refuse(layout, tmp_path)
    assert architecture in said
    assert cure in said


def test_lora_beside_its_base_is_refused(layout, tmp_path):
    layout.state["model.layers.0.self_attn.q_proj.lora_A.weight"] = torch.ones(2, 24)
    assert "merge it first" in refuse(layout, tmp_path)


def test_without_a_tower_it_says_what_to_fetch(layout, tmp_path):
    said = refuse(layout, tmp_path, tower=False)
    assert "expected the weights of the vision tower (tiny-clip)" in said
    assert "--vision-tower openai/clip-vit-large-patch14-336" in said


def test_a_tower_within_whose_heads_nobody_knows_is_refused(layout, tmp_path):
    layout.with_tower()
    del layout.values["vision_config"]
    assert "expected the config of its vision tower" in refuse(layout, tmp_path, tower=False)


def test_half_a_tower_is_refused(layout, tmp_path):
    layout.tower = {n: t for n, t in layout.tower.items() if "layers.7" not in n}
    assert "vision tower is not whole" in refuse(layout, tmp_path)


def test_a_pickle_that_would_run_code_is_refused_unrun(layout, tmp_path):
    layout.write(tmp_path / "published")
    mark = tmp_path / "ran"
    shard = next((tmp_path / "published/hf_model").glob("*00001*.bin"))
    torch.save({"a": Runs(str(mark))}, shard)
    with pytest.raises(WeightsError, match="expected pickled tensors and nothing else"):
        convert(str(tmp_path / "published"), tmp_path / "ours", "pixellm")
    assert not mark.exists()


class Runs:
    """What a hostile pickle does when it is opened carelessly."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self):
        return (os.mkdir, (self.path,))


def test_a_missing_shard_and_a_shard_cut_short_are_named(layout, tmp_path):
    layout.write(tmp_path / "published")
    shard = next((tmp_path / "published/hf_model").glob("*00002*.bin"))
    shard.write_bytes(shard.read_bytes()[:-900])
    with pytest.raises(WeightsError, match=r"pytorch_model-00002-of-00002\.bin: expected pickled"):
        convert(str(tmp_path / "published"), tmp_path / "ours", "pixellm")
    shard.unlink()
    with pytest.raises(WeightsError, match=r"got no pytorch_model-00002-of-00002\.bin"):
        convert(str(tmp_path / "published"), tmp_path / "ours", "pixellm")


def test_an_index_that_tells_another_story_is_refused(layout, tmp_path):
    inside = layout.write(tmp_path / "published") / "hf_model"
    index = json.loads((inside / "pytorch_model.bin.index.json").read_text())
    index["weight_map"].pop("lm_head.weight")
    (inside / "pytorch_model.bin.index.json").write_text(json.dumps(index))
    with pytest.raises(WeightsError, match=r"got lm_head\.weight, which is not in the index"):
        convert(str(tmp_path / "published"), tmp_path / "ours", "pixellm")


def test_an_unknown_family_a_taken_place_and_no_source_are_refused(tmp_path):
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken/file").write_text("mine")
    with pytest.raises(ConfigError, match=r'expected one of .*pixellm.*, got "lisa"'):
        convert("x", tmp_path / "out", "lisa")
    with pytest.raises(DataError, match="expected a new folder, got one that holds something"):
        convert("x", tmp_path / "taken", "pixellm")
    with pytest.raises(WeightsError, match="expected a folder, or a repository"):
        convert("nowhere", tmp_path / "out", "pixellm")
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


# -- going on ----------------------------------------------------------------------------------

KILLED = """
import os, signal, sys
from pathlib import Path
from deixis.conversion.convert import convert
def stop(what, done, total):
    os.kill(os.getpid(), signal.SIGKILL)
convert(sys.argv[1], Path(sys.argv[2]), "pixellm", sys.argv[3], stop)
"""


def test_a_killed_conversion_leaves_nothing_and_goes_on(layout, converted, tmp_path):
    layout.write(tmp_path / "published", shards=3)
    layout.write_tower(tmp_path / "clip")
    out = tmp_path / "ours"
    words = [str(tmp_path / "published"), str(out), str(tmp_path / "clip")]
    done = subprocess.run([sys.executable, "-c", KILLED, *words])
    assert done.returncode == -signal.SIGKILL
    assert not out.exists()
    first = tmp_path / ".ours.partial/model/model-00001-of-00004.safetensors"
    written = first.stat().st_mtime_ns
    convert(words[0], out, "pixellm", words[2])
    assert (out / first.name).stat().st_mtime_ns == written  # not written again
    ours, other = read_tensors(out), read_tensors(converted)
    assert all(torch.equal(ours[name], other[name]) for name in other)
    assert ours.keys() == other.keys()
    assert not (tmp_path / ".ours.partial").exists()


def test_another_source_does_not_go_on_with_what_was_begun(layout, tmp_path):
    layout.with_tower()
    layout.write(tmp_path / "published")
    out = tmp_path / "ours"

    def stop(what: str, done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        convert(str(tmp_path / "published"), out, "pixellm", progress=stop)
    layout.state = {n: t * 2 if "neck" in n else t for n, t in layout.state.items()}
    write_shards(tmp_path / "published/hf_model", layout.state, 2, "bin")
    convert(str(tmp_path / "published"), out, "pixellm")
    found = read_tensors(out)["neck.0.weight"]
    assert torch.equal(found, layout.state["model.image_feature_neck.0.weight"])


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="Linux says its peak")
def test_writing_takes_less_memory_than_a_shard_and_a_third(tmp_path):
    largest = write_large(tmp_path / "published", 80_000_000)
    peaks: list[int] = []

    def remember(what: str, done: int, total: int) -> None:
        peaks.append(memory("VmHWM"))

    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before = memory("VmRSS")
    convert(str(tmp_path / "published"), tmp_path / "ours", "pixellm", progress=remember)
    assert len(peaks) == 3
    assert max(peaks) - before < 1.3 * largest


def memory(what: str) -> int:
    """Return bytes that this process holds (VmRSS) or held at most (VmHWM)."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition(f"{what}:")[2].split()[0]) * 1024


# -- a hub -------------------------------------------------------------------------------------


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


def test_clip_is_described_by_its_own_config(converted):
    vision = json.loads((converted / "config.json").read_text())["vision_config"]
    assert vision["num_attention_heads"] == CLIP["num_attention_heads"]
    assert vision["image_size"] == 56


def test_models_offers_to_convert_exactly_what_has_a_recipe():
    assert set(READY) == set(RECIPES)
