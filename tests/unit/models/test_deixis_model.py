"""The unified model: what rows of a batch share, where slots are read, and cached against full."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from deixis.language.generate import read_on
from deixis.models.deixis import PRESETS, DeixisModel
from deixis.models.parts.deixis_seen import Slots
from deixis.nn.attention import attending_plainly
from deixis.structures.samples import Sample

ROWS = [0, 1, 2, 3, 4, 7]  # refer, many, multi, absent, region, plain: one of each, no clips


@pytest.fixture(scope="module")
def asked(tiny, scene_samples) -> SimpleNamespace:
    """A batch of different tasks with all that the model makes of it."""
    model, processor = tiny
    return understood(model, processor, [scene_samples[row] for row in ROWS])


@torch.no_grad()
def understood(model: DeixisModel, processor, samples: list[Sample]) -> SimpleNamespace:
    batch = processor.encode(samples, with_truth=True)
    seen = model.see(batch)
    choice = model.true_choice(batch, seen)
    hidden, _ = model.read(seen, batch.truth.tokens, choice)
    return SimpleNamespace(
        samples=samples,
        batch=batch,
        seen=seen,
        choice=choice,
        hidden=hidden,
        before=seen.prefix.shape[1],
        written=batch.truth.tokens != model.config.pad_token,
        existence=model.exist(hidden, seen),
    )


def test_the_tiny_preset_has_under_a_million_weights(tiny):
    assert sum(weight.numel() for weight in tiny[0].parameters()) < 1_000_000


def test_every_preset_makes_a_config_that_survives_being_saved():
    for name, preset in PRESETS.items():
        config = preset()
        again = type(config).from_dict(config.to_dict())
        assert again.to_dict() == config.to_dict(), name


def test_an_answer_is_learned_as_it_is_spoken_whatever_the_attention(tiny, asked):
    """What is learned must not be seen: other words at the end change no word before them."""
    model, batch = tiny[0], asked.batch
    tokens = batch.truth.tokens.clone()
    tokens[tokens == model.config.eos_token] = 42
    other = replace(batch, truth=replace(batch.truth, tokens=tokens))
    with torch.no_grad():
        expected = model(batch).text_logits
        with attending_plainly(model):
            plain, changed = model(batch).text_logits, model(other).text_logits
    torch.testing.assert_close(plain, expected, atol=1e-4, rtol=1e-4)
    held = batch.truth.tokens != model.config.pad_token
    torch.testing.assert_close(changed[held], plain[held], atol=1e-5, rtol=1e-5)


def test_training_gives_every_part_of_the_output(tiny, asked):
    model, batch = tiny[0], asked.batch
    with torch.no_grad():
        output = model(batch)
    targets, rows = len(batch.truth.row), len(output.target)
    assert output.text_logits.shape == (*batch.truth.tokens.shape, 1500)
    assert output.mask_logits.shape == (rows, 64, 64)
    assert output.score.shape == (targets,)
    assert output.presence.shape == (targets, asked.seen.num_images)
    objects = asked.seen.objects
    assert output.extra.existence.shape == (len(ROWS), *objects.parts.shape[1:-1], 1 + 26)
    assert (batch.truth.target[output.extra.true_mask] == output.target).all()
    assert (batch.truth.frame[output.extra.true_mask] == output.frame).all()


@pytest.mark.parametrize("row", range(len(ROWS)))
def test_a_padded_batch_equals_single_rows(tiny, asked, row):
    alone = understood(*tiny, [asked.samples[row]])
    there = asked.seen.held[row]
    assert torch.equal(
        asked.seen.positions[row][there], alone.seen.positions[0][alone.seen.held[0]]
    )
    states, own = asked.hidden[row, : asked.before][there], alone.hidden[0, : alone.before]
    torch.testing.assert_close(states, own[alone.seen.held[0]], atol=2e-4, rtol=1e-3)
    count = int(alone.written.sum())
    said, mine = asked.hidden[row, asked.before :], alone.hidden[0, alone.before :]
    torch.testing.assert_close(said[:count], mine[:count], atol=2e-4, rtol=1e-3)
    things = alone.existence.shape[1]
    torch.testing.assert_close(
        asked.existence[row, :things], alone.existence[0], atol=1e-3, rtol=1e-3
    )
    assert (asked.existence[row, things:] == -30).all()


def test_permuting_rows_permutes_everything(tiny, asked):
    order = [3, 5, 0, 1, 4, 2]
    other = understood(*tiny, [asked.samples[i] for i in order])
    torch.testing.assert_close(other.existence, asked.existence[order], atol=1e-3, rtol=1e-3)
    written = asked.written[order]
    one = asked.hidden[order][:, asked.before :][written]
    torch.testing.assert_close(other.hidden[:, asked.before :][written], one, atol=2e-4, rtol=1e-3)


@torch.no_grad()
def test_cached_reading_equals_the_full_forward(tiny, asked):
    model, seen = tiny[0], asked.seen
    states, reading = model.read_prefix(seen)
    expected = asked.hidden[:, : asked.before]
    torch.testing.assert_close(states[seen.held], expected[seen.held], atol=1e-4, rtol=1e-3)
    embedded = model.written(asked.batch.truth.tokens, seen, asked.choice)
    pieces = [
        read_on(model.speech.decoder, reading, embedded[:, a:b], asked.written[:, a:b])
        for a, b in ((0, 8), (8, 9), (9, embedded.shape[1]))
    ]
    got, full = torch.cat(pieces, 1), asked.hidden[:, asked.before :]
    torch.testing.assert_close(got[asked.written], full[asked.written], atol=1e-4, rtol=1e-3)


def test_the_states_of_a_target_are_read_at_its_group(tiny, asked):
    model, size = tiny[0], tiny[0].config.group_size
    slots = model.slots(asked.hidden, asked.seen, asked.choice, asked.batch.truth.tokens)
    for target, (row, order) in enumerate(
        zip(asked.choice.row.tolist(), asked.choice.order.tolist(), strict=True)
    ):
        start = order * size
        group = asked.batch.truth.tokens[row, start : start + size].tolist()
        assert group == list(range(model.config.group_token, model.config.group_token + size))
        states = asked.hidden[row, asked.before + start : asked.before + start + size]
        assert torch.equal(slots.hidden[target], states)


@torch.no_grad()
def test_groups_carry_what_they_are_about_and_words_carry_nothing(tiny, asked):
    model, choice, size = tiny[0], asked.choice, tiny[0].config.group_size
    tokens = asked.batch.truth.tokens
    carried = model.written(tokens, asked.seen, choice) - model.speech.embeddings(tokens)
    content = asked.seen.content[asked.seen.set_of_row[choice.row]]
    about = model.speech.about(content, choice)
    expected = torch.zeros_like(carried)
    for target, (row, order) in enumerate(zip(choice.row, choice.order, strict=True)):
        expected[row, order * size : (order + 1) * size] = about[target]
    torch.testing.assert_close(carried, expected, atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_what_a_target_is_about_is_the_mean_of_its_objects_its_part_and_its_place(tiny, asked):
    speech, content = tiny[0].speech, torch.randn(4, 5, 96)
    tokens = torch.tensor([[1, 0, 1, 0, 0], [0] * 5, [0, 1, 0, 0, 0], [0, 1, 0, 0, 0]]).bool()
    choice = replace(
        asked.choice,
        row=torch.zeros(4, dtype=torch.long),
        order=torch.tensor([0, 1, 2, 500]),
        tokens=tokens,
        part=torch.tensor([0, 0, 3, 0]),
        presence=torch.zeros(4, 1),
    )
    name = speech.words()["part"][2]
    name = 2 * name / (name.square().mean() + 1e-4).sqrt()
    means = [content[0, [0, 2]].mean(0), speech.nothing, content[2, 1] + name, content[3, 1]]
    places = speech.ordinal(torch.tensor([0, 1, 2, 63]))
    expected = speech.content(torch.stack(means)) + places
    torch.testing.assert_close(speech.about(content, choice), expected, atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_words_are_the_mean_of_their_tokens_embeddings(tiny):
    speech = tiny[0].speech
    for kind, rows in speech.config.word_tokens.items():
        expected = torch.stack([speech.embeddings(torch.tensor(row)).mean(0) for row in rows])
        torch.testing.assert_close(speech.words()[kind], expected)


def test_only_objects_and_the_parts_they_show_can_exist(asked):
    objects, rows = asked.seen.objects, asked.seen.set_of_row
    able = torch.cat([objects.valid[rows][..., None], objects.parts[rows]], 2)
    able = able & objects.valid[rows][..., None]
    assert (asked.existence[~able] == -30).all()
    assert (asked.existence[able] > -30).all()


def test_prompts_take_their_slots_in_the_question_and_no_other_column_changes(tiny, asked):
    model, batch, seen = tiny[0], asked.batch, asked.seen
    question = seen.prefix[:, seen.image_columns : seen.first_object]
    plain = model.speech.embeddings(batch.question)
    changed = (question - plain).abs().amax(2) > 1e-6
    expected = torch.zeros_like(changed)
    expected[batch.prompts.row, batch.prompts.column] = True
    assert len(batch.prompts.row)
    assert torch.equal(changed, expected)


@torch.no_grad()
def test_an_object_is_told_under_which_number_the_question_speaks_of_it(tiny, asked):
    model, batch, seen = tiny[0], asked.batch, asked.seen
    words, look, objects = model.speech.words(), seen.look, seen.objects
    noticed, frame = look.proposals, batch.prompts.frame
    first_thing = noticed.valid[frame].to(torch.uint8).argmax(1)
    slots = replace(batch.prompts, masks=(noticed.masks[frame, first_thing] > 0.5).float())
    entity = model.objects.entity

    def marks(numbers: torch.Tensor) -> torch.Tensor:
        other = replace(batch, prompts=replace(slots, number=numbers))
        pointed = model.prompting(other, look, objects, words, entity, seen.known)
        plain = torch.zeros(len(batch.question), *objects.valid.shape[1:], pointed.mark.shape[1])
        return replace(pointed, others=torch.zeros_like(pointed.others)).marked(plain)

    first, second = marks(slots.number), marks(slots.number + 1)
    told = first.abs().amax(2) > 0
    assert 0 < told.sum() <= len(slots.row)
    assert (told.any(1) <= torch.isin(torch.arange(len(told)), slots.row)).all()
    assert not torch.allclose(first[told], second[told])
    assert torch.equal(told, second.abs().amax(2) > 0)


@torch.no_grad()
def test_all_objects_are_told_how_they_stand_beside_what_is_pointed_at(tiny, asked):
    model, batch, seen = tiny[0], asked.batch, asked.seen
    words, entity = model.speech.words(), model.objects.entity
    pointed = model.prompting(batch, seen.look, seen.objects, words, entity, seen.known)
    told = pointed.others.abs().amax(2) > 0  # (N, O)
    assert len(told)
    for row, thing, heard in zip(pointed.row, pointed.object, told, strict=True):
        there = seen.objects.valid[seen.set_of_row[row]].clone()
        there[thing] = False
        assert torch.equal(heard, there)


@torch.no_grad()
def test_a_prompt_says_where_it_is_what_kind_it_is_and_in_which_image(tiny, asked):
    model, batch = tiny[0], asked.batch
    words = model.speech.words()

    def tokens(**changes) -> torch.Tensor:
        other = replace(batch, prompts=replace(batch.prompts, **changes))
        entity = model.objects.entity
        look, objects = asked.seen.look, asked.seen.objects
        return model.prompting(other, look, objects, words, entity, asked.seen.known).tokens

    before = tokens()
    slots = batch.prompts
    changes = {
        "coords": slots.coords * 0.5 + 0.2,
        "kind": (slots.kind + 1) % 3,
        "masks": slots.masks.flip(1),
        "frame": (slots.frame + 2) % len(batch.pixels),
    }
    for name, value in changes.items():
        assert ((tokens(**{name: value}) - before).abs().amax(1) > 1e-4).all(), name


@torch.no_grad()
def test_masks_are_drawn_for_each_target_alone(tiny, asked):
    model, seen = tiny[0], asked.seen
    slots = model.slots(asked.hidden, seen, asked.choice, asked.batch.truth.tokens)
    together = model.point(slots, seen)
    assert len(together.target)
    for target in range(len(asked.choice.row)):
        one = slice(target, target + 1)
        names = ("row", "order", "tokens", "part", "presence")
        choice = replace(asked.choice, **{n: getattr(asked.choice, n)[one] for n in names})
        alone = model.point(Slots(hidden=slots.hidden[one], choice=choice), seen)
        mine = together.target == target
        assert torch.equal(alone.frame, together.frame[mine])
        torch.testing.assert_close(alone.mask_logits, together.mask_logits[mine])
        torch.testing.assert_close(alone.score[0], together.score[target])


@torch.no_grad()
def test_frames_are_looked_at_alone(tiny, asked):
    vision, look = tiny[0].vision, asked.seen.look
    for frame in (0, 3):
        own = vision.look(asked.batch.pixels[frame : frame + 1])
        torch.testing.assert_close(own.fine[0], look.fine[frame], atol=1e-4, rtol=1e-4)
        assert torch.equal(own.proposals.valid[0], look.proposals.valid[frame])
        torch.testing.assert_close(own.observed[0], look.observed[frame], atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(own.looks[0], look.looks[frame], atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_more_images_than_have_numbers_are_still_seen(make_tiny, scene_samples):
    model, processor = make_tiny(most_images=1)
    seen = model.see(processor.encode([scene_samples[2]]))
    assert seen.num_images > 1
    assert seen.prefix.isfinite().all()
