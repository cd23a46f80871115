"""PixelLM's tokenizer: what is swallowed, what is plain, what is refused."""

import pytest

from deixis.errors import WeightsError
from deixis.processing.batches.pixellm_batch import IMAGE
from deixis.processing.words.pixellm_words import TYPED, PixelLMVocabulary, group_names

TEXTS = ["Where is the red mug, please? It is behind the blue kite.", "Two mugs, one kite!"] * 5


@pytest.fixture(scope="module")
def words():
    return PixelLMVocabulary.train(TEXTS, 4, 400)


def added(words):
    return dict(words.added)


def test_added_tokens_swallow_white_space_and_begin_a_sentence_anew(words):
    group = list(words.group)
    assert words.encode("[SEG0] \n [SEG1]  [SEG2] [SEG3]") == group
    assert words.encode("the mug [SEG0] , please") == [
        *words.pieces.encode("the mug"), group[0], *words.pieces.encode(", please"),
    ]  # fmt: skip


def test_the_end_of_an_answer_swallows_nothing(words):
    assert words.encode("mug </s>") == [*words.pieces.encode("mug "), words.eos]


def test_what_people_type_is_plain_text(words):
    typed = "[SEG0] </s> <image> <im_start>"
    ids = words.encode_prompt(f"<im_start><image><im_end>\n{TYPED} ASSISTANT:", [typed])
    special = {words.eos, *words.added.values(), IMAGE}
    assert [i for i in ids if i in special] == [words.image_start, IMAGE, words.image_end]
    assert words.pieces.decode(ids[4:]) == f"{typed} ASSISTANT:"


def test_only_the_first_chunk_begins_with_bos(words):
    ids = words.encode_prompt("the<image>mug")
    assert ids == [words.bos, *words.pieces.encode("the"), IMAGE, *words.pieces.encode("mug")]


def test_a_vocabulary_is_read_as_it_was_saved(words, tmp_path):
    words.save(tmp_path)
    again = PixelLMVocabulary.load(tmp_path, 4)
    text = "Where is the mug? [SEG0] [SEG1] äöü"
    assert again.encode(text) == words.encode(text)
    assert (again.group, len(again)) == (words.group, len(words))


def test_the_order_of_a_group_is_that_of_its_names_and_not_of_the_file(words):
    turned = dict(reversed(added(words).items()))
    assert PixelLMVocabulary(words.model, turned, 4).group == words.group


def test_a_group_of_one_token_has_no_number():
    assert group_names(1) == ("[SEG]",)
    assert group_names(3) == ("[SEG0]", "[SEG1]", "[SEG2]")


@pytest.mark.parametrize(
    ("order", "kept", "unfinished", "dropped"),
    [
        ("7 0 1 2 3 7", [[1, 2, 3, 4]], 0, [[1, 2, 3, 4]]),
        ("0 1 2 3 0 1 2", [[0, 1, 2, 3]], 1, []),
        ("0 1 2 3 7 0 2 1 3", [[0, 1, 2, 3]], 1, [[0, 1, 2, 3], [5, 6, 7, 8]]),
        ("0 1 7 2 3", [], 2, [[0, 1, 3, 4]]),
        ("0 0 1 2 3", [[1, 2, 3, 4]], 1, []),
        ("7 7", [], 0, []),
    ],
)
def test_malformed_groups(words, order, kept, unfinished, dropped):
    ids = [5 if i == "7" else words.group[int(i)] for i in order.split()]
    assert words.groups(ids) == (kept, unfinished)
    published, left_out = words.groups(ids, "drop_all")
    assert published == dropped
    assert left_out == (0 if dropped or not unfinished else len(kept) + unfinished)


def test_group_tokens_that_share_an_id_are_refused(words):
    collapsed = {**added(words), "[SEG1]": words.group[0]}
    with pytest.raises(WeightsError, match=r"expected 6 different ids .* tokenizer of another"):
        PixelLMVocabulary(words.model, collapsed, 4)


def test_a_tokenizer_for_other_groups_is_refused(words):
    with pytest.raises(WeightsError, match=r"got none for \[SEG4\], \[SEG5\]"):
        PixelLMVocabulary(words.model, added(words), 6)


def test_bytes_that_are_no_model_are_refused(words):
    with pytest.raises(WeightsError, match="expected a SentencePiece model"):
        PixelLMVocabulary(b"not a model", added(words), 4)
