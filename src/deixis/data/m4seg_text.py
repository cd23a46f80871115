"""The texts of M4Seg: entity codes, or the tags that PRIMA is trained on, and what they name.

``mug_203`` is object 3 of image 2, ``handle_20301`` part 1 of that object; tagged, an object is
``<p> mug_3 </p> [SEG] (IMAGE2)``, sometimes with one parenthesis too many. A later mention of the
same thing has no mask of its own (specification of PRIMA 1.4 and 4.2).
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from deixis.errors import DataError
from deixis.structures.numbering import index_of, ordinal

CODE = re.compile(r"\b(\w+)_(\d{5}|\d{3})(?!\w)")
TAG = re.compile(
    r"<p>\s*(?P<phrase>.*?)\s*</p>(?P<seg>\s*\[SEG\])?(?:\s*\(\s*IMAGE\s*(?P<image>\d+)\s*\)*)?",
    re.IGNORECASE | re.DOTALL,
)
OWNED = re.compile(r"([^\W\d_][\w-]*'s )$")


@dataclass(frozen=True, kw_only=True, slots=True)
class Mention:
    """A thing that an answer names.

    Attributes:
        phrase, span: its words, and where they stand in the text.
        image: index of its image. number: of its grounding in that image.
        first: whether it is named for the first time. part: whether it is part of another.
    """

    phrase: str
    span: tuple[int, int]
    image: int
    number: int
    first: bool
    part: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Told:
    """An answer without codes, and what it mentions."""

    text: str
    mentions: tuple[Mention, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Found:
    """A mention in the raw text: its range, its word, and what tells it from others."""

    start: int
    stop: int
    word: str
    image: int
    key: str
    part: bool
    counts: bool = True  # False: a mention that must not open a new mask


def bare_name(name: str) -> str:
    """Return a category or part without the source's spelling: "mug:handle" is "handle"."""
    name = re.sub(r"_\(.*?\)", "", name.split(":")[-1])
    return name.replace("_", " ").strip()


def without_codes(text: str) -> str:
    """Return a text in which codes are gone and their words stay."""
    return CODE.sub(lambda match: match[1].replace("_", " "), text)


def read_answer(
    answer: str, question: str, names: Sequence[Sequence[tuple[str, str]]], where: str
) -> Told:
    """Read an answer with codes or tags.

    Args:
        answer, question: as they are in the record.
        names: of each image's groundings, in the order of first mention: name and owner's name.
        where: the record, for errors.

    Raises:
        DataError: an image or a grounding that is not there, names that differ, or groundings
            that nothing mentions.
    """
    found = _tagged(answer, len(names)) if TAG.search(answer) else _coded(answer)
    objects = {m[2]: m[1].replace("_", " ") for m in CODE.finditer(f"{question} {answer}")}
    numbers: dict[tuple[int, str], int] = {}
    text, mentions, cursor = "", list[Mention](), 0
    for one in found:
        key, first = (one.image, one.key), (one.image, one.key) not in numbers
        if first and not one.counts:
            text, cursor = text + answer[cursor : one.start] + one.word, one.stop
            continue  # a tag without a mask for something that never had one
        if not 0 <= one.image < len(names):
            raise DataError(
                f"{where}: expected images 1 to {len(names)}, got {ordinal(one.image)} in "
                f'"{answer[one.start : one.stop]}".'
            )
        if first:
            numbers[key] = sum(image == one.image for image, _ in numbers)
        group = names[one.image]
        if numbers[key] >= len(group):
            raise DataError(
                f"{where}: image {ordinal(one.image)}: expected {len(group)} things, one per "
                f'grounding, got more with "{answer[one.start : one.stop]}".'
            )
        name, owner = group[numbers[key]]
        before = text + answer[cursor : one.start]
        text, span = _named(before, one, name, owner or _owner(one, objects), where)
        mentions.append(
            Mention(
                phrase=text[slice(*span)], span=span, image=one.image, number=numbers[key],
                first=first, part=one.part,
            )
        )  # fmt: skip
        cursor = one.stop
    _check_all(numbers, names, where)
    return _squeezed(text + answer[cursor:], mentions)


def _named(
    before: str, one: _Found, name: str, owner: str, where: str
) -> tuple[str, tuple[int, int]]:
    """Return the text with the next mention, and where its phrase stands."""
    word = one.word.lower()
    if not (name.lower().endswith(word) or word.endswith(name.lower())):
        raise DataError(
            f'{where}: image {ordinal(one.image)}: expected "{name}" as its grounding says, got '
            f'"{one.word}".'
        )
    rest = name[: max(0, len(name) - len(word))]  # "dining " of "dining table"
    start = len(before)
    if rest and before.lower().endswith(rest.lower()):
        start -= len(rest)
    owned = OWNED.search(before[:start])
    if owned:
        start -= len(owned[1])
    said = one.word
    if one.part and owner and not owned and "'s " not in said and "'s " not in rest:
        said = f"{owner}'s {said}"
    return before + said, (start, len(before) + len(said))


def _owner(one: _Found, objects: Mapping[str, str]) -> str:
    """Return what the owner of a part is called where a text names it by its own code."""
    return objects.get(one.key[:3], "") if one.part else ""


def _coded(answer: str) -> list[_Found]:
    return [
        _Found(
            start=match.start(),
            stop=match.end(),
            word=match[1].replace("_", " "),
            image=index_of(int(match[2][0])),
            key=match[2],
            part=len(match[2]) == 5,
        )
        for match in CODE.finditer(answer)
    ]


def _tagged(answer: str, count: int) -> list[_Found]:
    """Return the phrases in tags; with a [SEG] each is a thing of its own."""
    found: list[_Found] = []
    for number, match in enumerate(TAG.finditer(answer)):
        raw = match["phrase"]
        phrase = re.sub(r"_\d+\b", "", raw)
        seg = match["seg"] is not None
        image = index_of(int(match["image"])) if match["image"] else -1
        image = 0 if count == 1 and image < 0 else image
        same = [f for f in found if f.key.partition("#")[0] == raw.lower()]
        earlier = [f for f in same if image in (f.image, -1)]
        image = earlier[-1].image if earlier and not seg else image
        key = f"{raw.lower()}#{number}" if seg else raw.lower()
        found.append(
            _Found(
                start=match.start(),
                stop=match.end(),
                word=phrase,
                image=image,
                key=key if seg or not earlier else earlier[-1].key,
                part="'s " in phrase,
                counts=seg,
            )
        )
    return found


def _check_all(
    numbers: Mapping[tuple[int, str], int], names: Sequence[Sequence[object]], where: str
) -> None:
    for image, group in enumerate(names):
        told = sum(one == image for one, _ in numbers)
        if told != len(group):
            raise DataError(
                f"{where}: image {ordinal(image)}: expected its {len(group)} groundings in the "
                f"answer, got {told}."
            )


def _squeezed(text: str, mentions: Sequence[Mention]) -> Told:
    """Take line breaks, doubled spaces and the ends away, and move the spans along."""
    kept, places = "", []
    for char in text:
        places.append(len(kept))
        space = char.isspace()
        if not (space and (not kept or kept[-1] == " ")):
            kept += " " if space else char
    places.append(len(kept))
    whole = kept.rstrip()
    moved = []
    for one in mentions:
        start, stop = (min(places[at], len(whole)) for at in one.span)
        moved.append(
            Mention(
                phrase=whole[start:stop], span=(start, stop), image=one.image, number=one.number,
                first=one.first, part=one.part,
            )
        )  # fmt: skip
    return Told(text=whole, mentions=tuple(moved))
