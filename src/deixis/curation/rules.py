"""An author that writes by rules, from annotations alone: offline, and every claim can be proved.

Each rule looks at a set and gives a draft, or nothing where it does not fit. Every answer cites a
thing of every image: where an image has nothing of what is asked, it says so and names another.
"""

from collections.abc import Callable, Sequence
from random import Random

from deixis.curation.drafts import EACH, KINDS, Draft
from deixis.curation.geometry import DIRECTIONS, ENDS, beside, furthest
from deixis.curation.sets import PictureSet, Thing
from deixis.curation.wording import (
    OBJECT_USES,
    PART_USES,
    counted,
    in_image,
    listed,
    of_image,
    plural,
)

TRIES = 3  # of each rule; another draw may fit where the first did not
MOST = 6  # things of an image that an answer lists

Rule = Callable[[PictureSet, Random], Draft | None]


class RuleAuthor:
    """Writes two questions of each kind, the same ones for the same set and seed."""

    name = "rules"

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed

    def write(self, group: PictureSet) -> list[Draft]:
        """Return up to two drafts of each kind, in the order of ``KINDS``."""
        rng = Random(f"{self.seed}/{group.number}/rules")
        drafts: list[Draft] = []
        for kind in KINDS:
            found: dict[str, Draft] = {}
            for rule in rng.sample(RULES[kind], len(RULES[kind])) * TRIES:
                draft = rule(group, rng)
                if draft is not None and len(found) < EACH:
                    found.setdefault(draft.question, draft)
            drafts += found.values()
        return drafts


def _images(group: PictureSet) -> range:
    return range(len(group.pictures))


def _other(group: PictureSet, image: int) -> Thing:
    """Return what else an image shows: its largest object."""
    return group.objects(image)[0]


def _told(
    group: PictureSet, chosen: Sequence[Sequence[Thing]], some: str, none: str
) -> str | None:
    """Say of every image what was chosen of it; nothing where that is in none or too much.

    ``some`` holds {where} and {things}; ``none`` holds {where} and {other}.
    """
    if not any(chosen) or any(len(things) > MOST for things in chosen):
        return None
    said = []
    for image, things in enumerate(chosen):
        words = {"where": in_image(image), "other": f"the {_other(group, image).word}"}
        if things:
            words["things"] = listed([f"the {thing.word}" for thing in things])
        said.append((some if things else none).format(**words))
    return " ".join(f"{one[0].upper()}{one[1:]}." for one in said)


# -- functional ----------------------------------------------------------------------------------


def _object_use(group: PictureSet, rng: Random) -> Draft | None:
    names = sorted({t.name for t in group.things if t.owner is None} & OBJECT_USES.keys())
    if not names:
        return None
    use = OBJECT_USES[rng.choice(names)]
    fit = {name for name, purpose in OBJECT_USES.items() if purpose == use}
    chosen = [[t for t in group.objects(i) if t.name in fit] for i in _images(group)]
    answer = _told(
        group,
        chosen,
        f"{{where}} {{things}} could serve to {use}",
        "{where} nothing of the kind is shown, only other things such as {other}",
    )
    return _draft("functional", f"What in each image could one use to {use}?", answer)


def _part_use(group: PictureSet, rng: Random) -> Draft | None:
    names = sorted({t.name for t in group.things if t.owner is not None} & PART_USES.keys())
    if not names:
        return None
    name = rng.choice(names)
    chosen = [group.parts(i, name) for i in _images(group)]
    answer = _told(
        group,
        chosen,
        f"{{where}} {{things}} would serve to {PART_USES[name]}",
        "{where} no such part can be seen; it shows {other}",
    )
    return _draft("functional", f"Which parts would serve to {PART_USES[name]}?", answer)


# -- spatial -------------------------------------------------------------------------------------


def _end(group: PictureSet, rng: Random) -> Draft | None:
    end = rng.choice(ENDS)
    chosen = [furthest(group.objects(i), end, group.pictures[i].size) for i in _images(group)]
    if any(thing is None for thing in chosen):
        return None
    said = [f"{in_image(i)} the {t.word} stands furthest {end}" for i, t in enumerate(chosen) if t]
    return _draft("spatial", f"What stands furthest {end} in each image?", _sentences(said))


def _beside(group: PictureSet, rng: Random) -> Draft | None:
    direction = rng.choice(DIRECTIONS)
    said = []
    for image in _images(group):
        objects = group.objects(image)[:MOST]
        pairs = [(a, b) for a in objects for b in objects if beside(a, b, direction)]
        if not pairs:
            return None
        one, other = rng.choice(pairs)
        said.append(f"{in_image(image)} the {one.word} is {direction} the {other.word}")
    question = f"Name one thing in each image that is {direction} another."
    return _draft("spatial", question, _sentences(said))


