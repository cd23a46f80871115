"""PRIMA's runs: stage 0, the published stage with exactly its parts, and what is left of both."""

import fnmatch
import math
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np
import pytest
import torch

from deixis.config import TrainRun, load_run
from deixis.errors import ConfigError
from deixis.evaluation.running.benchmarks import open_benchmark
from deixis.models.configs.deixis_config import scene_words
from deixis.models.prima import PRESETS, PrimaModel, asked_frames, prima_tiny
from deixis.nn.cells import POINTS, cell_cross_entropy, read_cells
from deixis.processing.frames.prima_pixels import sam_placement
from deixis.processing.prima import PrimaProcessor
from deixis.processing.words.prima_words import slots_written
from deixis.reasoning.reasoner import load
from deixis.scenes.knowing.facts import Facts
from deixis.scenes.questions import make_sample, make_scene
from deixis.scenes.world import WorldKey
from deixis.training.directions import fits, shares_of, unfound, words_of
from deixis.training.prima.prima_asking import ASKED, NOWHERE, Asking, asked_by, middles_on_canvas
from deixis.training.prima.prima_bases import PrimaLooking, PrimaScanning, PrimaSketching
from deixis.training.prima.prima_objective import published_parts
from deixis.training.prima.prima_reading import PrimaGathering, PrimaSpeaking
from deixis.training.prima.prima_standing import ALL, true_of
from deixis.training.prima.prima_workshop import (
    build_model,
    publish,
    ready,
)
from deixis.training.running.beginning import is_of, make_config
from deixis.training.running.optimizing import freeze
from deixis.training.running.trainer import train

