"""UniPixel's runs: bases, then lessons, then the published stages with exactly their parts."""

import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from random import Random

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from toy import curve

from deixis.config import load_run
from deixis.errors import ConfigError
from deixis.evaluation.running.benchmarks import open_benchmark
from deixis.models.configs.unipixel_config import unipixel_tiny
from deixis.models.published.unipixel_keys import BUFFERS
from deixis.models.unipixel import PRESETS, UniPixelModel
from deixis.processing.unipixel import UniPixelProcessor
from deixis.reasoning.reasoner import load
from deixis.scenes.questions import make_sample, make_scene
from deixis.scenes.world import WorldKey
from deixis.training.directions import WORDS, said_in, said_of
from deixis.training.running.beginning import is_of, make_config
from deixis.training.running.optimizing import freeze
from deixis.training.running.trainer import train, workshop_of
from deixis.training.unipixel.unipixel_bases import BasesObjective, Teaching
from deixis.training.unipixel.unipixel_objective import UniPixelObjective
from deixis.training.unipixel.unipixel_recipe import add_published_adapters, published_parts
from deixis.training.unipixel.unipixel_rehearsal import Rehearsing
from deixis.training.unipixel.unipixel_speaking import Speaking
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


def small_model(seed):
    config = unipixel_tiny()
    samples = [make_sample("train", task, 3, 0) for task in ("pixelqa", "clip", "refer")]
    texts = [text for s in samples for text in (s.question.text, s.answer.text)]
    processor = UniPixelProcessor.from_texts(config, texts)
    torch.manual_seed(seed)
    return UniPixelModel(config), processor


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


def fall(objective, batch, model, steps, rate):
    """Learn one batch; the parts of the loss at first and at last."""
    optimizer, seen = torch.optim.AdamW(model.parameters(), lr=rate), []
    for _ in range(steps + 1):
        parts = objective(model, batch)
        seen.append({name: part.item() for name, part in parts.items()})
        optimizer.zero_grad()
        sum(parts.values()).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    return seen[0], seen[-1]


def scenes_of(*tasks):
    keys = [WorldKey(split="train", task=task, seed=3, index=0) for task in tasks]
    return [make_scene(key, questions=2) for key in keys]


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


def test_reading_begins_with_what_every_seg_asks():
    model, processor = small_model(1)
    objective = Speaking(processor)
    objective.teacher.lessons = replace(objective.lessons, ways={"draw": 1})
    batch = objective.collate(scenes_of("clip", "refer"))
    assert len(batch.asks) == sum(masks.shape[1] for masks in batch.lessons.truth.masks)
    first, last = fall(objective, batch, model, 12, 5e-3)
    assert set(first) == {"text", "asks", "heard", "sought", "placed"}
    assert all(last[name] < 0.9 * first[name] for name in first), last
    objective.weights = {**objective.weights, "telling": 1.0}
    with torch.no_grad():
        plain = UniPixelObjective(processor)(model, batch.lessons)
        assert objective(model, batch)["text"].item() == pytest.approx(plain["text"].item())


