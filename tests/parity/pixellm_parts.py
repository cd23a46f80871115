"""What test_pixellm.py compares of PixelLM's single parts, and runs: words, pixels, vision, the
pixel decoder, losses, the keys of checkpoints. Fixtures and tolerances are explained there.
"""

import math

import numpy as np
import pytest
import torch

from deixis.metrics.matching import assign
from deixis.models.parts.pixellm_vision import (
    patch_mask,
    pooled,
    pooled_mask,
    resize_position_table,
)
from deixis.models.pixellm import PRESETS, Look, PixelLM
from deixis.models.published.pixellm_keys import is_dropped, our_key
from deixis.nn.losses import bce_per_mask, dice_per_mask, refinement_weights, soft_dice
from deixis.processing.batches.pixellm_batch import IMAGE
from deixis.processing.pixellm import (
    PixelLMProcessor,
    place_image,
    resize_pixels,
    restore_logits,
)
from deixis.processing.words.pixellm_prompts import LLAVA_LLAMA_2, turn_texts
from deixis.structures.masks import Mask
from deixis.training.pixellm.pixellm_objective import PixelLMObjective

STATES = {"within": 1e-4, "relative": 1e-4}
EXACT = {"within": 1e-5}
LOGITS = {"within": 2e-3}
MARK = "<image>\n"  # opens a recorded question; a question here comes without it


def seen_alone(look, index):
    part = slice(index, index + 1)
    return Look(features=look.features[:, part], rows=look.rows[part], read=look.read[part])


# -- config -------------------------------------------------------------------------------------


def test_the_config_says_what_the_recorded_arguments_say(recording, config, words):
    given = recording.value("config", "model_args")
    weights = PixelLMObjective()
    assert given["seg_token_idx"] == config.group_tokens == list(words.group)
    assert recording.value("config", "meta", "seg_ids") == config.group_tokens
    assert given["seg_token_num"] == config.tokens_per_level
    assert given["image_feature_scale_num"] == config.levels
    assert given["out_dim"] == config.decoder_width
    assert given["resize_vision_tower_size"] == config.canvas
    assert given["ce_loss_weight"] == weights.text
    assert given["bce_loss_weight"] == weights.bce
    assert given["dice_loss_weight"] == weights.dice
    always = (
        "train_mask_decoder",
        "use_mm_start_end",
        "pad_train_clip_images",
        "resize_vision_tower",
        "vision_tower_for_mask",
        "separate_mm_projector",
    )
    assert all(given[name] for name in always)
    assert not given["masks_process_with_clip"]
    assert given["vision_pretrained"] is None


def test_constants_of_fusion_are_the_recorded_scalars(recording, config, model):
    tokens = recording.value("config", "meta", "multiseg_scalar")
    ones = torch.ones(1, config.levels, config.tokens_per_level, 1)
    ours = float(model.codebook.fuse(ones)[0, 0, 0]) / config.tokens_per_level
    lone = config.tokens_per_level == 1  # has a scalar there as well, which nothing reads
    assert lone or tokens == pytest.approx([ours] * config.group_size, rel=1e-6)
    levels = recording.value("config", "meta", "multiscale_scalar")
    single = [torch.ones(1, 2, 2) * (i == 0) for i in range(config.levels)]
    assert levels == pytest.approx([float(model.pyramid.fuse(single)[0, 0, 0])] * config.levels)


# -- words --------------------------------------------------------------------------------------


def test_white_space_around_added_tokens_is_swallowed(recording, words):
    for text, ids in recording.value("tokenization", "probe").items():
        assert words.encode_prompt(text) == ids, text


def test_prompts_of_both_templates(recording, words, processor):
    (question, answer), *_ = zip(
        recording.value("tokenization", "questions"),
        recording.value("tokenization", "answers"),
        strict=True,
    )
    question = question.removeprefix(MARK)
    older = PixelLMProcessor(processor.config, words, LLAVA_LLAMA_2)
    for suffix, one in (("", processor), ("_llama2", older)):
        ((prompt, reply),) = turn_texts([(question, answer)], image=True, template=one.template)
        assert prompt == recording.value("tokenization", f"inference_prompt{suffix}")
        ids = recording.value("tokenization", f"inference_ids{suffix}")
        assert words.encode_prompt(prompt) == ids
        assert one.question(question) == ids
        if suffix:
            assert prompt + reply == recording.value("tokenization", "training_prompt_llama2")


