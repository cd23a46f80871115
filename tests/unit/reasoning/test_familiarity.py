"""Caution: which words are unknown, which pictures look strange, and whose they are."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from deixis.reasoning.familiarity import MOST_LOOKED_AT, cautions, strange_frames, with_cautions
from deixis.structures.answers import GroundedAnswer
from deixis.structures.images import Frame, ImageSet
from deixis.structures.prompts import Point
from deixis.structures.samples import Question, Sample

KNOWN = frozenset({"the", "red", "mug", "what's"})
DARK, BRIGHT = 10, 250


class Bright(torch.nn.Module):
    """Finds bright pictures strange, dark ones familiar; notes how many it was shown."""

    def __init__(self) -> None:
        super().__init__()
        self.shown: list[tuple[int, ...]] = []

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        self.shown.append(tuple(pixels.shape))
        return pixels.float().mean((1, 2, 3)) / 255 - 0.5


def pictures(*brightness: int, size: tuple[int, int] = (16, 16)) -> ImageSet:
    return ImageSet.pictures(
        [Frame.from_array(np.full((*size, 3), b, dtype=np.uint8)) for b in brightness]
    )


def ask(text: str, *prompts, images: ImageSet | None = None) -> Sample:
    question = Question(text=text, prompts=prompts)
    return Sample(images=images or pictures(DARK), question=question)


@pytest.fixture
def judged(tiny):
    """Return the cautions of questions by a model that finds bright pictures strange."""

    def judge(*samples: Sample) -> list[str | None]:
        model = SimpleNamespace(familiar=Bright(), device="cpu")
        batch = tiny[1].encode(samples)
        return cautions(samples, batch, model, SimpleNamespace(known_words=KNOWN))

    return judge


def test_known_words_about_familiar_pictures_need_no_caution(judged):
    assert judged(ask("What's the RED mug, 3?")) == [None]


def test_words_that_training_never_showed_are_named_once_and_in_order(judged):
    text = judged(ask("The Zebra and the red zebra's zebra"))[0]
    assert text == 'The model has not learned the words "zebra", "and", "zebra\'s".'


def test_of_many_unknown_words_only_the_first_are_named(judged):
    assert judged(ask("a b c d e f g"))[0].count('"') == 10


def test_strange_pictures_are_named_by_their_number_in_their_own_question(judged):
    several = pictures(BRIGHT, DARK, BRIGHT)
    texts = judged(ask("the mug"), ask("the mug", images=several), ask("the mug"))
    assert texts == [None, "Image 1, image 3 looks unlike anything it has learned from.", None]


def test_both_reasons_stand_in_one_sentence(judged):
    text = judged(ask("the zebra", images=pictures(BRIGHT)))[0]
    assert text.startswith('The model has not learned the words "zebra"; image 1 looks unlike')


def test_a_question_that_is_read_in_part_is_one_more_reason(judged):
    text = judged(ask("the mug. " * 300, images=pictures(BRIGHT)), ask("the mug"))
    assert text[0] == (
        "Image 1 looks unlike anything it has learned from; "
        "of a question this long, only the beginning was read."
    )
    assert text[1] is None


def test_a_name_that_a_person_gave_is_no_word_to_be_learned(judged):
    named = Point(image=0, x=1, y=1, name="Zork")
    assert judged(ask("the red [Zork]", named)) == [None]
    assert judged(ask("the red zork", named)) != [None]


def test_pictures_of_one_size_are_judged_together_without_what_surrounds_them(tiny):
    familiar = Bright()
    tall, wide = pictures(DARK, BRIGHT, size=(64, 20)), pictures(BRIGHT, size=(20, 40))
    batch = tiny[1].encode([ask("mug", images=ImageSet.join([tall, wide]))])
    strange = strange_frames(batch, SimpleNamespace(familiar=familiar, device="cpu"))
    assert strange.tolist() == [False, True, True]
    assert familiar.shown == [(2, 3, 64, 20), (1, 3, 32, 64)]


def test_of_a_long_clip_some_frames_are_looked_at(tiny):
    familiar = Bright()
    count = 2 * MOST_LOOKED_AT + 5
    clip = ImageSet.clip(pictures(*[DARK] * count).frames, tuple(range(count)))
    batch = tiny[1].encode([ask("mug", images=clip)])
    strange_frames(batch, SimpleNamespace(familiar=familiar, device="cpu"))
    assert MOST_LOOKED_AT // 2 < sum(shape[0] for shape in familiar.shown) <= MOST_LOOKED_AT


def test_cautions_are_put_on_their_answers_and_change_nothing_else():
    answers = [GroundedAnswer(text="Yes.", conclusion="Yes"), GroundedAnswer(text="No.")]
    first, second = with_cautions(answers, ["Mind this.", None])
    assert first == GroundedAnswer(text="Yes.", conclusion="Yes", caution="Mind this.")
    assert second == answers[1]
