"""A release of PRIMA whose names nobody knows: every tensor explained or listed, none guessed."""

import json

import pytest
import torch
from safetensors.torch import save_file

from deixis.conversion.convert import convert
from deixis.conversion.prima import plan, resolve
from deixis.conversion.recipe import Source, check
from deixis.conversion.shards import Header, opened
from deixis.errors import WeightsError
from deixis.models.prima import PrimaModel, prima_7b, prima_tiny
from deixis.models.released import open_model
from deixis.processing.prima import PrimaProcessor

RELATED = "relation.relation.layers.0.attention."
HEADS = {
    "num_attention_heads": 4,
    "vision_heads": 3,
    "qformer_heads": 5,
    "sam_decoder_heads": 2,
    "relational_heads": 4,
}
TO_LAVIS = (  # ours -> how LAVIS, GLaMM and SAM spell it; told again here, apart from the table
    ("language.lm_head", "lm_head"),
    ("language.model", "model"),
    ("seg_head", "model.text_hidden_fcs.0"),
    ("projection", "model.mm_projector"),
    ("relation.queries", "model.query_tokens"),
    ("vision.eva.embeddings.class_embedding", "model.visual_encoder.cls_token"),
    ("vision.eva.embeddings.position_embedding", "model.visual_encoder.pos_embed"),
    ("vision.eva.embeddings.patch_embedding", "model.visual_encoder.patch_embed.proj"),
    ("vision.eva.post_layernorm", "model.ln_vision"),
    ("vision.eva.encoder.layers", "model.visual_encoder.blocks"),
    ("qformer.embeddings.layernorm", "model.Qformer.bert.embeddings.LayerNorm"),
    ("qformer", "model.Qformer.bert"),
    ("decoding.sam.prompt_encoder.shared_embedding.positional_embedding",
     "model.grounding_encoder.prompt_encoder.pe_layer.positional_encoding_gaussian_matrix"),
    ("decoding.sam.prompt_encoder.point_embed",
     "model.grounding_encoder.prompt_encoder.point_embeddings"),
    ("decoding.sam.prompt_encoder.mask_embed",
     "model.grounding_encoder.prompt_encoder.mask_downscaling"),
    ("decoding.sam.vision_encoder", "model.grounding_encoder.image_encoder"),
    ("decoding.sam", "model.grounding_encoder"),
)  # fmt: skip
INSIDE = {
    "visual_encoder": {".layer_norm": ".norm", ".self_attn.qkv": ".attn.qkv",
                       ".self_attn.projection": ".attn.proj"},
    "Qformer": {"attention.attention.": "attention.self."},
    "image_encoder": {"patch_embed.projection": "patch_embed.proj", ".layers.": ".blocks.",
                      "neck.conv1": "neck.0", "neck.layer_norm1": "neck.1",
                      "neck.conv2": "neck.2", "neck.layer_norm2": "neck.3",
                      ".layer_norm": ".norm"},
    "mask_downscaling": {".conv1": ".0", ".layer_norm1": ".1", ".conv2": ".3",
                         ".layer_norm2": ".4", ".conv3": ".6"},
    "mask_decoder": {"upscale_conv1": "output_upscaling.0",
                     "upscale_layer_norm": "output_upscaling.1",
                     "upscale_conv2": "output_upscaling.3", ".layers.0.": ".layers.@.",
                     ".proj_in": ".layers.0", ".proj_out": ".layers.2",
                     ".layer_norm": ".norm"},
}  # fmt: skip


def lavis(name):
    """A tensor of ours as LAVIS, GLaMM and SAM would name it."""
    ours, theirs = next(pair for pair in TO_LAVIS if name.startswith(pair[0]))
    out = theirs + name.removeprefix(ours)
    for part, changes in INSIDE.items():
        if part in out and not (part == "mask_decoder" and ".transformer." in out):
            for old, new in changes.items():
                out = out.replace(old, new)
    if ".transformer." in out:
        out = out.replace(".layer_norm", ".norm")
    return out.replace(".layers.@.", ".layers.1.")


