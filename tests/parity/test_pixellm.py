"""PixelLM against recordings of its published code: every file, every tensor, every number.

All sizes, ids, counts and inputs come from the files, so that another folder of the same kind
passes without an edit. Tolerances are those of the folder's README, in float32:

- hidden states and embeddings 1e-4 absolute and relative; neck, codes and fusion 1e-5;
- mask logits 2e-3; losses 1e-4 relative; ids, labels, counts and weight maps exact;
- gradient norms 2e-3 relative, plus 1e-6 of the largest (key biases are rounding noise);
- states and word logits of the language decoder are compared where its mask is 1: padded image
  tokens are never computed here.

What compares single parts stands in ``pixellm_parts.py``, and is run here. With the folder absent
everything is skipped, and says so.
"""

from dataclasses import replace
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from pixellm_parts import (  # noqa: F401, they are run here
    LOGITS,
    STATES,
    seen_alone,
    test_added_tokens_the_size_and_the_way_back,
    test_both_levels_of_clip_and_their_projections,
    test_constants_of_fusion_are_the_recorded_scalars,
    test_conversations_ids_labels_and_masks,
    test_every_key_of_the_published_checkpoints_has_its_place,
    test_images_are_resized_normalised_and_padded,
    test_intersections_and_unions_of_background_and_mask,
    test_levels_fusion_and_the_way_back_to_the_image,
    test_masks_of_patches_and_of_image_tokens,
    test_neck_and_codes_of_places,
    test_prompts_of_both_templates,
    test_refinement_weights_and_their_losses,
    test_the_config_says_what_the_recorded_arguments_say,
    test_the_cost_of_matching_and_its_assignment,
    test_the_position_table_is_resized_as_released,
    test_tokens_are_fused_level_by_level,
    test_what_the_language_decoder_reads,
    test_white_space_around_added_tokens_is_swallowed,
)
from pixellm_recording import FOLDER, Recording

from deixis.models.configs.pixellm_config import published_config
from deixis.models.pixellm import PixelLM, group_states
from deixis.models.published.pixellm_keys import is_dropped, our_key
from deixis.nn.losses import refinement_weights
from deixis.processing.batches.pixellm_batch import IMAGE, PixelLMBatch, PixelLMTruth
from deixis.processing.pixellm import (
    PixelLMProcessor,
    mask_scores,
    place_longest,
    restore_logits,
)
from deixis.processing.words.pixellm_words import PixelLMVocabulary
from deixis.reasoning.pixellm import PixelLMEngine
from deixis.structures.images import Frame
from deixis.training.pixellm.pixellm_objective import PixelLMObjective, text_loss

pytestmark = pytest.mark.skipif(
    not FOLDER.is_dir(), reason=f"{FOLDER}: no recordings; name their parent in DEIXIS_GOLDENS"
)
# What only documents how much the published code wastes, or how the recording was made.
DOCUMENTS = (
    ("evaluate", "clip_forwards"),
    ("evaluate", "llm_forwards"),
    ("evaluate", "llm_positions_per_forward"),
    ("train_forward", "clip_images_encoded_in_step"),
    ("teacher_forced_inference", "batch_seg_token_counts_raw"),  # miscounted there
    ("config", "versions"),
    ("config", "seed"),  # every random input is recorded itself
    ("manifest_PixelLM-7B", "note"),
    ("manifest_PixelLM-13B", "note"),
)


@pytest.fixture(scope="module")
def recording():
    return Recording(FOLDER)


@pytest.fixture(scope="module")
def words(recording):
    group = [t for t in recording.peek("tokenization", "added_tokens") if t.startswith("[SEG")]
    return PixelLMVocabulary(
        (FOLDER / "tokenizer.model").read_bytes(),
        recording.peek("tokenization", "added_tokens"),
        len(group),
    )


@pytest.fixture(scope="module")
def config(recording):
    return published_config(
        recording.value("config", "llava_config"),
        recording.value("config", "clip_vision_config"),
        added_tokens=recording.value("tokenization", "added_tokens"),
        decoder_mlp_width=recording.value("config", "decoder_mlp_dim"),
    )


@pytest.fixture(scope="module")
def processor(config, words):
    return PixelLMProcessor(config, words)


@pytest.fixture(scope="module")
def model(recording, config):
    model = PixelLM(config)
    names = recording.names("state_dict")
    renamed = {our_key(n): recording.tensor("state_dict", n) for n in names if not is_dropped(n)}
    for name in filter(is_dropped, names):
        recording.tensor("state_dict", name)  # looked up to be left out, by the written list
    model.load_state_dict(renamed, strict=True)
    return model.eval()


