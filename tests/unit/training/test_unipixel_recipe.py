"""UniPixel's stages train exactly what was published, and hand on what they learned."""

import pytest
import torch

from deixis.config import Start
from deixis.errors import ConfigError
from deixis.models.configs.unipixel_config import unipixel_tiny
from deixis.models.published.unipixel_keys import BUFFERS, our_name
from deixis.models.unipixel import UniPixelModel
from deixis.training.running.optimizing import freeze
from deixis.training.unipixel.unipixel_recipe import (
    STAGES,
    add_published_adapters,
    check_published_parts,
    published_parts,
    take_over_whole,
)


def made(seed=0, *, tied=False, adapters=False):
    config = unipixel_tiny()
    config.tie_word_embeddings = tied
    torch.manual_seed(seed)
    model = UniPixelModel(config)
    if adapters:
        pytest.importorskip("peft")
        add_published_adapters(model)
    return model


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
    learns = freeze(made(), published_parts(stage, tied=False))
    wanted = {name for name, _ in made().named_parameters() if name.startswith(parts)}
    assert set(learns) == wanted
    assert {name.split(".")[0] for name in wanted} == {part.split(".")[0] for part in parts}


@pytest.mark.parametrize("tied", [False, True])
def test_the_last_stage_trains_its_published_parts_and_adapters(tied):
    model = made(tied=tied, adapters=True)
    learns = freeze(model, published_parts("whole", tied=tied))
    check_published_parts(model, "whole")
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


def test_other_parts_than_the_published_ones_are_refused_by_name():
    model = made()
    freeze(model, published_parts("drawing", tied=False))
    model.regions.project[0].bias.requires_grad_(True)
    with pytest.raises(ConfigError, match=r"got 6, regions\.project\.0\.bias learning too"):
        check_published_parts(model, "drawing")
    model.regions.project[0].bias.requires_grad_(False)
    model.seg_head[1].bias.requires_grad_(False)
    with pytest.raises(ConfigError, match=r'stage "drawing" to learn, got 4, seg_head\.1\.bias fr'):
        check_published_parts(model, "drawing")


@pytest.fixture
def earlier(tmp_path):
    """A model whose prompts have learned, as a folder."""
    model = made(0)
    with torch.no_grad():
        for weight in model.prompting.parameters():
            weight.add_(torch.randn_like(weight))
    model.save_pretrained(tmp_path / "pointing")
    return model, tmp_path / "pointing"


def test_what_a_stage_learned_means_the_same_where_another_begins_with_it(earlier):
    first, folder = earlier
    second = made(1)
    asked = torch.rand(2, 2, 2) * 60, torch.tensor([True, False]), torch.tensor([0.2, 0.9])
    with torch.no_grad():
        assert not torch.equal(first.prompting(*asked), second.prompting(*asked))
        take_over_whole(second, Start(model=str(folder), take=("prompting.*",)))
        assert torch.equal(first.prompting(*asked), second.prompting(*asked))
    for name in BUFFERS[1:]:
        assert torch.equal(first.state_dict()[name], second.state_dict()[name])


@pytest.mark.parametrize("take", ["prompting.p*", "seg_head.*", "tracker.mem*"])
def test_what_was_learned_around_random_matrices_is_not_taken_without_them(earlier, take):
    with pytest.raises(ConfigError, match=r"expected the random matrices around which .* got none"):
        take_over_whole(made(1), Start(model=str(earlier[1]), take=(take,)))


def test_an_unknown_stage_is_named_with_those_there_are():
    with pytest.raises(ConfigError, match="expected one of pointing, drawing, whole"):
        published_parts("point", tied=False)