def hugging(name):
    """A tensor of ours as transformers' InstructBLIP, SAM and LLaMA name it."""
    for ours, theirs in (
        ("vision.eva.", "vision_model."),
        ("relation.queries", "query_tokens"),
        ("projection.", "language_projection."),
        ("language.", "language_model."),
        ("seg_head.", "text_hidden_fcs.0."),
        ("decoding.sam.", "sam."),
    ):
        if name.startswith(ours):
            return theirs + name.removeprefix(ours)
    return name


SEPARATE = {  # usual spellings of the parts of an attention
    "plain": {"query": "q", "key": "k", "value": "v", "output": "out"},
    "proj": {"query": "q_proj", "key": "k_proj", "value": "v_proj", "output": "o_proj"},
    "to": {"query": "to_q", "key": "to_k", "value": "to_v", "output": "to_out.0"},
    "bert": {"query": "query", "key": "key", "value": "value", "output": "dense"},
    "numbers": {"query": "0", "key": "1", "value": "2", "output": "3"},
}


def release(state, naming=lavis, parts="proj", owner="model.rel_attn", joint=False):
    """Our tensors under other names; relational ones under names that no table has."""
    out = {}
    for name, value in state.items():
        if name == "decoding.sam.shared_image_embedding.positional_embedding":
            continue  # one and the same table as the prompt encoder's
        if name == "relation.relation.queries":
            out["model.some_relational_tokens"] = value[None]
        elif name.startswith(RELATED):
            role, what = name.removeprefix(RELATED).split(".")
            if joint and role != "output":
                if what == "weight":
                    out[f"{owner}.{role[0]}_proj_weight"] = value
                continue
            out[f"{owner}.{'out_proj' if joint else SEPARATE[parts][role]}.{what}"] = value
        else:
            value = value[None] if name == "relation.queries" else value
            out[naming(name)] = value
    if joint:
        biases = [state[f"{RELATED}{role}.bias"] for role in ("query", "key", "value")]
        out[f"{owner}.in_proj_bias"] = torch.cat(biases)
    if naming is lavis:
        for name in [n for n in out if n.endswith("attn.qkv.bias") and "visual_encoder" in n]:
            query, _, value = out.pop(name).chunk(3)
            out[name.replace("qkv.bias", "q_bias")] = query.clone()
            out[name.replace("qkv.bias", "v_bias")] = value.clone()
    return {name: value.contiguous() for name, value in out.items()}


@pytest.fixture(scope="module")
def tiny():
    config = prima_tiny()
    processor = PrimaProcessor.from_texts(config, ["Which mug is red?", "The red mug."])
    torch.manual_seed(0)
    model = PrimaModel(config)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            weight.normal_(std=0.3)
            if name.endswith("qkv.bias") and "eva" in name:
                weight[24:48] = 0  # EVA's keys have no bias
    table = model.decoding.sam.prompt_encoder.shared_embedding.positional_embedding
    model.decoding.sam.shared_image_embedding.positional_embedding.data = table.data.clone()
    return model, processor


@pytest.fixture
def write(tiny, tmp_path):
    """Write a release to a folder: its tensors, config and tokenizers."""
    processor = tiny[1]

    def written(tensors, **values):
        save_file(tensors, tmp_path / "model.safetensors")
        (tmp_path / "config.json").write_text(
            json.dumps({"model_type": "prima", "torch_dtype": "float32", **HEADS, **values})
        )
        processor.words.vocabulary.save(tmp_path)
        words = processor.words.asker.get_vocab()
        (tmp_path / "vocab.txt").write_text("\n".join(sorted(words, key=words.__getitem__)))
        return Source(name="release", folder=tmp_path)

    return written


