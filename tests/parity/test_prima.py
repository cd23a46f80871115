"""PRIMA against transformers' own InstructBLIP, Q-Former, SAM and LLaMA, live; SQuARE and
the splice, of which there is no other implementation, against slow loops.

Nothing here is recorded, so nothing is ever skipped.
"""

from dataclasses import replace

import pytest
import torch
from prima_parts import DINO, encoded, make, pictures, sample, samples
from transformers import (
    Dinov2WithRegistersModel,
    InstructBlipConfig,
    InstructBlipForConditionalGeneration,
    InstructBlipQFormerModel,
    LlamaForCausalLM,
    SamModel,
)

from deixis.models.prima import PrimaConfig, PrimaModel, by_set, prima_tiny
from deixis.relation.square import SharedQueries
from slow_loops import slow_attention

RELATIONS = ("square", "none", "pooling", "projection", "concat", "image_to_image")
FULL = {
    "relation_layers": 2,
    "relation_norm": True,
    "relation_ffn": True,
    "relation_residual": True,
    "relation_position": True,
}


@pytest.fixture(scope="module")
def whole():
    """A model, its processor, a padded batch of mixed sets, and what the model sees in it."""
    model, processor = make()
    batch = encoded(processor, samples())
    return model, processor, batch, model.see(batch)


def rows_of_images(model, batch):
    """The projected rows (X, Q, D) of every image of every row."""
    features = model.vision(batch.pixels)
    queries = model.relation.relate(*by_set(features, batch.layout))
    asked, there = model.ask(queries, features, batch)
    return model.projection(asked[there]).unflatten(0, (len(asked), -1))


def zeroed(model):
    """The model with a relation that says nothing."""
    with torch.no_grad():
        for name, weight in model.relation.relation.named_parameters():
            if "output" in name:
                weight.zero_()
    return model


# -- SQuARE ------------------------------------------------------------------------------------


def slow_code(number, width):
    """Sines and cosines of an image's number."""
    half = (width + 1) // 2
    angles = torch.tensor([number * 100.0 ** (-i / half) for i in range(half)])
    return torch.cat([angles.sin(), angles.cos()])[:width].double()


def slow_relation(relation, images, positioned):
    """R' = RelAttn(R, [V_1; ...; V_N])."""
    if positioned:
        images = [v + slow_code(i, v.shape[1]) for i, v in enumerate(images)]
    queries = relation.queries
    for layer in relation.layers:
        looked = slow_attention(layer.attention, layer.norm(queries), torch.cat(list(images)))
        queries = queries + looked if layer.residual else looked
        if layer.ffn is not None:
            queries = queries + layer.ffn(queries)
    return queries


def slow_queries(model, images):
    """Gt of one set, from each relation's definition."""
    station, own, kind = model.relation, model.relation.queries, model.config.relation
    if kind in ("none", "image_to_image"):
        return own
    if kind in ("pooling", "projection"):
        term = station.relation.project(torch.cat(list(images)).mean(0))
        return own + (term if kind == "pooling" else term.reshape(3, 20))
    related = slow_relation(station.relation, images, model.config.relation_position)
    return torch.cat([own[: -len(related)], related]) if kind == "concat" else own + related


@pytest.mark.parametrize("options", [{}, FULL], ids=["plain", "full"])
@pytest.mark.parametrize("relation", RELATIONS)
def test_queries_of_a_set_match_a_loop_written_from_the_formulas(relation, options):
    model, _ = make(relation=relation, **options)
    features = torch.randn(2, 4, 10, 24).double()
    there = torch.tensor([[True] * 3 + [False], [True] + [False] * 3])
    given = model.relation.relate(features, there)
    for one in range(2):
        expected = slow_queries(model, features[one][there[one]])
        torch.testing.assert_close(given[one], expected)


def test_the_published_relation_has_the_counted_number_of_weights():
    with torch.device("meta"):
        station = SharedQueries(PrimaConfig().square())
    assert sum(p.numel() for p in station.relation.parameters()) == 3_345_408 + 24_576
    assert tuple(station.queries.shape) == (32, 768)


def test_a_new_relation_begins_in_silence_and_still_learns():
    torch.manual_seed(0)
    model = PrimaModel(prima_tiny())
    features = torch.randn(2, 3, 10, 24)
    queries = model.relation.relate(features, torch.ones(2, 3, dtype=torch.bool))
    torch.testing.assert_close(queries, model.relation.queries.expand(2, -1, -1))
    (queries * torch.randn_like(queries)).sum().backward()
    assert model.relation.relation.layers[-1].attention.output.weight.grad.any()


