"""A PRIMA that has learned two questions by heart answers them: alone, together, live, reopened."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from deixis.errors import DataError
from deixis.models.prima import PrimaModel, prima_tiny
from deixis.models.released import open_model
from deixis.processing.batches.prima_batch import SegSlots
from deixis.processing.prima import PrimaProcessor
from deixis.reasoning.prima import PrimaEngine
from deixis.reasoning.reasoner import Reasoner
from deixis.structures.answers import GroundedAnswer, Target
from deixis.structures.images import Frame, ImageSet
from deixis.structures.masks import Mask
from deixis.structures.prompts import Point
from deixis.structures.samples import Question, Sample
from deixis.training.prima.prima_objective import PrimaObjective

COLOURS = {"red": (220, 30, 30), "blue": (30, 40, 220), "green": (20, 180, 60)}
PLACES = [((48, 64), (4, 6, 30, 34)), ((60, 40), (20, 8, 50, 36)), ((50, 50), (10, 24, 40, 48))]
STEPS = 70


def picture(colour, size, box):
    pixels, mask = np.full((*size, 3), 128, np.uint8), np.zeros(size, bool)
    top, left, bottom, right = box
    pixels[top:bottom, left:right] = COLOURS[colour]
    mask[top:bottom, left:right] = True
    return Frame.from_array(pixels), Mask(mask)


def lesson(colours, *asked):
    """A question about boxes of some colours, one in each picture, and its true answer."""
    made = [picture(c, *place) for c, place in zip(colours, PLACES, strict=False)]
    text, spans, targets = "It is", [], []
    for number, colour in enumerate(asked):
        text += " and the " if number else " the "
        phrase = f"{colour} box"
        spans.append((len(text), len(text) + len(phrase)))
        text += phrase
        image = colours.index(colour)
        targets.append(Target(phrase=phrase, masks={image: made[image][1]}))
    answer = GroundedAnswer(text=f"{text}.", targets=tuple(targets), spans=tuple(spans))
    question = Question(text=f"Where is {' and '.join(asked)}?")
    return Sample(images=ImageSet.pictures([f for f, _ in made]), question=question, answer=answer)


LESSONS = [lesson(["red", "blue", "green"], "blue", "red"), lesson(["green", "red"], "green")]


@pytest.fixture(scope="module")
def learned():
    """A model after some steps of the published losses on all its weights."""
    config = prima_tiny()
    words = [text for s in LESSONS for text in (s.question.text, s.answer.text)]
    processor = PrimaProcessor.from_texts(config, words)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model, objective = PrimaModel(config), PrimaObjective(processor)
        batch = processor.encode(LESSONS, with_truth=True)
        optimizer = torch.optim.AdamW(model.parameters(), lr=4e-3)
        for _ in range(STEPS):
            optimizer.zero_grad()
            sum(objective(model, batch).values()).backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
    return model.eval(), processor


@pytest.fixture
def reasoner(learned):
    return Reasoner(*learned, name="prima")


def asked(lessons):
    return [s.without_answer() for s in lessons]


def assert_learned(answer, truth):
    assert answer.text == truth.text
    assert answer.spans == truth.spans
    assert answer.caution is None
    for got, wanted in zip(answer.targets, truth.targets, strict=True):
        assert got.phrase == wanted.phrase
        assert got.masks.keys() == wanted.masks.keys()
        for image, mask in got.masks.items():
            true = wanted.masks[image]
            assert mask.intersection(true) / mask.union(true) > 0.9


def test_what_was_learned_is_answered_with_masks_in_the_right_images(reasoner):
    for got, true in zip(reasoner.answer_batch(asked(LESSONS)), LESSONS, strict=True):
        assert_learned(got, true.answer)


def test_answers_do_not_depend_on_who_asks_beside(reasoner):
    together = reasoner.answer_batch(asked(LESSONS))
    alone = [reasoner.answer_batch([one])[0] for one in asked(LESSONS)]
    for one, other in zip(together, alone, strict=True):
        assert (one.text, one.spans) == (other.text, other.spans)
        for a, b in zip(one.targets, other.targets, strict=True):
            assert a.masks == b.masks
            assert a.score == pytest.approx(b.score, abs=1e-4)


def test_targets_and_words_come_as_they_are_written(reasoner):
    pieces = list(reasoner.stream(LESSONS[0].images, LESSONS[0].question.text))
    words = "".join(piece for piece in pieces if isinstance(piece, str))
    targets = [piece for piece in pieces if isinstance(piece, Target)]
    assert words == LESSONS[0].answer.text
    assert_learned(pieces[-1], LESSONS[0].answer)
    assert [t.phrase for t in targets] == [t.phrase for t in pieces[-1].targets]
    assert pieces.index(targets[0]) < len(pieces) - 3  # long before the end
    assert targets[0].masks == pieces[-1].targets[0].masks


def test_states_kept_while_writing_are_those_of_one_teacher_forced_pass(learned):
    model, processor = learned
    run = PrimaEngine(model, processor).run(asked(LESSONS))
    for _ in run.steps():
        pass
    batch = processor.encode(asked(LESSONS))
    prompts = [row[held].tolist() for row, held in zip(batch.tokens, batch.held, strict=True)]
    rows = [prompt + ids for prompt, ids in zip(prompts, run.written, strict=True)]
    width = max(map(len, rows))
    tokens = torch.tensor([row + [0] * (width - len(row)) for row in rows])
    found = processor.slots(run.written, batch)
    before = torch.tensor([len(prompt) for prompt in prompts])[found.row]
    whole = replace(
        batch,
        tokens=tokens,
        images=tokens == model.config.image_token,
        held=torch.arange(width) < torch.tensor([[len(row)] for row in rows]),
        slots=SegSlots(row=found.row, column=found.column + before, frame=found.frame),
    )
    with torch.inference_mode():
        forced = model(whole)
    kept = run._output(run.written)
    assert len(kept.frame) == 3
    torch.testing.assert_close(kept.mask_logits, forced.mask_logits, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(kept.score, forced.score, rtol=1e-3, atol=1e-4)


def test_images_are_looked_at_once_until_the_model_changes(reasoner):
    looks = []
    handle = reasoner.model.vision.register_forward_hook(lambda *_: looks.append(1))
    for question in (LESSONS[0].question.text, "Where is blue?"):
        reasoner.answer(LESSONS[0].images, question)
    assert len(looks) == 3
    reasoner.to(dtype="float32")
    reasoner.answer(LESSONS[0].images, "Where is red?")
    handle.remove()
    assert len(looks) == 6


def test_an_answer_that_is_cut_short_says_so(learned, monkeypatch):
    model, processor = learned
    monkeypatch.setattr(model.config, "most_answer", 4)
    (said,) = Reasoner(model, processor, name="prima").answer_batch(asked(LESSONS[:1]))
    assert said.caution == "The answer was cut after 4 tokens."


def test_a_prompt_that_fills_the_context_is_refused(learned, monkeypatch):
    model, processor = learned
    monkeypatch.setattr(model.config.text_config, "max_position_embeddings", 60)
    with pytest.raises(DataError, match=r"question: expected fewer than 60 positions .* got \d+"):
        PrimaEngine(model, processor).run(asked(LESSONS[:1]))


def test_points_are_refused_in_words(reasoner):
    with pytest.raises(DataError, match="PRIMA reads words and pictures"):
        reasoner.answer(LESSONS[0].images, "What is this?", [Point(image=0, x=3, y=4)])


def test_a_saved_model_opens_and_answers_the_same(learned, tmp_path):
    model, processor = learned
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    opened = open_model(tmp_path)
    again = Reasoner(opened.model, opened.processor, name=opened.name)
    for got, true in zip(again.answer_batch(asked(LESSONS)), LESSONS, strict=True):
        assert_learned(got, true.answer)