def test_conversations_ids_labels_and_masks(recording, processor, images):
    questions = [q.removeprefix(MARK) for q in recording.value("tokenization", "questions")]
    turns = list(zip(questions, recording.value("tokenization", "answers"), strict=True))
    texts = ["".join(*turn_texts([turn], image=True)) for turn in turns]
    assert texts == recording.value("tokenization", "conversations")
    offsets = recording.value("tokenization", "offset")
    image_of_row = [i for i in range(len(offsets) - 1) for _ in range(offsets[i], offsets[i + 1])]
    rows = [processor.conversation([turn]) for turn in turns]
    groups = sum(len(processor.vocabulary.groups(row.ids)[0]) for row in rows)
    masks = [torch.zeros(1, 1, dtype=torch.bool)] * groups
    batch = processor.collate(rows, images.frames, image_of_row, masks=masks)
    assert batch.tokens.tolist() == recording.value("tokenization", "input_ids")
    assert batch.truth.labels.tolist() == recording.value("tokenization", "labels")
    held = recording.value("tokenization", "attention_masks")
    assert batch.held.long().tolist() == torch.tensor(held).long().tolist()


def test_added_tokens_the_size_and_the_way_back(recording, words):
    added = recording.value("tokenization", "added_tokens")
    assert {name: words.encode(name) for name in added} == {n: [i] for n, i in added.items()}
    assert len(words) == recording.value("tokenization", "vocab_len")
    ids, text = (recording.value("tokenization", "decode_probe", k) for k in ("ids", "text"))
    assert words.transcript([i for i in ids if i != IMAGE]) == text


# -- pixels and vision --------------------------------------------------------------------------


def test_images_are_resized_normalised_and_padded(recording, config, images):
    placed = [place_image(frame, config.canvas) for frame in images.frames]
    for index, (frame, placement) in enumerate(zip(images.frames, images.placements, strict=True)):
        expected = recording.tensor("preprocess", f"resized_{index}").numpy()
        np.testing.assert_array_equal(resize_pixels(frame.pixels, placement), expected)
    recording.close("preprocess", "images_clip", torch.stack([p for p, _ in placed]), **EXACT)
    sizes = [list(placement.resized) for _, placement in placed]
    assert sizes == recording.value("config", "meta", "clip_resize_list")
    originals = [list(placement.original) for _, placement in placed]
    assert originals == recording.value("config", "meta", "original_sizes")


def test_the_position_table_is_resized_as_released(recording, config, model):
    table = recording.tensor("vision", "position_embedding_original")
    resized = resize_position_table(table, config.grid)
    recording.close("vision", "position_embedding_resized", resized, **EXACT)
    torch.testing.assert_close(
        model.vision.embeddings.position_embedding.weight.detach(),
        recording.tensor("vision", "position_embedding_resized"),
    )


def test_masks_of_patches_and_of_image_tokens(recording, config, images):
    patches = patch_mask(images.resized, config.canvas, config.grid)
    recording.close("vision", f"patch_mask_{config.grid}", patches, 0)
    read = pooled_mask(patches, config.image_grid).flatten(1)
    recording.close("vision", f"llm_image_mask_{config.image_grid**2}", read, 0)


@torch.no_grad()
def test_both_levels_of_clip_and_their_projections(recording, config, model, images, look):
    first = model.vision.pre_layrnorm(model.vision.embeddings(images.pixels))
    recording.close("vision", "embeddings_out", first, **STATES)
    for level, layer in enumerate(config.feature_layers):
        recording.close("vision", f"hidden_minus{-layer}", look.features[level], **STATES)
        projected = model.pixel_projector(look.features[level])
        recording.close("vision", f"out_proj_scale{level}", projected, **STATES)
    count = config.image_grid**2
    small = pooled(look.features[0], config.grid, config.image_grid)
    recording.close("vision", f"mm_projector_in_{count}", small, **STATES)
    recording.close("vision", f"mm_projector_out_{count}", model.projector(small), **STATES)
    torch.testing.assert_close(look.rows[look.read], model.projector(small)[look.read])