def test_what_words_ask_for_lies_in_columns_that_show_it():
    """A target is looked for in the cells of the frames that show it, by a slow count."""
    _, processor = small_model(1)
    objective = Speaking(processor)
    objective.teacher.lessons = replace(objective.lessons, ways={"draw": 1})
    (scene,) = scenes_of("clip")
    (lesson,) = objective.written([scene])
    batch = objective.collate([scene])
    columns = torch.nonzero(batch.lessons.tokens[0] == processor.config.video_token_id)[:, 0]
    pairs, height, width = lesson.grid[0], lesson.grid[1] // 2, lesson.grid[2] // 2
    cells = batch.wanted[:, columns].view(-1, pairs, height, width)
    assert batch.wanted.sum() == cells.sum() > 0
    targets = [t for one in scene.samples for t in one.answer.targets][: len(cells)]
    frames = scene.samples[0].images
    for own, target in zip(cells, targets, strict=True):
        shown = np.stack([
            target.masks[f].pixels if f in target.masks else np.zeros(frames[0].size)
            for f in range(len(frames))
        ])  # fmt: skip
        down, across = (
            [slice(i * side // n, -(-(i + 1) * side // n)) for i in range(n)]
            for n, side in zip((height, width), frames[0].size, strict=True)
        )
        blocks = torch.tensor(
            [[[one[a, b].mean() for b in across] for a in down] for one in shown],
            dtype=torch.float,
        )
        shows = [cell for cell in own if cell.any()]
        assert len(shows) == 1  # in the frame that is drawn first; elsewhere in others
        assert any(torch.allclose(shows[0], one, atol=1e-5) for one in blocks)
    words = [said_in(one.question, said_of(one.phrase)) for one in lesson.asked]
    assert batch.heard.tolist() == [list(own) for own in words]
    assert any(any(own) for own in words)


def test_what_is_pointed_at_is_sought_where_its_prompt_stands():
    _, processor = small_model(1)
    objective = Speaking(processor)
    objective.teacher.lessons = replace(objective.lessons, ways={"find": 1})
    scenes = scenes_of("clip", "region", "pixelqa")
    lessons = objective.written(scenes)
    batch = objective.collate(scenes)
    owner = [row for row, lesson in enumerate(lessons) for _ in lesson.asked]
    assert len(batch.wanted) == len(owner) > 3
    for wanted, row, corners in zip(batch.wanted, owner, batch.asks.coords, strict=True):
        refs = (batch.lessons.tokens[row] == processor.config.ref_token_id).nonzero()[:, 0]
        assert wanted.sum() == 1
        ref = refs.tolist().index(int(wanted.argmax()))
        torch.testing.assert_close(lessons[row].prompts.coords[ref, 0], corners[0])


@pytest.mark.parametrize("way", ["tell", "name"])
def test_what_is_spoken_of_is_sought_where_it_is_shown(way):
    """Each phrase, and what is concluded of one thing, belongs to the slots of that thing."""
    _, processor = small_model(1)
    objective = Speaking(processor)
    objective.teacher.lessons = replace(objective.lessons, ways={way: 1})
    batch = objective.collate(scenes_of("pixelqa", "region", "clip"))
    read, config = processor.vocabulary.tokenizer.decode, processor.config
    slot = config.mem_token_id if way == "tell" else config.ref_token_id
    tokens, labels = batch.lessons.tokens, batch.lessons.truth.labels
    checked = 0
    for (row, end), showing in zip(batch.named.tolist(), batch.showing, strict=True):
        columns = showing.nonzero()[:, 0]
        assert len(columns) > 0
        assert (tokens[row, columns] == slot).all()
        assert labels[row, end] != -100
        before = read(tokens[row, : int(columns[0])].tolist())
        number = re.findall(r"\[(\d+)\]", before)[-1]  # "[2]: <mem>"
        start = end
        while labels[row, start - 1] != -100:
            start -= 1
        said = read(tokens[row, start : end + 1].tolist())
        handles = re.findall(r"\[(\d+)\]", said)
        if handles:
            assert handles == [number]
            checked += 1
        else:  # a phrase ends here, or all that is said of the only thing
            assert re.search(r"[a-z]\.?$", said)
    assert len(batch.named) > 4
    assert checked or way == "name"


def test_what_words_ask_for_is_asked_where_its_middle_is():
    _, processor = small_model(1)
    objective = Speaking(processor)
    objective.teacher.lessons = replace(objective.lessons, ways={"draw": 1})
    scenes = scenes_of("clip", "refer", "many")
    masks = [mask for lesson in objective.written(scenes) for mask in lesson.masks[0]]
    asks = objective.collate(scenes).asks
    assert len(asks) == len(masks) > 3
    assert asks.pointed.any()
    for mask, pointed, (one, other) in zip(masks, asks.pointed, asks.coords, strict=True):
        assert bool(pointed) == bool(mask.any())
        if pointed:
            assert torch.equal(one, other)
            y, x = mask.nonzero().float().mean(0)
            torch.testing.assert_close(one, torch.stack([x, y]))


def test_picture_tokens_are_told_where_they_are_in_the_code_of_sam():
    model, processor = small_model(1)
    objective = Speaking(processor)
    batch = objective.collate(scenes_of("clip", "refer"))
    lessons, merged = batch.lessons, processor.config.vision_config.spatial_merge_size
    states = torch.zeros(*lessons.tokens.shape, objective.places.shape[1])
    code = model.tracker.sam.prompts.pe_layer
    for row, (tokens, grid) in enumerate(zip(lessons.tokens, lessons.grids.tolist(), strict=True)):
        columns = (tokens == processor.config.video_token_id).nonzero()[:, 0].tolist()
        times, height, width = grid[0], grid[1] // merged, grid[2] // merged
        cells = [(y, x) for _ in range(times) for y in range(height) for x in range(width)]
        for column, (y, x) in zip(columns, cells, strict=True):
            place = code(torch.tensor([(x + 0.5) / width, (y + 0.5) / height]))
            states[row, column] = place @ objective.places
    told = objective._unplaced(model, states, batch).item()
    shifted = objective._unplaced(model, states.roll(1, 1), batch).item()
    assert told < 0.25 < shifted


def test_pages_of_words_are_rehearsed_as_what_is_seen():
    model, processor = small_model(1)
    objective = Rehearsing(processor)
    objective.pages = 8
    batch = objective.collate(scenes_of("clip", "refer"))
    lessons, asks = batch.lessons, batch.asks
    assert len(lessons.tokens) == 16
    config, tokens = processor.config, lessons.tokens
    assert int((tokens == config.seg_token_id).sum()) == len(asks) > 16
    pictures = tokens == config.video_token_id
    mems = tokens == config.mem_token_id
    assert int((pictures | mems).sum()) == len(batch.words) == len(batch.noise)
    assert mems.any()
    whole = torch.zeros(*tokens.shape, 3, dtype=torch.long)
    whole[pictures | mems] = batch.words
    refs = tokens == config.ref_token_id
    torch.testing.assert_close(lessons.prompts.coords, asks.coords[~asks.said.any(1)])
    rows = (tokens == config.seg_token_id).nonzero()[:, 0].tolist()
    for target, row in enumerate(rows):
        at = batch.wanted[target] > 0
        said = asks.said[target]
        if said.any():  # what is described is where its words stand, and nothing else is described
            fitting = ((whole[row] == said) | (said == 0)).all(1) & pictures[row]
            assert fitting[at].all()
            first = pictures[row] & (pictures[row].cumsum(0) <= pictures[row].sum() // 2)
            assert first[at].all()  # not where it has moved to
            heard = batch.heard[target]
            assert ((whole[row] == heard) | (heard == 0)).all(1)[at].all()
        else:
            assert refs[row][at].all()
            assert at.sum() == 1
    for (row, end), showing in zip(batch.named.tolist(), batch.showing > 0, strict=True):
        assert mems[row][showing].all()
        own = {tuple(one) for one in whole[row][showing].tolist()}
        assert len(own) == 1
        words = processor.vocabulary.tokenizer.decode(tokens[row, : end + 1].tolist())
        category, colour, _ = own.pop()
        last = words.rsplit(" ", 1)[1].rstrip(".")
        assert last in (WORDS["category"][category - 1], WORDS["colour"][colour - 1])
    seen = objective.see(model, batch)
    own = torch.nn.functional.normalize(seen.prefix[pictures | mems], dim=1)
    kinds = objective.named(model.language.embed_tokens.weight)["category"]
    right = (own @ kinds.T).argmax(1) == batch.words[:, 0] - 1
    assert right[batch.words[:, 0] > 0].float().mean() > 3 / len(kinds)  # by chance 1
    first, last = fall(objective, batch, model, 12, 5e-3)
    assert all(last[name] < first[name] for name in first), last


def test_a_step_in_which_nothing_is_drawn_teaches_words_alone():
    model, processor = small_model(1)
    objective = Speaking(processor)
    objective.teacher.lessons = replace(objective.lessons, ways={"tell": 1})
    batch = objective.collate(scenes_of("pixelqa"))
    assert len(batch.asks) == 0
    parts = objective(model, batch)
    assert parts["text"] > 0
    assert parts["asks"] == parts["heard"] == 0
    assert parts["sought"] > 0  # at what is spoken of
    sum(parts.values()).backward()


def test_of_few_frames_that_are_drawn_the_first_is_where_it_shows(folder):
    _, processor = small_model(1)
    objective = Speaking(processor)
    for index in range(4):
        key = WorldKey(split="train", task="clip", seed=4, index=index)
        (lesson,) = objective.written([make_scene(key, questions=2)])
        assert len(lesson.clip) <= objective.lessons.drawn
        if len(lesson.asked) == lesson.masks.shape[1] and lesson.asked:
            assert lesson.masks[0].flatten(1).any(1).any()  # one of them at least


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
