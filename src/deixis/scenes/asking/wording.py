"""Finds words for what is asked: noun phrases and questions, chosen by a random generator."""

import re
from collections.abc import Iterator
from random import Random

from deixis.scenes.asking.templates import (
    A_REQUESTS,
    ANYWHERE,
    EVERYWHERE,
    EXTREME_TAILS,
    EXTREMES,
    FROM,
    IF_ANY,
    IF_ANY_PART,
    IN_PICTURE,
    MOTION_TAILS,
    NEW_FORMS,
    NOWHERE,
    ORDINALS,
    PART_PLURALS,
    PATTERN_TAILS,
    PATTERN_WORDS,
    RELATIONS,
    TABLES,
    TEMPLATES,
    THEN,
    THINGS,
    VERBS,
)
from deixis.scenes.catalogue import BY_NAME, CATEGORIES, COLOURS, PART_NAMES, PATTERNS
from deixis.scenes.knowing.asked import Asked
from deixis.scenes.knowing.facts import Facts
from deixis.scenes.knowing.meaning import Described, Which
from deixis.scenes.knowing.motion import ENTERS
from deixis.structures.numbering import image_name, ordinal

LONGEST = 20  # words of a question
DRAFTS = 8
COMPARED = ("moves fastest", *ENTERS)  # motions that tell a thing by what others do
A_OFTEN = 0.25  # how often a single target is asked for as "a red mug"


def with_article(noun: str) -> str:
    """Return the noun with "a" or "an" before it."""
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def listed(items: list[str]) -> str:
    """Return "x", "x and y" or "x, y and z"."""
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"


def plural_part(part: str) -> str:
    """Return the plural of a part's name."""
    return PART_PLURALS.get(part, f"{part}s")


def is_several(part: str | None, category: str | None) -> bool:
    """Say whether a category has more than one of a part."""
    return category is not None and part in BY_NAME[category].repeated


def part_noun(part: str, category: str | None) -> str:
    """Return the part's name, in the plural where the category has several of it."""
    return plural_part(part) if is_several(part, category) else part


def with_accent(accent: tuple[str, str], category: str | None) -> str:
    """Return "with a blue handle" or "with blue wheels"."""
    part, colour = accent
    if is_several(part, category):
        return f"with {colour} {plural_part(part)}"
    return f"with {with_article(f'{colour} {part}')}"


