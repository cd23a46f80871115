"""What does not fit is refused in one sentence that names it; nothing is left."""

import json
import os
from pathlib import Path

import pytest
import torch
from layouts import CLIP, Layout

from deixis.conversion.convert import convert
from deixis.conversion.pixellm import plan
from deixis.conversion.recipe import Source
from deixis.errors import ConfigError, DataError, WeightsError


def refuse(layout: Layout, folder: Path, *, tower: bool = True) -> str:
    """Convert what does not fit; return the sentence. Nothing may be left."""
    layout.write(folder / "published")
    clip = str(layout.write_tower(folder / "clip")) if tower else None
    before = sorted(path.name for path in folder.iterdir())
    with pytest.raises((WeightsError, ConfigError)) as refused:
        convert(str(folder / "published"), folder / "ours", "pixellm", clip)
    assert sorted(path.name for path in folder.iterdir()) == before
    return str(refused.value)


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


def test_a_gap_among_the_added_tokens_is_refused(layout, tmp_path):
    """Two tokens less still fill two levels, but every group would be misread."""
    del layout.added["[SEG2]"], layout.added["[SEG3]"]
    assert "got none for" in refuse(layout, tmp_path)


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


@pytest.mark.parametrize("place", ["clip/config.json", "vision_config.json"])
def test_a_tower_within_may_have_its_config_in_a_file_of_its_own(layout, tmp_path, place):
    layout.with_tower()
    del layout.values["vision_config"]
    path = layout.write(tmp_path / "published") / "hf_model" / place
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"model_type": "clip", "vision_config": CLIP}))
    source = Source(name="published", folder=tmp_path / "published/hf_model")
    assert plan(source, None).config.vision_config.num_attention_heads == 2


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
