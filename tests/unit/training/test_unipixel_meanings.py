"""What hidden tokens mean in stage 0: places as SAM codes them, words as fixed directions."""

from random import Random

import pytest
import torch

from deixis.models.configs.unipixel_config import unipixel_tiny
from deixis.models.unipixel import UniPixelModel
from deixis.processing.unipixel import UniPixelProcessor
from deixis.scenes.questions import make_scene
from deixis.scenes.world import WorldKey
from deixis.structures.prompts import Box, Point
from deixis.training.directions import NOTHING, WORDS, fits, said_of
from deixis.training.unipixel.unipixel_bases import (
    BasesObjective,
    Looking,
    Scanning,
    Sketching,
    Teaching,
)
from deixis.training.unipixel.unipixel_lessons import Teacher
from deixis.training.unipixel.unipixel_meanings import Asks, Meanings, ask_for, words_of_none
from deixis.training.unipixel.unipixel_recipe import Lessons

POINT = Point(image=0, x=10.0, y=20.0)
BOX = Box(image=0, x0=8.0, y0=4.0, x1=40.0, y1=30.0)
SIZE = (64, 128)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return UniPixelModel(unipixel_tiny())


def spelled(said):
    return [
        WORDS[kind][index - 1] if index else None
        for kind, index in zip(WORDS, said, strict=True)
    ]


@pytest.mark.parametrize(
    ("phrase", "words"),
    [
        ("red mug", ["mug", "red", None]),
        ("striped blue fish with a pink fin", ["fish", "blue", "striped"]),
        ("handle of the red mug", [None, None, None]),
        ("thing to the left", [None, None, None]),
    ],
)
def test_a_phrase_says_what_its_thing_is(phrase, words):
    assert spelled(said_of(phrase)) == words


def test_places_are_asked_as_sam_codes_them_and_words_by_their_directions(model):
    meanings, side = Meanings(model.config.sam_width), model.config.sam_config.image_size
    red, mug = said_of("red mug"), said_of("mug")
    asked = [(POINT, NOTHING), (BOX, NOTHING), (None, red), (POINT, mug), (None, NOTHING)]
    asks = Asks.of(asked, [SIZE] * len(asked), side)
    assert asks.known.tolist() == [True, True, True, True, False]
    with torch.no_grad():
        tokens = meanings.tokens(model, asks)
        codes = model.tracker.sam.prompts
        corners = torch.tensor([[8.0, 4.0 * side / 64], [40.0, 30.0 * side / 64]])
        corners[:, 0] *= side / 128
        corners[1] -= 1
        wanted = codes.boxes(corners.reshape(1, 4))[0]
        nothing = codes.no_points(1, 1)[0, 0]
    assert tokens.shape == (5, model.config.hidden_tokens, model.config.sam_width)
    torch.testing.assert_close(tokens[1], wanted)
    torch.testing.assert_close(tokens[0, 0], tokens[3, 0])  # the same point
    torch.testing.assert_close(tokens[0, 1], nothing)
    torch.testing.assert_close(tokens[2, 0], nothing)
    torch.testing.assert_close(tokens[2, 1], meanings.directions(torch.tensor([red]))[0])
    torch.testing.assert_close(tokens[4], nothing.expand(2, -1))
    ids = torch.tensor([said_of(f"{word} mug") for word in WORDS["colour"]])
    apart = torch.nn.functional.normalize(meanings.directions(ids * torch.tensor([0, 1, 0])), dim=1)
    torch.testing.assert_close(apart @ apart.T, torch.eye(len(ids)), rtol=0, atol=1e-5)


@pytest.mark.parametrize("count", [1, 3])
def test_any_number_of_hidden_tokens_is_asked(model, count, monkeypatch):
    monkeypatch.setattr(model.config, "hidden_tokens", count)
    asks = Asks.of([(POINT, NOTHING), (None, said_of("red mug"))], [SIZE] * 2, 64)
    tokens = Meanings(model.config.sam_width).tokens(model, asks)
    assert tokens.shape == (2, count, model.config.sam_width)
    assert not torch.equal(tokens[0], tokens[1])


def test_nothing_may_be_asked(model):
    asks = Asks.of([], [], 64)
    tokens = Meanings(model.config.sam_width).tokens(model, asks)
    assert tokens.shape == (0, model.config.hidden_tokens, model.config.sam_width)
    assert asks.known.shape == (0,)


def scenes_of(task, count):
    keys = [WorldKey(split="train", task=task, seed=5, index=index) for index in range(count)]
    return [make_scene(key, questions=3) for key in keys]


