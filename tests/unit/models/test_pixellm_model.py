"""PixelLM of any size: levels and tokens, padding, rows alone and together, refusals."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from deixis.errors import ConfigError, ShapeError
from deixis.models.configs.pixellm_config import pixellm_tiny, published_config
from deixis.models.parts.pixellm_vision import patch_mask, pooled_mask, resize_position_table
from deixis.models.pixellm import PRESETS, PixelLM, PixelLMConfig, group_states
from deixis.models.published.pixellm_keys import is_dropped, our_key
from deixis.processing.pixellm import PixelLMProcessor
from deixis.structures.images import Frame
from deixis.training.pixellm.pixellm_objective import PixelLMObjective

SIZES = ((20, 40), (40, 24), (31, 31))


def frames():
    dice = np.random.default_rng(2)
    return [Frame.from_array(dice.integers(0, 256, (*s, 3), dtype=np.uint8)) for s in SIZES]


def batch_of(processor, targets=(2, 0, 1, 1), images=(0, 1, -1, 2), *, truth=True):
    """Rows with so many targets about these images; -1 is a row of words only."""
    rows, masks = [], []
    for number, (count, image) in enumerate(zip(targets, images, strict=True)):
        count = count if image >= 0 else 0
        said = " and ".join(f"the thing {processor.group_text}" for _ in range(count)) or "none"
        turn = ("Where? " * (number + 1), said + ".")
        rows.append(processor.conversation([turn], image=image >= 0))
        masks += [torch.rand(SIZES[image]) > 0.7 for _ in range(count)]
    return processor.collate(rows, frames(), images, masks=masks if truth else None)


@pytest.fixture(scope="module")
def small(make_pixellm):
    return make_pixellm()


@pytest.mark.parametrize(("levels", "tokens"), [(1, 1), (1, 3), (2, 1), (3, 2)])
def test_any_number_of_levels_and_tokens_draws_and_learns(make_pixellm, levels, tokens):
    model, processor = make_pixellm(levels=levels, tokens_per_level=tokens)
    batch = batch_of(processor)
    output = model(batch)
    side = 10 * 2**levels
    assert output.mask_logits.shape == (3, side, side)
    sum(PixelLMObjective(refine=True)(output, batch).values()).backward()
    idle = {n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()}
    unused = ("prompts.", "iou_prediction", "hypernetworks_mlps", "k_proj.bias", "upsample_2x",
              "post_layernorm", "vision.encoder.layers.4")  # fmt: skip
    assert all(any(part in name for part in unused) for name in idle), idle
    assert model.prompts.no_mask_embed.weight.grad.any()
    assert (levels == 1) == any("upsample_2x" in name for name in idle)


def test_a_row_alone_says_and_draws_what_it_does_among_others(small):
    model, processor = small
    together = model(batch_of(processor))
    first = 0
    for row, (count, image) in enumerate(zip((2, 0, 0, 1), (0, 1, -1, 2), strict=True)):
        one = batch_of(processor)
        length = int(one.held[row].sum())
        mine = slice(first, first + count)
        alone = model(
            replace(
                one,
                tokens=one.tokens[row : row + 1, :length],
                held=one.held[row : row + 1, :length],
                image=torch.tensor([image]),
                slots=processor.slots([one.tokens[row, :length].tolist()]),
                truth=replace(
                    one.truth,
                    labels=one.truth.labels[row : row + 1, :length],
                    masks=one.truth.masks[mine],
                ),
            )
        )
        torch.testing.assert_close(alone.mask_logits, together.mask_logits[mine], atol=2e-4, rtol=0)
        first += count


@torch.no_grad()
def test_leaving_padded_image_tokens_out_is_masking_them(small):
    model, processor = small
    batch = batch_of(processor, truth=False)
    look = model.see(batch.pixels, batch.resized)
    laid = model.lay_out(batch.tokens, batch.held, batch.image, look)
    whole = replace(look, read=torch.ones_like(look.read))
    full = model.lay_out(batch.tokens, batch.held, batch.image, whole)
    mask = torch.zeros_like(full.held)
    row, column = torch.nonzero(laid.held, as_tuple=True)
    mask[row, laid.positions[row, column]] = True
    states = model.language(
        inputs_embeds=full.embedded,
        attention_mask=mask.long(),
        position_ids=torch.arange(mask.shape[1]).expand_as(mask),
    ).last_hidden_state
    expected = states[row, laid.positions[row, column]]
    torch.testing.assert_close(model.read(laid)[row, column], expected, atol=1e-4, rtol=1e-4)
    assert int(mask.sum()) < int(full.held.sum())  # some were left out


@torch.no_grad()
def test_padding_of_the_canvas_is_unseen_by_the_image(small):
    model, _ = small
    pixels = torch.randn(1, 3, 40, 40)
    resized = torch.tensor([[23, 40]])
    other = pixels.clone()
    other[:, :, 24:] += 5  # rows of patches that begin outside the image
    look, again = model.see(pixels, resized), model.see(other, resized)
    inside = patch_mask(resized, 40, 10).flatten()
    torch.testing.assert_close(look.features[:, 0, inside], again.features[:, 0, inside])
    assert not torch.allclose(look.features[:, 0, ~inside], again.features[:, 0, ~inside])


def test_masks_say_where_patches_and_tokens_begin():
    patches = patch_mask(torch.tensor([[9, 40], [1, 13]]), 40, 10)
    assert patches.sum((1, 2)).tolist() == [3 * 10, 1 * 4]
    assert patches[0, :3].all()
    assert pooled_mask(patches, 5).sum((1, 2)).tolist() == [2 * 5, 1 * 2]


def test_the_table_takes_its_last_row_for_the_class():
    table = torch.randn(1 + 9, 4)
    resized = resize_position_table(table, 5)
    assert torch.equal(resized[-1], table[-1])
    assert torch.equal(resize_position_table(table, 3), table)
    middle = F.interpolate(table[:9].T.reshape(1, 4, 3, 3), size=(5, 5), mode="bilinear")
    torch.testing.assert_close(resized[7], middle[0, :, 1, 2])
    with pytest.raises(ShapeError, match=r"1 \+ a square number of rows, got 9"):
        resize_position_table(table[:9], 5)


@torch.no_grad()
def test_the_state_before_a_token_is_read_for_it(small):
    model, processor = small
    batch = batch_of(processor)
    look = model.see(batch.pixels, batch.resized)
    laid = model.lay_out(batch.tokens, batch.held, batch.image, look)
    columns = torch.arange(laid.held.shape[1]).expand_as(laid.held)[..., None].float()
    places = group_states(columns, laid, batch.slots)[..., 0].long()  # (M, G)
    embedded = laid.embedded[batch.slots.row[:, None], places + 1]
    group = torch.tensor(processor.vocabulary.group)
    expected = model.language.embed_tokens(group).expand_as(embedded)
    torch.testing.assert_close(embedded, expected)


@torch.no_grad()
def test_the_switches_of_the_paper_change_what_is_drawn(make_pixellm):
    model, processor = make_pixellm()
    batch = batch_of(processor)
    published = model(batch).mask_logits
    paper, _ = make_pixellm(modulation="sigmoid", learnable_fusion=True)
    assert {"codebook.weight", "pyramid.gamma"} == set(paper.state_dict()) - set(model.state_dict())
    paper.load_state_dict(model.state_dict(), strict=False)
    changed = paper(batch).mask_logits
    assert not torch.allclose(changed, published, atol=1e-3)


@torch.no_grad()
def test_constants_of_fusion_come_from_the_config(make_pixellm):
    model, _ = make_pixellm(token_weight=0.7, level_weight=0.3)
    fused = model.codebook.fuse(torch.ones(1, 2, 2, 1))
    torch.testing.assert_close(fused, torch.full_like(fused, 1.4))
    levels = [torch.ones(1, 2, 2), torch.ones(1, 4, 4)]
    torch.testing.assert_close(model.pyramid.fuse(levels), torch.full((1, 4, 4), 0.6))


def test_a_batch_of_words_only_learns_without_any_image(small):
    model, processor = small
    row = processor.conversation([("Hello?", "hello.")], image=False)
    batch = processor.collate([row], [], [-1], masks=[])
    parts = PixelLMObjective()(model(batch), batch)
    sum(parts.values()).backward()
    assert float(parts["text"].detach()) > 0 == float(parts["bce"].detach())
    assert model.lm_head.weight.grad.any()
    model.zero_grad()


def test_presets_have_their_sizes_and_their_config_survives_a_file(tmp_path):
    counts = {}
    for name, preset in PRESETS.items():
        config = preset()
        config.save_pretrained(tmp_path)
        assert PixelLMConfig.from_pretrained(tmp_path).to_dict() == config.to_dict()
        with torch.device("meta"):
            counts[name] = sum(p.numel() for p in PixelLM(config).parameters())
    assert counts["pixellm_tiny"] <= 8e6
    assert 7.1e9 < counts["pixellm_7b"] < 7.2e9
    assert 13.4e9 < counts["pixellm_13b"] < 13.5e9


def test_published_names_are_mapped_once_each():
    assert our_key("model.norm.weight") == "language.norm.weight"
    assert our_key("model.something.else") is None
    dropped = "model.layers.3.self_attn.rotary_emb.inv_freq"
    assert is_dropped(dropped)
    assert our_key(dropped) is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"levels": 0}, "levels: expected a whole number from 1 on, got 0"),
        ({"tokens_per_level": 2}, r"group_tokens: expected 4 ids .* got 6\. Set tokens_per_level"),
        ({"feature_layers": [-2]}, r"feature_layers: expected 2 hidden states .* got \[-2\]"),
        ({"feature_layers": [-2, 40]}, r"from -25 to 24, got \[-2, 40\]"),
        ({"modulation": "none"}, 'expected "sigmoid" or "one_plus_sigmoid", got "none"'),
        ({"malformed": "guess"}, 'malformed: expected "keep" or "drop_all", got "guess"'),
        ({"decoder_width": 100}, r"decoder_width: expected a multiple of 8 .* got 100"),
        ({"image_start_token": 32003}, r"expected 8 different ids below 32009"),
        ({"vision_config": {"image_size": 15}}, "two or more patches of 32 pixels, got 15"),
    ],
)
def test_values_that_make_no_model_are_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        PixelLMConfig(**changes)


def test_a_published_config_keeps_what_turns_the_places_of_words():
    tokens = {"<im_start>": 3, "<im_end>": 4, "[SEG0]": 5, "[SEG1]": 6}
    scaled = {"rope_theta": 5e5, "rope_scaling": {"type": "linear", "factor": 2.0}}
    for values, wanted in (({}, ("default", 1e4)), (scaled, ("linear", 5e5))):
        config = published_config({"vocab_size": 10, **values}, {}, added_tokens=tokens)
        found = config.text_config.rope_parameters
        assert (found["rope_type"], found["rope_theta"]) == wanted


def test_a_published_config_without_its_tokens_is_refused():
    tokens = {"<im_start>": 3, "<im_end>": 4, "[SEG0]": 5, "[SEG1]": 6, "[SEG2]": 7}
    with pytest.raises(ConfigError, match=r"to fill 2 levels evenly, got 3\. Take"):
        published_config({}, {}, added_tokens=tokens)
    del tokens["[SEG2]"], tokens["<im_end>"]
    with pytest.raises(ConfigError, match="got no <im_end>"):
        published_config({"vocab_size": 10}, {}, added_tokens=tokens)


def test_a_row_and_its_image_must_agree(small):
    _, processor = small
    row = processor.conversation([("Where?", None)])
    with pytest.raises(ShapeError, match=r"expected \[0\] .* got \[1\]\. PixelLM looks at one"):
        processor.collate([row], [], [-1])
    with pytest.raises(ShapeError, match=r"true masks: expected one for each of 0 .* got 1"):
        processor.collate([row], frames()[:1], [0], masks=[torch.zeros(2, 2)])


def test_the_tiny_preset_learns_from_scenes(scene_samples):
    config = pixellm_tiny()
    texts = [t for s in scene_samples for t in (s.question.text, s.answer.text)]
    processor = PixelLMProcessor.from_texts(config, texts)
    spoken = [s for s in scene_samples if len(s.images) == 1 and not s.question.prompts][:3]
    batch = processor.encode(spoken, with_truth=True)
    model = PixelLM(config)
    sum(PixelLMObjective()(model(batch), batch).values()).backward()
    assert all(p.grad.any() for p in model.projector.parameters())
