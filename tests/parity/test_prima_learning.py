"""What PRIMA learns by, against hand values, and where its gradient arrives. Nothing is skipped."""

import pytest
import torch
from prima_parts import DINO, encoded, make, samples
from torch.nn import functional as F

from deixis.processing.frames.prima_pixels import sam_masks
from deixis.training.prima.prima_objective import (
    PrimaObjective,
    alignment,
    mask_losses,
    prepare_published_stage,
    text_loss,
)
from deixis.training.running.optimizing import freeze


@pytest.fixture(scope="module")
def whole():
    """A model, its processor, a padded batch of mixed sets, and what the model sees in it."""
    model, processor = make()
    batch = encoded(processor, samples())
    return model, processor, batch, model.see(batch)


def trained_names(model):
    return {name for name, p in model.named_parameters() if p.grad is not None and p.grad.any()}


def expected_names(model, first):
    """The list of the specification 2.1, spelled out."""
    layers = range(model.config.text_config.num_hidden_layers)
    names = {
        f"language.model.layers.{i}.self_attn.{p}_proj.lora_{side}.default.weight"
        for i in layers
        for p in "qv"
        for side in "AB"
    }
    parts = ["relation.queries", "decoding.sam.mask_decoder."]
    own = ["vision.fuse.attention."]
    parts += own if first else ["relation.relation.", "projection.", "seg_head."]
    return names | {
        name for name, _ in model.named_parameters() if name.startswith(tuple(parts))
    }


def test_without_a_q_former_gradient_reaches_the_published_parts_that_are_there():
    model, processor = make(image_rows="patches", relation="none")
    freeze(model, prepare_published_stage(model))
    parts = PrimaObjective(processor)(model.double(), encoded(processor, samples()))
    sum(parts.values()).backward()
    heads = {name.partition(".")[0] for name in trained_names(model)}
    assert heads == {"projection", "seg_head", "language", "decoding"}


@pytest.mark.parametrize("first", [False, True], ids=["second version", "first version"])
def test_gradient_reaches_exactly_the_trained_list(first):
    changes = {"relation": "none", "dino_config": DINO} if first else {}
    model, processor = make(**changes)
    freeze(model, prepare_published_stage(model))
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "lora_" in name:
                weight.normal_()
    batch = encoded(processor, samples())
    sum(PrimaObjective(processor)(model.double(), batch).values()).backward()
    wanted = expected_names(model, first)
    assert {n for n, p in model.named_parameters() if p.requires_grad} == wanted
    idle = wanted - trained_names(model)
    # Biases of keys shift all scores alike; masks 1 to 3 and the IoU are not asked for.
    unused = ("k_proj.bias", "key.bias", "iou_prediction_head", "output_hypernetworks_mlps")
    assert all(any(part in name for part in unused) for name in idle), idle
    assert trained_names(model) <= wanted


def test_losses_have_their_hand_values(whole):
    model, processor, batch, _ = whole
    output = model(batch)
    text, count = torch.zeros(()).double(), 0
    for row, labels in enumerate(batch.truth.labels.tolist()):
        for at, label in enumerate(labels):
            if label != -100:
                text = text - output.text_logits[row, at].log_softmax(0)[label]
                count += 1
    torch.testing.assert_close(
        text_loss(output.text_logits, batch.truth.labels).double(), text / count,
        rtol=1e-5, atol=1e-5,
    )
    bce = dice = 0.0
    for logits, frame, true in zip(
        output.mask_logits, output.frame.tolist(), batch.truth.masks, strict=True
    ):
        p = sam_masks(logits[None], batch.placements[frame])[0].double().sigmoid().flatten()
        g = true.double().flatten()
        bce = bce + -(g * p.log() + (1 - g) * (1 - p).log()).mean()
        shared = 2 * (p * g).sum() / 1000 + 1e-6
        dice = dice + 1 - shared / (p.sum() / 1000 + g.sum() / 1000 + 1e-6)
    ours = mask_losses(output, batch)
    torch.testing.assert_close(ours[0].double(), bce / 9, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(ours[1].double(), dice / 9, rtol=1e-5, atol=1e-6)
    parts = PrimaObjective(processor)(model, batch)
    torch.testing.assert_close(parts["bce"], 2.0 * ours[0])
    torch.testing.assert_close(parts["dice"], 0.5 * ours[1])
    assert set(parts) == {"text", "bce", "dice"}


def test_only_the_answer_is_learned(whole):
    _, processor, batch, _ = whole
    for row, asked in enumerate(samples()):
        prompt = processor.words.prompt(asked.question.text, len(asked.images))
        labels, tokens = batch.truth.labels[row], batch.tokens[row]
        known = labels != -100
        assert not known[: len(prompt)].any()
        length = int(batch.held[row].sum())
        assert torch.equal(labels[len(prompt) : length], tokens[len(prompt) : length])
        assert int(tokens[length - 1]) == processor.words.vocabulary.eos


def test_alignment_has_its_hand_value(whole):
    model, _, batch, _ = whole
    prompts = model(batch).extra
    rows, alike = batch.slots.row.tolist(), batch.truth.alike.tolist()
    unit, total, anchors = F.normalize(prompts, dim=1), 0.0, 0
    for i in range(9):
        others = [j for j in range(9) if j != i and rows[j] == rows[i]]
        likes = [j for j in others if alike[j] == alike[i]]
        if likes:
            low = torch.stack([unit[i] @ unit[j] / 0.1 for j in others]).logsumexp(0)
            total = total + sum(low - unit[i] @ unit[j] / 0.1 for j in likes) / len(likes)
            anchors += 1
    assert anchors == 4  # two targets that show in two images each
    torch.testing.assert_close(
        alignment(prompts, batch, 0.1).double(), total / anchors, rtol=1e-5, atol=1e-5
    )


def test_alignment_is_learned_only_where_it_has_a_weight():
    model, processor = make(alignment_weight=0.3)
    batch = encoded(processor, samples())
    parts = PrimaObjective(processor)(model, batch)
    assert parts["alignment"].item() == pytest.approx(
        0.3 * alignment(model(batch).extra, batch, 0.1).item(), rel=1e-5
    )
