"""UniPixel's runs: bases, then lessons, then the published stages with exactly their parts."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from random import Random

import pytest
import torch
from safetensors.torch import load_file
from small_unipixel import fall, scenes_of, small_model
from toy import curve

from deixis.config import load_run
from deixis.errors import ConfigError
from deixis.evaluation.running.benchmarks import open_benchmark
from deixis.models.published.unipixel_keys import BUFFERS
from deixis.models.unipixel import PRESETS, UniPixelModel
from deixis.reasoning.reasoner import load
from deixis.training.running.beginning import is_of, make_config
from deixis.training.running.optimizing import freeze
from deixis.training.running.trainer import train, workshop_of
from deixis.training.unipixel.unipixel_bases import BasesObjective, Teaching
from deixis.training.unipixel.unipixel_objective import UniPixelObjective
from deixis.training.unipixel.unipixel_recipe import add_published_adapters, published_parts
from deixis.training.unipixel.unipixel_workshop import unipixel_workshop

pytest.importorskip("peft")
RECIPE = Path(__file__).parents[3] / "runs" / "unipixel_tiny.yaml"
PARTS = {
    "pointing": "[prompting.point.*, prompting.box.*, prompting.project.*,"
    " prompting.clock_kind.*, prompting.time.*]",
    "drawing": "[seg_head.*]",
    "whole": "['language.*.lora_?.*', 'vision.*.lora_?.*', language.embed_tokens.*, lm_head.*,"
    " prompting.*, regions.*, seg_head.*, {name: tracker.*, lr_factor: 0.25}]",
}
HEAD = "name: small\nmodel: {model}\nseed: 3\nstages:\n"
STAGE = (
    "  - {{name: {name}, objective: {objective}, steps: 2, batch: 1, questions: 2,\n"
    "     data: [{{task: {task}}}], train: {train}, precision: fp32, log_every: 1,\n"
    "     save_every: 1, optimizer: {{lr: 1e-2, warmup: 0}}}}\n"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A tiny UniPixel with random weights, as a model folder."""
    path = tmp_path_factory.mktemp("unipixel") / "model"
    model, processor = small_model(2)
    model.save_pretrained(path)
    processor.save_pretrained(path)
    return path


def run_file(path, folder, *stages):
    known = {"sketching": ("refer", "[tracker.*, teaching.*]")}
    known |= {name: ("clip", parts) for name, parts in PARTS.items()}
    text = HEAD.format(model=folder)
    for name in stages:
        task, parts = known[name]
        text += STAGE.format(name=name, objective=name, task=task, train=parts)
    path.write_text(text)
    return path


def test_the_recipe_has_eight_million_weights_and_its_stages_their_published_parts():
    run = load_run(RECIPE)
    config = make_config(run.model, run.model_overrides, PRESETS)
    with torch.device("meta"):
        model = UniPixelModel(config)
        assert sum(weight.numel() for weight in model.parameters()) <= 8_000_000
        add_published_adapters(model)
        model.teaching = Teaching(config)
    *bases, rehearse, speak, join = run.stages[:-3]
    assert {n.split(".")[0] for n in freeze(model, rehearse.train)} <= {
        *("prompting", "language", "seg_head")
    }
    published = run.stages[-3:]
    rooms = {
        stage.name: {name.split(".")[0] for name in freeze(model, stage.train)} for stage in bases
    }
    assert rooms == {
        "look": {"vision", "merge", "regions", "teaching"},
        "scan": {"tracker", "teaching"},
        "sketch": {"tracker", "teaching"},
        "follow": {"tracker", "teaching"},
    }
    assert not any(name.startswith("tracker") for name in freeze(model, speak.train))
    everything = freeze(model, join.train)
    rest = {n for n, _ in model.named_parameters() if "lora" not in n and "teaching" not in n}
    assert set(everything) == rest
    assert [stage.name for stage in published] == ["pointing", "drawing", "whole"]
    for stage in published:
        assert stage.objective == stage.name
        theirs = freeze(model, published_parts(stage.name, tied=config.tie_word_embeddings))
        assert freeze(model, stage.train) == theirs
    assert {"clip", "pixelqa", "region"} <= {s.task for one in run.stages for s in one.data}
    assert set(published[-1].judge.tasks) >= {"clip", "pixelqa"}


