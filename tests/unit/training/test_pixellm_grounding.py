"""Stage 0 of PixelLM's language: what image tokens show and groups stand for is told directly."""

from collections import defaultdict
from dataclasses import replace

import pytest
import torch
from transformers import LlamaConfig, LlamaModel
from transformers.models.llama.modeling_llama import apply_rotary_pos_emb

from deixis.models.configs.deixis_config import scene_words
from deixis.processing.batches.pixellm_batch import IGNORED, IMAGE
from deixis.scenes.knowing.facts import Facts
from deixis.scenes.knowing.meaning import find
from deixis.scenes.questions import make_scene
from deixis.scenes.world import WorldKey
from deixis.training.pixellm.pixellm_drawing import DrawingObjective
from deixis.training.pixellm.pixellm_grounding import (
    DRAWN,
    GroundingObjective,
    HearingObjective,
    JoiningObjective,
)
from deixis.training.pixellm.pixellm_stages import AnswerObjective
from deixis.training.seeking import FEW, HEADS, seek_alike
from deixis.training.standing import asked_sayings


@pytest.fixture(scope="module")
def scenes():
    keys = [WorldKey(split="train", task="refer", seed=6, index=i) for i in range(12)]
    return [make_scene(key, questions=3) for key in keys]


def test_an_image_token_is_told_exactly_the_words_that_its_pixels_show(make_pixellm, scenes):
    processor = make_pixellm()[1]
    batch = GroundingObjective(processor).collate(scenes[:1])
    drawn = DrawingObjective(processor).collate(scenes[:1])
    for name in ("boxes", "shown"):
        assert torch.equal(getattr(batch.tellable, name), getattr(drawn.patches.tellable, name))
    for kind, share in batch.tellable.shares.items():
        assert torch.equal(share, drawn.patches.tellable.shares[kind])
    rendering, placed = scenes[0].renderings[0], scenes[0].world.views[0].placed
    shares = batch.tellable.shares["category"][0].mean(0)  # of the canvas
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


def _learn(objective, model, scenes):
    """Learn from one picture; return its batch, and the parts of the loss before every step."""
    batches = (objective.collate([scene]) for scene in scenes)
    batch = next(batch for batch in batches if batch.asking.any())  # not asked by names
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    seen = []
    for _ in range(24):
        parts = objective(model.train(), batch)
        seen.append({name: part.item() for name, part in parts.items()})
        optimizer.zero_grad()
        sum(parts.values()).backward()
        optimizer.step()
    return batch, seen


def test_tokens_and_groups_learn_what_they_are_told(make_pixellm, scenes):
    model, processor = make_pixellm()
    before = set(model.state_dict())
    objective = GroundingObjective(processor)
    _, seen = _learn(objective, model, scenes)
    assert seen[0].keys() == {
        *("text", "told", "found", "compared", "placed"),
        *("heard", "named", "sought", "meant"),
    }
    assert all(weight.grad is None for weight in model.pyramid.parameters())  # nothing is drawn
    for name in ("told", "meant", "sought"):
        assert seen[-1][name] < 0.8 * seen[0][name], name
    for name in ("found", "compared", "heard"):
        assert seen[-1][name] < seen[0][name], name
    assert set(model.state_dict()) == before  # nothing that only training needs


def test_what_questions_ask_for_is_learned_from_words_alone(make_pixellm, scenes):
    model, processor = make_pixellm()
    objective = HearingObjective(processor)
    batch, seen = _learn(objective, model, scenes)
    for name in ("text", "heard"):
        assert seen[-1][name] < 0.95 * seen[0][name], name
    looking = (*model.vision.parameters(), *model.projector.parameters())
    assert all(weight.grad is None for weight in looking)
    dark = replace(batch, asked=replace(batch.asked, pixels=torch.zeros_like(batch.asked.pixels)))
    with torch.no_grad():
        given, unseen = objective(model, batch), objective(model, dark)
    assert given == unseen


def test_heads_of_two_layers_are_told_to_look_where_the_target_lies(make_pixellm, scenes):
    model, processor = make_pixellm()
    model.eval().language.config._attn_implementation = "eager"  # which gives its weights
    objective = GroundingObjective(processor)
    batch = objective.collate(scenes[:2])
    asked = batch.asked
    look = model.see(asked.pixels, asked.resized)
    laid = model.lay_out(asked.tokens, asked.held, asked.image, look)
    sought = defaultdict(list)
    ends = batch.asked.slots.column[:, -1].tolist()
    for row, labels in enumerate(asked.truth.labels):
        width = int(laid.held[row].sum())
        attentions = model.language(
            inputs_embeds=laid.embedded[row : row + 1, :width],
            position_ids=laid.positions[row : row + 1, :width],
            output_attentions=True,
        ).attentions
        heads = torch.cat([each[0, :HEADS] for each in attentions[-2:]])  # (A, W, W)
        image = asked.image[row]
        first = laid.starts[row, (asked.tokens[row] == IMAGE).nonzero()[0, 0]]
        tokens = first + torch.arange(int(look.read[image].sum()))
        targets = [i for i, own in enumerate(asked.slots.row.tolist()) if own == row]
        for place in (labels != IGNORED).nonzero()[:, 0].tolist():
            target = next((i for i in targets if ends[i] >= place), None)
            if target is None:  # all is drawn
                continue
            column = laid.starts[row, place] - 1
            share = batch.cover[target][look.read[image]]
            missed = -(share / share.sum() * heads[:, column, tokens].log()).sum(1).mean()
            sought[target].append(missed)
    # Which one is meant must be known before its first word: it counts as much as all that follow.
    first = [missed[0] * max(len(missed), FEW) for missed in sought.values()]
    later = [one for missed in sought.values() for one in missed[1:]]
    count = sum(max(len(missed), FEW) + len(missed) - 1 for missed in sought.values())
    lost = objective(model, batch)["sought"] / objective.weights["sought"]
    wanted = torch.stack([*first, *later]).sum() / count
    torch.testing.assert_close(lost, wanted, atol=1e-4, rtol=1e-4)


