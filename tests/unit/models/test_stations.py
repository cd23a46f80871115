"""Every station can be switched off, or made larger, and the rest still learns and answers."""

from dataclasses import replace

import pytest
import torch

from deixis.errors import ConfigError
from deixis.models.configs.deixis_config import DeixisConfig
from deixis.reasoning.answering import answering
from deixis.reasoning.reasoner import Reasoner
from deixis.structures.answers import GroundedAnswer, Target
from deixis.training.objective import AnswerObjective

SWITCHES = [
    {"relation": "none"},
    {"relation": "mean"},
    {"relation": "projection"},
    {"relation": "concat"},
    {"grid_tokens": True},
    {"neighbours": False},
    {"midway": False},
    {"deeds": False},
    {"copying": False},
    {"finest_width": 0},
    {"name_first": True},
    {"name_first": True, "tokens_per_level": 1},
    {"object_tokens": False},
    {"object_tokens": False, "grid_tokens": True, "relation": "none"},
    {"object_tokens": False, "prompts": False},
    {"prompts": False},
    {"decoding": "proposal"},
    {"levels": 1, "tokens_per_level": 1},
    {"levels": 3, "tokens_per_level": 1},
    {"levels": 1, "tokens_per_level": 5, "num_queries": 1},
    {"object_tokens": False, "prompts": False, "relation": "none", "levels": 1},
]
BY_ITSELF = {"object_tokens": False, "grid_tokens": True, "levels": 1, "tokens_per_level": 1}
ASKED = [0, 2, 3, 4, 5]  # one image, several, something absent, a prompt, a clip


@pytest.fixture(scope="module")
def asked(scene_samples):
    return [scene_samples[row] for row in ASKED]


@pytest.fixture(scope="module")
def writer(make_tiny):
    """A model without object tokens whose group is one token, so that random weights write it."""
    return make_tiny(**BY_ITSELF)


@pytest.mark.parametrize("changes", SWITCHES, ids=str)
def test_what_is_left_learns_and_answers(make_tiny, asked, changes):
    model, processor = make_tiny(**changes)
    objective = AnswerObjective(processor)
    batch = processor.encode(asked, with_truth=True)
    parts = objective(model.train(), batch)
    torch.stack(list(parts.values())).sum().backward()
    decided = "presence" if changes.get("object_tokens") is False else "existence"
    assert {"words", decided} <= set(parts) <= {"words", decided, "bce", "dice", "score"}
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)
    answers = Reasoner(model, processor, name="x").answer_batch(asked)
    for sample, answer in zip(asked, answers, strict=True):
        assert isinstance(answer, GroundedAnswer)
        for target in answer.targets:
            for frame, mask in target.masks.items():
                assert mask.size == sample.images[frame].size


def test_where_words_come_first_groups_follow_them(make_tiny, asked):
    model, processor = make_tiny(name_first=True)
    batch = processor.encode(asked, with_truth=True)
    tokens, size = batch.truth.tokens, model.config.group_size
    with torch.inference_mode():
        seen = model.see(batch)
        choice = model.true_choice(batch, seen)
        starts = model.speech.starts(tokens, choice)
        hidden, _ = model.read(seen, tokens, choice)
        again, _ = model.read(seen, torch.where(tokens >= 10 + size, 99, tokens), choice)
        run = written(model, processor, asked)
    group = list(processor.vocabulary.group)
    for row, start in zip(choice.row, starts, strict=True):
        assert tokens[row, start : start + size].tolist() == group
        assert start > 0
    slots, others = (model.slots(h, seen, choice, tokens).hidden for h in (hidden, again))
    assert (slots - others).abs().amax((1, 2)).min() > 1e-4  # groups have read the words
    assert torch.bincount(run.choice.row, minlength=len(asked)).tolist() == [
        processor.vocabulary.read(ids).groups for ids in run.written
    ]


def test_the_states_of_groups_behind_words_are_those_of_the_full_forward(make_tiny, asked):
    model, processor = make_tiny(name_first=True)
    with torch.inference_mode():
        run = written(model, processor, asked)
        if not run.drawn:  # random weights may want no group behind their words
            run.locate(torch.ones(len(asked), dtype=torch.bool))
        counts = torch.bincount(run.choice.row, minlength=len(asked)).tolist()
        assert sum(counts)
        size, end = model.config.group_size, model.config.eos_token
        words = [ids[n * size :] for ids, n in zip(run.written, counts, strict=True)]
        rows = [
            [*said, *([] if said[-1] == end else [end]), *ids[: n * size]]
            for said, ids, n in zip(words, run.written, counts, strict=True)
        ]
        tokens = torch.full((len(rows), max(map(len, rows))), model.config.pad_token)
        for row, ids in enumerate(rows):
            tokens[row, : len(ids)] = torch.tensor(ids)
        hidden, _ = model.read(run.seen, tokens, run.choice)
        full = model.point(model.slots(hidden, run.seen, run.choice, tokens), run.seen)
    scored = {i: target.score for i, target in run.drawn.items() if target.score is not None}
    assert scored
    for index, score in scored.items():
        assert score == pytest.approx(float(full.score[index]), abs=1e-4)


