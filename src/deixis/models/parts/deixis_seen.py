"""What the unified model hands on: all that it knows before the first word, and the slots it read.

Shapes: G sets, B rows, W columns of the prefix, O objects per set, M targets, L levels, K tokens
per level, D language width.
"""

from dataclasses import dataclass

from torch import Tensor

from deixis.processing.batch import Layout
from deixis.relation.choice import Choice
from deixis.relation.neighbours import Compared
from deixis.relation.objects import Look, Objects


@dataclass(frozen=True, kw_only=True, slots=True)
class Seen:
    """All that is known before the first word.

    Attributes:
        look, objects, layout, set_of_row: what the images show, and which row asks about which.
        content: (G, O, D) the objects' tokens.
        known: their pairs; None without object tokens.
        called: (B, O) which objects each question points at.
        deeds: (G, O, 13) logits of what they do in a clip; None where nobody asks.
        prefix: (B, W, D) what the language decoder reads first; its last column is <answer>.
        held: (B, W) which columns hold something.
        positions: (B, W); what has no place in the text stands at 0.
        image_columns: columns of the images' rows, which come first.
        first_object: column of the first object.
    """

    look: Look
    objects: Objects
    layout: Layout
    set_of_row: Tensor
    content: Tensor
    known: Compared | None
    called: Tensor
    deeds: Tensor | None
    prefix: Tensor
    held: Tensor
    positions: Tensor
    image_columns: int
    first_object: int

    @property
    def num_images(self) -> int:
        """S, the most images of a set."""
        return int(self.layout.num_images.max())


@dataclass(frozen=True, kw_only=True, slots=True)
class Slots:
    """Targets whose groups have been read: (M, L * K, D) states, and what each is about."""

    hidden: Tensor
    choice: Choice