@torch.no_grad()
def test_what_the_language_decoder_reads(recording, model, look):
    ids = recording.tensor("vision", "prompt_input_ids")
    mask = recording.tensor("vision", "attention_mask").bool()
    tokens, held = ids.expand(len(mask), -1), torch.ones(len(mask), len(ids), dtype=torch.bool)
    index = torch.arange(len(mask))
    small = pooled(look.features[0], model.config.grid, model.config.image_grid)
    whole = Look(
        features=look.features, rows=model.projector(small), read=torch.ones_like(look.read)
    )
    full = model.lay_out(tokens, held, index, whole)
    theirs = recording.tensor("vision", "inputs_embeds")
    recording.close("vision", "inputs_embeds", full.embedded[: len(theirs)], **STATES)
    laid = model.lay_out(tokens, held, index, look)  # without what is masked there
    reached = torch.zeros_like(mask)
    for row, (positions, there) in enumerate(zip(laid.positions, laid.held, strict=True)):
        reached[row, positions[there]] = True
    assert torch.equal(reached, mask)
    torch.testing.assert_close(laid.embedded[0][laid.held[0]], full.embedded[0][mask[0]])


# -- pixel decoder ------------------------------------------------------------------------------


@torch.no_grad()
def test_neck_and_codes_of_places(recording, model):
    features = recording.tensor("decoder", "features")
    size = tuple(features.shape[-2:])
    recording.close("decoder", "neck_out", model.neck(features), **EXACT)
    code = model.pyramid.code(0, model.prompts).grid(size)
    recording.close("decoder", f"dense_pe_{size[0]}", code, **EXACT)
    (name,) = recording.names("decoder", f"dense_pe_{2 * size[0]}_stride")
    step = int(name.rpartition("stride")[2])
    code = model.pyramid.code(1, model.prompts).grid((2 * size[0], 2 * size[1]))
    recording.close("decoder", name, code[..., ::step, ::step], **EXACT)


@torch.no_grad()
def test_levels_fusion_and_the_way_back_to_the_image(recording, config, model, images):
    neck = recording.tensor("decoder", "neck_out")
    queries = recording.tensor("decoder", "token_embeddings")
    index = torch.zeros(len(queries), dtype=torch.long)
    levels = model.pyramid.draw(queries, neck[:, None].unbind(0), index, model.prompts)
    for number, level in enumerate(levels):
        masks, overlaps = model.pyramid.candidates(level)
        theirs = recording.tensor("decoder", f"level{number}_all{config.mask_tokens}")
        recording.close(
            "decoder", f"level{number}_all{config.mask_tokens}", masks[: len(theirs)], **LOGITS
        )
        recording.close("decoder", f"level{number}_mask", level.logits[:, None], **LOGITS)
        recording.close("decoder", f"level{number}_iou", overlaps, **STATES)
    fused = model.pyramid(queries, neck[:, None].unbind(0), index, model.prompts)
    recording.close("decoder", "fused_mask", fused[:, None], **LOGITS)
    for name in recording.names("decoder", "postprocessed_image"):
        placement = images.placements[int(name.removeprefix("postprocessed_image"))]
        recording.close("decoder", name, restore_logits(fused, placement)[:, None], **LOGITS)


def test_tokens_are_fused_level_by_level(recording, config, model):
    tokens = recording.tensor("decoder", "codebook_group_embeddings")
    group = (config.levels, config.tokens_per_level)
    recording.close(
        "decoder", "codebook_fused", model.codebook.fuse(tokens.unflatten(1, group)), **EXACT
    )


# -- losses and matching ------------------------------------------------------------------------


