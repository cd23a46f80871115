"""UniPixel's model: rows of a batch are strangers, switches do what they say."""

import time
from dataclasses import replace

import pytest
import torch

from deixis.errors import ConfigError, ShapeError
from deixis.models.configs.unipixel_config import (
    RELEASED_TYPE,
    UniPixelConfig,
    named_sam,
    sam_config,
    unipixel_tiny,
)
from deixis.models.unipixel import UniPixelModel
from deixis.processing.batches.unipixel_batch import RefPrompts, UniPixelBatch, UniPixelTruth
from deixis.processing.frames.unipixel_frames import mrope_positions
from deixis.training.unipixel.unipixel_objective import unipixel_losses

CONFIG = unipixel_tiny()
SIDE = CONFIG.sam_config.image_size
IDS = CONFIG.seg_token_id, CONFIG.ref_token_id, CONFIG.mem_token_id, CONFIG.video_token_id
PAD = 0


def row(frames: int, grid: tuple[int, int, int], seed: int):
    """Return one question: a clip, a point, a region of two pairs at most, and two targets."""
    generator = torch.Generator().manual_seed(seed)
    seg, ref, mem, video = IDS
    cells = grid[0] * grid[1] * grid[2] // 4
    touched = torch.rand(grid[0], 1, grid[1] // 2, grid[2] // 2, generator=generator) > 0.4
    words = torch.randint(1, 250, (12,), generator=generator).tolist()
    slots = [mem] * int(touched.flatten(2).any(2).sum())
    ids = [*words[:3], *[video] * cells, ref, *slots, *words[3:7], seg, *words[7:9], seg, words[9]]
    return {
        "ids": ids,
        "grid": grid,
        "patches": torch.randn(4 * cells, 1176, generator=generator),
        "clip": torch.randn(frames, 3, SIDE, SIDE, generator=generator),
        "touched": touched,
        "point": torch.rand(1, 2, 2, generator=generator) * SIDE,
        "masks": torch.rand(frames, 2, SIDE, SIDE, generator=generator) > 0.5,
    }


def batch(rows) -> UniPixelBatch:
    width = max(len(r["ids"]) for r in rows)
    tokens = torch.tensor([[*r["ids"], *[PAD] * (width - len(r["ids"]))] for r in rows])
    held = torch.arange(width) < torch.tensor([[len(r["ids"])] for r in rows])
    grids = torch.tensor([r["grid"] for r in rows])
    positions, _ = mrope_positions(tokens, held, grids, video_token=IDS[3], step=2.0)
    return UniPixelBatch(
        tokens=tokens,
        held=held,
        positions=positions,
        patches=torch.cat([r["patches"] for r in rows]),
        grids=grids,
        clips=tuple(r["clip"] for r in rows),
        sizes=((20, 30),) * len(rows),
        prompts=RefPrompts(
            coords=torch.cat([r["point"] for r in rows]),
            is_box=torch.zeros(len(rows)).bool(),
            time=torch.full((len(rows),), 0.5),
        ),
        regions=tuple(r["touched"] for r in rows),
        truth=UniPixelTruth(
            labels=tokens.masked_fill(~held, -100), masks=tuple(r["masks"] for r in rows)
        ),
    )


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(2)
    built = UniPixelModel(unipixel_tiny()).eval()
    with torch.no_grad():
        for weight in built.parameters():
            weight.add_(0.1 * torch.randn_like(weight))
    return built


@pytest.fixture(scope="module")
def rows():
    return [row(3, (2, 4, 8), 0), row(2, (1, 6, 4), 1)]


def test_a_padded_batch_gives_what_single_rows_give(model, rows):
    with torch.no_grad():
        together = model(batch(rows))
        for index, one in enumerate(rows):
            alone = model(batch([one]))
            length = len(one["ids"])
            got = together.text_logits[index, :length]
            torch.testing.assert_close(got, alone.text_logits[0], rtol=1e-4, atol=1e-4)
            for a, b in zip(together.extra[index], alone.extra[0], strict=True):
                torch.testing.assert_close(a.mask_logits, b.mask_logits, rtol=1e-3, atol=1e-3)


def test_rows_of_one_length_are_drawn_together_as_alone(model, rows):
    """Each row's objects look at their own clip: rows between and behind do not matter."""
    words_only = row(3, (1, 4, 4), 7)
    words_only["ids"] = [word for word in words_only["ids"] if word != IDS[0]]
    words_only["masks"] = words_only["masks"][:, :0]
    several = [rows[0], rows[1], words_only, row(3, (1, 4, 8), 5), row(2, (1, 4, 4), 6)]
    looked = []
    hook = model.tracker.sam.vision.register_forward_pre_hook(
        lambda _, inputs: looked.append(len(inputs[0]))
    )
    with torch.no_grad():
        together = model(batch(several))
        hook.remove()
        assert looked == [4, 6]  # one look for each length, at nothing that nobody asks for
        assert [len(track) for track in together.extra] == [3, 2, 0, 3, 2]
        for index, one in enumerate(several):
            alone = model(batch([one])).extra[0]
            for a, b in zip(together.extra[index], alone, strict=True):
                torch.testing.assert_close(a.mask_logits, b.mask_logits, rtol=1e-3, atol=1e-3)


def test_outputs_name_their_target_and_frame(model, rows):
    with torch.no_grad():
        output = model(batch(rows))
    assert output.target.tolist() == [0, 1, 0, 1, 0, 1, 2, 3, 2, 3]
    assert output.frame.tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    assert len(output.mask_logits) == 10
    assert output.presence.shape == (4, 1)
    assert output.score.shape == (4,)


def test_a_row_without_slots_is_answered_in_words(model, rows):
    one = row(1, (1, 4, 4), 3)
    one["ids"] = [token for token in one["ids"] if token not in IDS[:3]]
    asked = batch([one])
    asked = replace(
        asked,
        regions=(None,),
        prompts=RefPrompts(
            coords=torch.zeros(0, 2, 2), is_box=torch.zeros(0).bool(), time=torch.zeros(0)
        ),
    )
    with torch.no_grad():
        output = model(asked)
    assert output.mask_logits.shape[0] == 0
    assert output.text_logits.shape[1] == len(one["ids"])


def test_another_number_of_slots_than_prompts_is_refused(model, rows):
    asked = batch(rows)
    with pytest.raises(ShapeError, match=r"<ref> slots: expected 1, one for each vector, got 2"):
        model.see(replace(asked, prompts=RefPrompts(
            coords=asked.prompts.coords[:1],
            is_box=asked.prompts.is_box[:1],
            time=asked.prompts.time[:1],
        )))  # fmt: skip


def test_aligned_pooling_reads_the_cells_that_the_mask_covers(model):
    # Two pairs of 2 x 10 cells: more than one window, so that window order is another order.
    one = row(3, (2, 4, 20), 5)
    one["touched"][:] = False
    one["touched"][1, 0, 1, 7] = True
    asked = batch([one])
    with torch.no_grad():
        features = model.vision(asked.patches, grid_thw=asked.grids).pooler_output
        published = model.pool(features, asked)
        model.config.aligned_pooling = True
        aligned = model.pool(features, asked)
        model.config.aligned_pooling = False
    torch.testing.assert_close(aligned[0], features[20 + 10 + 7])
    assert not torch.allclose(published, aligned)


def test_every_part_that_a_question_uses_learns(rows):
    torch.manual_seed(0)
    model = UniPixelModel(unipixel_tiny()).train()
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.05 * torch.randn_like(weight))
        model.tracker.sam.mask_decoder.pred_obj_score_head.proj_out.bias.fill_(3)
    asked = batch(rows)
    unipixel_losses(model(asked), asked).total.backward()
    idle = {name for name, w in model.named_parameters() if w.grad is None or not w.grad.any()}
    unread = ("no_memory_code", "mask_downsample.", "mask_downscaling", "no_mask_embed")
    unused = ("point_emb", "prompting.box")  # no click of SAM's, no box
    rare = ("no_pointer", "absent_memory", "hypernetworks")  # absent objects, worse candidates
    assert not [n for n in idle if not any(part in n for part in (*unread, *unused, *rare))]