# -- numerical -----------------------------------------------------------------------------------


def _counts(group: PictureSet, name: str, *, parts: bool) -> list[list[Thing]] | None:
    """Return the things of a name in each image; nothing where they are too many to list."""
    find = group.parts if parts else group.objects
    chosen = [find(image, name) for image in _images(group)]
    few = all(len(things) <= MOST for things in chosen)
    return chosen if few and any(chosen) else None


def _counted(group: PictureSet, chosen: Sequence[Sequence[Thing]], name: str) -> list[str]:
    said = []
    for image, things in enumerate(chosen):
        cited = ", ".join(thing.word for thing in things)
        some = f"{of_image(image)} shows {counted(len(things), name)} ({cited})"
        none = f"{of_image(image)} shows none, but the {_other(group, image).word}"
        said.append(some if things else none)
    return said


def _total(group: PictureSet, rng: Random, *, parts: bool = False) -> Draft | None:
    named = {t.name for t in group.things if (t.owner is not None) == parts}
    if not named:
        return None
    name = rng.choice(sorted(named)) if parts else group.shared
    chosen = _counts(group, name, parts=parts)
    if chosen is None:
        return None
    numbers = [len(things) for things in chosen]
    sum_of = f"{' + '.join(map(str, numbers))} = {sum(numbers)}"
    answer = f"{_sentences(_counted(group, chosen, name))} Together that makes {sum_of}."
    return _draft("numerical", f"How many {plural(name)} do the images show together?", answer)


def _part_total(group: PictureSet, rng: Random) -> Draft | None:
    return _total(group, rng, parts=True)


def _more(group: PictureSet, rng: Random) -> Draft | None:
    chosen = _counts(group, group.shared, parts=False)
    if chosen is None:
        return None
    order = sorted(_images(group), key=lambda image: (-len(chosen[image]), image))
    most, least = len(chosen[order[0]]), len(chosen[order[-1]])
    if most in (least, len(chosen[order[1]])):
        return None
    told = _sentences(_counted(group, chosen, group.shared))
    answer = (
        f"{told} So {of_image(order[0])} shows the most, {most} - {least} = {most - least} more "
        f"than {of_image(order[-1])}."
    )
    question = (
        f"Which image shows the most {plural(group.shared)}, and how many more than the one with "
        f"the fewest?"
    )
    return _draft("numerical", question, answer)


# -- open-ended ----------------------------------------------------------------------------------


def _shows(group: PictureSet, rng: Random) -> Draft | None:
    largest = [group.objects(image)[:3] for image in _images(group)]
    answer = _told(group, largest, "{where} one sees {things}", "")
    question = rng.choice(
        ("Describe what each image shows.", "What are the main things in each of the images?")
    )
    return _draft("open-ended", question, answer)


def _in_common(group: PictureSet, rng: Random) -> Draft | None:
    chosen = [group.objects(image, group.shared)[:1] for image in _images(group)]
    answer = _told(
        group,
        chosen,
        f"{{where}} there is a {group.shared}, {{things}}",
        f"{{where}} there is no {group.shared}, but {{other}}",
    )
    question = "Which kind of thing do several of these images have in common?"
    return _draft("open-ended", question, answer)


def _apart(group: PictureSet, rng: Random) -> Draft | None:
    names = [{t.name for t in group.objects(image)} for image in _images(group)]
    chosen = []
    for image in _images(group):
        others = set().union(*(names[i] for i in _images(group) if i != image))
        chosen.append([t for t in group.objects(image) if t.name not in others][:2])
    answer = _told(
        group,
        chosen,
        "{where} alone one finds {things}",
        "{where} there is nothing that the others lack; it shows {other}",
    )
    return _draft("open-ended", "What does each image show that the others do not?", answer)


RULES: dict[str, list[Rule]] = {
    "functional": [_object_use, _part_use],
    "spatial": [_end, _beside],
    "numerical": [_total, _part_total, _more],
    "open-ended": [_shows, _in_common, _apart],
}


def _sentences(said: Sequence[str]) -> str:
    return " ".join(f"{one[0].upper()}{one[1:]}." for one in said)


def _draft(kind: str, question: str, answer: str | None) -> Draft | None:
    return None if answer is None else Draft(kind=kind, question=question, answer=answer)
