"""English for curated questions: plurals, lists, images' names, and what things are for."""

from collections.abc import Sequence

from deixis.scenes.catalogue import CATEGORIES
from deixis.structures.numbering import ordinal

OBJECT_USES: dict[str, str] = {  # completes "one could use it to ..."
    **{category.name: category.use for category in CATEGORIES},
    "cup": "drink from",
    "glass": "drink from",
    "bottle": "keep a drink in",
    "jar": "keep food in",
    "bowl": "serve food in",
    "plate": "serve food on",
    "knife": "cut food with",
    "scissors": "cut paper with",
    "spoon": "eat soup with",
    "bench": "sit on",
    "sofa": "sit on",
    "stool": "sit on",
    "bicycle": "ride on",
    "motorbike": "ride on",
    "bus": "travel in",
    "train": "travel in",
    "backpack": "carry things in",
    "bag": "carry things in",
    "handbag": "carry things in",
    "basket": "carry things in",
    "laptop": "write a text on",
    "telephone": "call somebody with",
    "cellular telephone": "call somebody with",
    "book": "read in",
    "broom": "sweep the floor with",
    "towel": "dry oneself with",
    "bed": "sleep in",
    "clock": "tell the time by",
    "shoe": "wear on the foot",
    "hat": "wear on the head",
    "helmet": "protect the head with",
    "pencil": "write with",
    "pen": "write with",
}
PART_USES: dict[str, str] = {  # completes "which part would serve to ..."
    "handle": "hold the thing by",
    "wheel": "let the thing roll",
    "lid": "close the thing",
    "cap": "close the thing",
    "seat": "carry whoever sits down",
    "leg": "stand on",
    "wing": "fly with",
    "sail": "catch the wind",
    "roof": "keep the rain out",
    "door": "go in and out by",
    "window": "look through",
    "spout": "pour from",
    "blade": "cut or turn with",
    "strap": "carry the thing by",
    "shade": "dim a light",
    "tail": "balance or steer with",
    "fin": "swim with",
    "beak": "peck with",
    "neck": "carry the head",
    "drawer": "keep small things in",
    "headlight": "see by at night",
    "screen": "show pictures on",
    "pedal": "push with the foot",
}
_SAME = {"fish", "scissors", "sheep", "glasses"}
_OWN = {"knife": "knives", "leaf": "leaves", "shelf": "shelves", "person": "people"}


def plural(name: str) -> str:
    """Return several of a thing.

    Example:
        >>> plural("wine glass"), plural("battery"), plural("key")
        ('wine glasses', 'batteries', 'keys')
    """
    before, gap, last = name.rpartition(" ")
    if last in _SAME:
        return name
    if last in _OWN:
        return f"{before}{gap}{_OWN[last]}"
    if last.endswith(("s", "x", "ch", "sh")):
        return f"{name}es"
    if last.endswith("y") and last[-2:-1] not in set("aeiou"):
        return f"{name[:-1]}ies"
    return f"{name}s"


def counted(number: int, name: str) -> str:
    """Return "1 mug" or "2 mugs"."""
    return f"{number} {name if number == 1 else plural(name)}"


def listed(words: Sequence[str]) -> str:
    """Join words as in a sentence: "a, b and c"."""
    return " and ".join(filter(None, (", ".join(words[:-1]), words[-1]))) if words else ""


def of_image(image: int) -> str:
    """Return "image 2" for index 1."""
    return f"image {ordinal(image)}"


def in_image(image: int) -> str:
    """Return "in image 2" for index 1."""
    return f"in {of_image(image)}"
