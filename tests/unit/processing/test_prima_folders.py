"""PRIMA's tokenizers and configs on their way through files, and values that make no model."""

import json

import pytest

from deixis.errors import ConfigError, WeightsError
from deixis.models.configs.prima_config import PrimaConfig, prima_7b, prima_tiny, prima_v1_7b
from deixis.processing.lessons.prima_training import asker_of
from deixis.processing.prima import PrimaProcessor
from deixis.structures.answers import GroundedAnswer

TEXTS = [
    "Which of the mugs in image 2 is full?",
    "I see a red mug, a desk's drawer and two kites. There are 3.",
]
GIVEN = GroundedAnswer(text="I see a red mug and 3 kites.")


@pytest.fixture(scope="module")
def processor():
    return PrimaProcessor.from_texts(prima_tiny(), TEXTS)


def test_a_saved_processor_opens_again(processor, tmp_path):
    processor.save_pretrained(tmp_path)
    again = PrimaProcessor.from_pretrained(tmp_path, processor.config)
    ids = processor.words.written(TEXTS[0], 3, GIVEN)
    assert again.words.written(TEXTS[0], 3, GIVEN) == ids
    assert again.words.asked(TEXTS[0], 0) == processor.words.asked(TEXTS[0], 0)


FILES = ("tokenizer.model", "added_tokens.json", "question_tokenizer.json")


@pytest.mark.parametrize("name", FILES)
def test_a_missing_or_broken_tokenizer_is_said(processor, tmp_path, name):
    processor.save_pretrained(tmp_path)
    (tmp_path / name).write_text("[]")
    with pytest.raises(WeightsError):
        PrimaProcessor.from_pretrained(tmp_path, processor.config)
    (tmp_path / name).unlink()
    with pytest.raises(WeightsError, match="Copy the whole model folder"):
        PrimaProcessor.from_pretrained(tmp_path, processor.config)


def test_a_tokenizer_of_another_model_is_refused(processor, tmp_path):
    processor.save_pretrained(tmp_path)
    added = json.loads((tmp_path / "added_tokens.json").read_text())
    added["[SEG]"], added["<p>"] = added["<p>"], added["[SEG]"]
    (tmp_path / "added_tokens.json").write_text(json.dumps(added))
    with pytest.raises(WeightsError, match=r"expected \[SEG\] with the id \d+ of config\.json"):
        PrimaProcessor.from_pretrained(tmp_path, processor.config)


def test_the_words_of_bert_make_a_tokenizer_that_reads_as_bert_does():
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "which", "mug", "##s", "is", "full", "?", "cafe"]
    asker = asker_of({word: number for number, word in enumerate(words)})
    assert asker.encode("Which Mugs is FULL? Café").ids == [2, 4, 5, 6, 7, 8, 9, 10, 3]
    assert asker.token_to_id("[DEC]") == len(words)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"relation": "meanest"}, 'relation: .*got "meanest"'),
        ({"image_name": "never"}, 'image_name: .*got "never"'),
        ({"image_rows": "words"}, 'image_rows: .*got "words"'),
        ({"image_rows": "patches"}, 'relation: expected "none" with .*"patches".* got "square"'),
        ({"num_queries": 0}, "num_queries: expected a whole number from 1 on, got 0"),
        ({"seg_token": 40_000}, "token ids: .*got seg_token 40000"),
        ({"seg_token": 32005}, "token ids: .*two that are one"),
        ({"relation_heads": 7}, r"num_heads: expected a divisor of query_width \(768\), got 7"),
        (
            {"vision_config": {"hidden_size": 1024}},
            r"encoder_hidden_size: expected vision_config.hidden_size \(1024\), got 1408",
        ),
    ],
)
def test_values_that_make_no_model_are_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        PrimaConfig(**changes)


def test_configs_survive_their_way_through_a_file(tmp_path):
    for made in (prima_7b(), prima_v1_7b(), prima_tiny()):
        made.save_pretrained(tmp_path)
        assert PrimaConfig.from_pretrained(tmp_path).to_dict() == made.to_dict()