def test_another_number_of_true_objects_than_slots_is_refused(model, rows):
    asked = batch(rows[:1])
    short = replace(asked.truth, masks=(asked.truth.masks[0][:, :1],))
    with pytest.raises(ShapeError, match="3 frames of 2 objects, got"):
        unipixel_losses(model(asked), replace(asked, truth=short))


def test_the_tiny_preset_is_small_and_quick():
    start = time.perf_counter()
    model = UniPixelModel(unipixel_tiny())
    assert time.perf_counter() - start < 10
    assert sum(weight.numel() for weight in model.parameters()) < 1_000_000


def test_a_config_survives_its_file(tmp_path):
    config = unipixel_tiny()
    config.hidden_tokens = 3
    config.save_pretrained(tmp_path)
    back = UniPixelConfig.from_pretrained(tmp_path)
    assert back.hidden_tokens == 3
    assert back.sam_config.to_dict() == config.sam_config.to_dict()
    assert back.text_config.rope_parameters == config.text_config.rope_parameters


@pytest.mark.parametrize("tied", [False, True])
def test_a_saved_model_comes_back_as_transformers_reads_it(tmp_path, rows, tied):
    config = unipixel_tiny()
    config.tie_word_embeddings = tied
    torch.manual_seed(0)
    model = UniPixelModel(config).eval()
    model.save_pretrained(tmp_path)
    back = UniPixelModel.from_pretrained(tmp_path).eval()
    with torch.no_grad():
        ours, theirs = model(batch(rows[:1])), back(batch(rows[:1]))
    assert torch.equal(ours.text_logits, theirs.text_logits)
    assert torch.equal(ours.mask_logits, theirs.mask_logits)


