"""Stage 0 of UniPixel's decoder: what it is told, and what it rehearses."""

import re
from dataclasses import replace
from itertools import pairwise
from random import Random

import numpy as np
import pytest
import torch
from small_unipixel import fall, scenes_of, small_model

from deixis.scenes.questions import make_scene
from deixis.scenes.world import WorldKey
from deixis.training.directions import WORDS, said_in, said_of
from deixis.training.unipixel.unipixel_lessons import Teacher
from deixis.training.unipixel.unipixel_objective import UniPixelObjective
from deixis.training.unipixel.unipixel_recipe import EVERYTHING
from deixis.training.unipixel.unipixel_rehearsal import Rehearsing
from deixis.training.unipixel.unipixel_speaking import BEGINNING, Speaking


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
    for (row, end), showing in zip(batch.spoken.tolist(), batch.showing, strict=True):
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
    assert len(batch.spoken) > 4
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
    for (row, end), showing in zip(batch.spoken.tolist(), batch.showing > 0, strict=True):
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


def test_of_few_frames_that_are_drawn_the_first_is_where_it_shows():
    _, processor = small_model(1)
    objective = Speaking(processor)
    for index in range(4):
        key = WorldKey(split="train", task="clip", seed=4, index=index)
        (lesson,) = objective.written([make_scene(key, questions=2)])
        assert len(lesson.clip) <= objective.lessons.drawn
        if len(lesson.asked) == lesson.masks.shape[1] and lesson.asked:
            assert lesson.masks[0].flatten(1).any(1).any()  # one of them at least


@pytest.mark.parametrize(("lessons", "farthest"), [(EVERYTHING, 15), (BEGINNING, 7)])
def test_published_lessons_read_whole_clips_and_the_first_ones_what_follows(lessons, farthest):
    """Of 16 frames four are read: of equal stretches, or four that follow each other of eight."""
    _, processor = small_model(1)
    processor.config.read_frames = 16
    teacher = Teacher(processor, replace(lessons, frames=4))
    keys = [WorldKey(split="train", task="clip", seed=3, index=index) for index in range(40)]
    clips = [make_scene(key, questions=1).samples for key in keys]
    (long, *_) = [samples for samples in clips if len(samples[0].images) == 16]
    reads = [teacher._plan(long, Random(seed)).read for seed in range(200)]
    spans = [read[-1] - read[0] for read in reads]
    assert all(len(read) == 4 and all(a < b for a, b in pairwise(read)) for read in reads)
    assert max(spans) == farthest
    assert {read[0] for read in reads} > {0}
    assert min(spans) >= (9 if lessons is EVERYTHING else 5)
