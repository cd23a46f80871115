"""The short answer is read from the words of those models that do not mark it."""

from random import Random

import pytest
import torch

from deixis.metrics.wording import same_answer
from deixis.models.configs.prima_config import prima_tiny
from deixis.processing.batch import Output
from deixis.processing.prima import PrimaProcessor
from deixis.processing.words.concluding import conclusion
from deixis.scenes.questions import make_scene
from deixis.scenes.world import WorldKey
from deixis.structures.answers import GroundedAnswer


@pytest.mark.parametrize("task", ["multi", "region", "pixelqa", "plain"])
def test_what_scenes_conclude_is_read_from_their_words(task):
    seed, count = Random(task).randrange(2**31), 0
    for index in range(12):
        key = WorldKey(split="val", task=task, seed=seed, index=index)
        for sample in make_scene(key, questions=5).samples:
            answer = sample.answer
            if answer.conclusion is not None:
                count += 1
                assert same_answer(answer.conclusion, conclusion(answer.text)), answer.text
    assert count > 10


@pytest.mark.parametrize(
    ("text", "short"),
    [
        ("The white teapot. The answer is yes.", "yes"),
        ("It is left of [2].", "left"),
        ("It is above [2].", "above"),
        ("[2] is green.", "green"),
        ("The red mug and the kite. There are 3.", "3"),
        ("[1] moves left.", "left"),
        ("They are red", "red"),
        ("It is the handle.", "the handle"),
        ("The red mug.", None),
        ("There is no green kite.", None),
        ("It is near the table over there.", None),
        ("", None),
    ],
)
def test_the_short_answer_is_what_the_last_sentence_gives(text, short):
    assert conclusion(text) == short


@pytest.mark.parametrize("text", ["The red mug in image 1.", "A mug and a car.", ""])
def test_an_answer_that_only_names_concludes_nothing(text):
    assert conclusion(text) is None


def test_prima_reads_it_from_what_it_wrote():
    samples = [
        sample
        for index in range(6)
        for sample in make_scene(
            WorldKey(split="train", task="multi", seed=4, index=index), questions=3
        ).samples
        if not sample.question.prompts and sample.answer.conclusion is not None
    ]
    texts = [text for s in samples for text in (s.question.text, s.answer.text)]
    processor = PrimaProcessor.from_texts(prima_tiny(), texts)
    for sample in samples:
        batch = processor.encode([sample])
        ids, known = processor.words.written(
            sample.question.text, len(sample.images), sample.answer
        )
        written = [ids[known:]]
        slots = processor.slots(written, batch)
        output = drawn(len(slots.frame), slots)
        (answer,) = processor.decode(written, output, batch)
        assert isinstance(answer, GroundedAnswer)
        assert same_answer(sample.answer.conclusion, answer.conclusion), answer.text


def drawn(count, slots):
    return Output(
        mask_logits=torch.ones(count, 8, 8),
        target=torch.arange(count),
        frame=slots.frame,
        presence=torch.ones(count, 4),
        score=torch.ones(count),
    )
