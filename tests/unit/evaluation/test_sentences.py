"""Phrases compared by a text model from a folder, as GLaMM's recall asks for."""

import json

import numpy as np
import pytest
import torch
from tiny_sets import write_all
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import AutoModel, AutoTokenizer, BertConfig, BertModel, PreTrainedTokenizerFast
from typer.testing import CliRunner

from deixis.cli.app import app
from deixis.errors import ConfigError, WeightsError
from deixis.evaluation.protocols.sentences import model_similarity

WORDS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "cup", "red", "dog")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A BERT of two layers with random weights."""
    path = tmp_path_factory.mktemp("bert")
    words = Tokenizer(models.WordLevel({w: i for i, w in enumerate(WORDS)}, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    words.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    PreTrainedTokenizerFast(tokenizer_object=words, pad_token="[PAD]").save_pretrained(path)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(WORDS), hidden_size=12, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=10,
    )  # fmt: skip
    BertModel(config).save_pretrained(path)
    return path


def test_phrases_are_as_alike_as_the_means_of_their_tokens_states(folder):
    name, similarity = model_similarity(folder)
    assert name == "bert of 12 features; not comparable, published is bert-base-uncased"
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder)
    means = []
    for phrase in ("a red cup", "a dog"):
        with torch.no_grad():
            states = model(**tokenizer(phrase, return_tensors="pt")).last_hidden_state[0]
        assert len(states) == len(phrase.split()) + 2
        means.append(states.mean(0).numpy())
    expected = means[0] @ means[1] / np.linalg.norm(means[0]) / np.linalg.norm(means[1])
    assert similarity("a red cup", "a dog") == pytest.approx(float(expected), abs=1e-5)
    assert similarity("a dog", "a dog") == pytest.approx(1, abs=1e-5)


def test_a_folder_without_a_text_model_is_refused(tmp_path):
    with pytest.raises(WeightsError, match="expected a folder with a text model"):
        model_similarity(tmp_path)


def test_the_command_compares_phrases_by_it_and_the_report_says_so(folder, tmp_path):
    write_all(tmp_path)
    out = tmp_path / "report.json"
    asked = ["eval", "grandf", "--root", str(tmp_path), "--protocol", "clean"]
    asked += ["--baseline", "oracle", "--out", str(out), "--phrases", str(folder)]
    done = CliRunner().invoke(app, asked)
    assert done.exit_code == 0, done.output
    report = json.loads(out.read_text())
    assert report["configuration"]["similarity"].startswith("bert of 12 features")
    assert report["metrics"]["recall"] == 1
    refused = CliRunner().invoke(
        app, ["eval", "refcoco", "--root", str(tmp_path), "--phrases", "minilm"]
    )
    assert isinstance(refused.exception, ConfigError)