WRITERS = [changes for changes in SWITCHES if changes.get("object_tokens") is False]


@pytest.mark.parametrize("changes", WRITERS, ids=str)
def test_without_object_tokens_groups_know_nothing_of_the_truth(make_tiny, asked, changes):
    model, processor = make_tiny(**changes)
    batch = processor.encode(asked, with_truth=True)
    elsewhere = replace(batch, truth=replace(batch.truth, masks=batch.truth.masks.flip(1, 2)))
    with torch.no_grad():
        said, told = model(batch), model(elsewhere)
    assert len(said.mask_logits)
    assert torch.equal(said.text_logits, told.text_logits)
    assert torch.equal(said.mask_logits, told.mask_logits)


def written(model, processor, samples):
    """Answer to the last word; return the run."""
    batch = processor.encode(samples)
    run = answering(model, processor, batch, model.vision.look(batch.pixels))
    for _ in run.steps():
        pass
    return run


def test_groups_that_the_language_decoder_writes_are_drawn_in_every_frame_of_their_set(
    writer, asked
):
    model, processor = writer
    with torch.inference_mode():
        run = written(model, processor, asked)
        rows = model.mask_rows(run.seen, run.choice)
    groups = [processor.vocabulary.read(ids).groups for ids in run.written]
    assert sum(groups) > 0, "random weights should write some group, or this test says nothing"
    assert torch.bincount(run.choice.row, minlength=len(asked)).tolist() == groups
    assert sorted(run.drawn) == list(range(sum(groups)))
    frames = [len(sample.images) for sample in asked]
    assert len(rows.frame) == sum(n * f for n, f in zip(groups, frames, strict=True))


def test_states_of_written_groups_are_those_of_the_full_forward(writer, asked):
    model, processor = writer
    with torch.inference_mode():
        run = written(model, processor, asked)
        before, length = run.seen.prefix.shape[1], max(map(len, run.written))
        tokens = torch.full((len(asked), length), model.config.pad_token)
        for row, ids in enumerate(run.written):
            tokens[row, : len(ids)] = torch.tensor(ids)
        full = model.read(run.seen, tokens, run.choice)[0][:, before:]
        cached = torch.stack(run.states, 1)
    for row, ids in enumerate(run.written):
        last = len(ids) - (ids[-1] == model.config.eos_token)  # nobody reads on after the end
        torch.testing.assert_close(full[row, :last], cached[row, :last], atol=2e-4, rtol=1e-3)


@pytest.mark.parametrize(("threshold", "shown"), [(0.0, True), (1.0, False)])
def test_presence_by_states_decides_what_has_masks(make_tiny, asked, threshold, shown):
    model, processor = make_tiny(**BY_ITSELF, presence_threshold=threshold)
    model.pyramid.ask[0].bias.data[-1] = 50.0  # whatever is drawn covers everything
    answers = Reasoner(model, processor, name="x").answer_batch(asked)
    targets = [target for answer in answers for target in answer.targets]
    absent = [target for answer in answers for target in answer.absent]
    assert (len(targets) > 0, len(absent) > 0) == (shown, not shown)
    for sample, answer in zip(asked, answers, strict=True):
        for target in answer.targets:
            assert sorted(target.masks) == list(range(len(sample.images)))
            assert 0 < target.presence < 1


def test_nothing_is_present_in_images_that_a_set_does_not_have(writer, asked):
    model, processor = writer
    batch = processor.encode(asked, with_truth=True)
    with torch.no_grad():
        taught = model(batch).extra
    counts = batch.layout.num_images[batch.set_of_row[batch.truth.row]]
    assert torch.equal(taught.there.sum(1), counts)
    assert counts.min() < counts.max()
    assert taught.presence[~taught.there].sigmoid().max() < 1e-9
    assert not taught.shows[~taught.there].any()


def test_a_stream_brings_each_written_target_before_the_last_word(writer, asked):
    expected = Reasoner(*writer, name="x").answer_batch(asked)
    streamed = 0
    for sample, answer in zip(asked, expected, strict=True):
        reasoner = Reasoner(*writer, name="x")  # a conversation of its own
        came = list(reasoner.stream(sample.images, sample.question.text, sample.question.prompts))
        targets = [one for one in came if isinstance(one, Target)]
        assert [t.masks for t in targets] == [t.masks for t in came[-1].targets]
        assert came[-1].text == answer.text
        streamed += len(targets)
    assert streamed


