"""PRIMA's reading: what rows of images and states of answers are told."""

import math

import numpy as np
import pytest
import torch
from small_prima import SCENES, make_folder, reached, run_of

from deixis.models.configs.deixis_config import scene_words
from deixis.models.prima import asked_frames
from deixis.nn.cells import POINTS, cell_cross_entropy, read_cells
from deixis.processing.words.prima_words import slots_written
from deixis.scenes.knowing.facts import Facts
from deixis.scenes.questions import make_scene
from deixis.scenes.world import WorldKey
from deixis.training.directions import fits, shares_of, unfound, words_of
from deixis.training.prima.prima_asking import ASKED, asked_by
from deixis.training.prima.prima_reading import PrimaGathering, PrimaSpeaking
from deixis.training.prima.prima_standing import ALL, true_of
from deixis.training.prima.prima_workshop import (
    build_model,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_folder(tmp_path_factory.mktemp("prima") / "model")


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
    *wanted, nothing = wanted
    assert len(wanted) == len(asked.slots.row) > 5
    assert nothing.nonzero().tolist() == [[0]]
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