def test_refinement_weights_and_their_losses(recording):
    cases = [
        name
        for name, value in recording.peek("losses").items()
        if isinstance(value, dict) and "counts" in value
    ]
    assert cases
    for case in cases:
        theirs = recording.value("losses", case)
        drawn = case.partition("_")[0]
        logits, true = (recording.tensor("losses", f"{kind}_{drawn}") for kind in ("pred", "gt"))
        question = torch.arange(len(theirs["counts"])).repeat_interleave(
            torch.tensor(theirs["counts"])
        )
        weights = refinement_weights(logits, question)
        for number in question.unique().tolist():
            own = (weights - 1)[question == number]
            recording.close("losses", f"weight_{case}_q{number}", own, 0)
        pixels = [int((weights - 1)[question == q][0].sum()) for q in question.unique()]
        assert pixels == theirs["overlap_pixels"]
        plain = float(bce_per_mask(logits, true).mean())
        weighted = float(bce_per_mask(logits, true, weights).mean())
        ours = {
            "bce": plain,
            "dice": float(dice_per_mask(logits, true).mean()),
            "overlap_loss": float(bce_per_mask(logits, true, weights - 1).mean()),
            "bce_plus_overlap": weighted,
            "alpha2_weighted_bce": weighted,
        }
        assert {name: theirs[name] for name in ours} == pytest.approx(ours, rel=1e-4)


def test_the_cost_of_matching_and_its_assignment(recording):
    logits = recording.tensor("losses", "match_pred_logits")
    true = recording.tensor("losses", "match_gt")
    pairs = (logits.repeat_interleave(len(true), 0), true.repeat(len(logits), 1, 1))
    cost = (bce_per_mask(*pairs) + soft_dice(*pairs)).unflatten(0, (len(logits), len(true)))
    recording.close("losses", "match_cost_all_pixels", cost, 0, 1e-4)
    rows, columns = assign(-cost.double().numpy())
    theirs = recording.value("losses", "match_pred")
    assert rows.tolist() == theirs["pred_index"]
    assert columns.tolist() == theirs["gt_index"]


def test_intersections_and_unions_of_background_and_mask(recording):
    counted = recording.value("losses", "intersection_union_target_bg_fg")
    predicted = recording.tensor("losses", "pred_triple") > 0
    true = recording.tensor("losses", "gt_triple") > 0
    for theirs, one, other in zip(counted, predicted, true, strict=True):
        sides = [
            (Mask(~one.numpy()), Mask(~other.numpy())),
            (Mask(one.numpy()), Mask(other.numpy())),
        ]
        ours = [
            [a.intersection(b) for a, b in sides],
            [a.union(b) for a, b in sides],
            [b.area for _, b in sides],
        ]
        assert ours == theirs


# -- checkpoints --------------------------------------------------------------------------------


def test_every_key_of_the_published_checkpoints_has_its_place(recording):
    stems = [stem for stem in recording.values if stem.startswith("manifest_")]
    assert stems
    for stem in stems:
        config = PRESETS[stem.removeprefix("manifest_").replace("-", "_").lower()]()
        with torch.device("meta"):
            ours = {name: list(t.shape) for name, t in PixelLM(config).state_dict().items()}
        stored = recording.value(stem, "checkpoint_keys")
        named = {**stored, **recording.value(stem, "vision_tower_keys")}
        kept = {
            our_key(name): entry["shape"] for name, entry in named.items() if not is_dropped(name)
        }
        assert kept == ours
        exact = tuple(PixelLM._keep_in_fp32_modules_strict)
        for name, entry in stored.items():
            if not is_dropped(name):
                wanted = "float32" if our_key(name).startswith(exact) else "bfloat16"
                assert entry["dtype"] == wanted, name
        assert_counts(recording, stem, stored, config)


def assert_counts(recording, stem, stored, config):
    sizes = {name: math.prod(entry["shape"]) for name, entry in stored.items()}
    width = {"bfloat16": 2, "float32": 4}
    total = sum(size * width[stored[name]["dtype"]] for name, size in sizes.items())
    assert recording.value(stem, "params") == sum(sizes.values())
    assert recording.value(stem, "bytes") == total
    for family, (keys, numbers) in recording.value(stem, "families").items():
        mine = [size for name, size in sizes.items() if name.startswith(f"{family}.")]
        assert (len(mine), sum(mine)) == (keys, numbers)
    assert recording.value(stem, "assumed_vocab") == config.text_config.vocab_size
    added = recording.value(stem, "added_tokens")
    assert [added[f"[SEG{i}]"] for i in range(config.group_size)] == config.group_tokens
    assert (added["<im_start>"], added["<im_end>"]) == (
        config.image_start_token,
        config.image_end_token,
    )