def test_a_short_type_gives_nearly_the_same_words(model, rows):
    asked = batch(rows[:1])
    with torch.no_grad():
        exact = model(asked).text_logits
        short = UniPixelModel(model.config)
        short.load_state_dict(model.state_dict())
        short = short.to(torch.bfloat16).eval()
        clips = tuple(clip.bfloat16() for clip in asked.clips)
        near = short(replace(asked, patches=asked.patches.bfloat16(), clips=clips)).text_logits
    assert (near.float() - exact).abs().max() < 0.05 * exact.abs().max()


def released(**changes):
    values = {
        "model_type": RELEASED_TYPE,
        "text_config": CONFIG.text_config.to_dict(),
        "vision_config": CONFIG.vision_config.to_dict(),
        "sam2_config": "configs/sam2.1_hiera_b+",
        "sam2_image_size": 768,
        "sam2_hidden_tokens": 2,
        "seg_token_id": 5,
    }
    return {**values, **changes}


def test_words_are_tied_unless_a_released_config_says_no():
    assert UniPixelConfig.from_released(released()).tie_word_embeddings
    untied = UniPixelConfig.from_released(released(tie_word_embeddings=False))
    assert not untied.tie_word_embeddings


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_type": "qwen2_5_vl"}, "A plain Qwen2.5-VL has no parts that draw"),
        ({"sam2_config": "configs/sam3"}, "expected one of sam2.1_hiera_t, .*sam2_config.json"),
    ],
)
def test_what_is_no_unipixel_is_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        UniPixelConfig.from_released(released(**changes))


def test_windows_of_hiera_may_be_said_in_its_file():
    values = {"image_encoder": {"trunk": {"window_spec": [4, 2, 7, 7], "stages": [1, 2, 1, 1]}}}
    backbone = sam_config(values, 128).vision_config.backbone_config
    assert backbone.window_size_per_stage == [4, 2, 7, 7]
    plain = sam_config(named_sam("configs/sam2.1_hiera_b+"), 768).vision_config.backbone_config
    assert plain.window_size_per_stage == [8, 4, 14, 7]
