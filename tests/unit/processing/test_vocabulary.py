"""Any text becomes tokens; what is written is read back; what is scribbled still reads."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deixis.errors import WeightsError
from deixis.processing.vocabulary import SPECIAL, Vocabulary, groups_of, words_of
from deixis.structures.answers import GroundedAnswer, Target
from deixis.structures.masks import Mask

SIZE = 3  # tokens of a group
TEXTS = ["the red mug and the blue kite.", "there is no green kite in image 2.", "the answer is 3."]
VOCABULARY = Vocabulary.train(TEXTS * 5, SIZE, size=330)
HERE = {0: Mask(np.ones((2, 3), dtype=bool))}


def answer(text: str, *phrases: str, absent: tuple[str, ...] = (), conclusion=None, **rest):
    """An answer whose targets are the first occurrences of phrases, in the order given."""
    spans = [(text.index(phrase), text.index(phrase) + len(phrase)) for phrase in phrases]
    return GroundedAnswer(
        text=text,
        targets=tuple(Target(phrase=phrase, masks=HERE) for phrase in phrases),
        spans=tuple(rest.get("spans", spans)),
        conclusion=conclusion,
        absent=tuple(Target(phrase=phrase, masks={}) for phrase in absent),
    )


def phrases(written) -> list[str]:
    return [written.text[a:b] for a, b in written.names]


@given(text=st.text(max_size=60))
@settings(max_examples=150, deadline=None)
def test_any_text_is_tokens_and_comes_back(text):
    ids = VOCABULARY.plain(text)
    assert VOCABULARY.tokenizer.decode(ids, skip_special_tokens=False) == text
    assert not set(ids) & {VOCABULARY.tokenizer.token_to_id(name) for name in SPECIAL}


@given(
    pieces=st.lists(
        st.sampled_from(
            [*SPECIAL, *Vocabulary.group_tokens(SIZE), "<", ">", " ", "red", "<<seg0>"]
        ),
        max_size=8,
    )
)
@settings(max_examples=150, deadline=None)
def test_typed_special_tokens_are_ordinary_characters(pieces):
    ids = VOCABULARY.plain("".join(pieces))
    special = {VOCABULARY.tokenizer.token_to_id(name) for name in SPECIAL} | {*VOCABULARY.group}
    assert not special & set(ids)
    assert VOCABULARY.tokenizer.decode(ids, skip_special_tokens=False) == "".join(pieces)


def test_a_group_is_its_tokens_in_a_row_and_stands_before_the_words():
    ids = VOCABULARY.write(answer("The red mug.", "red mug"))
    first = VOCABULARY.group[0]
    assert VOCABULARY.group == (first, first + 1, first + 2)
    assert tuple(ids[:SIZE]) == VOCABULARY.group
    assert ids[-1] == VOCABULARY.eos
    assert ids.count(VOCABULARY.name) == ids.count(VOCABULARY.name_end) == 1


@pytest.mark.parametrize(
    "true",
    [
        answer("The red mug."),
        answer("Yes.", conclusion="Yes"),
        answer("The red mug and the blue kite.", "red mug", "blue kite"),
        answer("The red mug in image 1. The answer is image 3.", "red mug", conclusion="image 3"),
        answer("Image 2 shows the red mug.", "red mug", conclusion="Image 2"),
        answer("There is no green kite in image 2.", absent=("green kite",)),
        answer("No. There is no green kite.", absent=("green kite",), conclusion="No"),
        answer(
            "There is no green kite, so none is green.", absent=("green kite",), conclusion="green"
        ),
        answer("Ein grüner Krug — 茶碗 🫖.", "grüner Krug", "茶碗", conclusion="🫖"),
        answer("mug", "mug"),
        answer("Two  spaces  stay, <seg0> too.", "spaces  stay", conclusion="<seg0>"),
    ],
    ids=lambda a: a.text,
)
def test_what_is_written_is_read_back(true):
    read = VOCABULARY.read(VOCABULARY.write(true))
    assert read.text == true.text
    assert read.conclusion == true.conclusion
    assert phrases(read) == [t.phrase for t in (*true.targets, *true.absent)]
    assert read.names[: len(true.spans)] == true.spans
    assert (read.groups, read.unfinished) == (len(true.targets) + len(true.absent), 0)
    assert read.starts == tuple(range(0, SIZE * read.groups, SIZE))


def test_scenes_answers_of_every_task_are_read_back(scene_samples):
    for sample in scene_samples:
        read = VOCABULARY.read(VOCABULARY.write(sample.answer))
        assert read.text == sample.answer.text
        assert read.conclusion == sample.answer.conclusion, sample.answer
        assert read.names[: len(sample.answer.spans)] == sample.answer.spans
        named = [sample.answer.text[slice(*span)] for span in sample.answer.spans]
        assert phrases(read) == [*named, *(t.phrase for t in sample.answer.absent)]


def test_groups_stand_in_the_order_in_which_the_text_names_them():
    true = answer("There is no green kite, but a red mug.", "red mug", absent=("green kite",))
    assert [t.phrase for t, _ in groups_of(true)] == ["green kite", "red mug"]
    read = VOCABULARY.read(VOCABULARY.write(true))
    assert phrases(read) == ["green kite", "red mug"]


def test_an_absent_thing_is_not_named_inside_another_s_name():
    true = answer("The red mug, not the mug.", "red mug", absent=("mug",))
    assert [span for _, span in groups_of(true)] == [(4, 11), (21, 24)]


def test_names_inside_names_and_what_is_not_mentioned_come_last_and_leave_the_text_whole():
    spans = [(4, 25), (18, 25)]
    true = answer("The handle of the red mug.", "handle of the red mug", "red mug", spans=spans)
    read = VOCABULARY.read(VOCABULARY.write(true))
    assert read.text == true.text
    assert (phrases(read), read.groups) == (["handle of the red mug"], 2)
    unsaid = answer("Nothing here.", absent=("green kite",))
    assert VOCABULARY.read(VOCABULARY.write(unsaid)).groups == 1


def test_of_several_places_the_last_is_the_conclusion():
    ids = VOCABULARY.write(answer("Of 3 mugs, 3 are red: 3.", conclusion="3"))
    before = ids[: ids.index(VOCABULARY.conclude)]
    assert VOCABULARY.read(before).text == "Of 3 mugs, 3 are red:"


def test_a_conclusion_that_the_text_does_not_say_leaves_the_text_as_it_is():
    read = VOCABULARY.read(VOCABULARY.write(answer("It is red.", conclusion="blue")))
    assert (read.text, read.conclusion) == ("It is red.", None)


@pytest.mark.parametrize(
    ("ids", "groups", "unfinished"),
    [
        ("012", 1, 0),
        ("012012", 2, 0),
        ("01", 0, 1),
        ("01012", 1, 1),
        ("0120", 1, 1),
        ("0121", 1, 1),
        ("2", 0, 1),
        ("210", 0, 2),
        ("000", 0, 3),
        ("0w12", 0, 2),
        ("w012w01", 1, 1),
        ("01$2", 0, 1),
    ],
)
def test_broken_groups_are_dropped_and_counted(ids, groups, unfinished):
    word = VOCABULARY.plain(" mug")[0]
    special = {"w": word, "$": VOCABULARY.eos}
    tokens = [special[c] if c in special else VOCABULARY.group[int(c)] for c in ids]
    read = VOCABULARY.read(tokens)
    assert (read.groups, read.unfinished) == (groups, unfinished)
    assert all(tuple(tokens[s : s + SIZE]) == VOCABULARY.group for s in read.starts)


def test_marks_that_were_never_closed_still_name_what_follows_them():
    plain, name, conclude = VOCABULARY.plain, VOCABULARY.name, VOCABULARY.conclude
    read = VOCABULARY.read([*plain("The"), name, *plain(" red mug"), conclude, *plain(" 3")])
    assert read.text == "The red mug 3"
    assert (phrases(read), read.conclusion) == (["red mug"], "3")


def test_a_name_without_words_is_no_name():
    ids = [VOCABULARY.name, *VOCABULARY.plain("  "), VOCABULARY.name_end, *VOCABULARY.plain("mug")]
    read = VOCABULARY.read(ids)
    assert (read.text, read.names) == ("mug", ())


def test_words_are_lower_case_and_without_numbers():
    assert words_of("Don't count 3 KITES_or umbrellas!") == [
        "don't",
        "count",
        "kites",
        "or",
        "umbrellas",
    ]


def test_a_saved_tokenizer_writes_the_same(tmp_path):
    VOCABULARY.save(tmp_path / "tokenizer.json")
    loaded = Vocabulary.load(tmp_path / "tokenizer.json", SIZE)
    true = answer("The red mug — 茶碗.", "red mug", conclusion="茶碗")
    assert loaded.write(true) == VOCABULARY.write(true)
    assert len(loaded) == len(VOCABULARY)


def test_a_tokenizer_without_enough_group_tokens_is_refused():
    with pytest.raises(WeightsError, match=r"expected the special tokens .*got none for <seg3>"):
        Vocabulary(VOCABULARY.tokenizer, SIZE + 1)


@pytest.mark.parametrize("content", ["[]", "{}", json.dumps({"model": {}})])
def test_json_that_is_no_tokenizer_is_refused(tmp_path, content):
    (tmp_path / "tokenizer.json").write_text(content)
    with pytest.raises(WeightsError, match=r"expected a tokenizer with .*got other JSON"):
        Vocabulary.load(tmp_path / "tokenizer.json", SIZE)
