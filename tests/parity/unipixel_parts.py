"""UniPixel's parts against the published system's: SAM 2, preparation, tables, metrics, names.

``test_unipixel.py`` runs these with its own, which compare the whole system.
"""

import re
from string import ascii_uppercase

import numpy as np
import pytest
import torch
import unipixel_recordings as recorded
from unipixel_comparisons import (
    EXACT,
    IDLE_VALUES,
    SINGLE,
    USED_VALUES,
    check,
)
from unipixel_recordings import case, reader, tables

from deixis.decoding.tracking import sine_of_time
from deixis.metrics.clips.davis import frame_f, frame_j
from deixis.metrics.clips.revos import accuracy, robustness
from deixis.metrics.clips.volumes import volume_scores
from deixis.metrics.images.unipixel import predicted_box
from deixis.metrics.words.choices import unipixel_letter
from deixis.models.configs.unipixel_config import unipixel_3b, unipixel_7b
from deixis.models.published.unipixel_keys import WORDS, our_name
from deixis.models.unipixel import UniPixelModel
from deixis.processing.frames.unipixel_frames import (
    centre_point,
    corners,
    frames_by_rate,
    most_pixels,
    pair_masks,
    patchify,
    resize_frames,
    sam_frames,
    sam_masks,
    sample_around,
    sample_frames,
    smart_resize,
    touched_cells,
)
from deixis.processing.words.unipixel_text import Turn, conversation, learned


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


@check
def test_both_layouts_of_the_recorded_model_lead_to_one_place():
    layouts = recorded.read("disk_keys.json")
    tied = recorded.config().tie_word_embeddings
    assert layouts["tied_lm_head"] == tied
    pairs, held = layouts["map"], recorded.weights()

    def place(name):  # tied, the words that are written are those that are read: one value, and
        own = our_name(name)  # the recording, which matched by value, may give either name to it
        return WORDS if tied and own == "lm_head.weight" else own

    assert all(place(disk) == place(memory) for disk, memory in pairs.items())
    assert {place(memory) for memory in pairs.values()} == {place(name) for name in held}
    values = {place(name): value for name, value in held.items()}
    disk = {name: values[place(name)] for name in pairs}
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


def described_frames(text):
    """Return the frames that a description names: "over frames 0..4"."""
    first, last = re.search(r"frames (\d+)\.\.(\d+)", text).groups()
    return slice(int(first), int(last) + 1)


def case_text(name, tensor):
    return recorded.read(f"{name}.json")["tensors"][tensor]["description"]


def under(key, family):
    return key == family or key.startswith(family + ".")


def is_parameter(key):
    return key["kind"] == "parameter"


def ours_size(ours, key):
    return int(np.prod(ours[our_name(key["key"])]))
