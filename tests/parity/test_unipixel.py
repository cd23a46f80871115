"""UniPixel against the published system's recorded tensors: every case, every tensor.

Everything is read from the folder; another one with other sizes and counts passes without an edit.
Each check runs once, by its own test or by the last one, which looks whether anything was left out.
"""

import re
from collections.abc import Callable
from functools import wraps
from string import ascii_uppercase

import numpy as np
import pytest
import torch
import unipixel_recordings as recorded
from safetensors import safe_open
from transformers.vision_utils import get_vision_window_index
from unipixel_recordings import case, reader, tables

from deixis.decoding.tracking import sine_of_time
from deixis.language.generate import generate
from deixis.metrics.clips.davis import frame_f, frame_j
from deixis.metrics.clips.revos import accuracy, robustness
from deixis.metrics.clips.volumes import volume_scores
from deixis.metrics.images.unipixel import predicted_box
from deixis.metrics.words.choices import unipixel_letter
from deixis.models.unipixel import UniPixelModel
from deixis.models.unipixel_config import unipixel_3b, unipixel_7b
from deixis.models.unipixel_keys import our_name
from deixis.nn.candidates import candidate_losses
from deixis.processing.unipixel_batch import UniPixelTruth
from deixis.processing.unipixel_frames import (
    centre_point,
    corners,
    frames_by_rate,
    most_pixels,
    pair_masks,
    patchify,
    resize_frames,
    restore,
    sam_frames,
    sam_masks,
    sample_around,
    sample_frames,
    smart_resize,
    touched_cells,
    whole_if_empty,
)
from deixis.processing.unipixel_text import Turn, conversation, learned, odd_starts
from deixis.prompting.regions import pool_touched
from deixis.training.unipixel import unipixel_losses

pytestmark = pytest.mark.skipif(
    not recorded.FOLDER.is_dir(), reason=f"no recordings in {recorded.FOLDER}: set DEIXIS_GOLDENS"
)

EXACT, SINGLE, CLIP = 1e-5, 1e-4, 5e-4  # the README's limits: 01-03, 09; 04, 05; 06-08, 10-12
CHECKS: list[Callable[[], None]] = []
DONE: set[str] = set()

# Recorded, and neither an input nor a result: how the recording was made, and what the published
# code did in vain or counted wrongly.
WASTE = (
    r"meta\.(vision|inputs|frames_note|vision_and_frames|library)",  # says in words what is where
    r"meta\.masks",  # a miscount where an answer holds several <seg>
    r"img[1-9]\d*\..*",  # the same frames encoded once more for every further mask
)
# What config.json says and we read under another name, and what we need not know.
USED_VALUES = {"sam2_config", "sam2_image_size", "sam2_hidden_tokens", "sam2_batch_mode"}
IDLE_VALUES = {
    *("base_model", "base_model_path", "conv_type", "image_token_id", "model_name_or_path"),
    *("partial_checkpoint", "sam2_apply_postprocessing", "sam2_checkpoint", "sam2_enable_decoder"),
    *("sam2_inference_mode", "sample_objects", "torch_dtype", "transformers_version"),
}


def check(test: Callable[[], None]) -> Callable[[], None]:
    """Let a test run once, so that the last one can make sure that all have run."""

    @wraps(test)
    def once() -> None:
        if test.__name__ not in DONE:
            test()
            DONE.add(test.__name__)

    CHECKS.append(once)
    return once


# -- 01 to 03: what the language decoder reads --------------------------------------------------


@check
@torch.no_grad()
def test_the_vision_encoder_sees_as_published():
    source, model = case("01_vision"), reader()
    grids = source["video_grid_thw"]
    features = model.vision(source["pixel_values_videos"], grid_thw=grids).pooler_output
    source.close("video_embeds", model.merge(features), EXACT)
    order = model.window_order(grids)
    source.same("window_index", order)
    source.close("merger_mlp_input", features[order], EXACT)
    vision = model.vision
    _, windows = get_vision_window_index(
        grids, vision.spatial_merge_size, vision.window_size, vision.patch_size
    )
    assert windows.tolist() == source["cu_window_seqlens"].unique_consecutive().tolist()
    recorded.frames_of(source)


