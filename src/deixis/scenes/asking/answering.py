"""Writes the true answer: every target named once in reading order, the conclusion last."""

from deixis.scenes.asking.wording import is_several, listed, part_noun, with_accent, with_article
from deixis.scenes.knowing.asked import Asked, Hit, Truth
from deixis.scenes.knowing.facts import Facts
from deixis.scenes.knowing.meaning import Described, Which
from deixis.structures.answers import GroundedAnswer, Target
from deixis.structures.numbering import image_name


def thing_phrase(facts: Facts, thing: int) -> str:
    """Return "red mug", with a pattern or accent only where another thing is a red mug too."""
    mine = facts.things[thing]
    text = f"{mine.colour} {mine.category}"
    alike = [
        other
        for other in facts.things.values()
        if other.id != thing and (other.category, other.colour) == (mine.category, mine.colour)
    ]
    if any(other.pattern != mine.pattern for other in alike):
        text = f"{mine.pattern} {text}"
    if mine.accent and any(other.pattern == mine.pattern for other in alike):
        text = f"{text} {with_accent(mine.accent, mine.category)}"
    return text


def hit_phrase(facts: Facts, hit: Hit) -> str:
    """Return "handle of the red mug in image 2"."""
    text = thing_phrase(facts, hit.thing)
    if hit.part is not None:
        text = f"{part_noun(hit.part, facts.things[hit.thing].category)} of the {text}"
    if len(facts.spans) > 1:
        shown = [f for f in hit.frames if facts.area(hit.thing, f, hit.part)]
        text = f"{text} in {listed([image_name(frame) for frame in shown])}"
    return text


def absent_phrase(which: Which) -> str:
    """Return "green kite" or "handle of a green kite"."""
    text = described_phrase(which.described)
    if which.part is None:
        return text
    return f"{part_noun(which.part, which.described.category)} of {with_article(text)}"


def described_phrase(described: Described) -> str:
    """Return the plainest words of a description."""
    text = described.category or "thing"
    text = " ".join(filter(None, (described.pattern, described.colour, text)))
    if described.accent:
        text = f"{text} {with_accent(described.accent, described.category)}"
    return f"{text} to {described.use}" if described.use else text


def write_answer(facts: Facts, asked: Asked, truth: Truth) -> GroundedAnswer:
    """Return the true answer in words and masks."""
    text, targets, spans = "", [], []
    for place, hit in enumerate(truth.hits):
        last = place == len(truth.hits) - 1
        text += "The " if not place else " and the " if last else ", the "
        phrase = hit_phrase(facts, hit)
        spans.append((len(text), len(text) + len(phrase)))
        text += phrase
        targets.append(
            Target(
                phrase=phrase,
                masks=facts.masks(hit.thing, hit.frames, hit.part),
                object_id=hit.object_id,
            )
        )
    sentences = [f"{text}."] if text else []
    if not asked.silent:
        sentences += [_none(facts, asked, which) for which in truth.absent]
    if truth.conclusion is not None:
        sentences.append(_conclude(asked, truth.conclusion))
    absent = () if asked.silent else truth.absent
    return GroundedAnswer(
        text=" ".join(sentences),
        targets=tuple(targets),
        spans=tuple(spans),
        conclusion=truth.conclusion,
        absent=tuple(Target(phrase=absent_phrase(which), masks={}) for which in absent),
    )


def _none(facts: Facts, asked: Asked, which: Which) -> str:
    """Return "There is no green kite in image 2."."""
    where = ""
    if asked.named:
        where = f" in {image_name(asked.frames[0])}"
    elif len(facts.spans) > 1:
        where = " in any image"
    several = is_several(which.part, which.described.category)
    return f"There {'are' if several else 'is'} no {absent_phrase(which)}{where}."


def _conclude(asked: Asked, conclusion: str) -> str:
    """Return the last sentence, whose last mention of the conclusion is its end."""
    subject, verb = "It", "is"
    if len(asked.pointed) > 1:
        subject = f"[{asked.pointed[asked.about].prompt.object_id}]"
    elif asked.which and is_several(asked.which[0].part, asked.which[0].described.category):
        subject, verb = "They", "are"
    match asked.rule:
        case "count" | "told number":
            return f"There {'is' if conclusion == '1' else 'are'} {conclusion}."
        case "category" | "told category":
            return f"{subject} {verb} {with_article(conclusion)}."
        case "told part":
            return f"{subject} {verb} the {conclusion}."
        case "colour" | "told colour":
            return f"{subject} {verb} {conclusion}."
        case "told direction":
            return f"{subject} moves {conclusion}."
        case "told where":
            other = next(p for p in asked.pointed if p is not asked.pointed[asked.about])
            of = " of" if conclusion in ("left", "right") else ""
            return f"{subject} {verb} {conclusion}{of} [{other.prompt.object_id}]."
    return f"The answer is {conclusion}."
