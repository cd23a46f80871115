"""What a draft must fulfil before it becomes a record (specification of PRIMA 4.4), in words.

Codes exist and their words are right, every image is cited, counts and sums agree with what is
cited, claims about places agree with the boxes, nothing of a code is left in the plain text, the
answer is not too long, and no question is asked twice.
"""

import re
from collections.abc import Iterator, Sequence
from fractions import Fraction

from deixis.curation.drafts import EACH, KINDS, Draft
from deixis.curation.geometry import DIRECTIONS, ENDS, beside, furthest
from deixis.curation.sets import PictureSet, Thing
from deixis.data.m4seg_text import CODE, without_codes
from deixis.structures.numbering import image_name

MOST_TOKENS, ROWS = 3400, 31  # of prompt and answer; columns that an image adds
PER_TOKEN = 3  # characters, fewer than LLaMA's pieces have in English
CITED = re.compile(r"([^().;:]*)\(([^()]*)\)")  # words, and codes in parentheses behind them
NEAR = 5  # words between a number and the parenthesis that it counts
SUM = re.compile(r"\b\d+(?:\s*[+-]\s*\d+)+\s*=\s*\d+\b")
PLACE = re.compile(
    rf"\b(\w+_\d{{3,5}}) (?:is|are|stands|lies|sits) (?:to the )?({'|'.join(DIRECTIONS)}) "
    rf"(?:the |a |an )?(\w+_\d{{3,5}})"
)
END = re.compile(rf"\b(\w+_\d{{3,5}}) (?:is|stands|lies|sits) furthest ({'|'.join(ENDS)})\b")
LEAK = re.compile(r"\w+_\d+|\[SEG\]|</?p>|<image>|\(IMAGE", re.IGNORECASE)
NUMBERS = ("none", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


def faults_of(draft: Draft, group: PictureSet) -> list[str]:
    """Return everything that is wrong with a draft, nothing if it can be used."""
    if draft.kind not in KINDS:
        return [f"kind: expected one of {', '.join(KINDS)}, got {draft.kind!r}"]
    cited = list(_cited(draft, group))
    wrong = [fault for fault in cited if isinstance(fault, str)]
    if wrong:
        return wrong  # what follows reads the codes
    things = [thing for thing in cited if isinstance(thing, Thing)]
    checks = (_images(things, group), _counts(draft, group), _places(draft, group), _text(draft))
    found = [fault for check in checks for fault in check]
    codes = {thing.code for thing in group.things}
    plain = f"{without_codes(draft.question)} {without_codes(draft.answer)}"
    found += [f"code {n} stands in the text" for n in re.findall(r"\d{3,}", plain) if n in codes]
    most = (MOST_TOKENS - ROWS * len(group.pictures)) * PER_TOKEN
    if len(draft.question) + len(draft.answer) > most:
        found.append(f"expected at most {most} characters")
    return found


def faults_of_set(drafts: Sequence[Draft]) -> list[str]:
    """Return what is wrong with the questions of a set together."""
    found = []
    for kind in KINDS:
        count = sum(draft.kind == kind for draft in drafts)
        if count != EACH:
            found.append(f"expected {EACH} {kind} questions, got {count}")
    asked = [as_asked(draft) for draft in drafts]
    found += [f"asked twice: {text}" for text in sorted(set(asked)) if asked.count(text) > 1]
    return found


def as_asked(draft: Draft) -> str:
    """Return its question without codes and case: two that read alike are one question."""
    return " ".join(without_codes(draft.question).lower().split())


def _cited(draft: Draft, group: PictureSet) -> Iterator[Thing | str]:
    """Yield the things of the answer; and as words, codes that are wrong in either text."""
    for text in (draft.question, draft.answer):
        for match in CODE.finditer(text):
            thing = group.by_code.get(match[2])
            word = match[1].replace("_", " ").lower()
            if thing is None:
                yield f"{match[0]}: no such code"
            elif not (thing.name.lower().endswith(word) or word.endswith(thing.name.lower())):
                yield f"{match[0]}: that is a {thing.name}"
            elif text is draft.answer:
                yield thing
    if CODE.search(draft.answer) is None:
        yield "the answer cites nothing"


def _images(things: Sequence[Thing], group: PictureSet) -> Iterator[str]:
    cited = {thing.image for thing in things}
    for image in range(len(group.pictures)):
        if image not in cited:
            yield f"{image_name(image)} is not cited"


def _counts(draft: Draft, group: PictureSet) -> Iterator[str]:
    proved = 0
    for match in CITED.finditer(draft.answer):
        said, codes = _number(match[1]), {m[2] for m in CODE.finditer(match[2])}
        if said is None or not codes:
            continue
        proved += 1
        if said != len(codes):
            yield f"says {said} and cites {len(codes)}: {match[0].strip()}"
    for match in SUM.finditer(draft.answer):
        left, _, right = match[0].partition("=")
        terms = re.findall(r"[+-]?\d+", left.replace(" ", ""))
        if sum(Fraction(term) for term in terms) != int(right):
            yield f"wrong sum: {match[0]}"
    if draft.kind == "numerical" and not proved:
        yield "expected counts with what is counted in parentheses"


def _number(text: str) -> int | None:
    """Return the last number of a text, if it is near its end and no image's."""
    words = text.lower().split()
    for place in range(len(words) - 1, max(-1, len(words) - 1 - NEAR), -1):
        if place and words[place - 1] in ("image", "picture"):
            continue
        if words[place].isdecimal():
            return int(words[place])
        if words[place] in NUMBERS:
            return NUMBERS.index(words[place])
    return None


def _places(draft: Draft, group: PictureSet) -> Iterator[str]:
    proved = 0
    for match in PLACE.finditer(draft.answer):
        one, other = (_thing(word, group) for word in (match[1], match[3]))
        proved += 1
        if one is None or other is None or not beside(one, other, match[2]):
            yield f"not so by the boxes: {match[0]}"
    for match in END.finditer(draft.answer):
        one = _thing(match[1], group)
        proved += 1
        size = group.pictures[one.image].size if one else (0, 0)
        if one is None or furthest(group.objects(one.image), match[2], size) is not one:
            yield f"not so by the boxes: {match[0]}"
    if draft.kind == "spatial" and not proved:
        yield f"expected a claim that boxes prove ({', '.join(DIRECTIONS)}, furthest ...)"


def _thing(word: str, group: PictureSet) -> Thing | None:
    return group.by_code.get(word.rpartition("_")[2])


def _text(draft: Draft) -> Iterator[str]:
    """Yield what must not stand in a text that people read."""
    for name in ("question", "answer"):
        plain = without_codes(getattr(draft, name))
        if not plain.strip():
            yield f"the {name} is empty"
        for match in LEAK.finditer(plain):
            yield f"{match[0]} stands in the {name}"