# -- InstructBLIP ------------------------------------------------------------------------------


def instruct_blip(model, image_token):
    """Transformers' own model with our weights."""
    config = InstructBlipConfig(
        vision_config=model.config.vision_config,
        qformer_config=model.config.qformer_config,
        text_config=model.config.text_config,
        num_query_tokens=3,
        image_token_index=image_token,
    )
    theirs = InstructBlipForConditionalGeneration(config).double().eval()
    theirs.vision_model.load_state_dict(model.vision.eva.state_dict())
    theirs.qformer.load_state_dict(model.qformer.state_dict())
    theirs.query_tokens.data = model.relation.queries[None]
    theirs.language_projection.load_state_dict(model.projection.state_dict())
    theirs.language_model.load_state_dict(model.language.state_dict())
    return theirs


def test_with_a_relation_of_zero_every_image_is_seen_as_by_plain_instruct_blip(whole):
    _, _, batch, _ = whole
    model = zeroed(make()[0])
    theirs, ours = instruct_blip(model, 899), rows_of_images(model, batch)
    number = 0
    for group in batch.set_of_row.tolist():
        for frame in batch.layout.frames(group):
            text = batch.text[number : number + 1, batch.text_held[number]]
            out = theirs.get_image_features(
                pixel_values=batch.pixels[frame : frame + 1],
                qformer_input_ids=text,
                qformer_attention_mask=torch.ones_like(text),
                return_dict=True,
            )
            torch.testing.assert_close(ours[number], out.pooler_output[0])
            number += 1
    assert number == len(ours) == 9


def test_with_a_relation_of_zero_a_single_image_is_read_as_by_plain_instruct_blip():
    model, processor = make()
    zeroed(model)
    one = encoded(processor, samples()[1:2])
    image_token = 899  # no word: what stands for a row of the image in their ids
    ids = [
        token
        for known in one.tokens[0].tolist()
        for token in ([image_token] * 3 if known == model.config.image_token else [known])
    ]
    theirs = instruct_blip(model, image_token)(
        pixel_values=one.pixels,
        qformer_input_ids=one.text,
        input_ids=torch.tensor([ids]),
        attention_mask=torch.ones(1, len(ids), dtype=torch.long),
    )
    hidden = model.read(model.see(one))
    torch.testing.assert_close(model.language.lm_head(hidden), theirs.logits)


def test_the_same_holds_without_any_relation(whole):
    *_, batch, _ = whole
    model, silent = make(relation="none")[0], zeroed(make()[0])
    silent.load_state_dict({**silent.state_dict(), **model.state_dict()})
    torch.testing.assert_close(rows_of_images(model, batch), rows_of_images(silent, batch))


# -- order, and what images know of each other -------------------------------------------------


def test_other_images_influence_an_image_only_through_the_relation():
    model, processor = make()
    batch = encoded(processor, samples()[:1])
    changed = replace(batch, pixels=batch.pixels.clone())
    changed.pixels[2] += 1
    before, after = rows_of_images(model, batch), rows_of_images(model, changed)
    assert not torch.allclose(before[0], after[0])
    queries = model.relation.relate(*by_set(model.vision(batch.pixels), batch.layout))
    asked, there = model.ask(queries, model.vision(changed.pixels), changed)
    held = model.projection(asked[there]).unflatten(0, (3, -1))
    torch.testing.assert_close(held[:2], before[:2])  # with R' of the old set
    assert not torch.allclose(held[2], before[2])


@pytest.mark.parametrize("relation", RELATIONS)
def test_images_in_another_order_give_their_rows_in_that_order(relation):
    model, processor = make(relation=relation)
    batch, order = encoded(processor, samples()[:1]), [2, 0, 1]
    turned = replace(batch, pixels=batch.pixels[order])
    there, back = rows_of_images(model, turned), rows_of_images(model, batch)[order]
    torch.testing.assert_close(there, back)