@pytest.fixture(scope="module")
def images(recording):
    """Every recorded image: its frame, its pixels on the canvas, and its placement."""
    count = len(recording.names("preprocess", "raw_"))
    frames = [
        Frame.from_array(recording.tensor("preprocess", f"raw_{i}").numpy()) for i in range(count)
    ]
    canvas = recording.tensor("preprocess", "images_clip")
    placements = [place_longest(frame.size, canvas.shape[-1]) for frame in frames]
    resized = torch.tensor([placement.resized for placement in placements])
    return SimpleNamespace(frames=frames, pixels=canvas, placements=placements, resized=resized)


@pytest.fixture(scope="module")
def look(model, images):
    with torch.no_grad():
        return model.see(images.pixels, images.resized)


# -- a training step ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def step(recording, model, processor, images):
    """The recorded training step: its batch, what stations hand on, the output, the gradients."""
    offsets = recording.tensor("train_forward", "offset").tolist()
    which = recording.tensor("train_forward", "images_clip_index").tolist()
    tokens = recording.tensor("train_forward", "input_ids")
    held = recording.tensor("train_forward", "attention_masks").bool()
    counts = [stop - start for start, stop in pairwise(offsets)]
    masks = [
        m
        for i in range(len(which))
        for m in recording.tensor("train_forward", f"gt_masks_{i}").bool()
    ]
    batch = PixelLMBatch(
        pixels=images.pixels[which],
        placements=tuple(images.placements[i] for i in which),
        image=torch.arange(len(which)).repeat_interleave(torch.tensor(counts)),
        tokens=tokens,
        held=held,
        slots=processor.slots(
            [row[there].tolist() for row, there in zip(tokens, held, strict=True)]
        ),
        truth=PixelLMTruth(labels=recording.tensor("train_forward", "labels"), masks=tuple(masks)),
    )
    model.train()
    model.zero_grad()
    model.vision.requires_grad_(False)
    look = model.see(batch.pixels, batch.resized)
    laid = model.lay_out(batch.tokens, batch.held, batch.image, look)
    hidden = model.read(laid)
    output = model(batch)
    parts = PixelLMObjective()(output, batch)
    sum(parts.values()).backward()
    norms = {
        name: 0.0 if p.grad is None else float(p.grad.norm())
        for name, p in model.named_parameters()
        if p.requires_grad
    }
    model.zero_grad()
    model.vision.requires_grad_(True)
    model.eval()
    return SimpleNamespace(
        batch=batch, laid=laid, hidden=hidden, output=output, parts=parts, norms=norms
    )