@check
@torch.no_grad()
def test_points_and_boxes_become_the_published_tokens():
    source, vision, model = case("02_sparse_prompts"), case("01_vision"), reader()
    time = recorded.moments(source["point_frames"], vision["video_grid_thw"][0])
    asked = recorded.prompts(source, time)
    for index in range(source.count("obj")):
        coords, labels = source[f"obj{index}.coords"], source[f"obj{index}.labels"]
        source.close(f"obj{index}.sparse", model.prompting.codes.points(coords, labels), EXACT)
    assert source.count("obj") == len(asked.coords)
    source.close("tem_in", model.prompting.moment(asked.time), EXACT)
    source.close("tem_out", model.prompting.when(asked.time), EXACT)
    place = model.prompting.place(asked.coords, asked.is_box)
    source.close("ref_spatial", torch.cat([place, model.prompting.when(asked.time)], 1), EXACT)
    source.close("ref_emb", model.prompting(asked.coords, asked.is_box, asked.time), EXACT)
    batch = recorded.clip_batch(source, vision, asked=asked)
    source.same("position_ids", batch.positions)
    source.same("rope_deltas", batch.positions.amax((0, 2))[:, None] + 1 - batch.tokens.shape[1])
    seen = model.see(batch)
    source.close("inputs_embeds", seen.prefix, EXACT)
    source.close("logits", model.speak(model.read(seen)), EXACT)


@check
@torch.no_grad()
def test_masks_become_the_published_tokens():
    source, vision, model = case("03_mask_prompts"), case("01_vision"), reader()
    touched = source["refer_mask"]
    assert touched.any(3).any(2).sum(0).tolist() == source.value("mem_tokens_per_object")
    batch = recorded.clip_batch(source, vision, regions=[touched])
    seen = model.see(batch)
    pooled = model.pool(seen.features, batch)
    source.close("pooled", pooled, EXACT)
    source.close("mem_emb", model.regions(pooled), EXACT)
    source.close("pooled_if_raster_aligned", pool_touched(seen.features, touched), EXACT)
    source.close("inputs_embeds", seen.prefix, EXACT)
    source.close("logits", model.speak(model.read(seen)), EXACT)


# -- 04 to 08: words and masks -----------------------------------------------------------------


def compare_tracks(source, model, batch, states, limit):
    """Draw the targets of states (M, D) one by one, as published, and compare all that is kept."""
    clip, size = batch.clips[0], batch.sizes[0]
    compare_look(source, model, clip, limit)
    hidden = model.ask(states)
    assert len(hidden) == source.count("seg")
    step = 0
    for index in range(len(hidden)):
        if f"seg{index}.hidden_tokens" in source:
            source.close(f"seg{index}.hidden_tokens", hidden[index : index + 1], limit)
        masks = []
        for frame, drawing in enumerate(model.track(hidden[index : index + 1], [clip], len(clip))):
            compare_step(source, model, clip[frame : frame + 1], drawing, step, limit)
            masks.append(restore(drawing.mask_logits, size))
            step += 1
        compare_masks(source, index, torch.stack(masks, 1), limit)
    together = [d.mask_logits for d in model.track(hidden, [clip], len(clip))]
    for index in range(len(hidden)):  # all objects in one batch: the same masks
        own = torch.stack([restore(logits[index : index + 1], size) for logits in together], 1)
        compare_masks(source, index, own, limit)
    assert source.count("step") in (0, step)


def compare_masks(source, index, logits, limit):
    if f"seg{index}.mask_logits" in source:
        source.close(f"seg{index}.mask_logits", logits, limit)
    source.masks(f"seg{index}.mask", logits > 0)


def compare_look(source, model, clip, limit):
    seen = model.tracker.sam.look(clip)
    for level, name in enumerate(("fine", "middle", "coarse")):
        if f"img0.fpn{level}" in source:
            source.close(f"img0.fpn{level}", getattr(seen, name), limit)
        if f"img0.pos{level}" in source:
            code = model.tracker.sam.vision.neck.position_encoding
            wanted = source[f"img0.pos{level}"]
            source.close(f"img0.pos{level}", code(wanted.shape, clip.device, clip.dtype), limit)


def compare_step(source, model, frame, drawing, step, limit):
    """Compare one frame of one object, and what is remembered of it."""
    frame = model.tracker.sam.look(frame)
    kept = model.tracker.remember(frame, drawing)
    code = model.tracker.memory_encoder.position_encoding
    got = {
        f"step{step}.pix_feat_with_mem": drawing.features,
        f"step{step}.low_res_multimasks": drawing.candidates,
        f"step{step}.ious": drawing.candidate_scores,
        f"step{step}.low_res_masks": drawing.mask_logits[:, None],
        f"step{step}.obj_ptr": kept.pointer,
        f"step{step}.object_score_logits": drawing.presence_logits,
        f"mem{step}.features": kept.masks,
        f"mem{step}.pos": code(kept.masks.shape, kept.masks.device, kept.masks.dtype),
    }
    for name, tensor in got.items():
        if name in source:
            source.close(name, tensor, limit)


