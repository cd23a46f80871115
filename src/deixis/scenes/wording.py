"""The small language of questions: templates and noun phrases, chosen by a random generator."""

from random import Random

from deixis.scenes.catalogue import BY_NAME
from deixis.scenes.facts import Facts
from deixis.scenes.meaning import Described, Which
from deixis.scenes.truth import Asked
from deixis.structures.numbering import image_name, ordinal

THINGS = ("thing", "object")
PATTERN_WORDS = {"plain": ("plain",), "striped": ("striped",), "dotted": ("dotted", "spotted")}
PATTERN_TAILS = {"striped": "with stripes", "dotted": "with dots"}
RELATIONS = {
    "left": ("left of", "to the left of"),
    "right": ("right of", "to the right of"),
    "above": ("above", "higher than"),
    "below": ("below", "lower than"),
}
EXTREMES = {
    "leftmost": ("leftmost {}", "{} furthest to the left", "{} on the far left"),
    "rightmost": ("rightmost {}", "{} furthest to the right", "{} on the far right"),
    "highest": ("highest {}", "topmost {}", "{} nearest the top"),
    "lowest": ("lowest {}", "bottom {}", "{} nearest the bottom"),
    "largest": ("largest {}", "biggest {}"),
    "smallest": ("smallest {}", "tiniest {}"),
}
ORDINALS = {1: "first", 2: "second", 3: "third", 4: "fourth"}
FROM = {"left": "left", "right": "right", "above": "top", "below": "bottom"}
MOTION_TAILS = {
    "moves left": ("that moves left", "moving left", "going to the left"),
    "moves right": ("that moves right", "moving right", "going to the right"),
    "moves up": ("that moves up", "moving up", "going up"),
    "moves down": ("that moves down", "moving down", "going down"),
    "stays": ("that stays where it is", "that does not move", "that stands still"),
    "turns back": ("that turns back", "that turns around", "that goes back again"),
    "leaves": ("that leaves", "that goes out of the picture", "that disappears"),
    "leaves and returns": ("that leaves and returns", "that goes away and comes back"),
    "enters late": ("that enters late", "that comes in later"),
    "moves fastest": ("that moves fastest", "that is fastest"),
    "enters first": ("that enters first", "that comes in first"),
    "enters second": ("that enters second", "that comes in second"),
    "enters third": ("that enters third", "that comes in third"),
}

REQUESTS = (
    "outline {x}",
    "segment {x}",
    "find {x}",
    "show me {x}",
    "mark {x}",
    "point out {x}",
    "highlight {x}",
    "please outline {x}",
    "please segment {x}",
    "can you find {x}?",
    "could you point out {x}?",
    "where is {x}?",
    "which pixels show {x}?",
    "{x}",
)
IF_ANY = (
    "is there {a}{where}? outline it",
    "outline {a}{where}, if there is one",
    "can you see {a}{where}? segment it",
    "please find {a}{where}",
    "do you see {a}{where}? mark it",
    "segment {a}{where}",
)
THEN = ("outline {it}", "segment {it}", "mark {it}", "show {it}", "please outline {it}")

