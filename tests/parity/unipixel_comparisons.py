"""How UniPixel's recordings are gone through: each check once, and what each comparison compares.
"""

from collections.abc import Callable
from functools import wraps

import torch
import unipixel_recordings as recorded
from unipixel_recordings import case

from deixis.language.generate import generate
from deixis.models.published.unipixel_keys import our_name
from deixis.nn.candidates import candidate_losses
from deixis.processing.batches.unipixel_batch import UniPixelTruth
from deixis.processing.frames.unipixel_frames import (
    restore,
)
from deixis.training.unipixel.unipixel_objective import unipixel_losses

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