class Words:
    """Finds words for one question; every choice comes from the generator."""

    def __init__(self, facts: Facts, rng: Random) -> None:
        self.facts = facts
        self.rng = rng

    # -- noun phrases --------------------------------------------------------------------------

    def noun(self, described: Described, *, plural: bool = False, followed: bool = False) -> str:
        """Return "red mug", "striped thing that you can sit on"; ``followed``: more words come."""
        rng = self.rng
        category = described.category and BY_NAME[described.category]
        if not category:
            head = rng.choice(THINGS) + "s" * plural
        elif plural:
            head = category.plural
        else:
            head = rng.choice((category.name, category.name, *category.synonyms))
        before, after = [], []
        if described.pattern in PATTERN_TAILS and rng.random() < 0.3:
            after.append(PATTERN_TAILS[described.pattern])
        elif described.pattern:
            before.append(rng.choice(PATTERN_WORDS[described.pattern]))
        if described.colour:
            before.append(described.colour)
        if described.accent:
            after.append(
                self._accent(described.accent, described.category, short=plural or followed)
            )
        if described.use:
            after.append(rng.choice(("that you can", "you could", "to")) + f" {described.use}")
        return " ".join([*before, head, *after])

    def _accent(self, accent: tuple[str, str], category: str | None, *, short: bool) -> str:
        part, colour = accent
        if short or self.rng.random() < 0.5:
            return with_accent(accent, category)
        be = "are" if is_several(part, category) else "is"
        return f"whose {part_noun(part, category)} {be} {colour}"

    def whole(self, which: Which, *, plural: bool = False) -> str:
        """Return the noun phrase of a description, without its part and article."""
        rng = self.rng
        followed = which.relation is not None or which.motion is not None
        text = self.noun(which.described, plural=plural, followed=followed)
        if which.relation:
            side, of = which.relation
            text = f"{text} {rng.choice(RELATIONS[side])} the {self.noun(of)}"
        if which.motion:
            text = f"{text} {rng.choice(MOTION_TAILS[which.motion])}"
        if which.extreme:
            free = which.described.use is None and " with" not in text and not which.motion
            tails = EXTREME_TAILS.get(which.extreme, ()) if free else ()
            text = rng.choice((*EXTREMES[which.extreme], *tails)).format(text)
        if which.ordinal:
            number, side = which.ordinal
            text = f"{ORDINALS[number]} {text} from the {FROM[side]}"
        return text

    def the(self, which: Which) -> str:
        """Return "the red mug" or "the handle of the red mug"."""
        text = f"the {self.whole(which)}"
        if which.part is None:
            return text
        return f"the {self.part(which)} of {text}"

    def part(self, which: Which) -> str:
        """Return the part's name, in the plural where the described category has several."""
        assert which.part is not None
        return part_noun(which.part, which.described.category)

    def some(self, which: Which) -> str:
        """Return "a red mug", "something to sit on"."""
        d = which.described
        if d.use and not (d.category or d.pattern or d.accent) and self.rng.random() < 0.6:
            return " ".join(filter(None, ("something", d.colour, f"to {d.use}")))
        return with_article(self.whole(which))

    # -- questions -----------------------------------------------------------------------------

    def question(self, asked: Asked) -> str:
        """Return the words of a question."""
        drafts = [self._draft(asked)]
        while len(drafts) < DRAFTS and len(drafts[-1].split()) > LONGEST:
            drafts.append(self._draft(asked))
        return self._finish(min(drafts, key=lambda text: len(text.split())), asked)

    def _draft(self, asked: Asked) -> str:
        """Fill one template."""
        templates = TEMPLATES[self._key(asked)]
        if asked.kind.startswith(("absent", "present")):
            templates = IF_ANY if asked.which[0].part is None else IF_ANY_PART
        if asked.kind == "form":
            templates = NEW_FORMS
        elif _is_by_itself(asked) and self.rng.random() < A_OFTEN:
            templates = A_REQUESTS
        template = self.rng.choice(templates)
        return template.format(**self._fields(asked, template))

    def _key(self, asked: Asked) -> str:
        rule = "one" if asked.rule == "nothing" else asked.rule
        if rule == "category" and asked.which[0].described.use:
            return "category, use"
        if rule == "which image" and asked.which[0].extreme:
            return "which image, the"
        if rule == "again" and asked.detail:
            return f"again {asked.detail}"
        if rule in ("told alike", "told number"):
            return f"{rule}, {asked.detail}"
        return rule

    def _fields(self, asked: Asked, template: str) -> dict[str, str]:
        """Fill only the blanks that the template has, so that no choice is wasted."""
        fillers = {
            "x": lambda: self._x(asked),
            "y": lambda: self.the(asked.which[1]),
            "a": lambda: self._a(asked.which[0]),
            "xs": lambda: self._xs(asked.which[0]),
            "n": lambda: self._n(asked),
            "use": lambda: asked.which[0].described.use,
            "most": lambda: "more" if len(asked.frames) == 2 else "the most",
            "where": lambda: self._where(asked),
            "then": lambda: self._then(asked),
            "there": lambda: self._where(asked, ANYWHERE),
            "here": lambda: self._where(asked, NOWHERE),
            "it": lambda: "them" if self._several(asked) else "it",
            "is": lambda: "are" if self._several(asked) or len(asked.which) > 1 else "is",
            "does": lambda: "do" if self._several(asked) else "does",
            "p": lambda: self._prompts(asked),
            "q": lambda: f"[{ordinal(self._other(asked))}]",
            "side": lambda: self.rng.choice(RELATIONS[asked.detail]),
            "verb": lambda: VERBS[asked.detail],
            "motion": lambda: asked.detail,
        }
        return {name: fill() or "" for name, fill in fillers.items() if f"{{{name}}}" in template}

    def _x(self, asked: Asked) -> str:
        if asked.rule == "again":
            if asked.pointed:
                return f"[{ordinal(asked.about)}]"
            name = self.noun(asked.which[0].described, followed=True)
            return f"the {name} from {image_name(asked.frames[0])}"
        names = [self.the(which) for which in asked.which]
        if asked.rule == "side":
            return names[0]
        return listed(names) + (self._where(asked) if asked.named else "")

    def _several(self, asked: Asked) -> bool:
        """Say whether what is asked about is a part of which its owner has several."""
        if not asked.which or asked.rule == "again":
            return False
        return is_several(asked.which[0].part, asked.which[0].described.category)

    def _a(self, which: Which) -> str:
        text = self.some(which)
        return text if which.part is None else f"the {self.part(which)} of {text}"

    def _xs(self, which: Which) -> str:
        text = self.whole(which, plural=True)
        if which.part is None:
            return text
        return f"{plural_part(which.part)} of the {text}"

    def _n(self, asked: Asked) -> str:
        if asked.pointed:
            return self.facts.things[asked.pointed[asked.about].thing].category
        which = asked.which[0]
        if asked.rule == "again":
            return which.described.category or self.rng.choice(THINGS)
        text = self.whole(which)
        if which.part is None:
            return text
        return f"{which.part} of the {self.whole(which, plural=True)}"

    def _where(self, asked: Asked, everywhere: tuple[str, ...] = EVERYWHERE) -> str:
        if asked.named:
            return f" in {image_name(asked.frames[0])}"
        return self.rng.choice(everywhere if len(self.facts.spans) > 1 else IN_PICTURE)

    def _then(self, asked: Asked) -> str:
        if asked.silent:
            return ""
        if not asked.pointed:
            them = asked.rule in ("count", "more") or self._several(asked)
            what = "them" if them else "it"
            if asked.rule == "images":
                what = f"all {self._xs(asked.which[0])}"
            return self.rng.choice(THEN).format(it=what)
        drawn = [p for p in asked.pointed if p.drawn]
        if not drawn or self.rng.random() < 0.3:
            return ""
        ids = [f"[{p.prompt.object_id}]" for p in drawn]
        alone = len(asked.pointed) == 1
        return self.rng.choice(THEN).format(it="it" if alone else listed(ids))

    def _prompts(self, asked: Asked) -> str:
        if asked.rule == "outline":
            return listed([f"[{p.prompt.object_id}]" for p in asked.pointed if p.drawn])
        return f"[{ordinal(asked.about)}]"

    def _other(self, asked: Asked) -> int:
        return next(i for i in range(len(asked.pointed)) if i != asked.about)

    def _finish(self, text: str, asked: Asked) -> str:
        """Vary capitals and the final mark."""
        text = text.strip().rstrip(".")
        roll = self.rng.random()
        if text.endswith("?"):
            text = text if roll < 0.75 else text[:-1]
        elif roll < 0.4:
            text += "."
        if self.rng.random() < 0.4:
            return text
        return re.sub(r"(^|[.?] )([a-z])", lambda m: m[1] + m[2].upper(), text)


def _is_by_itself(asked: Asked) -> bool:
    """Say whether one whole thing is asked for that needs no comparison to be told."""
    if asked.rule != "one" or asked.kind.startswith(("absent", "present")):
        return False
    (which,) = asked.which
    compared = which.extreme or which.ordinal or which.motion in COMPARED
    return not (which.part or compared)


def vocabulary() -> tuple[str, ...]:
    """Return every word that questions and answers may hold, in lower case and sorted."""
    texts = [*PART_NAMES, *map(plural_part, PART_NAMES), *COLOURS, *PATTERNS, *_texts(TABLES)]
    for category in CATEGORIES:
        texts += [category.name, category.plural, category.use, *category.synonyms]
    spoken = re.sub(r"{\w*}", " ", " ".join(texts).lower())
    return tuple(sorted(set(re.findall(r"\w+", spoken))))


def _texts(table: object) -> Iterator[str]:
    """Yield every text of a table, however deep."""
    if isinstance(table, str):
        yield table
    elif isinstance(table, dict):
        yield from _texts(tuple(table.values()))
    elif isinstance(table, tuple):
        for value in table:
            yield from _texts(value)