RECIPE = Path(__file__).parents[3] / "runs" / "prima_tiny.yaml"
STAGE = {"batch": 1, "data": [{"task": "multi"}], "precision": "fp32", "log_every": 1}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A tiny PRIMA with random weights, as a model folder."""
    path = tmp_path_factory.mktemp("prima") / "model"
    samples = [make_sample("train", "multi", 3, index) for index in range(6)]
    config = prima_tiny()
    texts = [text for s in samples for text in (s.question.text, s.answer.text)]
    processor = PrimaProcessor.from_texts(config, texts)
    torch.manual_seed(2)
    PrimaModel(config).save_pretrained(path)
    processor.save_pretrained(path)
    return path


def run_of(folder, **changes):
    stages = [{"name": "published", "objective": "prima", "steps": 1, **STAGE}]
    values = {"name": "tiny", "model": str(folder), "stages": stages, **changes}
    return TrainRun.model_validate(values)


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


SCENES = [
    make_scene(WorldKey(split="train", task="multi", seed=0, index=index), questions=3)
    for index in range(2)
]


def reached(model, parts):
    """Return the parameters that have a gradient."""
    sum(parts.values()).backward()
    return {name for name, p in model.named_parameters() if p.grad is not None and p.grad.any()}


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


@pytest.mark.parametrize(
    ("phrase", "words"),
    [
        ("wheels of the green car", ("car", "green", "", "wheel")),
        ("leaves of the plain red flower", ("flower", "red", "plain", "leaf")),
        ("mug with a blue handle", ("mug", "", "", "")),
        ("handle of the red mug with a blue base", ("mug", "red", "", "handle")),
        ("thing", ("", "", "", "")),
    ],
)
def test_a_phrase_asks_for_a_thing_or_for_a_part_of_it(phrase, words):
    tables = [scene_words()[kind] for kind in ASKED]
    numbered = zip(asked_by(phrase), tables, strict=True)
    assert tuple(table[one - 1] if one else "" for one, table in numbered) == words


def test_speaking_knows_the_phrase_of_every_slot_and_draws_nothing(folder, tmp_path):
    model, processor = build_model(run_of(folder), tmp_path / "none")
    objective = PrimaSpeaking(processor)
    batch = objective.collate(SCENES)
    slots = batch.asked.slots
    samples = [s for scene in SCENES for s in scene.samples if not s.question.prompts]
    phrases = [
        (row, asked_by(target.phrase))
        for row, sample in enumerate(samples)
        for target, _ in slots_written(sample.answer)
    ]
    said = zip(slots.row.tolist(), map(tuple, batch.said.tolist()), strict=True)
    assert list(said) == phrases
    for middle, mask in zip(batch.middle.tolist(), batch.asked.truth.masks, strict=True):
        y, x = (mask.nonzero().float().mean(0) + 0.5) / torch.tensor(mask.shape)
        assert middle == pytest.approx([float(x), float(y)], abs=1e-5)
    torch.manual_seed(0)
    parts = objective(model, batch)
    assert parts.keys() == objective.weights.keys()
    rooms = {name.split(".")[0] for name in reached(model, parts)}
    assert rooms == {"vision", "relation", "qformer", "projection", "language", "seg_head"}


def test_targets_are_sought_in_the_rows_of_their_own_image_by_a_slow_loop(folder, tmp_path):
    model, processor = build_model(run_of(folder), tmp_path / "none")
    objective = PrimaSpeaking(processor)
    asked = objective.collate(SCENES).asked
    with torch.no_grad():
        seen = model.see(asked)
        wanted = objective._wanted(objective._columns(seen, asked), seen, asked)
    assert len(wanted) == len(asked.slots.row) > 5
    side = 1  # of the largest square grid in three rows
    slots = zip(asked.slots.row.tolist(), asked.slots.frame.tolist(), strict=True)
    for own, (row, frame), mask in zip(wanted, slots, asked.truth.masks, strict=True):
        frames = (asked.layout.set == asked.set_of_row[row]).nonzero()[:, 0].tolist()
        place = asked.images[row].nonzero()[frames.index(frame), 0]
        first = int(seen.lengths[row, :place].sum())
        share = torch.nn.functional.adaptive_avg_pool2d(mask[None], side).flatten()
        torch.testing.assert_close(own[first : first + side**2], share)
        assert own.count_nonzero() == share.count_nonzero() == 1


def test_what_is_heard_of_a_target_is_true_of_it(folder, tmp_path):
    _, processor = build_model(run_of(folder), tmp_path / "none")
    batch = PrimaSpeaking(processor).collate(SCENES)
    views = [v for s in SCENES for v in zip(s.world.views, s.renderings, strict=True)]
    facts = [(Facts(s.world, s.renderings), f) for s in SCENES for f in range(len(s.renderings))]
    starts = np.cumsum([0, *map(len, ALL.values())]).tolist()
    heard = stood = 0
    asked = batch.asked
    told = zip(asked.slots.frame.tolist(), batch.heard.tolist(), batch.sayings, strict=True)
    for (frame, words, sayings), mask in zip(told, asked.truth.masks, strict=True):
        view, rendering = views[frame]
        things = rendering.things[mask.numpy() > 0]
        (thing,) = (p.thing for p in view.placed if p.thing.id == np.bincount(things).argmax())
        assert fits(tuple(words), words_of(thing))
        heard += sum(word > 0 for word in words)
        said = true_of(*facts[frame])[thing.id]
        columns = [start + int(one) - 1 for start, one in zip(starts, sayings, strict=False) if one]
        stood += sum(bool(said[column]) for column in columns)
    assert heard > 3
    assert stood > 0


def test_parts_of_images_are_told_what_is_true_of_their_things(folder, tmp_path):
    _, processor = build_model(run_of(folder), tmp_path / "none")
    objective = PrimaGathering(processor)
    objective.side = 4
    true = objective.collate(SCENES).true
    frames = [(s, frame) for s in SCENES for frame in range(len(s.renderings))]
    assert len(true) == len(frames)
    for own, (scene, frame) in zip(true, frames, strict=True):
        table = true_of(Facts(scene.world, scene.renderings), frame)
        things = scene.renderings[frame].things
        cells = [block for row in np.split(things, 4) for block in np.split(row, 4, axis=1)]
        wanted = [table[cell.flatten()].mean(0) * 1.0 for cell in cells]
        np.testing.assert_allclose(own.numpy(), np.stack(wanted), atol=1e-5)


def test_what_a_question_means_is_found_among_the_rows_of_all_its_images(folder, tmp_path):
    _, processor = build_model(run_of(folder), tmp_path / "none")
    objective = PrimaGathering(processor)
    objective.side = side = 4
    keys = (WorldKey(split="train", task="multi", seed=0, index=index) for index in range(2, 20))
    more = next(s for s in map(make_scene, keys) if len(s.renderings) != len(SCENES[0].renderings))
    batch = objective.collate([*SCENES, more])
    row, frame = asked_frames(batch.asked)
    slots, masks = batch.asked.slots, batch.asked.truth.masks
    wanted = torch.zeros(len(row), side, side)
    for own, where, mask in zip(slots.row.tolist(), slots.frame.tolist(), masks, strict=True):
        (here,) = ((row == own) & (frame == where)).nonzero()[:, 0].tolist()
        count = int((slots.row == own).sum())
        for y, x in mask.nonzero().tolist():
            cell = y * side // mask.shape[0], x * side // mask.shape[1]
            wanted[here][cell] += 1 / (mask.sum() * count)
    torch.testing.assert_close(batch.meant, wanted.flatten(1))

    alike = torch.randn(len(row), side**2, 40, generator=torch.Generator().manual_seed(0))
    alike -= (alike @ objective.meaning.T) * objective.meaning  # nothing is meant
    drawn = slots.row.unique().tolist()
    blind = [math.log(side**2 * int((row == own).sum())) for own in drawn]
    unmeant = objective._unmeant(alike, batch)
    assert float(unmeant) == pytest.approx(sum(blind) / len(blind), rel=1e-4)
    shown = torch.where((batch.meant > 0)[..., None], 9 * objective.meaning, alike)
    found = [math.log(int((batch.meant[row == own] > 0).sum())) for own in drawn]
    assert float(objective._unmeant(shown, batch)) < sum(found) / len(found) + 0.01
    assert len(set(blind)) > 1, "sets of several sizes"


def test_words_find_the_rows_that_show_them():
    words = torch.nn.init.orthogonal_(torch.empty(3, 8))
    rows = torch.stack([words[[0, 1, 2, 0]], words[[1, 1, 2, 2]]])  # (X, 4, D)
    labels = torch.tensor([[1, 2, 3, 1], [2, 2, 3, 3]]).reshape(2, 1, 2, 2)
    shares = shares_of(labels, 3)
    right = unfound(rows, words, shares)
    assert right == pytest.approx((math.log(2) + 2 * math.log(3)) / 3, abs=1e-4)
    assert unfound(rows.roll(1, 1), words, shares) > right + 5
    assert unfound(rows, words, torch.zeros_like(shares)) == 0


def test_labels_of_cells_are_those_at_their_points_by_a_slow_loop():
    ids = torch.randint(0, 5, (2, 11, 17))
    read = read_cells(ids, (3, 4), extent=(1.0, 0.6))
    assert read.shape == (2, POINTS**2, 3, 4)
    for y in range(3 * POINTS):
        for x in range(4 * POINTS):
            row, share = int((y + 0.5) / (3 * POINTS) * 11), (x + 0.5) / (4 * POINTS) / 0.6
            wanted = ids[:, row, int(share * 17)] if share < 1 else torch.full((2,), -1)
            point = (y % POINTS) * POINTS + x % POINTS
            assert torch.equal(read[:, point, y // POINTS, x // POINTS], wanted)


def test_cells_outside_the_picture_teach_nothing():
    logits = torch.randn(1, 3, 2, 2, requires_grad=True)
    labels = torch.tensor([[[[1, -1], [2, -1]]]])
    cell_cross_entropy(logits, labels).backward()
    assert not logits.grad[..., 1].any()
    assert logits.grad[..., 0].any()


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
    assert load_run(script.RUN.with_name("prima_base.yaml")).stages == load_run(RECIPE).stages[:-1]
