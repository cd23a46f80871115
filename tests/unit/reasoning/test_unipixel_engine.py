"""UniPixel's engine: one request does what the published system does in two passes."""

from dataclasses import replace

import pytest
import torch
from unipixel_clips import SIZE, Told, clip, mask, random_parts

from deixis.errors import DataError
from deixis.processing.batches.unipixel_batch import RefPrompts, UniPixelBatch
from deixis.processing.frames.unipixel_frames import mrope_positions, restore
from deixis.processing.words.unipixel_text import localize, prefilled, refer, region_prefix
from deixis.reasoning.reasoner import Reasoner
from deixis.structures.images import ImageSet
from deixis.structures.masks import Mask
from deixis.structures.prompts import Box, Point, Region
from deixis.structures.samples import Question, Sample


@pytest.fixture(scope="module")
def parts():
    return random_parts()


@pytest.fixture
def reasoner(parts):
    return Reasoner(*parts, name="tiny")


def whole(processor, view, ids):
    """Return a conversation's ids, positions and held tokens, clip and all."""
    tokens = torch.cat([view.head, torch.tensor(ids)])[None]
    held = torch.ones_like(tokens, dtype=torch.bool)
    positions, _ = mrope_positions(
        tokens,
        held,
        torch.tensor([view.grid]),
        video_token=processor.config.video_token_id,
        step=processor.config.vision_config.tokens_per_second * 1.0,
    )
    return tokens, held, positions


def published(parts, images, question, prompts):
    """Run two passes as the published system does; return masks by id and the written ids."""
    model, processor = parts
    view = processor.view(images, sorted({p.image for p in prompts}))
    refs = processor.prompts(prompts, images, view)
    text, order = refer(localize(question), {p.object_id: 1 for p in prompts})
    assert order == [p.object_id for p in prompts]
    ids = processor.question(text) + processor.vocabulary.encode(prefilled(order))
    frames = torch.cat(list(processor.frames(images)))
    first = batch(processor, view, ids, frames, refs)
    with torch.no_grad():
        slots = model.slots(model.read(model.see(first)), first.tokens)
        drawn = [
            restore(d.mask_logits, SIZE) > 0
            for d in model.track(slots.hidden, [frames], len(frames))
        ]
    masks = {
        one: {t: Mask(drawn[t][row].numpy()) for t in range(len(drawn)) if drawn[t][row].any()}
        for row, one in enumerate(order)
    }
    touched = processor.regions(masks, images, view)
    shown = dict(zip(order, touched.flatten(2).any(2).T.tolist(), strict=True))
    ids = processor.question(region_prefix(shown, len(view.read)) + question)
    second = replace(batch(processor, view, ids, frames, None), regions=(touched,))
    written = []
    with torch.no_grad():
        for _ in range(processor.config.most_answer):
            seen = model.see(second)
            token = int(model.speak(model.read(seen))[0, -1].argmax())
            written.append(token)
            if token == processor.vocabulary.end:
                break
            ids = [*ids, token]
            second = replace(batch(processor, view, ids, frames, None), regions=(touched,))
    return masks, written


def batch(processor, view, ids, frames, refs):
    tokens, held, positions = whole(processor, view, ids)
    nothing = torch.zeros(0)
    none = RefPrompts(coords=torch.zeros(0, 2, 2), is_box=nothing.bool(), time=nothing)
    return UniPixelBatch(
        tokens=tokens,
        held=held,
        positions=positions,
        patches=view.patches,
        grids=torch.tensor([view.grid]),
        clips=(frames,),
        sizes=(SIZE,),
        prompts=refs or none,
        regions=(None,),
    )


PROMPTS = (
    Point(image=1, x=11.0, y=9.0, object_id=1),
    Box(image=3, x0=4.0, y0=6.0, x1=30.0, y1=31.0, object_id=2),
)


def test_one_request_gives_the_masks_and_the_words_of_two_passes(parts, reasoner, monkeypatch):
    monkeypatch.setattr(parts[0].config, "published_start", True)
    images = clip(5)
    masks, written = published(parts, images, "What are [1] and [2]?", PROMPTS)
    run = reasoner._run(
        [Sample(images=images, question=Question(text="What are [1] and [2]?", prompts=PROMPTS))]
    )
    for _ in run.steps():
        pass
    assert run.written[0] == written
    targets = {t.object_id: dict(t.masks) for t in run.rows[0].drawn.values()}
    assert targets == masks


def test_the_clip_is_seen_once_by_every_encoder(parts, reasoner):
    model, _ = parts
    seen = {"patches": 0, "frames": 0}

    def patches(module, inputs):
        seen["patches"] += 1

    def frames(module, inputs):
        seen["frames"] += len(inputs[0])

    hooks = [
        model.vision.register_forward_pre_hook(patches),
        model.tracker.sam.vision.register_forward_pre_hook(frames),
    ]
    images = clip(5, seed=4)
    reasoner.answer(images, "What are [1] and [2]?", PROMPTS)
    reasoner.answer(images, "And [1]?", PROMPTS[:1])
    for hook in hooks:
        hook.remove()
    assert seen["frames"] == 5
    assert seen["patches"] == 1