TEMPLATES: dict[str, tuple[str, ...]] = {
    "one": REQUESTS,
    "each": REQUESTS,
    "all": (
        "outline all {xs}{where}",
        "segment all {xs}{where}",
        "show me all the {xs}{where}",
        "mark every {n}{where}",
        "find each {n}{where}",
        "please segment every {n}{where}",
        "can you outline all the {xs}{where}?",
        "all {xs}{where}",
        "where are all the {xs}{where}?",
    ),
    "parts": (
        "outline every part of {x}",
        "segment all parts of {x}",
        "show me the parts of {x}",
        "please mark each part of {x}",
        "take {x} apart: outline every part",
        "all parts of {x}",
    ),
    "which image": (
        "which image shows {a}? {then}",
        "in which image is there {a}? {then}",
        "which image has {a}? {then}",
        "find the image with {a}. {then}",
    ),
    "which image, the": (
        "which image shows {x}? {then}",
        "in which image is {x}? {then}",
        "which image holds {x}? {then}",
    ),
    "count": (
        "how many {xs} are there{where}? {then}",
        "how many {xs} do you see{where}? {then}",
        "count the {xs}{where}. {then}",
        "number of {xs}{where}? {then}",
        "please count all {xs}{where}. {then}",
    ),
    "more": (
        "which image has {most} {xs}? {then}",
        "in which image are there {most} {xs}? {then}",
        "where are there {most} {xs}, in which image? {then}",
    ),
    "images": (
        "in how many images is there {a}? {then}",
        "how many images show {a}? {then}",
        "how many images have {a}? {then}",
    ),
    "category": (
        "what is {x}? {then}",
        "what kind of thing is {x}? {then}",
        "name {x}. {then}",
    ),
    "category, use": (
        "what can I {use}{where}? {then}",
        "what could you {use}{where}? {then}",
        "I want to {use}: what could I take{where}? {then}",
    ),
    "colour": (
        "what colour is {x}? {then}",
        "which colour does {x} have? {then}",
        "name the colour of {x}. {then}",
        "colour of {x}? {then}",
    ),
    "exists": ("is there {a}{where}?", "do you see {a}{where}?", "can you see {a}{where}?"),
    "side": ("is {x} {side} {y}?", "{x}: is it {side} {y}?", "does {x} lie {side} {y}?"),
    "again": (
        "find {x} in the other images",
        "where else is {x}? outline it in the other images",
        "segment the same {n} as {x} in the other images",
        "outline {x} again in the other images",
        "mark {x} wherever it returns",
    ),
    "again which": (
        "in which other image is {x}? {then}",
        "which other image shows {x}? {then}",
        "where does {x} return, in which image? {then}",
    ),
    "again number": (
        "in how many other images is {x}? {then}",
        "how many other images show {x}? {then}",
        "in how many other images does {x} return? {then}",
    ),
    "outline": ("outline {p}", "segment {p}", "mark {p}", "please outline {p}", "show all of {p}"),
    "told category": (
        "what is {p}? {then}",
        "name {p}. {then}",
        "what kind of thing is {p}? {then}",
        "what do you see at {p}? {then}",
    ),
    "told colour": (
        "what colour is {p}? {then}",
        "which colour does {p} have? {then}",
        "name the colour of {p}. {then}",
    ),
    "told part": (
        "which part is {p}? {then}",
        "what part is {p}? {then}",
        "name the part at {p}. {then}",
        "which part of the {n} is {p}? {then}",
    ),
    "told where": (
        "where is {p} seen from {q}? {then}",
        "on which side of {q} is {p}? {then}",
        "how does {p} lie relative to {q}? {then}",
    ),
    "told side": ("is {p} {side} {q}? {then}", "does {p} lie {side} {q}? {then}"),
    "told alike, category": (
        "is {p} the same kind of thing as {q}? {then}",
        "are {p} and {q} things of one kind? {then}",
    ),
    "told alike, colour": (
        "does {p} have the same colour as {q}? {then}",
        "are {p} and {q} of one colour? {then}",
    ),
    "told larger": ("is {p} larger than {q}? {then}", "is {p} bigger than {q}? {then}"),
    "told motion": ("does {p} {verb}? {then}", "say whether {p} {motion}. {then}"),
    "told direction": (
        "which way does {p} move? {then}",
        "where does {p} go? {then}",
        "in which direction does {p} move? {then}",
    ),
    "told number, category": (
        "how many things of the same kind as {p} are there, {p} included? {then}",
        "count the things of the same kind as {p}, with {p}. {then}",
    ),
    "told number, colour": (
        "how many things have the colour of {p}, {p} included? {then}",
        "count the things of the colour of {p}, with {p}. {then}",
    ),
}
NEW_FORMS = (
    "there is {a} here: outline it",
    "I look for {a}, nothing else",
    "not the others, only {x}",
    "you see {a}; segment that one",
    "{x} is what I want to see outlined",
)
VERBS = {
    "stays": "stand still",
    "turns back": "turn back",
    "leaves": "leave the picture",
    "leaves and returns": "leave and return",
    "enters late": "enter late",
    "moves fastest": "move fastest",
    "enters first": "enter first",
    "enters second": "enter second",
    "enters third": "enter third",
} | {f"moves {way}": f"move {way}" for way in ("left", "right", "up", "down")}