def filled(planned):
    """The tensors that a plan makes."""
    out = {}
    for move in planned.moves:
        with opened(move.header.shard) as read:
            value = read(move.header.name)
        out[move.target] = move.change.apply(value) if move.change else value
        assert tuple(out[move.target].shape) == move.shape
    return out


@pytest.mark.parametrize("parts", [*SEPARATE, "joint"])
@pytest.mark.parametrize("naming", [lavis, hugging])
def test_a_release_is_read_tensor_by_tensor_whatever_its_names(tiny, write, naming, parts):
    state = tiny[0].state_dict()
    joint = parts == "joint"
    source = write(release(state, naming, "proj" if joint else parts, joint=joint))
    planned = plan(source, None)
    check(planned, source.name)
    ours = filled(planned)
    assert ours.keys() == state.keys()
    assert all(torch.equal(ours[name], state[name]) for name in state)
    model = PrimaModel(planned.config)
    model.load_state_dict(ours)
    assert planned.config.relation == "square"
    assert planned.config.seg_token == tiny[0].config.seg_token


def test_sizes_are_measured_so_that_the_converted_model_computes_the_same(tiny, write):
    planned = plan(write(release(tiny[0].state_dict())), None)
    ours, theirs = planned.config.to_dict(), tiny[0].config.to_dict()
    for part in ("vision_config", "qformer_config", "text_config", "sam_config"):
        for key in ("hidden_size", "num_hidden_layers", "num_attention_heads", "image_size"):
            assert ours[part].get(key) == theirs[part].get(key), (part, key)
    for inner in ("vision_config", "prompt_encoder_config", "mask_decoder_config"):
        kept = {k: v for k, v in theirs["sam_config"][inner].items() if "initializer" not in k}
        got = ours["sam_config"][inner]
        assert all(got[key] == value for key, value in kept.items() if key != "mlp_ratio")
    for key in ("num_queries", "relation_heads", "relation_layers", "relation_norm"):
        assert ours[key] == theirs[key]


def test_unmerged_adapters_are_added_to_their_weights(tiny, write):
    state = tiny[0].state_dict()
    tensors, expected = release(state), dict(state)
    for layer in range(2):
        for side in ("q_proj", "v_proj"):
            name = f"model.layers.{layer}.self_attn.{side}"
            down, up = torch.randn(3, 40), torch.randn(40, 3)
            tensors[f"{name}.lora_A.default.weight"] = down
            tensors[f"{name}.lora_B.default.weight"] = up
            weight = tensors.pop(f"{name}.weight")
            tensors[f"{name}.base_layer.weight"] = weight
            expected[f"language.{name}.weight"] = weight + 6 / 3 * up @ down
    wrapped = {f"base_model.model.{name}": value for name, value in tensors.items()}
    planned = plan(write(wrapped, lora_r=3, lora_alpha=6), None)
    check(planned, "release")
    ours = filled(planned)
    for name, value in expected.items():
        torch.testing.assert_close(ours[name], value)


def test_what_nothing_reads_is_listed_and_unknown_config_keys_are_kept(tiny, write):
    extras = {
        "model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(5),
        "model.region_encoder.mlvl_fuse.input_conv.0.weight": torch.ones(3, 3),
        "model.mm_projector.0.weight": torch.ones(40, 17),
        "model.mystery": torch.ones(11),
    }
    tensors = {**release(tiny[0].state_dict()), **extras}
    planned = plan(write(tensors, wonder=3, max_num_images=5), None)
    check(planned, "release")
    assert planned.dropped.keys() == extras.keys()
    assert "unknown" in planned.dropped["model.mystery"]
    assert "region encoder" in planned.dropped["model.region_encoder.mlvl_fuse.input_conv.0.weight"]
    assert planned.config.extras == {"wonder": 3, "max_num_images": 5}