@pytest.mark.parametrize("change", [{"relation_position": True}, {"question_view": "image"}])
def test_with_image_positions_the_order_counts(change):
    model, processor = make(**change)
    batch, order = encoded(processor, samples()[:1]), [2, 0, 1]
    turned = replace(batch, pixels=batch.pixels[order])
    there, back = rows_of_images(model, turned), rows_of_images(model, batch)[order]
    assert not torch.allclose(there, back)


def test_a_padded_batch_of_mixed_sets_equals_single_rows(whole):
    model, processor, batch, _ = whole
    output = model(batch)
    for row, alone in enumerate(samples()):
        one = encoded(processor, [alone])
        single = model(one)
        mine = batch.slots.row == row
        torch.testing.assert_close(output.mask_logits[mine], single.mask_logits)
        length = one.held.sum()
        torch.testing.assert_close(
            output.text_logits[row, 1:length], single.text_logits[0, 1:length]
        )
    assert torch.bincount(batch.slots.row).tolist() == [3, 1, 1, 4]


@pytest.mark.parametrize("count", range(1, 10))
def test_one_to_nine_images_are_read(count):
    model, processor = make()
    asked = sample(pictures(count), f"What is in image {count}?", [(count - 1,)])
    batch = encoded(processor, [asked])
    output = model(batch)
    assert output.frame.tolist() == [count - 1]
    assert output.presence[0].tolist() == [0.0] * (count - 1) + [1.0]
    assert int(model.see(batch).lengths.sum()) == int(batch.held.sum()) + 2 * count


# -- Q-Former, vision, SAM, LLaMA --------------------------------------------------------------


@pytest.mark.parametrize("keep", [False, True])
def test_the_q_former_is_transformers_own_on_single_unpadded_questions(keep):
    model, processor = make(keep_text_rows=keep)
    batch = encoded(processor, samples())
    theirs = InstructBlipQFormerModel(model.config.qformer_config).double().eval()
    theirs.load_state_dict(model.qformer.state_dict())
    features = model.vision(batch.pixels)
    queries = model.relation.relate(*by_set(features, batch.layout))
    asked, there = model.ask(queries, features, batch)
    pairs = [
        (row, frame)
        for row, group in enumerate(batch.set_of_row.tolist())
        for frame in batch.layout.frames(group)
    ]
    for number, (row, frame) in enumerate(pairs):
        text = batch.text[number][batch.text_held[number]][None]
        out = theirs(
            input_ids=text,
            attention_mask=torch.ones(1, 3 + text.shape[1], dtype=torch.long),
            query_embeds=queries[batch.set_of_row[row]][None],
            encoder_hidden_states=features[frame][None],
        ).last_hidden_state[0]
        expected = out if keep else out[:3]
        torch.testing.assert_close(asked[number][there[number]], expected)


def test_the_first_version_adds_attention_to_dino_patches():
    model, processor = make(relation="none", dino_config=DINO)
    batch = encoded(processor, samples()[:1])
    dino = Dinov2WithRegistersModel(model.config.dino_config).double().eval()
    dino.load_state_dict(model.vision.fuse.dino.state_dict())
    mean, std = torch.tensor([0.48145466, 0.4578275, 0.40821073]), torch.tensor(
        [0.26862954, 0.26130258, 0.27577711]
    )
    raw = batch.pixels * std[:, None, None] + mean[:, None, None]
    usual = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    seen = dino((raw - usual[0][:, None, None]) / usual[1][:, None, None]).last_hidden_state
    eva = model.vision.eva(batch.pixels).last_hidden_state
    for image in range(3):
        patches = seen[image, -9:]  # behind the class token and two registers
        looked = slow_attention(model.vision.fuse.attention, eva[image], patches)
        got = model.vision(batch.pixels)[image]
        torch.testing.assert_close(got, eva[image] + looked, rtol=1e-5, atol=1e-5)


def test_masks_are_those_of_transformers_sam_prompted_one_target_at_a_time(whole):
    model, _, batch, seen = whole
    theirs = SamModel(model.config.sam_config).double().eval()
    theirs.load_state_dict(model.decoding.sam.state_dict())
    slots = model.slots(model.read(seen), seen, batch.slots)
    output = model.point(slots, seen)
    _, dense = theirs.prompt_encoder(None, None, None, None)
    for number, frame in enumerate(batch.slots.frame.tolist()):
        masks, iou = theirs.mask_decoder(
            image_embeddings=theirs.get_image_embeddings(batch.canvas[frame : frame + 1]),
            image_positional_embeddings=theirs.get_image_wide_positional_embeddings(),
            sparse_prompt_embeddings=model.seg_head(slots.hidden[number]).reshape(1, 1, 1, -1),
            dense_prompt_embeddings=dense,
            multimask_output=False,
        )
        torch.testing.assert_close(output.mask_logits[number], masks[0, 0, 0])
        torch.testing.assert_close(
            output.score[number].double(), iou[0, 0, 0].clamp(0, 1), rtol=1e-5, atol=1e-6
        )