BAD = [
    ({"relation": "sqare"}, r'relation: expected one of square, .* got "sqare"\. Did you mean'),
    ({"decoding": "sam"}, r'decoding: expected one of pyramid, proposal, got "sam"'),
    ({"decoding": "proposal", "object_tokens": False}, r"decoding: expected \"pyramid\""),
    ({"relation": "concat", "num_queries": 1}, r"num_queries: expected at least 2 .* got 1"),
    ({"levels": 0}, r"levels: expected a whole number from 1 on, got 0"),
    ({"finest_width": -1}, r"finest_width: expected a whole number from 0 on .* got -1"),
    ({"tokens_per_level": 1.5}, r"tokens_per_level: .* got 1\.5"),
    ({"prompts": "no"}, r"prompts: expected true or false, got 'no'"),
    ({"presence_threshold": 1.2}, r"presence_threshold: expected a number from 0 to 1, got 1\.2"),
    ({"canvas": (128, 127)}, r"canvas: expected two even numbers .* got \(128, 127\)"),
    ({"levels": 50, "tokens_per_level": 3}, r"most_answer: expected at least 150 .* got 120"),
    ({"vision_config": {"width": 3}}, r"vision_config\.width: unknown key: .*\"widths\""),
    ({"vision_config": {"widths": [8, 16]}}, r"vision_config: expected widths, .* got no top"),
    (
        {"vision_config": {"widths": [8, 16], "top_down_width": 8, "blocks": [1]}},
        r"as many blocks, got 2 widths and 1 blocks",
    ),
    ({"vision_config": {"model_type": "convnxt"}}, r'vision_config: .* model_type "convnxt"'),
    ({"text_config": {"model_type": "lama"}}, r'text_config: .* got model_type "lama"'),
    ({"words": {"category": ["mug"], "colour": ["red"]}}, r"words: .* got no part"),
    ({"openness": -1}, r"openness: expected a number from 0 on, got -1"),
    ({"unusual_parts": {"mug": ["beek"]}}, r'unusual_parts: .* kind part, got "beek"'),
    ({"unusual_parts": {"mugg": ["leg"]}}, r'unusual_parts: .* kind category, got "mugg"'),
    ({"text_config": {"hidden_size": 30, "num_attention_heads": 4}}, r"text_config: .*\(30\)"),
    ({"text_config": {"model_type": "gpt2", "n_embd": 15, "n_head": 3}}, r"hidden_size: .* got 15"),
    ({"text_config": {"hidden_size": "wide"}}, r'text_config: .* got model_type "llama"'),
    ({"text_config": {"vocab_size": 265}}, r"vocab_size: expected at least 268 .* got 265"),
    (
        {"vision_config": {"model_type": "convnextv2"}, "neck_config": {"fine_width": 8}},
        r"neck_config: expected fine_width, coarse_width, got no coarse_width",
    ),
]


@pytest.mark.parametrize(("values", "words"), BAD, ids=lambda v: str(v)[:40])
def test_a_config_that_makes_no_model_is_refused_in_one_sentence(values, words):
    with pytest.raises(ConfigError, match=words):
        DeixisConfig(**values)


def test_openness_raises_unusual_parts_on_their_category_and_trains_nothing(make_tiny, asked):
    """What is taught to the dense heads is what they say themselves."""
    closed, processor = make_tiny()
    model, _ = make_tiny(openness=3.0, unusual_parts={"mug": ["beak", "sail"]})
    model.load_state_dict(closed.state_dict())
    pixels = processor.encode(asked).pixels
    parts, categories = model.config.words["part"], model.config.words["category"]
    unusual = [parts.index("beak"), parts.index("sail")]
    with torch.inference_mode():
        before, after = (one.vision.dense(pixels)[1] for one in (closed, model))
        for kind, logits in before.logits.items():
            assert torch.equal(logits, after.logits[kind])
        said, opened = (one.vision.look(pixels).words for one in (closed, model))
        was, now = said[:, -len(parts) :], opened[:, -len(parts) :]
        mug = before.logits["category"].softmax(1)[:, 1 + categories.index("mug")]
        logits = before.logits["part"].clone()
        for part in unusual:
            logits[:, 1 + part] += 3.0 * mug
    torch.testing.assert_close(now, logits.softmax(1)[:, 1:], rtol=1e-4, atol=1e-6)
    assert (now[:, unusual].sum(1) >= was[:, unusual].sum(1)).all()
    assert torch.equal(said[:, : -len(parts)], opened[:, : -len(parts)])
