"""Tokenizers for a PRIMA that is trained from nothing, in the published shape."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from tokenizers.trainers import WordPieceTrainer

from deixis.processing.words.prima_words import (
    PHRASE,
    PHRASE_END,
    SPECIAL,
    SYSTEM,
    LlamaVocabulary,
    image_list,
)

MOST_NAMES = 9  # images that the prompt from which words are learned names
ASKER_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[DEC]")


def train_vocabulary(texts: Sequence[str], config: Any) -> LlamaVocabulary:
    """Train LLaMA's kind of pieces on texts and the prompt, and write their ids into the config.

    The prompt's fixed words are shown often, so that they take few tokens.
    """
    names = [" ".join(f"(IMAGE{i + 1})" for i in range(MOST_NAMES)), "USER: ASSISTANT:"]
    prompt = [SYSTEM, image_list(MOST_NAMES), image_list(2), image_list(1), *names]
    size = config.text_config.vocab_size - len((PHRASE, PHRASE_END))
    pieces = LlamaVocabulary.train([*prompt * 20, *texts], 1, size)
    added = {**pieces.added, PHRASE: len(pieces), PHRASE_END: len(pieces) + 1}
    vocabulary = LlamaVocabulary(pieces.model, added, 1)
    config.text_config.pad_token_id = vocabulary.pad
    config.text_config.bos_token_id = vocabulary.bos
    config.text_config.eos_token_id = vocabulary.eos
    for name, key in SPECIAL.items():
        setattr(config, key, added[name])
    return vocabulary


def train_asker(texts: Iterable[str], size: int) -> Tokenizer:
    """Train the Q-Former's word pieces on texts."""
    tokenizer = bert_like(models.WordPiece(unk_token="[UNK]"))
    trainer = WordPieceTrainer(
        vocab_size=size, special_tokens=list(ASKER_SPECIAL), show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    return with_ends(tokenizer)


def asker_of(vocabulary: Mapping[str, int]) -> Tokenizer:
    """Return the tokenizer of the words of bert-base-uncased, to which [DEC] is added."""
    tokenizer = bert_like(models.WordPiece(dict(vocabulary), unk_token="[UNK]"))
    tokenizer.add_special_tokens([name for name in ASKER_SPECIAL if name in vocabulary])
    tokenizer.add_special_tokens(["[DEC]"])
    return with_ends(tokenizer)


def bert_like(model: models.WordPiece) -> Tokenizer:
    """Return a tokenizer that reads as BERT does: lower case, accents off, split at punctuation."""
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    return tokenizer


def with_ends(tokenizer: Tokenizer) -> Tokenizer:
    """Have a tokenizer write [CLS] ... [SEP]."""
    cls, sep = (tokenizer.token_to_id(name) for name in ("[CLS]", "[SEP]"))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", cls), ("[SEP]", sep)]
    )
    return tokenizer
