"""METEOR, CIDEr, BLEU and ROUGE-L of captions, by pycocoevalcap; its words and METEOR need Java.

CIDEr weighs words by how seldom they are in the whole set, so captions are kept until the end.
"""

import io
import shutil
from collections.abc import Iterable, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, field

import numpy as np

from deixis.errors import DataError, MissingExtra
from deixis.extras import require
from deixis.metrics.bootstrap import DRAWS, ends_of, weights_of


@dataclass
class Captions:
    """Predicted captions beside true ones; merges exactly, in any order.

    Attributes:
        images: by id: (true captions, predicted caption).
    """

    images: dict[str, tuple[tuple[str, ...], str]] = field(default_factory=dict)

    def add(self, image_id: str, true: Sequence[str], predicted: str) -> None:
        """Add one image.

        Raises:
            DataError: an image that is there already, or without a true caption.
        """
        if image_id in self.images or not true:
            raise DataError(
                f"image {image_id}: expected once and with a true caption, got it twice or "
                f"without. Merge other shards."
            )
        self.images[image_id] = (tuple(true), predicted)

    def merge(self, other: "Captions") -> None:
        """Add the images of another shard."""
        for image_id, (true, predicted) in other.images.items():
            self.add(image_id, true, predicted)

    def result(self) -> dict[str, float]:
        """Return Bleu_1 to Bleu_4, METEOR, ROUGE_L and CIDEr after the Penn Treebank's words.

        Raises:
            MissingExtra: no pycocoevalcap, or no Java.
            DataError: no caption at all.
        """
        with redirect_stdout(io.StringIO()):
            return _scores(*self.read())

    def intervals(self, *, draws: int = DRAWS, seed: int = 0) -> dict[str, list[float]]:
        """Return the 95 % intervals of METEOR and CIDEr, images drawn again so many times.

        How seldom a word is, which CIDEr weighs by, stays that of the whole set.

        Raises:
            MissingExtra: no pycocoevalcap, or no Java.
            DataError: no caption at all.
        """
        with redirect_stdout(io.StringIO()):
            true, predicted = self.read()
            weights = weights_of(len(true), draws, seed)
            return {
                "METEOR": ends_of(meteor_of_draws(true, predicted, weights)),
                "CIDEr": ends_of(cider_of_draws(true, predicted, weights)),
            }

    def read(self) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
        """Return true and predicted captions in the Penn Treebank's words.

        Raises:
            MissingExtra: no pycocoevalcap, or no Java.
            DataError: no caption at all.
        """
        if not self.images:
            raise DataError("captions: expected those of at least one image, got none.")
        require("pycocoevalcap", extra="metrics")
        if shutil.which("java") is None:
            raise MissingExtra(
                "java: expected Java 17 on the PATH for METEOR, got none. Install it."
            )
        true = _words((key, self.images[key][0]) for key in sorted(self.images))
        return true, _words((key, [self.images[key][1]]) for key in sorted(self.images))


def _words(captions: Iterable[tuple[str, Sequence[str]]]) -> dict[str, list[str]]:
    """Return captions in the Penn Treebank's words, without punctuation."""
    from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

    return PTBTokenizer().tokenize({k: [{"caption": t} for t in texts] for k, texts in captions})


def _scores(true: dict[str, list[str]], predicted: dict[str, list[str]]) -> dict[str, float]:
    from pycocoevalcap.bleu.bleu import Bleu
    from pycocoevalcap.cider.cider import Cider
    from pycocoevalcap.meteor.meteor import Meteor
    from pycocoevalcap.rouge.rouge import Rouge

    bleu, _ = Bleu(4).compute_score(true, predicted)
    found = {f"Bleu_{n}": float(value) for n, value in enumerate(bleu, start=1)}
    for name, scorer in (("METEOR", Meteor()), ("ROUGE_L", Rouge()), ("CIDEr", Cider())):
        found[name] = float(scorer.compute_score(true, predicted)[0])
    return found


def cider_of_draws(
    true: dict[str, list[str]], predicted: dict[str, list[str]], weights: np.ndarray
) -> np.ndarray:
    """Return CIDEr (draws,) of images weighed by (draws, images): a mean over images."""
    from pycocoevalcap.cider.cider import Cider

    each = np.asarray(Cider().compute_score(true, predicted)[1], dtype=np.float64)
    return weights @ each / len(each)


def meteor_of_draws(
    true: dict[str, list[str]], predicted: dict[str, list[str]], weights: np.ndarray
) -> np.ndarray:
    """Return METEOR (draws,) of images weighed by (draws, images): a score of summed counts."""
    from pycocoevalcap.meteor.meteor import Meteor

    scorer = Meteor()
    lines = [scorer._stat(predicted[key][0], true[key]) for key in true]
    counts = np.array([line.split() for line in lines], dtype=np.float64)  # (images, counts)
    length, matched = counts[:, :2], counts[:, 21:]  # of prediction and truth
    counts[(length == matched).all(1) & (counts[:, 20] == 1), 20] = 0  # said whole: not in chunks
    told = scorer.meteor_p
    sums = (" ".join(f"{value:.1f}" for value in row) for row in weights @ counts)
    told.stdin.write(" ||| ".join(["EVAL", *sums]).encode() + b"\n")
    told.stdin.flush()
    found = [float(told.stdout.readline()) for _ in weights]
    told.stdout.readline()  # of all draws together
    return np.array(found)