def test_a_run_goes_through_all_stages_and_leaves_a_model_that_answers(folder, tmp_path):
    file = run_file(tmp_path / "run.yaml", folder, "sketching", "pointing", "drawing", "whole")
    out = train([file], out=tmp_path / "out")
    names = load(out / "last").model.state_dict().keys()
    assert names == small_model(0)[0].state_dict().keys()
    (asked,) = open_benchmark("pixelqa", count=1, split="val").samples
    assert load(out / "last").answer_batch([asked.without_answer()])
    kept = [
        load_file(sorted((out / name).glob("checkpoint-*"))[-1] / "model.safetensors")
        for name in ("pointing", "drawing", "whole")
    ]
    before = load_file(folder / "model.safetensors")
    for name in BUFFERS:  # every stage's checkpoint carries them, as it found them
        assert all(torch.equal(one[name], before[name]) for one in kept)
    moved = {n.split(".")[0] for n in kept[1] if not torch.equal(kept[0][n], kept[1][n])}
    assert moved == {"seg_head"}
    learned = {n.split(".")[0] for n in kept[2] if not torch.equal(kept[1][n], kept[2][n])}
    assert learned <= {*("language", "vision", "lm_head", "prompting", "regions"),
                       *("seg_head", "tracker")}  # fmt: skip
    woken = [n for n in kept[2] if "lora_B" in n and not torch.equal(kept[1][n], kept[2][n])]
    assert {name.split(".")[0] for name in woken} == {"language", "vision"}  # they had rested
    assert torch.equal(kept[1]["seg_head.1.bias"], load_before(out, "whole")["seg_head.1.bias"])


def load_before(out, stage):
    """What a stage began with: the last checkpoint of the one before it."""
    order = ["pointing", "drawing", "whole"]
    earlier = order[order.index(stage) - 1]
    return load_file(sorted((out / earlier).glob("checkpoint-*"))[-1] / "model.safetensors")


def test_a_run_that_was_killed_goes_on_to_the_same_curve_and_weights(folder, tmp_path):
    file = run_file(tmp_path / "run.yaml", folder, "drawing", "whole")
    through = train([file], out=tmp_path / "through")
    plain, calls = unipixel_workshop(), []

    def cut(kind):
        def made(processor):
            objective = plain.objectives[kind](processor)
            collate = objective.collate

            def counted(scenes):
                calls.append(kind)
                if len(calls) == 4:
                    raise KeyboardInterrupt
                return collate(scenes)

            objective.collate = counted
            return objective

        return made

    killed = replace(plain, objectives={kind: cut(kind) for kind in ("drawing", "whole")})
    with pytest.raises(KeyboardInterrupt):
        train([file], out=tmp_path / "resumed", workshop=killed)
    resumed = train([file], out=tmp_path / "resumed")
    assert curve(resumed) == curve(through)
    own, other = (load_file(f / "last" / "model.safetensors") for f in (through, resumed))
    assert all(torch.equal(own[name], other[name]) for name in own)


def test_a_stage_with_other_parts_is_refused_when_it_begins(folder, tmp_path):
    file = run_file(tmp_path / "run.yaml", folder, "drawing")
    file.write_text(file.read_text().replace("[seg_head.*]", "[seg_head.*, regions.*]"))
    with pytest.raises(ConfigError, match=r'published stage "drawing" to learn, .* learning too'):
        train([file], out=tmp_path / "out")


def test_bases_are_taught_to_both_encoders_and_to_follow_and_nothing_else():
    model, processor = small_model(1)
    model.teaching = Teaching(model.config)
    objective = BasesObjective(processor)
    batch = objective.collate(scenes_of("clip", "refer"))
    assert batch.lengths == (3, 1)
    assert len(batch.canvas) == 4
    assert batch.grids[:, 0].tolist() == [2, 1]  # a pair of frames and a single one; a picture
    assert len(batch.named) == len(batch.touched) == 2
    assert batch.objects == tuple(one.shape[1] for one in batch.masks)
    assert len(batch.asks) == sum(batch.objects)
    assert [len(one) for one in batch.masks] == [3, 1]
    first, last = fall(objective, batch, model, 20, 3e-3)
    assert set(first) == set(objective.weights)
    assert all(last[name] < first[name] for name in objective.weights), (first, last)
    reached = {n.split(".")[0] for n, p in model.named_parameters() if p.grad is not None}
    assert reached == {"vision", "tracker", "teaching", "merge", "regions", "language"}
    tables = {n for n, p in model.named_parameters() if p.grad is not None and "language" in n}
    assert tables == {"language.embed_tokens.weight"}  # of the decoder only its table of words


