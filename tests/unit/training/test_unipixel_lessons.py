"""Samples become lessons in four ways: slots and vectors agree, and what is drawn is what is meant.

Lessons of scenes; the model is the tiny one with random weights.
"""

from random import Random
from types import SimpleNamespace

import pytest
import torch

from deixis.errors import DataError
from deixis.models.configs.unipixel_config import unipixel_tiny
from deixis.models.unipixel import UniPixelModel
from deixis.processing.unipixel import UniPixelProcessor
from deixis.processing.words.unipixel_text import IGNORED
from deixis.scenes.questions import make_sample, make_scene
from deixis.scenes.world import WorldKey
from deixis.structures.masks import Mask
from deixis.structures.prompts import Box, Point, Region
from deixis.training.unipixel.unipixel_lessons import WAYS, Teacher, asked, point_at
from deixis.training.unipixel.unipixel_objective import UniPixelObjective
from deixis.training.unipixel.unipixel_recipe import EVERYTHING, STAGES, Lessons
from deixis.training.unipixel.unipixel_rows import answered, collate

TASKS = ("clip", "region", "refer", "pixelqa")


@pytest.fixture(scope="module")
def scenes():
    keys = {task: WorldKey(split="train", task=task, seed=3, index=0) for task in TASKS}
    return {task: make_scene(key, questions=3).samples for task, key in keys.items()}


@pytest.fixture(scope="module")
def processor(scenes):
    config = unipixel_tiny()
    said = [text for s in scenes.values() for one in s for text in (one.question.text, one.id)]
    return UniPixelProcessor.from_texts(config, said)


def taught(samples, processor, way, seed=0, **limits):
    teacher = Teacher(processor, Lessons(ways={way: 1}, **limits))
    return teacher.lesson(samples, Random(seed))


def slots(lesson, processor):
    config = processor.config
    names = (config.ref_token_id, config.seg_token_id, config.mem_token_id)
    return tuple(lesson.ids.count(name) for name in names)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("task", TASKS)
def test_every_slot_has_its_vector_and_every_mask_its_slot(task, way, seed, scenes, processor):
    lesson = taught(scenes[task], processor, way, seed)
    if lesson is None:
        pointed = any(sample.question.prompts for sample in scenes[task])
        assert pointed is (way == "draw") or way == "find"
        return
    refs, segs, mems = slots(lesson, processor)
    assert refs == len(lesson.prompts.coords)
    assert segs == lesson.masks.shape[1] <= EVERYTHING.objects
    assert mems == (0 if lesson.touched is None else int(lesson.touched.flatten(2).any(2).sum()))
    used = {"draw": (0, 1, 0), "find": (1, 1, 0), "tell": (0, 0, 1), "name": (1, 0, 0)}[way]
    assert tuple(min(1, count) for count in (refs, segs, mems)) == used
    assert len(lesson.clip) == len(lesson.masks)


def test_an_answer_has_a_slot_behind_each_phrase(scenes, processor):
    sample = scenes["clip"][0]
    lesson = taught([sample], processor, "draw")
    learned = [token for token in lesson.labels if token != IGNORED]
    assert lesson.ids[-len(learned) :] == learned
    said = processor.vocabulary.read(learned)
    assert " ".join(said.text.split()) == " ".join(sample.answer.text.split())
    text, targets = answered(sample.answer, str)
    assert text.count("<|seg|>") == len(targets) == len(sample.answer.targets)


@pytest.mark.parametrize("seed", range(8))
def test_what_is_found_is_drawn_from_the_frame_that_was_pointed_at(seed, scenes, processor):
    """As it is in use: hidden tokens are asked on that frame, and followed one way from there."""
    sample = scenes["pixelqa"][0]
    lesson = taught([sample], processor, "find", seed)
    prompt = sample.question.prompts[0]
    target = next(t for t in sample.answer.targets if t.object_id == prompt.object_id)
    first = torch.from_numpy(target.masks[prompt.image].pixels)
    shown = torch.nn.functional.interpolate(lesson.masks[:1].float(), first.shape)[0] > 0.5
    overlaps = [(one & first).sum() / (one | first).sum() for one in shown]
    assert max(overlaps) > 0.5