def test_two_of_one_shape_that_nothing_tells_apart_are_an_error_that_shows_both(tiny, write):
    tensors = release(tiny[0].state_dict())
    for old, new in (("k_proj", "alpha"), ("v_proj", "beta")):
        tensors[f"model.rel_attn.{new}.weight"] = tensors.pop(f"model.rel_attn.{old}.weight")
    with pytest.raises(WeightsError, match=r"rel_attn\.alpha\.weight \(20, 24\).*beta"):
        plan(write(tensors), None)


def test_two_candidates_for_the_relational_queries_are_shown(tiny, write):
    tensors = release(tiny[0].state_dict())
    tensors["model.first_tokens"] = tensors.pop("model.some_relational_tokens")
    tensors["model.second_tokens"] = torch.ones(1, 3, 20)
    with pytest.raises(WeightsError, match=r"relational queries: .*first_tokens.*second_tokens"):
        plan(write(tensors), None)


def test_one_nameless_of_each_shape_is_found_by_elimination(tiny, write):
    state = tiny[0].state_dict()
    tensors = release(state)
    for old, new in (("k_proj", "alpha"), ("o_proj", "omega")):
        for what in ("weight", "bias"):
            value = tensors.pop(f"model.rel_attn.{old}.{what}")
            tensors[f"model.rel_attn.{new}.{what}"] = value
    ours = filled(plan(write(tensors), None))
    for role in ("query", "key", "value", "output"):
        assert torch.equal(ours[f"{RELATED}{role}.weight"], state[f"{RELATED}{role}.weight"])
        assert torch.equal(ours[f"{RELATED}{role}.bias"], state[f"{RELATED}{role}.bias"])


def test_parts_of_a_relation_that_ours_has_not_are_not_left_out_silently(tiny, write):
    tensors = release(tiny[0].state_dict())
    tensors["model.rel_attn.fc1.weight"] = torch.ones(80, 20)
    with pytest.raises(WeightsError, match=r"got also model\.rel_attn\.fc1\.weight"):
        plan(write(tensors), None)


def test_an_attention_without_biases_has_zeros(tiny, write):
    tensors = release(tiny[0].state_dict())
    tensors = {n: v for n, v in tensors.items() if not (n.endswith("bias") and "rel_attn" in n)}
    planned = plan(write(tensors), None)
    check(planned, "release")
    ours = filled(planned)
    assert not any(ours[f"{RELATED}{role}.bias"].any() for role in ("query", "key", "value"))
    assert any("no bias" in m.change.why for m in planned.moves if m.change)


def test_a_release_that_is_cut_says_what_is_missing(tiny, write):
    tensors = release(tiny[0].state_dict())
    tensors.pop("model.ln_vision.weight")
    source = write(tensors)
    with pytest.raises(WeightsError, match=r"1 missing .*post_layernorm\.weight"):
        check(plan(source, None), source.name)


def test_one_place_filled_twice_is_refused(tiny, write):
    tensors = release(tiny[0].state_dict())
    tensors["language_model.lm_head.weight"] = tensors["lm_head.weight"].clone()
    with pytest.raises(WeightsError, match=r"one tensor, got .*lm_head.*, .*lm_head"):
        plan(write(tensors), None)


def test_without_the_words_of_the_q_former_nothing_is_made_up(tiny, write):
    source = write(release(tiny[0].state_dict()))
    (source.folder / "vocab.txt").unlink()
    with pytest.raises(WeightsError, match=r"words of the Q-Former .* got none"):
        plan(source, None)


