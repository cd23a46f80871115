"""The presets: how large they are, that real backbones fit, and a whole forward without weights."""

import time
from types import SimpleNamespace

import pytest
import torch

from deixis.errors import ConfigError
from deixis.models.configs.deixis_config import DeixisConfig, deixis_base, deixis_tiny
from deixis.models.deixis import PRESETS, DeixisModel
from deixis.models.released import load_strictly
from deixis.processing.deixis import DeixisProcessor
from deixis.reasoning.reasoner import Reasoner
from deixis.training.objective import AnswerObjective

WEIGHTS = {  # at least, at most
    "deixis_tiny": (0.1e6, 1e6),
    "deixis_shipped": (2e6, 10e6),
    "deixis_small": (30e6, 90e6),
    "deixis_base": (1.0e9, 1.4e9),
}
TINY_BACKBONE = {
    "model_type": "convnextv2",
    "depths": [1, 1, 1, 1],
    "hidden_sizes": [8, 12, 20, 28],
    "out_features": ["stage1", "stage2", "stage3", "stage4"],
}
MULTI, REGION = 2, 4  # rows of the shared samples: several images, and points or boxes


def shape(tensor: torch.Tensor) -> tuple[int, ...]:
    return tuple(tensor.shape)


@pytest.mark.parametrize("name", list(PRESETS))
def test_a_preset_has_as_many_weights_as_it_says(name):
    with torch.device("meta"):
        model = DeixisModel(PRESETS[name]())
    least, most = WEIGHTS[name]
    assert least < sum(weight.numel() for weight in model.parameters()) < most


def test_every_preset_has_its_size_written_down():
    assert set(WEIGHTS) == set(PRESETS)


def test_the_tiny_preset_is_built_in_under_a_second():
    began = time.process_time()  # of this process alone, however busy the machine is
    DeixisModel(deixis_tiny())
    assert time.process_time() - began < 1


@pytest.fixture(scope="module")
def base(scene_samples) -> SimpleNamespace:
    """The base preset on the meta device, and a batch there: a set of images, and prompts."""
    config = deixis_base()
    samples = [scene_samples[MULTI], scene_samples[REGION]]
    processor = DeixisProcessor.from_texts(config, [s.question.text for s in samples])
    with torch.device("meta"):
        model = DeixisModel(config)
    batch = processor.encode(samples, with_truth=True).to("meta")
    assert batch.layout.num_images.max() > 1
    assert len(batch.prompts.row)
    return SimpleNamespace(config=config, model=model, batch=batch)


def test_base_looks_at_every_frame_at_strides_2_to_32(base):
    frames = len(base.batch.pixels)
    assert shape(base.batch.pixels) == (frames, 3, 512, 512)
    features, maps = base.model.vision.dense(base.batch.pixels)
    fine = [(frames, 96, 512 // stride, 512 // stride) for stride in (2, 4, 8, 16)]
    assert [shape(f) for f in features] == [*fine, (frames, 512, 16, 16)]
    assert shape(maps.offset) == (frames, 2, 256, 256)


def test_base_reads_images_question_and_answer_in_one_forward(base):
    batch, config = base.batch, base.config
    output = base.model(batch)
    rows, length = batch.truth.tokens.shape
    targets, drawn = len(batch.truth.row), len(output.target)
    images = int(batch.layout.num_images.max())
    assert drawn == len(batch.truth.masks) > 0
    assert shape(output.mask_logits) == (drawn, 256, 256)
    assert shape(output.text_logits) == (rows, length, 32_000)
    assert shape(output.score) == (targets,)
    assert shape(output.presence) == shape(output.extra.presence) == (targets, images)
    assert output.mask_logits.is_meta
    assert output.text_logits.is_meta
    assert config.grid_tokens
    assert not config.object_tokens


def test_base_sees_then_reads_then_points(base):
    model, batch, config = base.model, base.batch, base.config
    seen = model.see(batch)
    rows, questions = batch.question.shape
    images = int(batch.layout.num_images.max()) * (config.num_queries + 16 * 16)
    width = images + questions + 1 + 1  # the empty table of objects, and <answer>
    assert seen.image_columns == images
    assert shape(seen.prefix) == (rows, width, 2048)
    assert shape(seen.held) == shape(seen.positions) == (rows, width)
    assert not seen.held[:, seen.first_object].any()
    choice = model.true_choice(batch, seen)
    hidden, _ = model.read(seen, batch.truth.tokens, choice)
    assert shape(hidden) == (rows, width + batch.truth.tokens.shape[1], 2048)
    slots = model.slots(hidden, seen, choice, batch.truth.tokens)
    targets = len(batch.truth.row)
    assert shape(slots.hidden) == (targets, 2 * 3, 2048)
    assert shape(model.codebook(slots.hidden.flatten(0, 1))) == (targets, 2, 1024)
    every = model.point(slots, seen)
    frames = batch.layout.num_images[seen.set_of_row[choice.row]].sum()
    assert shape(every.mask_logits) == (frames, 256, 256)


def test_the_meta_device_keeps_what_belongs_to_what(base):
    batch = base.batch
    assert batch.pixels.is_meta
    assert batch.truth.masks.is_meta
    assert not batch.layout.set.is_meta
    assert not batch.question.is_meta


@pytest.mark.parametrize("object_tokens", [True, False])
def test_a_backbone_of_transformers_learns_answers_and_is_kept(
    make_tiny, scene_samples, object_tokens
):
    neck = {"fine_width": 24, "coarse_width": 40}
    model, processor = make_tiny(
        vision_config=TINY_BACKBONE, neck_config=neck, object_tokens=object_tokens
    )
    samples = [scene_samples[MULTI], scene_samples[REGION]]
    objective = AnswerObjective(processor)
    parts = objective(model.train(), processor.encode(samples, with_truth=True))
    torch.stack(list(parts.values())).sum().backward()
    learned = [p.grad is not None for n, p in model.named_parameters() if ".neck." in n]
    assert all(learned)
    first = Reasoner(model, processor, name="x").answer_batch(samples)
    again = DeixisModel(DeixisConfig.from_dict(model.config.to_dict()))
    load_strictly(again, model.state_dict(), "here")
    assert Reasoner(again, processor, name="x").answer_batch(samples) == first


def test_a_model_of_transformers_that_is_no_backbone_is_refused():
    config = DeixisConfig(vision_config={"model_type": "llama"})
    with pytest.raises(ConfigError, match=r"expected a backbone .* got \"llama\""):
        DeixisModel(config)