def processor_of(scenes):
    texts = [q.question.text for scene in scenes for q in scene.samples]
    return UniPixelProcessor.from_texts(unipixel_tiny(), texts)


def test_a_lesson_knows_what_each_of_its_targets_was_asked_with():
    scenes = scenes_of("pixelqa", 6) + scenes_of("clip", 6)
    processor = processor_of(scenes)
    pointed, named = 0, 0
    for scene in scenes:
        for way in ("find", "draw"):
            lesson = Teacher(processor, Lessons(ways={way: 1})).lesson(scene.samples, Random(1))
            if lesson is None:
                continue
            assert len(lesson.asked) == lesson.masks.shape[1]
            assert all((one.prompt is None) is (way == "draw") for one in lesson.asked)
            for one, mask in zip(lesson.asked, lesson.masks[0], strict=True):
                prompt = one.prompt
                named += prompt is None and any(said_of(one.phrase))
                if isinstance(prompt, Point):  # on the first frame that is drawn
                    pointed += 1
                    scale = mask.shape[0] / scene.samples[0].images[0].size[0]
                    y, x = int(prompt.y * scale), int(prompt.x * scale)
                    assert mask[max(0, y - 1) : y + 2, max(0, x - 1) : x + 2].any()
    assert pointed
    assert named


def test_words_ask_for_one_thing_alone_and_absent_words_for_none():
    said = {1: said_of("plain red mug"), 2: said_of("striped red mug"), 3: said_of("plain red car")}
    scene = scenes_of("clip", 1)[0]
    things = scene.renderings[0].things
    mask = scene.samples[0].answer.targets[0].masks
    mask = next(iter(mask.values()))
    assert things.shape == mask.size
    seen = {}
    for seed in range(60):
        prompt, words = ask_for(mask, 1, said, Random(seed))
        seen[prompt is None, any(words)] = words
        if any(words):
            assert words == said[1]  # its pattern tells it from the other red mug
        absent = words_of_none(set(said.values()), Random(seed))
        assert not any(fits(absent, own) for own in said.values())
        assert absent[2] == 0
    assert set(seen) >= {(False, False), (True, True), (False, True)}


def test_each_encoder_looks_alone_at_every_picture_and_is_asked_for_nothing():
    scenes = scenes_of("refer", 3)
    processor = processor_of(scenes)
    kinds = (Looking, Scanning, Sketching, BasesObjective)
    looked, scanned, sketched, drawn = (kind(processor).collate(scenes) for kind in kinds)
    assert [len(one.canvas) for one in (looked, scanned, sketched, drawn)] == [0, 3, 3, 3]
    assert [len(one.grids) for one in (looked, scanned, sketched, drawn)] == [3, 0, 0, 3]
    assert not len(looked.asks) + len(scanned.asks)
    assert len(sketched.asks) == len(drawn.asks) > 0
    for kind, ids in drawn.words.items():
        assert torch.equal(ids, looked.words[kind])
        assert torch.equal(ids, scanned.words[kind])
    assert all(map(torch.equal, looked.named, drawn.named))
    rooms = {
        Looking: {"vision", "merge", "regions", "teaching", "language"},
        Scanning: {"tracker", "teaching"},
        Sketching: {"tracker", "teaching"},
    }
    for kind, wanted in rooms.items():
        torch.manual_seed(0)
        model = UniPixelModel(unipixel_tiny())
        model.teaching = Teaching(model.config)
        objective = kind(processor)
        parts = objective(model, objective.collate(scenes))
        assert ("masks" in parts) == (kind is Sketching)
        sum(parts.values()).backward()
        learned = {n for n, p in model.named_parameters() if p.grad is not None and p.grad.any()}
        assert {name.split(".")[0] for name in learned} == wanted
        if kind is Scanning:
            of_sam = {name.split(".")[2] for name in learned if name.startswith("tracker.")}
            assert of_sam == {"vision", "mask_decoder"}  # of this what narrows its features
            assert not any("transformer" in name for name in learned)


def test_the_words_of_regions_and_cells_are_those_of_their_things():
    scenes = scenes_of("refer", 2)
    objective = BasesObjective(processor_of(scenes))
    batch = objective.collate(scenes)
    for scene, named, touched in zip(scenes, batch.named, batch.touched, strict=True):
        there = {
            (placed.thing.category, placed.thing.colour, placed.thing.pattern)
            for placed in scene.world.views[0].placed
        }
        assert {tuple(spelled(one)) for one in named.tolist()} <= there
        assert touched.shape[1] == len(named) > 0
        assert touched.flatten(2).any(2).all()