def test_glamm_and_instruct_blip_begin_at_the_pretrained_q_former(tiny, write, tmp_path):
    state = tiny[0].state_dict()
    tensors = release(state)
    seen = ("visual_encoder", "Qformer", "ln_vision", "query_tokens")
    blip = {n.removeprefix("model."): v for n, v in tensors.items() if any(s in n for s in seen)}
    blip["llm_proj.weight"] = state["projection.weight"].clone()
    blip["llm_proj.bias"] = state["projection.bias"].clone()
    blip["llm_model.model.norm.weight"] = torch.zeros(40)
    relational = ("rel_attn", "relational")
    glamm = {n: v for n, v in tensors.items() if not any(s in n for s in (*seen, *relational))}
    glamm["model.mm_projector.0.weight"] = torch.ones(40, 17)
    glamm["model.vision_tower.vision_tower.x"] = torch.ones(2)
    other = tmp_path / "blip"
    other.mkdir()
    save_file(blip, other / "model.safetensors")
    (other / "config.json").write_text("{}")
    planned = plan(write(glamm), Source(name="blip", folder=other))
    check(planned, "release")
    ours = filled(planned)
    for name, value in state.items():
        if not name.startswith("relation.relation."):
            assert torch.equal(ours[name], value), name
    assert not ours[f"{RELATED}output.weight"].any()
    cross = "qformer.encoder.layer.0.crossattention.attention.key.weight"
    assert torch.equal(ours[f"{RELATED}key.weight"], state[cross])
    assert 0.005 < ours["relation.relation.queries"].std() < 0.04
    assert "blip: llm_model.model.norm.weight" in planned.dropped
    with pytest.raises(WeightsError, match="add --vision-tower INSTRUCTBLIP"):
        plan(write(glamm), None)


def test_the_whole_conversion_makes_a_folder_that_opens_and_answers(tiny, write, tmp_path):
    state = tiny[0].state_dict()
    source = write({**release(state), "model.mystery": torch.ones(11)}, wonder=3)
    report = convert(str(source.folder), tmp_path / "out", "prima")
    assert report["filled"] == len(state)
    assert report["dropped"].keys() == {"model.mystery"}
    assert report["config_extras"] == {"wonder": 3}
    assert report["smoke"]["answer"] is not None
    opened = open_model(tmp_path / "out")
    assert all(torch.equal(opened.model.state_dict()[name], state[name]) for name in state)
    assert opened.model.config.extras == {"wonder": 3}
    with pytest.raises(WeightsError, match="converted already"):
        convert(str(tmp_path / "out"), tmp_path / "again", "prima")


# -- real names and sizes, without the weights ---------------------------------------------------


@pytest.fixture(scope="module")
def real():
    """The names and shapes of a release of full size."""
    with torch.device("meta"):
        state = PrimaModel(prima_7b()).state_dict()
    return state


@pytest.mark.parametrize("naming", [lavis, hugging])
def test_a_release_of_full_size_is_explained_on_the_meta_device(real, tmp_path, naming):
    tensors = release(real, naming)
    headers = {
        name: Header(shard=tmp_path / "none", name=name, shape=tuple(t.shape), dtype="bfloat16")
        for name, t in tensors.items()
    }
    resolved = resolve({"num_attention_heads": 32}, headers, "kanguyen-vn/PRIMA")
    expected = {name: tuple(value.shape) for name, value in real.items()}
    assert {m.target: m.shape for m in resolved.moves(2.0)} == expected
    assert not resolved.dropped
    ours, theirs = resolved.config, prima_7b()
    ids = ("seg_token", "phrase_token", "phrase_end_token", "image_start_token", "image_end_token")
    for key in ids:
        setattr(ours, key, getattr(theirs, key))
    assert ours.to_dict() == theirs.to_dict()


def test_the_counted_sizes_of_the_specification_hold(real):
    def count(prefix):
        return sum(value.numel() for name, value in real.items() if name.startswith(prefix))

    assert count("decoding.sam.mask_decoder.") == 4_058_340
    assert count("seg_head.") == 17_830_144
    assert count("projection.") == 3_149_824
    assert 985.9e6 <= count("vision.eva.") < 986e6
    assert round(count("qformer.") / 1e6, 1) == 185.7
    assert real["language.lm_head.weight"].shape == (32007, 4096)