def write(model, seen, count):
    """Write tokens; return them, the states that predict them, and the prefix's states."""
    states, reading = model.begin(seen)
    before, tokens = [reading.state], []
    eos = model.config.text_config.eos_token_id
    for token, state in generate(model.language, model.speak, reading, most=count, end=eos):
        tokens.append(token)
        before.append(state)
    return torch.stack(tokens, 1), torch.cat(before[:-1]), states


@check
@torch.no_grad()
def test_a_picture_is_answered_as_published():
    source, model = case("04_generate_image"), reader()
    batch = recorded.clip_batch(source, seconds=source.value("second_per_grid_ts")[0])
    tokens, before, prefix = write(model, model.see(batch), source.value("max_new_tokens"))
    source.same("sequences", torch.cat([batch.tokens, tokens], 1))
    source.close("step_logits", model.speak(before), SINGLE)
    source.close("seg_state", before, SINGLE)
    source.close("seg_head_out", model.seg_head(before), SINGLE)
    seg = model.config.seg_token_id
    given = prefix[0, torch.nonzero(batch.tokens[0] == seg)[:, 0] - 1]
    compare_tracks(source, model, batch, torch.cat([given, before[tokens[0] == seg]]), SINGLE)


@check
@torch.no_grad()
def test_masks_are_drawn_for_each_seg_of_the_prompt():
    source, shown, model = case("05_generate_image_primed"), case("04_generate_image"), reader()
    batch = recorded.clip_batch(source, shown)
    tokens, before, prefix = write(model, model.see(batch), source.value("max_new_tokens"))
    source.same("sequences", torch.cat([batch.tokens, tokens], 1))
    source.close("step_logits", model.speak(before), SINGLE)
    source.close("prefill_state", prefix, SINGLE)
    source.close("prefill_seg_head_out", model.seg_head(prefix), SINGLE)
    seg = model.config.seg_token_id
    given = prefix[0, torch.nonzero(batch.tokens[0] == seg)[:, 0] - 1]
    compare_tracks(source, model, batch, torch.cat([given, before[tokens[0] == seg]]), SINGLE)


def compare_clip(source, model, batch):
    """Compare a clip whose question holds its <seg>."""
    hidden = model.read(model.see(batch))
    if "logits_last" in source:
        source.close("logits_last", model.speak(hidden[0, -1]), CLIP)
    columns = torch.nonzero(batch.tokens[0] == model.config.seg_token_id)[:, 0]
    states = hidden[0, columns - 1]
    if source.count("seg") > len(states):  # the published code also draws for a <seg> that is next
        assert model.speak(hidden[0, -1]).argmax() == model.config.seg_token_id
        states = torch.cat([states, hidden[0, -1:]])
    compare_tracks(source, model, batch, states, CLIP)


@check
@torch.no_grad()
def test_a_clip_is_tracked_as_published():
    source, model = case("06_video"), reader()
    batch = recorded.clip_batch(source)
    assert len(batch.clips[0]) == source.value("frames")
    compare_clip(source, model, batch)


@check
@torch.no_grad()
def test_absent_objects_are_hidden_and_remembered_as_absent():
    source, shown = case("06_video_occlusion"), case("06_video")
    model = recorded.model()
    for name, value in source.value("override").items():
        weight = model.get_parameter(our_name(name))
        assert source["override.bias"].tolist() == pytest.approx([value] * weight.numel())
        weight.copy_(source["override.bias"])
    batch = recorded.clip_batch(source, shown)
    source.same("video_grid_thw", batch.grids)
    assert len(batch.clips[0]) == source.value("frames")
    compare_clip(source, model, batch)


@check
@torch.no_grad()
def test_a_long_clip_is_tracked_as_published():
    source, model = case("07_video_long"), reader()
    batch = recorded.clip_batch(source)
    assert len(batch.clips[0]) == source.value("frames")
    compare_clip(source, model, batch)


@check
@torch.no_grad()
def test_frames_are_drawn_alone_as_published():
    source, shown = case("08_video_batch_mode"), case("06_video")
    model = recorded.model(frames_alone=True)
    compare_clip(source, model, recorded.clip_batch(shown))


