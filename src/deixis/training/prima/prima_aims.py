"""What an answer of PRIMA is about to name or draw, token by token.

"The <p> red mug in image 1 and image 3 </p> [SEG] (IMAGE1) [SEG] (IMAGE3)." speaks of one thing in
two images. Until the first image is named, what is to be drawn there is next; then what is to be
drawn in the second; and when all are named nothing is, so that the phrase ends. Every [SEG] and the
name of its image are of what it draws. After the last one nothing is left to be found.

Shapes: B rows, N tokens, M targets, S states that look for one.
"""

import re
from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from deixis.language.splice import starts_of
from deixis.models.prima import Seen
from deixis.processing.batches.prima_batch import PrimaBatch
from deixis.processing.prima import IGNORED
from deixis.processing.words.prima_words import PrimaWords

UNTOLD, NOTHING = -2, -1  # no say in where to look; nothing that has not been named or drawn
_NAME = re.compile(r"image\s*\d", re.IGNORECASE)


def aims_of(asked: PrimaBatch, words: PrimaWords) -> Tensor:
    """Return (B, N) for every token of an answer the target that it is about to name or draw, or
    NOTHING; UNTOLD for all other tokens."""
    assert asked.truth is not None
    labels = asked.truth.labels
    aims, before = torch.full_like(labels, UNTOLD), 0
    for row, ids in enumerate(labels):
        answer = ids != IGNORED
        own = torch.tensor([*_aims(ids[answer].tolist(), words)], dtype=torch.long)
        aims[row, answer] = torch.where(own >= 0, own + before, own)
        before += int((asked.slots.row == row).sum())
    return aims


def looking_at(aims: Tensor, seen: Seen) -> tuple[Tensor, Tensor, Tensor]:
    """Return the rows and columns (S,) of the states from which tokens are written that have an
    aim, and that aim (S,)."""
    row, token = torch.nonzero(aims > UNTOLD, as_tuple=True)
    return row, starts_of(seen.lengths)[row, token] - 1, aims[row, token]


def deciding(aims: Tensor) -> Tensor:
    """Return (B, N) which tokens decide on what comes next: the last that is about one aim, such as
    the number of an image, and the first about another, such as "and" or the end of a phrase."""
    changes = aims[:, 1:] != aims[:, :-1]
    border = F.pad(changes, (1, 0)) | F.pad(changes, (0, 1))
    return border & (aims > UNTOLD)


def _aims(ids: Sequence[int], words: PrimaWords) -> Iterator[int]:
    """Yield for every token of one answer which of its [SEG] it is about, counted from 0."""
    config, said = words.config, list[int]()
    drawn = _drawn(ids, config.phrase_token, config.seg_token)
    total, slot, phrase, inside, naming = sum(drawn), 0, 0, False, False
    ended = total == 0
    for token in ids:
        if token == config.phrase_token:
            yield slot if drawn[phrase + 1] else UNTOLD
            inside, naming, said, phrase = True, False, [], phrase + 1
        elif inside:
            named = _named(said, words)
            here = drawn[phrase]
            yield slot + named if named < here else NOTHING if here else UNTOLD
            inside = token != config.phrase_end_token
            said = [*said, token] if inside else []
        elif token == config.seg_token:
            yield slot
            slot, naming, said = slot + 1, config.image_name == "after", []
        elif naming:
            yield slot - 1
            said = [*said, token]
            naming = not _named(said, words)
        else:
            yield slot if slot < total else UNTOLD if ended else NOTHING
            ended = ended or slot == total


def _drawn(ids: Sequence[int], phrase_token: int, seg_token: int) -> list[int]:
    """Return how many [SEG] stand before the first phrase, and after each."""
    counts = [0]
    for token in ids:
        if token == phrase_token:
            counts.append(0)
        counts[-1] += token == seg_token
    return counts


def _named(said: Sequence[int], words: PrimaWords) -> int:
    """Return how many images some tokens name."""
    return len(_NAME.findall(words.vocabulary.pieces.decode(list(said)))) if said else 0
