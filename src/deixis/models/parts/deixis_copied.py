"""The words by which the objects of a question are known, for answers to copy.

Shapes: B rows, O objects per set, K words of a kind, D language width.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from deixis.language.copying import Copied, how_many
from deixis.models.configs.deixis_config import DeixisConfig
from deixis.models.parts.deixis_seen import Seen


def copied_kinds(config: DeixisConfig) -> list[str]:
    """Return the kinds of words that can be copied, in the order of their gates."""
    heads = [kind for kind in config.words if kind != "part"]
    return [*heads, *(["deed"] if config.deeds else []), "side", "verdict", "number"]


def copied_words(
    seen: Seen, known: Mapping[str, Tensor], fits: Tensor, words: Mapping[str, Tensor]
) -> dict[str, Copied]:
    """Return what each object is known by: what it shows and does, on which side of what is
    pointed at it lies, whether it fits the question; and, of all together, how many do.

    Args:
        seen: what is known before the first word.
        known: kind of word of the dense heads -> (G, O, K) probabilities.
        fits: (B, O) logits.
        words: kind -> (K, D) embeddings.
    """
    assert seen.known is not None
    rows, sure = seen.set_of_row, fits.sigmoid()
    shown = {kind: probabilities[rows] for kind, probabilities in known.items() if kind != "part"}
    if seen.deeds is not None:
        shown["deed"] = (seen.deeds.sigmoid() * seen.objects.moving)[rows]
    shown["side"] = seen.known.sides(rows, seen.called)
    shown["verdict"] = torch.stack([sure, 1 - sure], 2)
    shown["number"] = how_many(sure, len(words["number"]))
    return {kind: Copied(shown=each, words=words[kind]) for kind, each in shown.items()}
