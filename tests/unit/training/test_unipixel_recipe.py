"""UniPixel's stages train exactly what was published, and hand on what they learned."""

import pytest
import torch

from deixis.errors import ConfigError, WeightsError
from deixis.models.unipixel import UniPixelModel
from deixis.models.unipixel_config import unipixel_tiny
from deixis.models.unipixel_keys import BUFFERS, our_name
from deixis.training.unipixel_recipe import (
    STAGES,
    prepare_stage,
    published_parts,
    stage_tensors,
    take_stage,
)


def made(seed=0, *, tied=False):
    config = unipixel_tiny()
    config.tie_word_embeddings = tied
    torch.manual_seed(seed)
    return UniPixelModel(config)


def theirs(*prefixes):
    """Our names of published prefixes such as "ref_proj."."""
    return tuple(our_name(prefix) for prefix in prefixes)


FIRST = theirs("ref_proj_single.", "ref_proj_double.", "ref_proj.", "tem_emb.", "tem_proj.")
THIRD = (
    *FIRST,
    *theirs("ref_encoder.", "msk_proj.", "seg_head.", "sam2."),
    *("language.embed_tokens.", "lm_head."),
)


@pytest.mark.parametrize(("stage", "parts"), [("pointing", FIRST), ("drawing", ("seg_head.",))])
def test_early_stages_train_their_published_parts_and_nothing_else(stage, parts):
    learns = prepare_stage(made(), stage)
    wanted = {name for name, _ in made().named_parameters() if name.startswith(parts)}
    assert set(learns) == wanted
    assert {name.split(".")[0] for name in wanted} == {part.split(".")[0] for part in parts}


@pytest.mark.parametrize("tied", [False, True])
def test_the_last_stage_trains_its_published_parts_and_adapters(tied):
    pytest.importorskip("peft")
    model = made(tied=tied)
    learns = prepare_stage(model, "whole")
    adapters = {name for name in learns if ".lora_" in name}
    plain = {name for name, _ in made(tied=tied).named_parameters() if name.startswith(THIRD)}
    assert set(learns) - adapters == plain
    beside = {name.split(".lora_")[0].rsplit(".", 1)[1] for name in adapters}
    assert beside == {"q_proj", "k_proj", "v_proj", "o_proj", "qkv", "proj"}
    assert not any("patch_embed" in name or name.startswith("tracker") for name in adapters)
    layers = model.config.text_config.num_hidden_layers * 4 + model.config.vision_config.depth * 2
    assert len(adapters) == 2 * layers
    assert {learns[name] for name in plain if name.startswith("tracker.")} == {0.25}
    assert 0.25 * STAGES["whole"].optimizer.lr == pytest.approx(5e-6)


def test_what_a_stage_learned_means_the_same_in_the_next():
    first, second = made(0), made(1)
    prepare_stage(first, "pointing")
    asked = torch.rand(2, 2, 2) * 60, torch.tensor([True, False]), torch.tensor([0.2, 0.9])
    with torch.no_grad():
        for weight in first.prompting.parameters():
            weight.add_(torch.randn_like(weight))
    kept = stage_tensors(first, "pointing")
    second.prompting.codes.load_state_dict(first.prompting.codes.state_dict())  # as both begin
    take_stage(second, kept, "stage 1")
    with torch.no_grad():
        assert torch.equal(first.prompting(*asked), second.prompting(*asked))
    for name in BUFFERS:
        assert torch.equal(first.state_dict()[name], second.state_dict()[name])


def test_a_stage_without_its_random_matrices_is_refused():
    model = made()
    prepare_stage(model, "drawing")
    kept = stage_tensors(model, "drawing")
    published = {name: tensor for name, tensor in kept.items() if name not in BUFFERS}
    with pytest.raises(WeightsError, match="stage 2: expected the random matrices of prompts"):
        take_stage(model, published, "stage 2")
    kept["seg_head.1.bias"] = torch.zeros(7)
    with pytest.raises(WeightsError, match=r"got seg_head\.1\.bias of shape \(7,\) where it has"):
        take_stage(model, kept, "stage 2")


def test_an_unknown_stage_is_named_with_those_there_are():
    with pytest.raises(ConfigError, match="expected one of pointing, drawing, whole"):
        published_parts("point", tied=False)
