"""Answers that a protocol begins or gives: read from as if they had been read in one piece."""

import numpy as np
import pytest
import torch
from unipixel_clips import clip, random_parts

from deixis.errors import ConfigError
from deixis.language.prefix import go_on_from
from deixis.processing.pixellm import restore_logits
from deixis.processing.words.unipixel_text import prefilled
from deixis.reasoning.given import TARGET, Given
from deixis.reasoning.reasoner import Reasoner
from deixis.structures.opening import open_images
from deixis.structures.prompts import Point
from deixis.structures.samples import Question, Sample

RANDOM = np.random.default_rng(3)
SIZES = ((30, 40, 3), (41, 22, 3))
LAND, PORTRAIT = (open_images(RANDOM.integers(0, 256, size, np.uint8)) for size in SIZES)
ASKED = ((LAND, "Where is the mug?", 1), (PORTRAIT, "Which ones?", 3), (LAND, "And that?", 2))
TEXTS = {1: f"{TARGET}.", 2: f"{TARGET} and {TARGET}.", 3: f"{TARGET}, {TARGET} and {TARGET}."}


@pytest.fixture(scope="module")
def pixellm(make_pixellm):
    return Reasoner(*make_pixellm(), name="small")


@pytest.fixture(scope="module")
def unipixel():
    return Reasoner(*random_parts(), name="tiny")


def samples():
    return [Sample(images=images, question=Question(text=text)) for images, text, _ in ASKED]


def test_masks_of_a_given_answer_are_those_of_reading_it_in_one_piece(pixellm):
    model, processor = pixellm.model, pixellm.processor
    answers = pixellm.answer_given(
        samples(), [Given(begun=TEXTS[count], whole=True) for *_, count in ASKED]
    )
    for (images, text, count), answer in zip(ASKED, answers, strict=True):
        reply = TEXTS[count].replace(TARGET, processor.group_text)
        row = processor.conversation([(text, reply)])
        empty = [torch.zeros(images[0].size, dtype=torch.bool)] * count
        batch = processor.collate([row], [images[0]], [0], masks=empty)
        with torch.no_grad():
            logits = restore_logits(model(batch).mask_logits, batch.placements[0])
        expected = [(one > 0).numpy() for one in logits if (one > 0).any()]
        found = [target.masks[0].pixels for target in answer.targets]
        assert len(found) == len(expected)
        for ours, theirs, one in zip(found, expected, logits, strict=False):
            near = one.abs().numpy() < 1e-4  # rounded otherwise in other batches
            assert np.array_equal(ours | near, theirs | near)
        assert len(answer.targets) + len(answer.absent) == count
        assert answer.caution is None


def test_nothing_is_written_after_a_whole_answer(pixellm, monkeypatch):
    heard = []
    monkeypatch.setattr(pixellm.model, "speak", lambda states: heard.append(states))
    pixellm.answer_given(samples()[:1], [Given(begun=TEXTS[2], whole=True)])
    assert not heard


def test_an_answer_that_is_begun_is_gone_on_with_and_what_was_given_left_out(unipixel):
    model, processor, engine = unipixel.model, unipixel.processor, unipixel.engine
    images, begun = clip(3), "The best option is ("
    asked = Sample(images=images, question=Question(text="Which colour?\n(A) red\n(B) blue"))
    run = engine.run([asked], given=[Given(begun=begun)])
    for _ in run.steps():
        pass
    (written,) = run.written
    ids = processor.question(asked.question.text) + processor.vocabulary.encode(begun)
    with torch.inference_mode():
        reading = go_on_from(model.language, [engine.see(images).head])
        states = engine._read(reading, [[*ids, *written]], [None])
        wanted = model.speak(states[0, len(ids) - 1 : -1]).argmax(1).tolist()
    assert written == wanted
    assert run.answers()[0].text == processor.text(written)


def test_masks_of_a_given_answer_of_unipixel_are_those_that_prompts_ask_for(unipixel):
    images = clip(3)
    point = Point(image=0, x=5, y=5, object_id=1)
    asked = Sample(images=images, question=Question(text="Where is it?", prompts=(point,)))
    (pointed,) = unipixel.answer_batch([asked])
    engine = unipixel.engine
    known = engine.see(images, [0])
    order, hidden = engine.asked(known, "Where is it?", [point])
    expected = engine.draw(known, [engine.pointed(hidden[0], [0])], order)[0]
    assert pointed.targets[0].masks == expected.masks if expected.masks else not pointed.targets
    plain = Sample(images=images, question=Question(text="Where is it?"))
    begun = prefilled([1]).replace("<|seg|>", TARGET)
    (given,) = unipixel.answer_given([plain], [Given(begun=begun, whole=True)])
    assert len(given.targets) + len(given.absent) == 1
    assert given.text == "[1]"


def test_the_words_under_which_prompts_become_masks_can_be_others(unipixel, monkeypatch):
    heard, draw = [], unipixel.engine.draw_prompts

    def listen(known, text, prompts):
        heard.append(text)
        return draw(known, text, prompts)

    monkeypatch.setattr(unipixel.engine, "draw_prompts", listen)
    point = Point(image=0, x=5, y=5, object_id=1)
    asked = Sample(images=clip(2), question=Question(text="[1]? Be short.", prompts=(point,)))
    unipixel.answer_given([asked], [Given(begun="So (", located="[1]?")])
    assert heard == ["[1]?"]


def test_a_family_whose_answers_cannot_be_given_says_so(reasoner):
    with pytest.raises(ConfigError, match="expected a PixelLM or UniPixel model"):
        reasoner.answer_given(samples()[:1], [Given()])
