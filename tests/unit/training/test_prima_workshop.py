"""PRIMA's runs: stage 0, the published stage with exactly its parts, and what is left of both."""

import fnmatch
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest
import torch
from small_prima import SCENES, make_folder, reached, run_of

from deixis.config import load_run
from deixis.errors import ConfigError
from deixis.evaluation.running.benchmarks import open_benchmark
from deixis.models.prima import PRESETS, PrimaModel, prima_tiny
from deixis.processing.frames.prima_pixels import sam_placement
from deixis.reasoning.reasoner import load
from deixis.scenes.questions import make_scene
from deixis.scenes.world import WorldKey
from deixis.training.directions import fits, words_of
from deixis.training.prima.prima_asking import NOWHERE, Asking, middles_on_canvas
from deixis.training.prima.prima_bases import PrimaLooking, PrimaScanning, PrimaSketching
from deixis.training.prima.prima_objective import published_parts
from deixis.training.prima.prima_reading import PrimaGathering
from deixis.training.prima.prima_workshop import (
    build_model,
    publish,
    ready,
)
from deixis.training.running.beginning import is_of, make_config
from deixis.training.running.optimizing import freeze
from deixis.training.running.trainer import train

RECIPE = Path(__file__).parents[3] / "runs" / "prima_tiny.yaml"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_folder(tmp_path_factory.mktemp("prima") / "model")


def test_the_recipe_ends_with_exactly_the_published_parts_of_at_most_eight_million():
    run = load_run(RECIPE)
    config = make_config(run.model, run.model_overrides, PRESETS)
    assert config.image_name == "after"
    with torch.device("meta"):
        model = PrimaModel(config)
        assert sum(p.numel() for p in model.parameters()) <= 8_000_000
        ready(model)
    ours = freeze(model, run.stages[-1].train)
    assert ours == freeze(model, published_parts(config))
    assert {name.split(".")[0] for name in ours} == {
        *("relation", "projection", "seg_head", "language", "decoding")
    }
    assert all("lora" in name for name in ours if name.startswith("language."))
    for stage in run.stages[:-1]:
        assert not any("lora" in name for name in freeze(model, stage.train))


def test_the_opponent_of_the_unified_family_reads_all_patches_and_relates_nothing():
    ours, theirs = (load_run(RECIPE.with_name(f"opponent_{n}.yaml")) for n in ("deixis", "glamm"))
    config = make_config(theirs.model, theirs.model_overrides, PRESETS)
    assert (config.image_rows, config.relation, config.rows_per_image) == ("patches", "none", 64)
    with torch.device("meta"):
        model = PrimaModel(config)
        assert sum(p.numel() for p in model.parameters()) <= 8_000_000
        ready(model)
    for stage in theirs.stages:
        assert freeze(model, stage.train)
    told = [{one.task for stage in run.stages for one in stage.data} for run in (ours, theirs)]
    assert told[0] == told[1]


def test_a_run_goes_through_both_stages_and_leaves_a_model_that_answers(folder, tmp_path):
    file = tmp_path / "run.yaml"
    file.write_text(
        f"name: tiny\nmodel: {folder}\nstages:\n"
        "  - {name: look, objective: prima_looking, steps: 1, batch: 1, data: [{task: multi}],\n"
        "     train: [vision.*], precision: fp32}\n"
        "  - {name: published, objective: prima, steps: 2, batch: 1, questions: 2,\n"
        "     data: [{task: multi}], train: [seg_head.*, 'language.*.lora_?.*'],\n"
        "     precision: fp32, loss_weights: {alignment: 0.5}}\n"
    )
    out = train([file], out=tmp_path / "out")
    names = load(out / "last").model.state_dict().keys()
    assert not any("lora" in name or "teaching" in name for name in names)
    assert names == PrimaModel(prima_tiny()).state_dict().keys()
    (asked,) = open_benchmark("multi-words", count=1, split="val").samples
    assert load(out / "last").answer_batch([asked])
    assert "alignment" in (out / "metrics.jsonl").read_text()


def test_what_is_published_merges_lora_and_leaves_the_trained_model_as_it_was(folder, tmp_path):
    model, _ = build_model(run_of(folder), tmp_path / "none")
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "lora_B" in name:
                weight.normal_()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    publish(model, tmp_path / "used")
    used = PrimaModel.from_pretrained(tmp_path / "used")
    layer = model.language.model.layers[0].self_attn.q_proj
    down, up = layer.lora_A["default"].weight, layer.lora_B["default"].weight
    torch.testing.assert_close(
        used.language.model.layers[0].self_attn.q_proj.weight,
        layer.base_layer.weight + 16 / 8 * up @ down,
    )
    after = model.state_dict()
    assert after.keys() == before.keys()
    assert all(torch.equal(after[name], before[name]) for name in before)


@pytest.mark.parametrize(
    ("kind", "rooms"),
    [
        (PrimaLooking, {"vision", "teaching"}),
        (PrimaScanning, {"decoding", "teaching"}),
        (PrimaSketching, {"decoding", "teaching"}),
        (PrimaGathering, {"vision", "relation", "qformer", "projection"}),
    ],
)
def test_each_base_learns_alone(folder, tmp_path, kind, rooms):
    model, processor = build_model(run_of(folder), tmp_path / "none")
    objective = kind(processor)
    parts = objective(model, objective.collate(SCENES))
    assert parts.keys() == objective.weights.keys()
    assert {name.split(".")[0] for name in reached(model, parts)} == rooms


