"""UniPixel against the published system's recorded tensors: every case, every tensor.

Everything is read from the folder; another one with other sizes and counts passes without an edit.
What compares single parts stands in ``unipixel_parts.py``, and is run here.
Each check runs once, by its own test or by the last one, which looks whether anything was left out.
"""

import re

import pytest
import torch
import unipixel_recordings as recorded
from safetensors import safe_open
from transformers.vision_utils import get_vision_window_index
from unipixel_comparisons import (
    CHECKS,
    EXACT,
    SINGLE,
    WASTE,
    check,
    compare_clip,
    compare_tracks,
    compare_training,
    write,
)
from unipixel_parts import (  # noqa: F401, they are run here
    test_both_layouts_of_the_recorded_model_lead_to_one_place,
    test_conversations_and_labels_are_the_published_ones,
    test_every_tensor_of_the_released_models_has_its_place,
    test_metrics_are_the_published_ones,
    test_pictures_and_masks_are_prepared_as_published,
    test_sam_attends_and_remembers_as_published,
    test_sam_decodes_masks_as_published,
    test_sam_sees_and_understands_prompts_as_published,
    test_the_recorded_sizes_are_those_of_the_files,
    test_the_tables_of_sizes_and_frames_are_the_published_ones,
)
from unipixel_recordings import case, reader

from deixis.models.published.unipixel_keys import our_name
from deixis.processing.frames.unipixel_frames import (
    pair_masks,
    restore,
    touched_cells,
    whole_if_empty,
)
from deixis.processing.words.unipixel_text import odd_starts
from deixis.prompting.regions import pool_touched

pytestmark = pytest.mark.skipif(
    not recorded.FOLDER.is_dir(), reason=f"no recordings in {recorded.FOLDER}: set DEIXIS_GOLDENS"
)


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


@check
def test_one_sample_teaches_as_published():
    compare_training("10_train")


@check
def test_samples_of_different_length_teach_as_published():
    compare_training("11_train_batch2")


@check
def test_frames_alone_teach_as_published():
    compare_training("12_train_batch_mode")


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