def with_article(noun: str) -> str:
    """Return the noun with "a" or "an" before it."""
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def listed(items: list[str]) -> str:
    """Return "x", "x and y" or "x, y and z"."""
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"


def part_noun(part: str, category: str) -> str:
    """Return the part's name, in the plural where the category has several of it."""
    return f"{part}s" if part in BY_NAME[category].repeated else part


class Words:
    """Finds words for one question; every choice comes from the generator."""

    def __init__(self, facts: Facts, rng: Random) -> None:
        self.facts = facts
        self.rng = rng

    # -- noun phrases --------------------------------------------------------------------------

    def noun(self, described: Described, *, plural: bool = False) -> str:
        """Return "red mug", "striped thing that you can sit on", "blue lamps"."""
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
            part, colour = described.accent
            after.append(f"whose {part} is {colour}" if not plural else f"with a {colour} {part}")
        if described.use:
            after.append(rng.choice(("that you can", "you could", "to")) + f" {described.use}")
        return " ".join([*before, head, *after])

    def whole(self, which: Which, *, plural: bool = False) -> str:
        """Return the noun phrase of a description, without its part and article."""
        rng = self.rng
        text = self.noun(which.described, plural=plural)
        if which.relation:
            side, of = which.relation
            text = f"{text} {rng.choice(RELATIONS[side])} the {self.noun(of)}"
        if which.motion:
            text = f"{text} {rng.choice(MOTION_TAILS[which.motion])}"
        if which.extreme:
            text = rng.choice(EXTREMES[which.extreme]).format(text)
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
        if which.described.category is None:
            return which.part
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
        template = self.rng.choice(TEMPLATES[self._key(asked)])
        if asked.kind.startswith(("absent", "present")):
            template = self.rng.choice(IF_ANY)
        if asked.kind == "form":
            template = self.rng.choice(NEW_FORMS)
        fields = {name: fill for name, fill in self._fields(asked, template).items()}
        return self._finish(template.format(**fields), asked)

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
            "it": lambda: "it",
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
            return f"{self.the(asked.which[0])} in {image_name(asked.frames[0])}"
        names = [self.the(which) for which in asked.which]
        if asked.rule == "side":
            return names[0]
        return listed(names) + (self._where(asked) if asked.named else "")

    def _a(self, which: Which) -> str:
        text = self.some(which)
        if which.part is None:
            return text
        return f"{with_article(self.part(which))} of {text}"

    def _xs(self, which: Which) -> str:
        text = self.whole(which, plural=True)
        if which.part is None:
            return text
        return f"{which.part}s of the {text}"

    def _n(self, asked: Asked) -> str:
        if asked.pointed:
            return self.facts.things[asked.pointed[asked.about].thing].category
        which = asked.which[0]
        if asked.rule == "again":
            return which.described.category or self.rng.choice(THINGS)
        text = self.whole(which)
        return text if which.part is None else f"{which.part} of the {self.whole(which, plural=True)}"

    def _where(self, asked: Asked) -> str:
        if len(self.facts.spans) == 1:
            place = "clip" if self.facts.is_clip else "picture"
            return self.rng.choice(("", "", f" in the {place}", " here"))
        if asked.named:
            return f" in {image_name(asked.frames[0])}"
        return self.rng.choice((" in all images", " over all images", " in these images"))

    def _then(self, asked: Asked) -> str:
        if asked.silent:
            return ""
        if not asked.pointed:
            them = asked.rule in ("count", "more", "images")
            return self.rng.choice(THEN).format(it="them" if them else "it")
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
        text = text.strip()
        if asked.silent or asked.pointed:
            text = text.rstrip(" .")
        roll = self.rng.random()
        if text.endswith("?"):
            text = text if roll < 0.75 else text[:-1]
        elif roll < 0.4:
            text += "."
        return text[0].upper() + text[1:] if self.rng.random() < 0.6 else text