@pytest.mark.parametrize("total", [1, 2, 3, 5, 30])
def test_frames_that_are_followed_come_one_after_another(total):
    _, processor = small_model(1)
    objective, found = BasesObjective(processor), set()
    for seed in range(60):
        moments = objective._moments(total, Random(seed))
        assert len(moments) == min(total, objective.frames)
        assert set(moments) <= set(range(total))
        steps = {b - a for a, b in pairwise(moments)}
        assert len(steps) <= 1
        found.add((moments[0], *steps))
    strides = {1: set(), 2: {1}, 3: {1}}.get(total, {1, 2})
    assert {step for _, *steps in found for step in steps} == strides
    if total > 5:
        assert {first for first, *_ in found} >= {0, total - 3}


def test_what_clips_ask_together_is_what_they_ask_alone():
    model, processor = small_model(1)
    model.teaching = Teaching(model.config)
    objective, scenes = BasesObjective(processor), scenes_of("clip", "refer", "pixelqa", "many")
    with torch.no_grad():
        together = objective.collate(scenes)
        alone = [objective.collate([scene]) for scene in scenes]
        masks = [objective(model.train(), one)["masks"] * sum(one.lengths) for one in alone]
        whole = objective(model, together)["masks"] * sum(together.lengths)
    # Objects of one length are averaged over all clips together, hence weigh alike.
    objects = [one.objects[0] for one in alone]
    singles = [(m, n) for m, n, one in zip(masks, objects, alone, strict=True)
               if one.lengths[0] == 1]  # fmt: skip
    clips = [(m, n) for m, n, one in zip(masks, objects, alone, strict=True) if one.lengths[0] > 1]
    wanted = sum(
        len(some) * sum(m * n for m, n in some) / sum(n for _, n in some)
        for some in (singles, clips)
    )
    assert whole.item() == pytest.approx(wanted.item(), rel=1e-3)


def test_the_cells_of_patches_stand_where_their_pixels_are():
    """Thrust one patch aside and see which of the labels changes."""
    model, _ = small_model(1)
    teaching = Teaching(model.config).eval()
    with torch.no_grad():
        features = torch.randn(6, model.config.merged_width)  # (1, 2 x 3 merged cells)
        plain = teaching.of_patches(features, (4, 6))["category"]
        width = model.config.merged_width // 4
        changed = features.clone()
        changed[4, 2 * width : 3 * width] += 1  # cell (1, 1), its lower left patch
        other = teaching.of_patches(changed, (4, 6))["category"]
    assert plain.shape[2:] == (4, 6)
    assert torch.nonzero((plain != other).any(1)[0]).tolist() == [[3, 2]]


def test_lessons_are_learned():
    model, processor = small_model(1)
    objective = UniPixelObjective(processor)
    batch = objective.collate(scenes_of("clip", "pixelqa"))
    first, last = fall(objective, batch, model, 12, 5e-3)
    assert all(last[name] < 0.9 * first[name] for name in first), last


def test_families_are_told_by_preset_and_by_folder(folder, tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "prima"}')
    assert is_of("unipixel", "unipixel_scenes")
    assert is_of("unipixel", str(folder))
    assert not is_of("unipixel", "prima_scenes")
    assert not is_of("unipixel", str(tmp_path))
    assert workshop_of(str(folder)).tasks == unipixel_workshop().tasks


def test_overrides_of_a_folder_are_refused(folder, tmp_path):
    file = run_file(tmp_path / "run.yaml", folder, "drawing")
    with pytest.raises(ConfigError, match=r"model_overrides: expected none with the folder"):
        train([file], ["model_overrides.hidden_tokens=3"], out=tmp_path / "out")