# -- 09: object memory --------------------------------------------------------------------------


@check
@torch.no_grad()
def test_prompts_become_masks_and_masks_become_tokens_as_published():
    source, vision, model = case("09_memory_two_pass"), case("01_vision"), reader()
    time = recorded.moments(source["point_frames"], vision["video_grid_thw"][0])
    asked = recorded.prompts(source, time)
    seconds = source.value("second_per_grid_ts")[0]
    first = recorded.clip_batch(source, vision, "pass1_input_ids", asked=asked, seconds=seconds)
    hidden = model.read(model.see(first))
    source.close("pass1_logits", model.speak(hidden), EXACT)
    slots = model.slots(hidden, first.tokens)
    source.close("pass1_hidden_tokens", slots.hidden, EXACT)
    drawn = [d.mask_logits for d in model.track(slots.hidden, first.clips, len(first.clips[0]))]
    masks = torch.stack([restore(logits, first.sizes[0]) > 0 for logits in drawn])
    source.masks("pass1_masks", masks)

    pairs = pair_masks(whole_if_empty(source["pass1_masks"]))
    source.same("refer_full", pairs)
    _, height, width = vision["video_grid_thw"][0].tolist()
    source.same("refer_mask", touched_cells(pairs, (height // 2, width // 2), 28))
    touched = source["refer_mask"]
    starts = [odd_starts(shown) for shown in touched.any(3).any(2).T.tolist()]
    assert starts == source.value("frame_pairs_1based")
    second = recorded.clip_batch(
        source, vision, "pass2_input_ids", regions=[touched], seconds=seconds
    )
    seen = model.see(second)
    pooled = model.pool(seen.features, second)
    source.close("pooled", pooled, EXACT)
    source.close("mem_emb", model.regions(pooled), EXACT)
    source.close("pass2_inputs_embeds", seen.prefix, EXACT)
    source.close("pass2_logits", model.speak(model.read(seen)), EXACT)
    count = source["pass2_sequences"].shape[1] - second.tokens.shape[1]
    tokens, *_ = write(model, seen, count)
    source.same("pass2_sequences", torch.cat([second.tokens, tokens], 1))


# -- 10 to 12: training --------------------------------------------------------------------------


def training_batch(source):
    """Return the recorded samples; the first shows the frames of 01, unless it has its own."""
    vision, samples = case("01_vision"), source.count("s")
    clips, patches, sizes, times, parts, masks = [], [], [], [], [], []
    grids = source["video_grid_thw"]
    for index in range(samples):
        own = f"s{index}."
        has = f"{own}frames" in source
        clips.append(source[f"{own}frames"] if has else recorded.frames_of(vision))
        patches.append(
            source[f"{own}pixel_values_videos"] if has else vision["pixel_values_videos"]
        )
        sizes.append(tuple(source[f"{own}frame_size"].tolist()))
        times.append(recorded.moments(source[f"{own}point_frames"], grids[index]))
        parts.append(recorded.prompts(source, times[-1], own))
        masks.append(source[f"{own}label_mask"])
    asked = recorded.RefPrompts(
        coords=torch.cat([p.coords for p in parts]),
        is_box=torch.cat([p.is_box for p in parts]),
        time=torch.cat(times),
    )
    truth = UniPixelTruth(labels=source["labels"], masks=tuple(masks))
    return recorded.batch(
        source["input_ids"], torch.cat(patches), grids, clips, sizes, asked=asked, truth=truth
    )


def compare_training(name):
    source = case(name)
    alone = source.value("batch_mode")
    model = recorded.model(frames_alone=alone, published_rotation=True).train()
    batch = training_batch(source)
    output = model(batch)
    losses = unipixel_losses(output, batch)
    source.close("logits", output.text_logits, CLIP)
    source.close("lm_loss", losses.text, CLIP)
    source.close("loss", losses.total, CLIP)
    divided = [1 if alone else len(clip) for clip in batch.clips]
    assert divided == source.value("core_divided_by")
    with torch.no_grad():
        slots = model.slots(model.read(model.see(batch)), batch.tokens)
        for index, track in enumerate(output.extra):
            compare_sample(source, index, track, slots.hidden[slots.row == index], batch, alone)
    compare_gradients(source, model, batch)


def compare_sample(source, index, track, hidden, batch, alone):
    """Compare one sample's drawings and losses. Alone, all frames are rows of one step."""
    own, truth = f"s{index}.", batch.truth.masks[index]
    frames, objects = len(track), len(hidden)
    which = [[[t, 0]] * objects for t in range(frames)]
    steps = [(d.candidates, d.candidate_scores, d.presence_logits) for d in track]
    if alone:
        which = [[[0, t] for t in range(frames) for _ in range(objects)]]
        steps = [tuple(torch.cat(parts) for parts in zip(*steps, strict=True))]
        hidden, truth = hidden.repeat(frames, 1, 1), truth.flatten(0, 1)[None]
    source.same(f"{own}obj_to_frame_idx", torch.tensor(which))
    source.close(f"{own}hidden_tokens", hidden, CLIP)
    assert source.count(f"{own}pred") == len(steps)
    total = None
    for step, (drawn, true) in enumerate(zip(steps, truth, strict=True)):
        names = ("low_res_multimasks", "ious", "object_score_logits")
        for name, tensor in zip(names, drawn, strict=True):
            source.close(f"{own}pred{step}.{name}", tensor, CLIP)
        loss = candidate_losses(*drawn, true)
        total = loss if total is None else total + loss
    source.close(f"{own}loss.loss_mask", total.mask, CLIP)
    source.close(f"{own}loss.loss_dice", total.dice, CLIP)
    source.close(f"{own}loss.loss_iou", total.score, CLIP)
    source.close(f"{own}loss.loss_class", total.presence, CLIP)
    source.close(f"{own}loss.core_loss", total.total, CLIP)


def gradient_norms(model, batch):
    model.zero_grad()
    unipixel_losses(model(batch), batch).total.backward()
    return {
        name: 0.0 if weight.grad is None else float(weight.grad.norm())
        for name, weight in model.named_parameters()
    }


def rounding_noise(model, batch, norms, runs=3):
    """Return how far each norm moves when every weight moves by one step of float32 at random.

    Frames alone hardly move. Along a clip each frame is drawn from what was drawn before, and the
    random weights make rounding grow from frame to frame until some norms move by a percent; the
    recorded norms are one such rounding, with attention over padded windows in one piece.
    """
    noise = dict.fromkeys(norms, 0.0)
    before = {name: weight.detach().clone() for name, weight in model.named_parameters()}
    for seed in range(runs):
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for name, weight in model.named_parameters():
                way = torch.randn(weight.shape, generator=generator) * torch.inf
                weight.copy_(torch.nextafter(before[name], way))
        moved = gradient_norms(model, batch)
        noise = {name: max(noise[name], abs(moved[name] - norms[name])) for name in norms}
    with torch.no_grad():
        for name, weight in model.named_parameters():
            weight.copy_(before[name])
    return noise


def compare_gradients(source, model, batch):
    """Compare the norm of every gradient; none at all and 0 are the same."""
    wanted = dict.fromkeys(source.value("params_without_grad"), 0.0) | source.value("grad_norms")
    ours = gradient_norms(model, batch)
    assert {our_name(name) for name in wanted} == set(ours)
    slack = 1e-6 * max(wanted.values())
    noise = rounding_noise(model, batch, ours)
    off = {
        name: (ours[our_name(name)], norm, noise[our_name(name)])
        for name, norm in wanted.items()
        if abs(ours[our_name(name)] - norm) > CLIP * norm + slack + 2 * noise[our_name(name)]
    }
    assert not off


@check
def test_one_sample_teaches_as_published():
    compare_training("10_train")


@check
def test_samples_of_different_length_teach_as_published():
    compare_training("11_train_batch2")


@check
def test_frames_alone_teach_as_published():
    compare_training("12_train_batch_mode")


# -- 13 to 15, and the tables ----------------------------------------------------------------------


@check
@torch.no_grad()
def test_sam_sees_and_understands_prompts_as_published():
    source, tracker = case("13_sam2_modules"), reader().tracker
    seen, codes = tracker.sam.look(source["img"]), tracker.sam.prompts
    for level, name in enumerate(("fine", "middle", "coarse")):
        source.close(f"fpn{level}", getattr(seen, name), SINGLE)
        shape = source[f"fpnpos{level}"].shape
        place = tracker.sam.vision.neck.position_encoding(shape, torch.device("cpu"), torch.float)
        source.close(f"fpnpos{level}", place, SINGLE)
    hidden, grid = source["hidden_tokens"], source["dense_pe"].shape[-2:]
    source.close("enc_sparse_hidden", tracker.sam.sparse(hidden, len(hidden)), SINGLE)
    nothing = codes.no_mask().expand_as(source["enc_dense_nomask"])
    source.close("enc_dense_nomask", nothing, SINGLE)
    points = source["points"], source["point_labels"]
    source.close("enc_sparse_points", codes.points(*points), SINGLE)
    boxes = codes.boxes(source["boxes"])
    source.close("enc_sparse_boxes", boxes, SINGLE)
    both = torch.cat([codes.points(*points, pad=False), boxes], 1)
    source.close("enc_sparse_points_boxes", both, SINGLE)
    source.close("enc_dense_mask", codes.masks(source["mask_in"]), SINGLE)
    source.close("dense_pe", codes.grid((grid[0], grid[1])), SINGLE)


@check
@torch.no_grad()
def test_sam_decodes_masks_as_published():
    source, tracker = case("13_sam2_modules"), reader().tracker
    for prefix, several in (("dec", True), ("dec1", False)):
        masks, scores, tokens, presence = tracker.sam.mask_decoder(
            image_embeddings=source["dec_image"],
            image_positional_embeddings=source["dense_pe"],
            sparse_prompt_embeddings=source["dec_sparse"][:, None],
            dense_prompt_embeddings=source["enc_dense_nomask"],
            multimask_output=several,
            high_resolution_features=[source["dec_hr0"], source["dec_hr1"]],
        )
        source.close(f"{prefix}_masks", masks[:, 0], SINGLE)
        source.close(f"{prefix}_ious", scores[:, 0], SINGLE)
        source.close(f"{prefix}_tokens", tokens[:, 0], SINGLE)
    source.close("dec_obj", presence[:, 0], SINGLE)


@check
@torch.no_grad()
def test_sam_attends_and_remembers_as_published():
    source, tracker = case("13_sam2_modules"), reader().tracker
    side = source["me_pix"].shape[-2:]
    current, place = (
        source[name].permute(1, 2, 0).unflatten(2, side) for name in ("ma_curr", "ma_curr_pos")
    )
    memory, codes = (source[name].transpose(0, 1) for name in ("ma_memory", "ma_memory_pos"))
    pointers = source.value("num_obj_ptr_tokens")
    mixed = tracker.memory_attention(current, place, memory, codes, pointers)
    source.close("ma_out", mixed.flatten(2).permute(2, 0, 1), SINGLE)
    kept, place = tracker.memory_encoder(source["me_pix"], source["me_mask"])
    source.close("me_out", kept, SINGLE)
    source.close("me_pos", place.expand_as(kept), SINGLE)
    width = source["sine_pe"].shape[1]
    source.close("sine_pe", sine_of_time(source["sine_pe_in"], width), SINGLE)


@check
def test_pictures_and_masks_are_prepared_as_published():
    source = case("14_preprocess")
    side = source.value("sam2_image_size")
    for name in ("small", "large"):
        source.close(f"sam_out_{name}", sam_frames(source[f"sam_in_{name}"], side), EXACT)
    wanted = source["qwen_resized"]
    resized = resize_frames(source["qwen_in"].numpy(), (wanted.shape[1], wanted.shape[2]))
    # Another release of Pillow may be one grey level off.
    assert np.abs(resized.astype(int) - wanted.numpy().astype(int)).max() <= 1
    patches, grid = patchify(wanted.numpy())
    source.close("qwen_pixel_values_videos", patches, EXACT)
    assert source["qwen_grid"].tolist() == [list(grid)]
    pairs = pair_masks(source["mask_full"])
    source.same("mask_pairs", pairs)
    cells = source["mask_grid"].shape[-2:]
    source.same("mask_grid", touched_cells(pairs, (cells[0], cells[1]), 28))
    masks = sam_masks(source["mask_full"], source["mask_sam"].shape[-1])
    source.same("mask_sam", masks)
    first = masks[0].numpy()
    source.same("center_points", torch.tensor([[centre_point(mask)] for mask in first]))
    source.same("boxes", torch.tensor([corners(mask) for mask in first]))
    frames, objects = masks.shape[:2]
    in_order = [[[t, 0]] * objects for t in range(frames)]
    source.same("obj_to_frame_idx_video", torch.tensor(in_order))
    alone = [[[0, t] for t in range(frames) for _ in range(objects)]]
    source.same("obj_to_frame_idx_batch", torch.tensor(alone))


@check
def test_the_tables_of_sizes_and_frames_are_the_published_ones():
    table = tables()
    for row in table.rows("smart_resize"):
        assert row["max_pixels"] == most_pixels(row["frames"])
        size = smart_resize(row["h"], row["w"], row["min_pixels"], row["max_pixels"])
        assert list(size) == row["out"]
    for row in table.rows("frame_sampling"):
        assert sample_frames(row["total"], row["sample_frames"]) == row["indices"]
    for row in table.rows("frame_sampling_keep"):
        chosen = sample_around(row["all_frame_inds"], row["frame_idx"], row["sample_frames"])
        assert chosen == row["indices_into_all_frame_inds"]
    for row in table.rows("smart_nframes"):
        most, wanted = row["max_frames"], row["fps"]
        count = frames_by_rate(row["total_frames"], row["video_fps"], most=most, wanted=wanted)
        assert count == row["out"]


@check
def test_conversations_and_labels_are_the_published_ones():
    table = tables()
    said = table.all("conversation")
    example = conversation([Turn(question="U1", answer="A1"), Turn(question="U2")])
    assert example == said["example"]
    user, assistant = said["roles"]
    built = said["system"] + said["seps"][0] + user + "U1" + said["seps"][0] + assistant
    assert example.startswith(built)
    special = table.all("label_masking")["special_tokens"]
    pieces = re.compile("|".join(map(re.escape, special)) + "|.", re.DOTALL)

    def encode(text):
        return [1000 + special.index(p) if p in special else ord(p) for p in pieces.findall(text)]

    for row in table.rows("label_masking"):
        assert learned(row["text"], encode) == (row["input_ids"], row["labels"])


@check
def test_metrics_are_the_published_ones():
    source = case("15_metrics")
    truth, guess, scene = (source[name].numpy() for name in ("gt", "pred", "foreground"))
    frames = list(zip(truth, guess, strict=True))
    true, said = truth.astype(np.uint8), guess.astype(np.uint8)
    got = {
        "J_frames": [frame_j(t, p) for t, p in frames],
        "F_frames": [frame_f(t, p) for t, p in frames],
        "revos_A_frames": accuracy(true, said * 255),
        "revos_R_frames": robustness(true, said * 255, scene),
        "revos_A_frames_01": accuracy(true, said),
        "revos_R_frames_01": robustness(true, said, scene),
        "inter": (truth & guess).sum((1, 2)),
        "union": (truth | guess).sum((1, 2)),
        "min_boxes": [predicted_box(p) or (-1,) * 4 for p in guess],
    }
    for name, values in got.items():
        assert np.allclose(values, source[name].numpy(), rtol=0, atol=1e-6), name
    volume = described_frames(case_text("15_metrics", "volume_JF"))
    scores = volume_scores(truth[volume], guess[volume])
    assert np.allclose(scores, source["volume_JF"].numpy(), rtol=0, atol=1e-6)
    means = {"J": np.mean(got["J_frames"]), "F": np.mean(got["F_frames"])}
    assert source.value("means") == pytest.approx(means, abs=1e-6)
    total = sum(got["inter"]) / sum(got["union"])
    assert source.value("cIoU") == pytest.approx(total, abs=1e-6)
    assert source.value("gIoU") == pytest.approx(means["J"], abs=1e-6)
    for row in source.value("check_ans"):
        letter = unipixel_letter(row["response"])  # None where the published script stops
        known = letter is not None and letter in ascii_uppercase[: row["n_options"]]
        wanted = None if "error" in row or row["out"] is None else row["out"]
        assert (letter == row["ans"] if known else None) is wanted


def described_frames(text):
    """Return the frames that a description names: "over frames 0..4"."""
    first, last = re.search(r"frames (\d+)\.\.(\d+)", text).groups()
    return slice(int(first), int(last) + 1)


def case_text(name, tensor):
    return recorded.read(f"{name}.json")["tensors"][tensor]["description"]


# -- names and shapes ------------------------------------------------------------------------------


@check
def test_every_tensor_of_the_released_models_has_its_place():
    for name, preset in (("UniPixel-3B", unipixel_3b), ("UniPixel-7B", unipixel_7b)):
        manifest = recorded.read(f"manifests/{name}.json")
        assert len(manifest["keys"]) == manifest["num_keys"]
        config = preset()
        with torch.device("meta"):
            model = UniPixelModel(config)
        assert config.tie_word_embeddings == manifest["lm_head_tied_to_embed_tokens"]
        used = dict(manifest["config_used"])
        assert config.text_config.vocab_size == used["vocab_size"]
        shapes = {key["key"]: tuple(key["shape"]) for key in manifest["keys"]}
        if config.tie_word_embeddings:  # the output words are the input words
            tied = {
                shapes.pop("lm_head.weight"),
                shapes["model.language_model.embed_tokens.weight"],
            }
            assert len(tied) == 1
        ours = {key: tuple(value.shape) for key, value in model.state_dict().items()}
        assert {our_name(key): shape for key, shape in shapes.items()} == ours
        for key in manifest["keys"]:
            assert our_name(key["key"]) == our_name(key["disk_key"])
        buffers = {our_name(k["key"]) for k in manifest["keys"] if k["kind"] == "buffer"}
        assert buffers == set(ours) - {key for key, _ in model.named_parameters()}
        assert {key["dtype"] for key in manifest["keys"]} == {"bfloat16"}
        count = sum(weight.numel() for weight in model.parameters())
        assert count == manifest["total_parameters_unique"]
        families = manifest["parameters_by_family"]
        for family, total in families.items():
            mine = [k for k in manifest["keys"] if under(k["key"], family) and is_parameter(k)]
            assert sum(ours_size(ours, k) for k in mine) == total, family


def under(key, family):
    return key == family or key.startswith(family + ".")


def is_parameter(key):
    return key["kind"] == "parameter"


def ours_size(ours, key):
    return int(np.prod(ours[our_name(key["key"])]))


@check
def test_both_layouts_of_the_recorded_model_lead_to_one_place():
    layouts = recorded.read("disk_keys.json")
    tied = recorded.config().tie_word_embeddings
    assert layouts["tied_lm_head"] == tied
    pairs = layouts["map"]
    assert all(our_name(disk) == our_name(memory) for disk, memory in pairs.items())
    memory = set(recorded.weights()) - ({"lm_head.weight"} if tied else set())
    assert {key for key in pairs.values() if not (tied and key == "lm_head.weight")} == memory
    disk = {name: recorded.weights()[own] for name, own in pairs.items()}
    ours = recorded.our_tensors(disk, "goldens", tied=tied)
    assert ours.keys() == reader().state_dict().keys()


@check
def test_the_recorded_sizes_are_those_of_the_files():
    ids, values = recorded.read("meta.json")["ids"], recorded.read("config.json")
    config = recorded.config()
    names = {"video": "video", "vstart": "vision_start", "vend": "vision_end"}
    for short in ("ref", "seg", "mem", *names):
        assert ids[short] == getattr(config, f"{names.get(short, short)}_token_id")
    for short in ("pad", "eos", "bos"):
        assert ids[short] == values[f"{short}_token_id"]
    assert config.hidden_tokens == recorded.read("meta.json")["hidden_tokens"]
    assert config.frames_alone == values["sam2_batch_mode"]
    read = {*config.to_dict(), *config.text_config.to_dict(), *USED_VALUES, *IDLE_VALUES}
    assert set(values) <= read | {"rope_scaling", "rope_theta"}


@check
def test_nothing_recorded_is_left_out():
    for other in CHECKS:
        if other.__name__ != "test_nothing_recorded_is_left_out":
            other()
    left = []
    for path in sorted(recorded.FOLDER.glob("*.safetensors")):
        if path.stem == "model":  # loaded whole, or not at all
            continue
        with safe_open(path, framework="pt") as file:
            names = list(file.keys())
        names += [f"meta.{key}" for key in recorded.read(f"{path.stem}.json")["meta"]]
        left += [f"{path.stem}: {n}" for n in names if (path.stem, n) not in recorded.USED]
    for table in recorded.read("14_preprocess_tables.json"):
        left += [] if ("tables", table) in recorded.USED else [f"tables: {table}"]
    left = [one for one in left if not any(re.fullmatch(w, one.split(": ")[1]) for w in WASTE)]
    known = {"config", "sam2_config", "meta", "disk_keys", "14_preprocess_tables"}
    cases = {path.stem for path in recorded.FOLDER.glob("*.safetensors")} - {"model"}
    extra = {path.stem for path in recorded.FOLDER.glob("*.json")} - known - cases
    assert not left
    assert not extra
    assert {path.stem for path in (recorded.FOLDER / "manifests").glob("*.json")} == {
        "UniPixel-3B",
        "UniPixel-7B",
    }