def test_told_heads_begin_by_looking_at_what_shows_the_words_that_are_asked_for():
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=9, hidden_size=256, intermediate_size=8, num_hidden_layers=3,
        num_attention_heads=4,
    )  # fmt: skip
    language = LlamaModel(config)
    asked, shown = torch.nn.init.orthogonal_(torch.empty(2 * 24, 256)).split(24)
    for depth in (-2, -1):
        seek_alike(language, depth, [(asked, shown), (asked.roll(1, 0), shown)])
    noise = torch.randn(2, 24, 256) * 0.02
    asks, shows = 16 * asked + noise[0], 16 * shown.flip(0) + noise[1]  # in another order
    far = torch.arange(24)[None] + 60  # the picture first, then the question
    for layer in language.layers[-2:]:
        heads = [
            each.unflatten(1, (4, 64))[:, :HEADS].transpose(0, 1)[None]
            for each in (layer.self_attn.q_proj(asks), layer.self_attn.k_proj(shows))
        ]  # (1, A, 24, E)
        looks, _ = apply_rotary_pos_emb(heads[0], heads[0], *language.rotary_emb(shown, far))
        keys, _ = apply_rotary_pos_emb(heads[1], heads[1], *language.rotary_emb(shown, far - 60))
        found = (looks @ keys.transpose(2, 3))[0].argmax(2)  # (A, 24)
        assert torch.equal(found[0], torch.arange(24).flip(0))
        assert torch.equal(found[1], torch.arange(24).flip(0).roll(-1))


@pytest.mark.parametrize(
    ("task", "kind"), [("refer", "relation"), ("refer", "part"), ("many", "list"), ("many", "all")]
)
def test_states_are_told_what_their_target_is_asked_for_by(make_pixellm, task, kind):
    objective = GroundingObjective(make_pixellm()[1])
    names = list(scene_words().items())
    told = 0
    for index in range(16):
        key = WorldKey(split="train", task=task, seed=8, index=index)
        scene = make_scene(key, questions=3, kinds={kind: 1000.0})
        batch = objective.collate([scene])
        if not batch.asking.any():  # asked by names
            assert not batch.sayings.any()
            continue
        facts = Facts(scene.world, scene.renderings)
        masks = [mask.numpy() for mask in batch.asked.truth.masks]
        for number, row in enumerate(batch.asked.slots.row.tolist()):
            words, sayings = batch.asking[number].tolist(), batch.sayings[number].tolist()
            if scene.asked[row].rule == "parts":  # all of one thing
                continue
            which = next(  # whose thing it is
                one
                for one in scene.asked[row].which
                for thing, frame in find(facts, one, (0,))
                if (facts.pixels(thing, frame, one.part) == masks[number]).all()
            )
            pairs = zip(names, words, strict=True)
            said = {kind: own[word - 1] if word else None for (kind, own), word in pairs}
            assert said == {
                kind: getattr(which.described, kind, None) for kind, _ in names
            } | {"part": which.part}
            assert sayings == asked_sayings(which)
            told += sum(words) > 0
    assert told >= 8


def test_joining_draws_some_targets_and_learns_from_all_questions(make_pixellm, scenes):
    model, processor = make_pixellm()
    objective, plain = JoiningObjective(processor), GroundingObjective(processor)
    batch = objective.collate(scenes)
    assert len(batch.asked.slots.row) > DRAWN
    shown = []
    point = model.point
    model.point = lambda queries, *rest: shown.append(queries) or point(queries, *rest)
    torch.manual_seed(0)
    parts = objective(model.eval(), batch)
    torch.manual_seed(0)
    for name, part in plain(model, batch).items():
        torch.testing.assert_close(parts[name], part)
    assert 1 <= len(shown[0]) <= DRAWN
    sum(parts.values()).backward()
    assert any(weight.grad is not None for weight in model.pyramid.parameters())
    all_of_it = AnswerObjective(processor)(model, batch.asked)
    assert parts["dice"].item() == pytest.approx(all_of_it["dice"].item(), abs=0.05)


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
