"""Conversion is whole or not at all: every tensor once, reported, resumable, in little memory."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from layouts import CLIP, GROUP, read_tensors, write_large, write_shards
from safetensors.torch import load_file

from deixis.conversion.audit import audit
from deixis.conversion.convert import RECIPES, REPORT, convert
from deixis.conversion.pixellm import published_key
from deixis.conversion.published import READY
from deixis.errors import WeightsError
from deixis.models.parts.pixellm_vision import resize_position_table
from deixis.models.released import open_model

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
    layout.write(tmp_path / "published", shards=3)
    out = tmp_path / "ours"

    def stop(what: str, done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        convert(str(tmp_path / "published"), out, "pixellm", progress=stop)
    layout.state = {n: t * 2 if "neck" in n else t for n, t in layout.state.items()}
    write_shards(tmp_path / "published/hf_model", layout.state, 2, "bin")
    convert(str(tmp_path / "published"), out, "pixellm")
    assert sorted(path.name for path in out.glob("*.safetensors")) == [
        "model-00001-of-00002.safetensors",
        "model-00002-of-00002.safetensors",
    ]
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


def test_clip_is_described_by_its_own_config(converted):
    vision = json.loads((converted / "config.json").read_text())["vision_config"]
    assert vision["num_attention_heads"] == CLIP["num_attention_heads"]
    assert vision["image_size"] == 56


def test_models_offers_to_convert_exactly_what_has_a_recipe():
    assert set(READY) == set(RECIPES)
