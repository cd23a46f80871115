"""What PixelLM's stages minimise: losses fall, refined masks overlap less, runs go on exactly."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch.nn import functional as F
from toy import curve
from transformers import CLIPVisionConfig

from deixis.config import load_run
from deixis.models.pixellm import PixelLM
from deixis.models.released import open_model
from deixis.processing.batch import Output
from deixis.processing.batches.pixellm_batch import GroupSlots, PixelLMBatch, PixelLMTruth
from deixis.processing.pixellm import place_longest
from deixis.reasoning.reasoner import load
from deixis.scenes.questions import make_scene
from deixis.scenes.world import WorldKey
from deixis.training.pixellm.pixellm_objective import PixelLMObjective
from deixis.training.pixellm.pixellm_patches import FINE, PatchObjective
from deixis.training.pixellm.pixellm_stages import AnswerObjective
from deixis.training.pixellm.pixellm_workshop import pixellm_workshop
from deixis.training.running.adapters import add_adapters, merge_adapters, merged_tensors
from deixis.training.running.beginning import is_of
from deixis.training.running.feeding import Workshop
from deixis.training.running.trainer import train

RUN = """
name: small
model: pixellm_small
seed: 3
stages:
  - name: see
    objective: patches
    steps: 4
    batch: 2
    data: [{task: refer}]
    train: [vision.*]
    precision: fp32
    log_every: 1
    save_every: 2
  - name: paper
    objective: paper
    steps: 4
    batch: 2
    questions: 2
    optimizer: {lr: 1e-3, warmup: 0}
    data: [{task: refer}]
    train: ["language.*.lora_?.*", "lm_head.*", "language.embed_tokens.*", "pyramid.*",
            "codebook.*", "projector.*", "pixel_projector.*", "neck.*", "prompts.*"]
    precision: fp32
    log_every: 1
    save_every: 2