def test_stage_zero_trains_what_each_of_its_objectives_reaches(folder, tmp_path):
    model, processor = build_model(run_of(folder), tmp_path / "none")
    objectives = (
        ("look", PrimaLooking), ("scan", PrimaScanning), ("sketch", PrimaSketching),
        ("gather", PrimaGathering),
    )  # fmt: skip
    stages = {stage.name: stage for stage in load_run(RECIPE).stages}
    for name, kind in objectives:
        objective = kind(processor)
        learns = freeze(model, stages[name].train)
        found = reached(model, objective(model, objective.collate(SCENES)))
        rooms = {one.split(".")[0] for one in found}
        assert {one.split(".")[0] for one in learns} == rooms
        model.zero_grad()


def test_things_and_parts_are_asked_for_by_words_alone_only_where_these_mean_one(folder, tmp_path):
    _, processor = build_model(run_of(folder), tmp_path / "none")
    scenes = [make_scene(WorldKey(split="train", task="many", seed=0, index=i)) for i in range(12)]
    batch = PrimaSketching(processor).collate(scenes)
    views = [v for s in scenes for v in zip(s.world.views, s.renderings, strict=True)]
    places = middles_on_canvas(batch.masks, [batch.placement] * len(batch.masks))
    alone = parts = 0
    asked = zip(batch.said.tolist(), batch.middle, batch.frame, batch.masks, places, strict=True)
    for (*said, part), middle, frame, mask, place in asked:
        view, rendering = views[frame]
        fitting = [p.thing.id for p in view.placed if fits(tuple(said), words_of(p.thing))]
        parts += part > 0
        whole = rendering.parts == part if part else rendering.parts > 0
        shown = [(rendering.things == one) & whole for one in fitting]
        assert any(torch.equal(mask.bool(), torch.from_numpy(one)) for one in shown)
        if float(middle[0]) == NOWHERE:
            alone += 1
            assert len(fitting) == 1
        else:
            torch.testing.assert_close(middle, place)
    assert alone > 3
    assert parts > 3
    assert len(batch.said) - alone - parts > 3


def test_middles_are_centres_of_mass_on_the_canvas():
    masks = torch.zeros(3, 40, 80)
    masks[0, 10:14, 20:22] = 1  # around (21, 12) of 80 x 40
    masks[1, 39, 79] = 1
    placement = sam_placement((40, 80), 64)  # 32 of 64 rows
    found = middles_on_canvas(masks, [placement] * 3)
    wanted = torch.tensor([[21 / 80, 12 / 80], [79.5 / 80, 39.5 / 80], [NOWHERE, NOWHERE]])
    torch.testing.assert_close(found, wanted)


def test_a_prompt_says_words_and_where_apart_from_each_other(folder, tmp_path):
    model, processor = build_model(run_of(folder), tmp_path / "none")
    asking = Asking(processor.config.prompt_width)
    nothing, said = torch.zeros(1, 4, dtype=torch.long), torch.tensor([[2, 5, 0, 8]])
    nowhere, here = torch.full((1, 2), NOWHERE), torch.tensor([[0.3, 0.7]])
    assert not asking(model, nothing, nowhere).any()
    words, place = asking(model, said, nowhere), asking(model, nothing, here)
    torch.testing.assert_close(asking(model, said, here), words + place)
    cells = model.decoding.sam.get_image_wide_positional_embeddings()[0]  # (C, h, w)
    row, column = 5, 2
    centre = torch.tensor([[(column + 0.5) / cells.shape[2], (row + 0.5) / cells.shape[1]]])
    torch.testing.assert_close(asking(model, nothing, centre)[0], cells[:, row, column])


def test_families_are_told_by_preset_and_by_folder(folder, tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "deixis"}')
    assert is_of("prima", "prima_scenes")
    assert is_of("prima", str(folder))
    assert not is_of("prima", "deixis_tiny")
    assert not is_of("prima", str(tmp_path))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": "prima_scene"}, r'unknown model "prima_scene".*Did you mean "prima_scenes"'),
        ({"model": "prima_tiny", "model_overrides": {"relatoin": 1}}, r'Did you mean "relation"'),
        ({"model_overrides": {"relation": "none"}}, r"model_overrides: expected none with the"),
    ],
)
def test_models_that_cannot_be_made_are_refused_by_name(folder, tmp_path, changes, message):
    with pytest.raises(ConfigError, match=message):
        build_model(run_of(folder, **changes), tmp_path / "none")


def test_every_variant_of_the_readers_questions_is_a_run_that_can_begin(folder):
    place = RECIPE.parents[1] / "benchmarks" / "prima_questions.py"
    spec = spec_from_file_location("prima_questions", place)
    script = module_from_spec(spec)
    spec.loader.exec_module(script)
    for variant, changes in script.VARIANTS.items():
        run = load_run(script.RUN, [*changes, f"start.model={folder}"])
        config = make_config(run.model, run.model_overrides, PRESETS)
        with torch.device("meta"):
            model = ready(PrimaModel(config))
        assert freeze(model, published_parts(config)), variant
        for pattern in run.start.take:
            assert fnmatch.filter(model.state_dict(), pattern), pattern
    base = load_run(script.RUN.with_name("prima_base.yaml"))
    config = make_config(base.model, base.model_overrides, PRESETS)
    assert config.relation == "none"
    with torch.device("meta"):
        model = ready(PrimaModel(config))
    for pattern in (*base.start.take, *load_run(script.RUN).start.take):
        assert fnmatch.filter(model.state_dict(), pattern), pattern
    for stage in base.stages:
        assert freeze(model, stage.train), stage.name