def test_questions_answered_together_are_answered_as_alone(reasoner):
    samples = [
        Sample(images=clip(5), question=Question(text="What are [1] and [2]?", prompts=PROMPTS)),
        Sample(images=clip(1, seed=2), question=Question(text="Segment the red mug.")),
        Sample(
            images=clip(2, seed=3),
            question=Question(
                text="What is [4]?", prompts=(Region(image=0, mask=mask(1), object_id=4),)
            ),
        ),
    ]
    together = reasoner.answer_batch(samples)
    alone = [reasoner.answer_batch([sample])[0] for sample in samples]
    assert together == alone


def test_every_prompt_becomes_a_target_with_its_id(reasoner):
    answer = reasoner.answer(clip(5), "What are [1] and [2]?", PROMPTS)
    both = {t.object_id for t in (*answer.targets, *answer.absent)}
    assert both >= {1, 2}
    assert all(0 <= t.score <= 1 and 0 <= t.presence <= 1 for t in answer.targets[:2] if t.score)


def test_an_object_can_be_pointed_at_on_several_frames(reasoner):
    images = clip(5, seed=9)
    where = (0, 3)
    masks = tuple(Region(image=t, mask=mask(t), object_id=4) for t in where)
    asked = Sample(images=images, question=Question(text="What is [4]?", prompts=masks))
    run = reasoner._run([asked])
    assert len(run.rows[0].memory) == 2  # two of the three pairs of frames show it
    assert not run.rows[0].drawn
    reasoner.answer(images, "What is [4]?", masks)
    boxes = tuple(Box(image=t, x0=4, y0=6, x1=30, y1=31, object_id=5) for t in where)
    answer = reasoner.answer(images, "What is [5]?", boxes)
    assert {t.object_id for t in (*answer.targets, *answer.absent)} >= {5}


def test_an_object_of_an_earlier_turn_is_used_without_drawing_it_again(reasoner):
    images = clip(5)
    first = reasoner.answer(images, "What is this?", PROMPTS[1:])
    number = (first.targets or first.absent)[0].object_id
    for turn in range(3):
        reasoner.answer(images, f"Tell me more, {turn}.")
    run = reasoner._run(
        [
            Sample(
                images=images,
                question=Question(
                    text=f"Where is [{number}]?",
                    prompts=reasoner.memory.mentioned_in(f"[{number}]", images),
                ),
            )
        ]
    )
    assert run.rows[0].memory is not None
    assert not run.rows[0].drawn


def told(monkeypatch, parts, text):
    """Let the model say a text, and count the frames that SAM looks at."""
    model, processor = parts
    monkeypatch.setattr(model.config, "most_answer", 60)
    monkeypatch.setattr(model, "speak", Told(processor, text))
    looked = []
    plain = model.tracker.sam.look
    monkeypatch.setattr(
        model.tracker.sam, "look", lambda frames: looked.append(len(frames)) or plain(frames)
    )
    return looked


def test_an_answer_without_masks_says_so_when_masks_were_wanted(parts, reasoner, monkeypatch):
    looked = told(monkeypatch, parts, "I cannot.")
    answer = reasoner.answer(clip(1, seed=7), "Segment the mug.")
    assert (answer.text, answer.targets, answer.absent) == ("I cannot.", (), ())
    assert answer.caution == "No mask was drawn: the model wrote no <seg> in its answer."
    assert not looked


@pytest.mark.parametrize("count", [1, 6])
def test_without_prompts_it_just_answers_and_nothing_is_drawn(parts, reasoner, monkeypatch, count):
    looked = told(monkeypatch, parts, "A mug. The answer is red.")
    answer = reasoner.answer(clip(count, seed=8), "What colour is it? (A) red (B) blue")
    assert (answer.text, answer.conclusion) == ("A mug. The answer is red.", "red")
    assert (answer.targets, answer.absent, answer.caution) == ((), (), None)
    assert not looked


def test_slots_that_are_written_become_named_targets_in_one_batch(parts, reasoner, monkeypatch):
    looked = told(monkeypatch, parts, "The red mug <|seg|> and the cup <|seg|>. It is red.")
    answer = reasoner.answer(clip(5, seed=11), "Segment both.")
    assert answer.text == "The red mug and the cup. It is red."
    named = sorted(target.phrase for target in (*answer.targets, *answer.absent))
    assert named == ["The red mug", "the cup"]
    assert answer.conclusion == "red"
    assert sum(looked) == 5


def test_a_second_clip_keeps_its_own_objects(reasoner):
    clips = [clip(4, seed=12), clip(4, seed=13)]
    drawn = [Region(image=1, mask=mask(seed), object_id=None) for seed in (2, 11)]
    for images, region in zip(clips, drawn, strict=True):
        reasoner.answer(images, "What is this?", [region])
    for _ in range(2):  # turns between
        reasoner.answer(clips[1], "And now?")
    for number, (images, region) in enumerate(zip(clips, drawn, strict=True), start=1):
        (back,) = reasoner.memory.mentioned_in(f"[{number}]", images)
        assert back.mask == region.mask
        reasoner.answer(images, f"Where is [{number}]?")
        with pytest.raises(DataError):
            reasoner.answer(images, f"Where is [{3 - number}]?")


def test_several_images_are_refused_with_a_way_out(reasoner):
    images = ImageSet.join([clip(1), clip(1, seed=1)])
    with pytest.raises(DataError, match="expected one picture or clip for UniPixel, got 2"):
        reasoner.answer(images, "What is this?")
