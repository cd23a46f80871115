"""A sample becomes slots and labels: each target's <seg> behind its phrase, prompts as tokens."""

from types import SimpleNamespace

import pytest
import torch

from deixis.errors import DataError
from deixis.models.unipixel import UniPixelModel
from deixis.models.unipixel_config import unipixel_tiny
from deixis.processing.unipixel import UniPixelProcessor
from deixis.processing.unipixel_text import IGNORED
from deixis.scenes.questions import make_sample
from deixis.structures.prompts import Region
from deixis.training.unipixel_teaching import UniPixelObjective, lesson

TASKS = ("clip", "region", "refer")


@pytest.fixture(scope="module")
def samples():
    return {task: make_sample("train", task, 3, 0) for task in TASKS}


@pytest.fixture(scope="module")
def processor(samples):
    config = unipixel_tiny()
    said = [text for s in samples.values() for text in (s.question.text, s.answer.text)]
    return UniPixelProcessor.from_texts(config, said)


@pytest.mark.parametrize("task", TASKS)
def test_what_is_learned_is_the_answer_with_a_mask_for_each_target(task, samples, processor):
    sample = samples[task]
    one = lesson(sample, processor)
    learned = [token for token in one.labels if token != IGNORED]
    assert one.ids[-len(learned) :] == learned
    said = processor.vocabulary.read(learned)
    assert " ".join(said.text.split()) == " ".join(sample.answer.text.split())
    order = sorted(zip(sample.answer.spans, sample.answer.targets, strict=True), key=lambda x: x[0])
    assert learned.count(processor.vocabulary.seg) == len(order) == one.masks.shape[1]
    view = processor.view(sample.images, [p.image for p in sample.question.prompts])
    for row, (_, target) in enumerate(order):
        shown = [frame in target.masks for frame in view.read]
        assert one.masks[:, row].flatten(1).any(1).tolist() == shown


def test_points_and_masks_have_as_many_slots_as_vectors(samples, processor):
    config, sample = processor.config, samples["region"]
    prompts = sample.question.prompts
    one = lesson(sample, processor)
    cells = one.touched.flatten(2).any(2).sum() if one.touched is not None else 0
    assert one.ids.count(config.ref_token_id) == len(one.prompts.coords)
    assert one.ids.count(config.mem_token_id) == cells
    assert len(one.prompts.coords) + sum(isinstance(p, Region) for p in prompts) == len(prompts) > 0


def test_a_batch_of_all_kinds_teaches_words_and_masks(samples, processor):
    objective = UniPixelObjective(processor)
    batch = objective.collate([SimpleNamespace(samples=list(samples.values()))])
    torch.manual_seed(0)
    model = UniPixelModel(processor.config).train()
    parts = objective(model, batch)
    sum(parts.values()).backward()
    assert set(parts) == {"text", "masks"}
    assert all(part.isfinite() and part > 0 for part in parts.values())
    for weight in (model.seg_head[1].weight, model.language.embed_tokens.weight):
        assert weight.grad.abs().sum() > 0


def test_without_an_answer_there_is_nothing_to_learn(samples, processor):
    with pytest.raises(DataError, match="expected a true answer to learn, got none"):
        lesson(samples["refer"].without_answer(), processor)
    with pytest.raises(DataError, match="expected questions about one picture or clip, got none"):
        UniPixelObjective(processor).collate([SimpleNamespace(samples=[])])
