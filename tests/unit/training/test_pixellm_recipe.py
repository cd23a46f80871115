"""The published stage trains exactly its parts, and the run file's last stage does as well."""

from pathlib import Path

import pytest
import torch

from deixis.config import load_run
from deixis.errors import ConfigError
from deixis.models.configs.pixellm_config import pixellm_7b, pixellm_tiny
from deixis.models.pixellm import PixelLM
from deixis.training.pixellm.pixellm_recipe import (
    PIXELLM,
    learning,
    prepare_published_stage,
    published_parts,
    published_stage,
    text_room,
)
from deixis.training.pixellm.pixellm_stages import check_published_parts
from deixis.training.running.optimizing import freeze

RUN = Path(__file__).parents[3] / "runs" / "pixellm_tiny.yaml"
# The names of the published code whose parameters learn, in our words.
PUBLISHED = ("lora_", "lm_head.", "embed_tokens.", "pyramid.", "codebook.", "projector.")


@pytest.fixture
def adapted():
    """The tiny preset with adapters, in which nothing was said yet about what learns."""
    with torch.device("meta"):
        model = PixelLM(pixellm_tiny())
        prepare_published_stage(model)
    return model.requires_grad_(True)


@pytest.mark.parametrize("neck", [True, False])
def test_the_published_parts_learn_and_nothing_else(adapted, neck):
    freeze(adapted, published_parts(neck=neck))
    more = ("neck.", "prompts.") if neck else ()
    wanted = {
        name
        for name, _ in adapted.named_parameters()
        if any(one in name for one in PUBLISHED + more) and not name.startswith("vision.")
    }
    assert learning(adapted) == wanted
    assert {name.split(".")[0] for name in wanted} >= {"language", "lm_head", "pyramid"}
    check_published_parts(adapted)


def test_the_last_stage_of_the_run_trains_what_the_paper_trains(adapted):
    stage = load_run(RUN).stages[-1]
    assert stage.objective == "paper"
    freeze(adapted, stage.train)
    own = learning(adapted)
    freeze(adapted, published_parts())
    assert own == learning(adapted)


def test_the_stages_before_leave_the_adapters_as_they_began(adapted):
    for stage in load_run(RUN).stages[:-1]:
        freeze(adapted, stage.train)
        assert not [name for name in learning(adapted) if "lora_" in name]


def test_another_choice_of_parts_is_no_paper_stage(adapted):
    freeze(adapted, published_parts())
    adapted.vision.requires_grad_(True)
    with pytest.raises(ConfigError, match=r"expected exactly the \d+ parameters .* vision\.\S+ l"):
        check_published_parts(adapted)
    freeze(adapted, published_parts())
    adapted.lm_head.requires_grad_(False)
    with pytest.raises(ConfigError, match=r"lm_head\.weight frozen"):
        check_published_parts(adapted)


def test_the_recipe_is_the_published_command():
    stage = published_stage()
    shares = {source.task: source.weight for source in stage.data}
    assert shares == {"sem_seg": 2, "refer_seg": 9, "vqa": 2, "multi_reason_seg": 4}
    assert shares.keys() == PIXELLM.sets.keys()
    assert (stage.batch, stage.questions, stage.steps) == (20, 3, 5000)
    assert (stage.optimizer.lr, stage.optimizer.betas) == (3e-4, (0.9, 0.95))
    assert text_room(pixellm_7b()) == 257


def test_the_tiny_preset_has_at_most_eight_million_weights():
    with torch.device("meta"):
        count = sum(weight.numel() for weight in PixelLM(pixellm_tiny()).parameters())
    assert 1e6 < count <= 8e6