@torch.no_grad()
def test_states_and_word_logits_of_the_step(recording, model, step):
    row, column = torch.nonzero(step.laid.held, as_tuple=True)
    place = (row, step.laid.positions[row, column])  # in the recorded layout
    ours = step.hidden[row, column]
    for name, values in (
        ("last_hidden_state", ours),
        ("logits", model.speak(ours)),
        ("text_hidden_out", model.codebook.project(ours)),
    ):
        theirs = recording.tensor("train_forward", name)[place]
        torch.testing.assert_close(values, theirs, atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_queries_and_masks_of_the_step(recording, model, step):
    queries = model.queries(group_states(step.hidden, step.laid, step.batch.slots))
    for index, placement in enumerate(step.batch.placements):
        mine = step.output.frame == index
        low = step.output.mask_logits[mine]
        recording.close("train_forward", f"prompt_tokens_{index}", queries[mine], **STATES)
        recording.close("train_forward", f"pred_lowres_{index}", low[:, None], **LOGITS)
        whole = restore_logits(low, placement)
        recording.close("train_forward", f"pred_masks_{index}", whole, **LOGITS)


def test_losses_of_the_step(recording, step):
    ours = {name: float(part.detach()) for name, part in step.parts.items()}
    losses = {
        "loss": sum(ours.values()),
        "ce_loss": ours["text"],
        "mask_bce_loss": ours["bce"],
        "mask_dice_loss": ours["dice"],
        "mask_loss": ours["bce"] + ours["dice"],
    }
    assert recording.value("train_forward", "losses") == pytest.approx(losses, rel=1e-4)
    for name, loss in losses.items():
        recording.close("train_forward", f"out_{name}", torch.tensor([loss]), 0, 1e-4)
    assert ours["text"] == pytest.approx(float(text_loss(step.output).detach()))


@torch.no_grad()
def test_parts_of_each_image_and_the_refinement_term(recording, step):
    """Weight maps are exact, so they are made of the recorded predictions: of ours, which may
    differ by what is allowed, a pixel whose logit is next to 0 could fall the other way."""
    objective = PixelLMObjective(refine=True)
    places = ("train_forward", "overlap")
    images = range(len(step.batch.placements))
    low = [recording.tensor("train_forward", f"pred_lowres_{i}")[:, 0] for i in images]
    output = replace(step.output, mask_logits=torch.cat(low))
    for index, losses in enumerate(objective.per_image(output, step.batch)):
        if str(index) not in recording.peek(*places):
            assert not len(losses["bce"])
            continue
        theirs = recording.value(*places, str(index))
        assert float(losses["bce"].mean()) == pytest.approx(theirs["bce_unweighted"], rel=1e-4)
        assert float(losses["dice"].mean()) == pytest.approx(theirs["dice_unweighted"], rel=1e-4)
        refinement = float(losses["refinement"].mean())
        assert refinement == pytest.approx(theirs["overlap_loss"], rel=1e-4)
        logits = recording.tensor("train_forward", f"pred_masks_{index}")
        question = step.batch.slots.row[output.frame == index]
        extra = refinement_weights(logits, question) - 1
        pixels = [int(extra[question == q][0].sum()) for q in question.unique()]
        assert pixels == theirs["overlap_pixels"]
        for number, one in enumerate(question.unique()):
            name = f"overlap_weight_{index}_q{number}"
            recording.close("train_forward", name, extra[question == one], 0)
    parts = objective(output, step.batch)
    assert recording.value(*places, "mask_overlap_loss_weighted") == pytest.approx(
        float(parts["refinement"]), rel=1e-4
    )
    total = float(sum(parts.values()))
    assert recording.value(*places, "loss_if_overlap_enabled") == pytest.approx(total, rel=1e-4)


def test_gradient_norms_of_every_parameter(recording, step):
    theirs = recording.value("train_forward", "grad_norms")
    theirs = {our_key(name): norm or 0.0 for name, norm in theirs.items()}
    assert theirs.keys() == step.norms.keys()
    noise = 1e-6 * max(theirs.values())
    wrong = {
        name: (step.norms[name], norm)
        for name, norm in theirs.items()
        if abs(step.norms[name] - norm) > 2e-3 * norm + noise
    }
    assert not wrong


# -- answers ------------------------------------------------------------------------------------


@torch.no_grad()
def test_teacher_forced_masks(recording, model, processor, images, look):
    tokens = recording.tensor("teacher_forced_inference", "input_ids")
    held = recording.tensor("teacher_forced_inference", "attention_masks").bool()
    index = torch.zeros(len(tokens), dtype=torch.long)
    own = seen_alone(look, 0)
    laid = model.lay_out(tokens, held, index, own)
    rows = [row[there].tolist() for row, there in zip(tokens, held, strict=True)]
    slots = processor.slots(rows)
    queries = model.queries(group_states(model.read(laid), laid, slots))
    masks = restore_logits(model.point(queries, own, index[slots.row]), images.placements[0])
    recording.close("teacher_forced_inference", "pred_masks", masks, **LOGITS)
    recording.close("teacher_forced_inference", "mask_scores", mask_scores(masks), **LOGITS)


def tapped(model, parts):
    """Record what parts of the model return, in order."""
    outputs = {name: [] for name in parts}
    hooks = [
        part.register_forward_hook(lambda _, __, out, name=name: outputs[name].append(out))
        for name, part in parts.items()
    ]
    return outputs, hooks


@pytest.fixture(scope="module")
def answered(recording, config, model, words, images):
    """Every recorded case, answered by the engine with its cache: ids, states, queries, masks."""
    found = {}
    rule = config.malformed, config.most_answer
    for case in recording.peek("evaluate"):
        index = recording.value("evaluate", case, "image")
        config.malformed = "drop_all"
        config.most_answer = recording.value("evaluate", case, "max_new_tokens")
        processor = PixelLMProcessor(config, words)
        rows = [
            row[: (row == words.pad).nonzero()[0]].tolist()
            if (row == words.pad).any()
            else row.tolist()
            for row in recording.tensor("evaluate", f"{case}.input_ids")
        ]
        batch = PixelLMBatch(
            pixels=images.pixels[index : index + 1],
            placements=(images.placements[index],),
            image=torch.zeros(len(rows), dtype=torch.long),
            tokens=torch.nn.utils.rnn.pad_sequence(
                [torch.tensor(ids) for ids in rows], batch_first=True, padding_value=words.pad
            ),
            held=torch.nn.utils.rnn.pad_sequence(
                [torch.ones(len(ids), dtype=torch.bool) for ids in rows], batch_first=True
            ),
            slots=processor.slots(rows),
        )
        parts = {"language": model.language, "queries": model.codebook, "masks": model.pyramid}
        outputs, hooks = tapped(model, parts)
        run = PixelLMEngine(model, processor).begin(batch, ["image"])
        for _ in run.steps():
            pass
        for hook in hooks:
            hook.remove()
        found[case] = SimpleNamespace(run=run, index=index, rows=rows, **outputs)
    config.malformed, config.most_answer = rule
    return found


def test_greedy_answers_are_the_recorded_ones(recording, words, answered):
    for case, done in answered.items():
        texts = []
        for row, (ids, written) in enumerate(zip(done.rows, done.run.written, strict=True)):
            whole = [*ids, *written]
            assert whole == recording.tensor("evaluate", f"{case}.output_ids_{row}").tolist()
            texts.append(words.transcript([i for i in whole if i != IMAGE]))
        assert texts == recording.value("evaluate", case, "text")


def test_cached_states_are_those_of_the_full_sequence(recording, look, answered):
    for case, done in answered.items():
        head, rest, *steps = (output.last_hidden_state for output in done.language)
        read = look.read[done.index]
        for row, ids in enumerate(done.rows):
            length = len(ids) - done.run.read[row]
            written = [step[row] for step in steps[: len(done.run.written[row]) - 1]]
            ours = torch.cat([head[0], rest[row, :length], *written])
            place = ids.index(IMAGE)
            mask = torch.cat([torch.ones(place).bool(), read])
            theirs = recording.tensor("evaluate", f"{case}.last_hidden_{row}")
            mask = torch.cat([mask, torch.ones(len(theirs) - len(mask)).bool()])
            torch.testing.assert_close(ours, theirs[mask], atol=1e-4, rtol=1e-4)


def test_drawn_masks_counts_and_scores_of_every_case(recording, config, answered, images):
    for case, done in answered.items():
        counts = [len(done.run.drawn[row]) for row in range(len(done.rows))]
        assert counts == recording.value("evaluate", case, "counts")
        assert counts == recording.tensor("evaluate", f"{case}.counts").tolist()
        assert sum(counts) == recording.value("evaluate", case, "n_masks")
        queries, low = [*done.queries], [*done.masks]
        assert len(queries) == len(low) == bool(sum(counts))  # all targets in one drawing
        side = config.grid * 2**config.levels
        queries = queries or [torch.zeros(0, config.levels, config.decoder_width)]
        low = low or [torch.zeros(0, side, side)]
        recording.close("evaluate", f"{case}.prompt_tokens", queries[0], **STATES)
        recording.close("evaluate", f"{case}.lowres_masks", low[0][:, None], **LOGITS)
        whole = restore_logits(low[0], images.placements[done.index])
        recording.close("evaluate", f"{case}.pred_masks", whole, **LOGITS)
        targets = [target for row in done.run.drawn.values() for target in row]
        scores = torch.tensor([target.score for target in targets])
        recording.close("evaluate", f"{case}.mask_scores", scores, **LOGITS)
        theirs = recording.tensor("evaluate", f"{case}.pred_masks")
        for target, logits in zip(targets, theirs, strict=True):
            empty = np.zeros(logits.shape, bool)
            mine = target.masks[0].pixels if target.masks else empty
            assert not ((mine != (logits > 0).numpy()) & (logits.abs() >= 2e-3).numpy()).any()


# -- last ---------------------------------------------------------------------------------------


def test_nothing_recorded_is_left_unused(recording, request):
    here = [item for item in request.session.items if item.path == request.path]
    if len({item.name for item in here}) < len(
        [name for name in globals() if name.startswith("test_")]
    ):
        pytest.skip("only a part of this file was asked for")
    left = [
        place
        for place in recording.left
        if not any(place[0] == stem and word in place for stem, word in DOCUMENTS)
    ]
    assert not left, sorted(map(str, left))[:20]
