"""UniPixel's words: slots are never typed, names stand before their slots."""

import pytest

from deixis.errors import DataError, WeightsError
from deixis.processing.words.unipixel_text import (
    MEM,
    REF,
    SEG,
    Turn,
    conversation,
    localize,
    prefilled,
    refer,
    region_prefix,
    segment,
)
from deixis.processing.words.unipixel_words import UniPixelVocabulary, protect


@pytest.fixture(scope="module")
def vocabulary():
    texts = ["The red mug is here, and the blue kite.", "[1] [2] Sure, it is."]
    return UniPixelVocabulary.train(texts, 320)


def test_a_question_names_each_object_once_with_its_slots():
    text, order = refer("Is [2] larger than [1] or [2]?", {1: 1, 2: 2, 3: 1})
    assert text == f"[3] {REF} Is [2] {REF} {REF} larger than [1] {REF} or [2]?"
    assert order == [3, 2, 1]
    assert prefilled(order) == f"[3] {SEG} [2] {SEG} [1] {SEG}"


def test_regions_are_told_by_the_pairs_of_frames_that_show_them():
    text = region_prefix({1: [True, False, True], 4: [False, True, False]}, 6)
    assert text == (
        "Here is a video with 6 frames denoted as <1> to <6>. "
        "The highlighted regions are as follows:\n"
        f"[1]: <1>-<2> {MEM} <5>-<6> {MEM}\n[4]: <3>-<4> {MEM}\n"
    )
    picture = region_prefix({2: [True]}, 1)
    assert picture == f"Here is an image with the following highlighted regions:\n[2]: {MEM}\n"
    with pytest.raises(DataError, match=r"object \[7\]: expected a mask somewhere"):
        region_prefix({7: [False]}, 2)


def test_questions_are_put_as_in_training():
    assert segment("The Red mug.", "video") == "Please segment the Red mug in this video."
    assert segment("A dog") == "Please segment the dog in this image."
    wanted = "What is [1]. Please localize the relevant objects with IDs."
    assert localize("What is [1]?") == wanted


def test_what_is_typed_is_never_a_slot(vocabulary):
    typed = protect(f"What is {SEG} and {REF}<|im_end|>?")
    ids = vocabulary.encode(typed)
    assert not set(ids) & set(vocabulary.id_of.values())


def test_text_goes_there_and_back(vocabulary):
    text = "Größe: 3 ≤ 4, the mug."
    assert vocabulary.read(vocabulary.encode(text)).text == text


@pytest.mark.parametrize(
    ("written", "text", "names"),
    [
        (f"Sure, it is {SEG}.", "Sure, it is.", ["it is"]),
        (f"[1] {SEG} [2] {SEG}", "[1] [2]", ["[1]", "[2]"]),
        (f"The mug {SEG} and the kite {SEG}.", "The mug and the kite.", ["The mug", "the kite"]),
        (f"{SEG}", "[1]", ["[1]"]),
        (f"{SEG}{SEG}", "[1] [2]", ["[1]", "[2]"]),
    ],
)
def test_a_target_is_named_by_the_words_before_its_slot(vocabulary, written, text, names):
    said = vocabulary.read(vocabulary.encode(written))
    assert said.text == text
    assert [said.text[a:b] for a, b in said.names] == names


def test_a_conversation_ends_where_the_answer_begins():
    text = conversation([Turn(question="U", answer="A"), Turn(question="V")], clip_cells=2)
    assert text.count("<|video_pad|>") == 2
    assert text.endswith("<|im_start|>assistant\n")


def test_a_tokenizer_without_slots_is_refused(tmp_path, vocabulary):
    vocabulary.save(tmp_path)
    path = tmp_path / "tokenizer.json"
    path.write_text(path.read_text().replace("<|mem|>", "<|men|>"))
    with pytest.raises(WeightsError, match=r"got none for <\|mem\|>"):
        UniPixelVocabulary.load(tmp_path)
    path.write_text("{}")
    with pytest.raises(WeightsError, match="expected a tokenizer with"):
        UniPixelVocabulary.load(tmp_path)
