"""Stage 0 of PixelLM's language: what image tokens show and groups stand for is told directly."""

import pytest
import torch
from transformers import LlamaConfig, LlamaModel
from transformers.models.llama.modeling_llama import apply_rotary_pos_emb

from deixis.models.configs.deixis_config import scene_words
from deixis.processing.batches.pixellm_batch import IGNORED, IMAGE
from deixis.scenes.questions import make_scene
from deixis.scenes.world import WorldKey
from deixis.training.pixellm.pixellm_grounding import GroundingObjective
from deixis.training.pixellm.pixellm_seeking import HEADS, seek_alike


@pytest.fixture(scope="module")
def scenes():
    keys = [WorldKey(split="train", task="refer", seed=6, index=i) for i in range(12)]
    return [make_scene(key, questions=3) for key in keys]


def test_an_image_token_is_told_exactly_the_words_that_its_pixels_show(make_pixellm, scenes):
    processor = make_pixellm()[1]
    batch = GroundingObjective(processor).collate(scenes[:1])
    rendering, placed = scenes[0].renderings[0], scenes[0].world.views[0].placed
    shares = batch.shares["category"][0].mean(0)  # of the canvas
    names = scene_words()["category"]
    for name in {one.thing.category for one in placed}:
        ids = [one.thing.id for one in placed if one.thing.category == name]
        true = sum((rendering.things == i).mean() for i in ids)
        assert shares[names.index(name)] == pytest.approx(true, abs=0.01)
    assert float(shares.sum()) == pytest.approx((rendering.things > 0).mean(), abs=0.01)


def test_a_group_is_told_the_words_and_the_box_of_its_target(make_pixellm, scenes):
    processor = make_pixellm()[1]
    batch = GroundingObjective(processor).collate(scenes)
    words, checked = scene_words(), set()
    for number, (mask, image) in enumerate(
        zip(batch.asked.truth.masks, batch.asked.image_of_target.tolist(), strict=True)
    ):
        scene = scenes[image]
        rendering = scene.renderings[0]
        (own,) = set(rendering.things[mask.numpy()].tolist())
        (thing,) = (one.thing for one in scene.world.views[0].placed if one.thing.id == own)
        word = dict(zip(words, batch.known.words[number].tolist(), strict=True))
        assert words["category"][word["category"] - 1] == thing.category
        parts = set(rendering.parts[mask.numpy()].tolist())
        part = word["part"]
        assert (part in parts) if len(parts) == 1 else part == 0 or len(parts) > 1
        checked.add(part > 0)
        rows, columns = torch.nonzero(mask, as_tuple=True)
        middle = [(axis.min() + axis.max() + 1) / 2 for axis in (columns, rows)]
        middle = torch.stack(middle) / torch.tensor(mask.shape[::-1])  # scenes fill the canvas
        torch.testing.assert_close(batch.known.boxes[number, :2], middle, atol=1e-4, rtol=0)
    assert checked == {True, False}  # wholes and parts were among them


def test_tokens_and_groups_learn_what_they_are_told(make_pixellm, scenes):
    model, processor = make_pixellm()
    before = set(model.state_dict())
    objective = GroundingObjective(processor)
    batch = objective.collate(scenes[:1])
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    seen = []
    for _ in range(12):
        parts = objective(model.train(), batch)
        seen.append({name: part.item() for name, part in parts.items()})
        optimizer.zero_grad()
        sum(parts.values()).backward()
        optimizer.step()
    assert seen[0].keys() == {
        *("text", "told", "placed", "named", "sought", "meant"),
    }
    assert all(weight.grad is None for weight in model.pyramid.parameters())  # nothing is drawn
    assert seen[-1]["told"] < 0.8 * seen[0]["told"]
    assert seen[-1]["meant"] < 0.8 * seen[0]["meant"]
    assert seen[-1]["sought"] < 0.8 * seen[0]["sought"]
    assert set(model.state_dict()) == before  # nothing that only training needs


def test_heads_are_told_to_look_where_the_target_lies(make_pixellm, scenes):
    model, processor = make_pixellm()
    model.eval().language.config._attn_implementation = "eager"  # which gives its weights
    objective = GroundingObjective(processor)
    batch = objective.collate(scenes[:2])
    asked = batch.asked
    look = model.see(asked.pixels, asked.resized)
    laid = model.lay_out(asked.tokens, asked.held, asked.image, look)
    wanted = []
    ends = batch.asked.slots.column[:, -1].tolist()
    for row, labels in enumerate(asked.truth.labels):
        width = int(laid.held[row].sum())
        told = model.language(
            inputs_embeds=laid.embedded[row : row + 1, :width],
            position_ids=laid.positions[row : row + 1, :width],
            output_attentions=True,
        ).attentions[-1][0, :HEADS]  # (A, W, W)
        image = asked.image[row]
        first = laid.starts[row, (asked.tokens[row] == IMAGE).nonzero()[0, 0]]
        tokens = first + torch.arange(int(look.read[image].sum()))
        targets = [i for i, own in enumerate(asked.slots.row.tolist()) if own == row]
        for place in (labels != IGNORED).nonzero()[:, 0].tolist():
            target = next((i for i in targets if ends[i] >= place), None)
            if target is None:  # all is drawn
                continue
            share = batch.cover[target][look.read[image]]
            looks = told[:, laid.starts[row, place] - 1, tokens]
            wanted.append(-(share / share.sum() * looks.log()).sum(1))
    parts = objective(model, batch)
    torch.testing.assert_close(parts["sought"], torch.stack(wanted).mean(), atol=1e-4, rtol=1e-4)


def test_told_heads_begin_by_looking_at_what_resembles_them():
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=9, hidden_size=256, intermediate_size=8, num_hidden_layers=2,
        num_attention_heads=4,
    )  # fmt: skip
    language = LlamaModel(config)
    seek_alike(language)
    attention, words = language.layers[-1].self_attn, torch.randn(8, 256)
    asked, held = words + 0.5 * torch.randn(8, 256), words.flip(0)  # the same in another order
    heads = [
        each.unflatten(1, (4, 64))[:, :HEADS].transpose(0, 1)[None]
        for each in (attention.q_proj(asked), attention.k_proj(held))
    ]  # (1, A, 8, E)
    far = torch.arange(8)[None] + 60  # the picture first, then the question
    asks, _ = apply_rotary_pos_emb(heads[0], heads[0], *language.rotary_emb(words, far))
    keys, _ = apply_rotary_pos_emb(heads[1], heads[1], *language.rotary_emb(words, far - 60))
    found = (asks @ keys.transpose(2, 3)).mean(1)[0].argmax(1)
    assert torch.equal(found, torch.arange(8).flip(0))


def test_questions_without_targets_teach_words_alone(make_pixellm):
    model, processor = make_pixellm()
    objective = GroundingObjective(processor)
    keys = [WorldKey(split="train", task="absent", seed=1, index=i) for i in range(12)]
    made = (make_scene(key, questions=1) for key in keys)
    scenes = (scene for scene in made if len(scene.renderings) == 1)
    batches = (objective.collate([scene]) for scene in scenes)
    batch = next(batch for batch in batches if not len(batch.asked.slots.row))
    parts = objective(model, batch)
    assert parts["meant"].item() == 0
    assert parts["sought"].item() == 0
    assert parts["text"].item() > 0