def test_turns_count_objects_on_and_stay_within_their_number(scenes, processor):
    samples = scenes["pixelqa"]
    one, two = asked(samples[0]), asked(samples[1], 10)
    assert min(two.ids) > 10
    assert all(f"[{number}]" not in two.question for number in one.ids)
    assert set(two.masks) >= set(two.ids)
    for way in ("tell", "name"):
        turns = [taught(samples, processor, way, turns=most) for most in (1, 3)]
        lengths = [sum(token != IGNORED for token in lesson.labels) for lesson in turns]
        assert lengths[0] < lengths[1]


def test_a_point_lies_in_the_mask_and_a_box_near_its_border():
    pixels = torch.zeros(40, 60, dtype=torch.bool)
    pixels[10:30, 20:50] = True
    mask, random, kinds = Mask(pixels.numpy()), Random(1), set()
    for _ in range(60):
        prompt = point_at(mask, 4, 7, EVERYTHING, random)
        assert (prompt.image, prompt.object_id) == (4, 7)
        kinds.add(type(prompt))
        if isinstance(prompt, Point):
            assert pixels[int(prompt.y), int(prompt.x)]
        else:
            off = (prompt.x0 - 20, prompt.x1 - 50, prompt.y0 - 10, prompt.y1 - 30)
            assert max(map(abs, off[:2])) <= 3
            assert max(map(abs, off[2:])) <= 2
    assert kinds == {Point, Box}
    assert isinstance(point_at(mask, 0, 1, Lessons(ways={}, boxes=0.0), random), Point)


def test_of_some_regions_in_clips_one_frame_is_kept(scenes, processor):
    def pairs(share):
        lesson = taught(scenes["pixelqa"][:1], processor, "tell", one_frame=share)
        return lesson.touched.flatten(2).any(2).sum(0)

    assert pairs(1.0).tolist() == [1] * len(pairs(1.0))
    assert max(pairs(0.0)) > 1


def test_given_masks_are_pointed_at_where_words_are_asked_for(processor):
    sample = next(
        one
        for one in (make_sample("train", "region", 3, index) for index in range(40))
        if any(isinstance(prompt, Region) for prompt in one.question.prompts)
    )
    lesson = taught([sample], processor, "name")
    assert slots(lesson, processor)[0] == len(sample.question.prompts)


def test_a_batch_of_all_kinds_teaches_words_and_masks(scenes, processor):
    objective = UniPixelObjective(processor)
    batch = objective.collate([SimpleNamespace(samples=samples) for samples in scenes.values()])
    torch.manual_seed(0)
    model = UniPixelModel(processor.config).train()
    parts = objective(model, batch)
    sum(parts.values()).backward()
    assert set(parts) == {"text", "masks"}
    assert all(part.isfinite() and part > 0 for part in parts.values())
    for weight in (model.seg_head[1].weight, model.language.embed_tokens.weight):
        assert weight.grad.abs().sum() > 0


def test_what_cannot_be_asked_is_left_out_and_nothing_at_all_is_refused(scenes, processor):
    drawing = Teacher(processor, STAGES["drawing"].lessons)
    assert drawing.lesson(scenes["pixelqa"], Random(0)) is None
    without = [sample.without_answer() for sample in scenes["refer"]]
    assert Teacher(processor, EVERYTHING).lesson(without, Random(0)) is None
    with pytest.raises(DataError, match=r"a true answer that can be asked for .* got none"):
        UniPixelObjective(processor).collate([SimpleNamespace(samples=without)])


def test_rows_are_padded_on_the_right_where_nothing_is_learned(scenes, processor):
    lessons = [taught(scenes[task], processor, "draw") for task in ("clip", "refer")]
    batch = collate(lessons, processor)
    for row, lesson in enumerate(lessons):
        length = len(lesson.ids)
        assert batch.tokens[row, :length].tolist() == lesson.ids
        assert batch.held[row].sum() == length
        assert (batch.truth.labels[row, length:] == IGNORED).all()