def test_every_image_is_encoded_once_by_sam(whole):
    model, _, batch, _ = whole
    encoder, seen = model.decoding.sam.vision_encoder, []
    handle = encoder.register_forward_hook(lambda _, given, __: seen.append(given[0].shape[0]))
    model(batch)
    handle.remove()
    assert sum(seen) == 6  # two questions about one set of three share its images


def test_what_is_read_is_read_as_by_transformers_llama_row_by_row(whole):
    model, _, batch, seen = whole
    theirs = LlamaForCausalLM(model.config.text_config).double().eval()
    theirs.load_state_dict(model.language.state_dict())
    ours = model.speak(model.read(seen), seen)
    images = rows_of_images(model, batch)
    number = 0
    for row in range(len(batch.tokens)):
        vectors, places = [], []
        for token in batch.tokens[row][batch.held[row]].tolist():
            places.append(sum(len(v) for v in vectors))
            if token == -200:
                vectors.append(images[number])
                number += 1
            else:
                vectors.append(theirs.get_input_embeddings().weight[token][None])
        logits = theirs(inputs_embeds=torch.cat(vectors)[None]).logits[0]
        for at in range(1, len(places)):
            torch.testing.assert_close(ours[row, at], logits[places[at] - 1])


# -- splice and gather -------------------------------------------------------------------------


@pytest.mark.parametrize("keep", [False, True])
def test_states_of_masks_stand_where_a_direct_search_finds_them(keep):
    model, processor = make(keep_text_rows=keep)
    batch = encoded(processor, samples())
    seen = model.see(batch)
    marked = torch.arange(seen.held.numel()).reshape(*seen.held.shape, 1).double()
    got = model.slots(marked, seen, batch.slots).hidden[:, 0].tolist()
    expected = []
    for row in range(len(batch.tokens)):
        image = int((batch.set_of_row[:row, None] == batch.layout.set).sum())  # its first
        rows = 3 + (int(batch.text_held[image].sum()) if keep else 0)
        spread = []
        for token in batch.tokens[row][batch.held[row]].tolist():
            spread += [-200] * rows if token == -200 else [token]
        found = [at for at, token in enumerate(spread) if token == model.config.seg_token]
        expected += [row * seen.held.shape[1] + at - 1 for at in found]
    assert got == expected


def test_the_published_index_formula_gives_the_same_columns(whole):
    model, _, batch, seen = whole
    marked = torch.arange(seen.held.shape[1]).expand_as(seen.held)[..., None].double()
    got = model.slots(marked, seen, batch.slots).hidden[:, 0].tolist()
    count = batch.layout.num_images[batch.set_of_row][batch.slots.row]
    before = batch.slots.column - 1  # t, the token before [SEG]
    assert got == (before + (3 - 1) * count).tolist()


def test_without_a_q_former_every_patch_is_read_and_images_meet_in_the_language_decoder_only():
    model, processor = make(image_rows="patches", relation="none")
    assert (model.relation, model.qformer) == (None, None)
    batch = encoded(processor, samples())
    seen = model.see(batch)
    patches = model.projection(model.vision.eva(batch.pixels).last_hidden_state[:, 1:])
    assert patches.shape[1] == model.config.rows_per_image == 9
    for row, group in enumerate(batch.set_of_row.tolist()):
        frames = batch.layout.frames(group)
        starts = (seen.lengths[row].cumsum(0) - seen.lengths[row])[batch.images[row]]
        assert len(starts) == len(frames)
        for start, frame in zip(starts.tolist(), frames, strict=True):
            torch.testing.assert_close(seen.embedded[row, start : start + 9], patches[frame])
    output = model(batch)
    for row, alone in enumerate(samples()):
        single = model(encoded(processor, [alone]))
        mine = batch.slots.row == row
        torch.testing.assert_close(output.mask_logits[mine], single.mask_logits)
