"""Tokenizers for a PRIMA that is trained from nothing, in the published shape."""

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any

from tokenizers import (
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)

from deixis.processing.prima_words import SYSTEM, image_list
from deixis.structures.numbering import ordinal

IMAGE_NAMES = 9
SPECIAL = ("<unk>", "<s>", "</s>", "<im_start>", "<im_end>", "[SEG]", "<p>", "</p>")
ASKER_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[DEC]")


def train_tokenizer(texts: Sequence[str], config: Any) -> Tokenizer:
    """Train byte-level BPE on texts and the prompt, and write its ids into the config."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=config.text_config.vocab_size,
        special_tokens=list(SPECIAL),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    names = [f" (IMAGE{ordinal(i)})" for i in range(IMAGE_NAMES)]
    prompt = [SYSTEM, " USER: ", image_list(IMAGE_NAMES), " ASSISTANT:", *names]
    tokenizer.train_from_iterator(chain(prompt * 20, texts), trainer)
    ids = {name: tokenizer.token_to_id(name) for name in SPECIAL}
    config.text_config.pad_token_id = ids["<unk>"]
    config.text_config.bos_token_id, config.text_config.eos_token_id = ids["<s>"], ids["</s>"]
    config.image_start_token, config.image_end_token = ids["<im_start>"], ids["<im_end>"]
    config.seg_token = ids["[SEG]"]
    config.phrase_token, config.phrase_end_token = ids["<p>"], ids["</p>"]
    return tokenizer


def train_asker(texts: Iterable[str], size: int) -> Tokenizer:
    """Train the Q-Former's word pieces as BERT has them: lower case, [CLS] ... [SEP]."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    trainer = trainers.WordPieceTrainer(
        vocab_size=size, special_tokens=list(ASKER_SPECIAL), show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    cls, sep = (tokenizer.token_to_id(name) for name in ("[CLS]", "[SEP]"))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", cls), ("[SEP]", sep)]
    )
    return tokenizer