"""


@pytest.fixture(scope="module")
def scenes():
    keys = [WorldKey(split="train", task=t, seed=6, index=1) for t in ("refer", "many", "refer")]
    return [make_scene(key, questions=2, draw=i) for i, key in enumerate(keys)]


def fall(model, objective, batch, steps, rate):
    """Train on one batch; the parts of the loss before and after."""
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=rate)
    seen = []
    for _ in range(steps + 1):
        parts = objective(model, batch)
        seen.append({name: part.item() for name, part in parts.items()})
        optimizer.zero_grad()
        sum(parts.values()).backward()
        optimizer.step()
    return seen[0], seen[-1]


def test_patches_learn_what_they_show(make_pixellm, scenes):
    wide = CLIPVisionConfig(
        hidden_size=96, intermediate_size=96, num_hidden_layers=5, num_attention_heads=3,
        patch_size=4, image_size=40,
    )  # fmt: skip
    model, processor = make_pixellm(vision_config=wide)  # room for all directions
    objective = PatchObjective(processor)
    first, last = fall(model, objective, objective.collate(scenes[:2]), 30, 1e-2)
    fallen = {name: last[name] / first[name] for name in objective.weights}
    assert max(fallen.values()) < 0.9, [*fallen.values()]


def test_labels_of_patches_lie_where_the_pixels_do(make_pixellm, scenes):
    processor = make_pixellm()[1]
    batch = PatchObjective(processor).collate(scenes[:1])
    things = torch.from_numpy(scenes[0].renderings[0].things > 0)
    side = processor.config.grid * FINE
    near = F.interpolate(things[None, None].float(), (side, side), mode="nearest-exact")[0, 0] > 0
    assert things.shape[0] == things.shape[1]
    assert torch.equal(batch.words["category"][0] > 0, near)


def test_words_and_masks_are_learned_together(make_pixellm, scenes):
    model, processor = make_pixellm()
    objective = AnswerObjective(processor)
    batch = objective.collate(scenes[1:2])
    first, last = fall(model.train(), objective, batch, 8, 3e-3)
    assert first.keys() == {"text", "bce", "dice"}
    assert last["text"] < 0.8 * first["text"]
    assert last["bce"] + last["dice"] < first["bce"] + first["dice"]


def test_images_of_a_batch_are_seen_once_however_many_questions(make_pixellm, scenes, monkeypatch):
    model, processor = make_pixellm()
    objective, seen = AnswerObjective(processor), []
    batch = objective.collate(scenes)
    look = model.see
    monkeypatch.setattr(model, "see", lambda pixels, *rest: seen.append(len(pixels)) or look(
        pixels, *rest
    ))  # fmt: skip
    objective(model, batch)
    assert seen == [len(scenes)]
    assert len(batch.tokens) > len(scenes)


def neighbours():
    """The true masks of touching things of one scene."""
    for index in range(40):
        key = WorldKey(split="train", task="many", seed=2, index=index)
        for sample in make_scene(key, questions=2).samples:
            masks = [torch.from_numpy(t.masks[0].pixels) for t in sample.answer.targets]
            wide = [F.max_pool2d(m[None].float(), 13, 1, 6)[0] > 0 for m in masks]
            if len(masks) > 1 and bool((wide[0] & wide[1]).sum() > 120):
                return torch.stack(masks[:2]), torch.stack(wide[:2])
    raise AssertionError("no neighbours in 40 scenes")


def test_refinement_lowers_the_overlap_of_neighbours():
    true, claimed = neighbours()
    size = tuple(true.shape[1:])
    placement = place_longest(size, max(size))
    zeros = torch.zeros(1, 1, dtype=torch.long)
    batch = PixelLMBatch(
        pixels=torch.zeros(1, 3, max(size), max(size)), placements=(placement,),
        image=torch.tensor([-1]), tokens=zeros, held=zeros == 0,
        slots=GroupSlots(row=torch.tensor([0, 0]), column=torch.zeros(2, 1, dtype=torch.long)),
        truth=PixelLMTruth(labels=zeros, masks=tuple(true)),
    )  # fmt: skip
    overlap = {}
    for refine in (False, True):
        coarse = F.interpolate(claimed[None].float(), (32, 32), mode="area")[0]
        logits = (4 * coarse - 2).requires_grad_()
        for _ in range(25):
            output = Output(
                mask_logits=logits, target=torch.arange(2), frame=torch.zeros(2, dtype=torch.long),
                presence=torch.ones(2, 1), score=torch.ones(2),
                text_logits=torch.zeros(0, 3), extra=torch.zeros(0, dtype=torch.long),
            )  # fmt: skip
            loss = sum(PixelLMObjective(refine=refine, dice=0.0)(output, batch).values())
            (slope,) = torch.autograd.grad(loss, logits)
            logits = (logits - 60 * slope).detach().requires_grad_()
        overlap[refine] = int((logits > 0).all(0).sum())
        assert bool((logits > 0).any())
    assert overlap[True] < overlap[False]


def test_adapters_are_published_merged(make_pixellm):
    model, _ = make_pixellm()
    wanted = dict(model.state_dict())
    torch.manual_seed(0)
    add_adapters(model.language)
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.1)
    tensors = merged_tensors(model)
    assert tensors.keys() == wanted.keys()
    assert any("lora_" in name for name in model.state_dict())  # the model goes on as it was
    merge_adapters(model.language)
    for name, tensor in model.state_dict().items():
        torch.testing.assert_close(tensors[name], tensor)


@pytest.fixture(scope="module")
def workshop(make_pixellm) -> Workshop:
    """The workshop of PixelLM around a small model."""

    def build(run, folder):
        made, processor = make_pixellm()
        model = PixelLM(made.config)
        model.load_state_dict(made.state_dict())
        add_adapters(model.language)
        return model, processor

    return replace(pixellm_workshop(), build=build)


def test_a_training_goes_on_exactly_and_what_it_leaves_answers(workshop, tmp_path, scene_samples):
    run = tmp_path / "small.yaml"
    run.write_text(RUN)
    through = train([run], out=tmp_path / "through", workshop=workshop)

    class Stopped(Exception):
        pass

    calls = []

    class Stops(workshop.objectives["paper"]):
        def __call__(self, model, batch):
            calls.append(1)
            if len(calls) == 4:
                raise Stopped
            return super().__call__(model, batch)

    cut_short = replace(workshop, objectives={**workshop.objectives, "paper": Stops})
    with pytest.raises(Stopped):
        train([run], out=tmp_path / "resumed", workshop=cut_short)
    resumed = train([run], out=tmp_path / "resumed", workshop=workshop)
    assert curve(through) == curve(resumed)
    own, other = (load_file(f / "last" / "model.safetensors") for f in (through, resumed))
    assert own.keys() == other.keys()
    assert all(torch.equal(own[name], other[name]) for name in own)
    assert is_of("pixellm", str(through / "last"))
    assert not [name for name in open_model(through / "last").model.state_dict() if "lora" in name]
    answer = load(through / "last").answer(scene_samples[0].images, "Where is it?")
    assert isinstance(answer.text, str)


def test_the_run_file_names_a_pixellm_and_known_tasks():
    run = load_run(Path(__file__).parents[3] / "runs" / "pixellm_tiny.yaml")
    shop = pixellm_workshop()
    assert is_of("pixellm", run.model)
    assert {source.task for stage in run.stages for source in stage.data} <= set(shop.tasks)
    assert all(stage.objective in shop.objectives for stage in run.stages)
    assert run.stages[-1].objective == "paper"
