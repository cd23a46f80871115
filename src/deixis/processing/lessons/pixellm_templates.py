"""Questions and answers that PixelLM learns by: names are dealt to questions and answered in one of
two styles, each name with its group or all groups together.

The published code has as many templates of each kind; where only their number is known, the words
are ours. Nothing here is changed by use (the published lists grow with every data set).
"""

from collections.abc import Sequence
from random import Random

SHORT = (  # about names
    "Can you segment the {names} in this image?",
    "Please segment the {names} in this image.",
    "What is {names} in this image? Please respond with segmentation mask.",
    "What is {names} in this image? Please output segmentation mask.",
)
LONG = (  # about what a sentence says
    "{sentence} Please respond with segmentation mask.",
    "{sentence} Please output segmentation mask.",
)
ONE = (
    "It is {groups}.",
    "Sure, {groups}.",
    "Sure, it is {groups}.",
    "Sure, the segmentation result is {groups}.",
    "{groups}.",
)
EACH = ("{name} is {group}", "{name} is here: {group}", "the mask of {name} is {group}")
TOGETHER = (
    "{names} are {groups}.",
    "Sure, {names} are {groups}.",
    "The masks of {names} are {groups}.",
    "The segmentation results of {names} are {groups}.",
    "Sure, the segmentation results of {names} are {groups}.",
    "Here are {names}: {groups}.",
    "Sure, here they are: {groups}.",
    "They are {groups}.",
    "Sure, they are {groups}.",
    "Sure, {groups}.",
    "{groups}.",
)


def joined(words: Sequence[str]) -> str:
    """Return "a, b and c"."""
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last


def deal(
    names: Sequence[int], random: Random, *, questions: int, targets: int
) -> list[list[int]]:
    """Deal things to questions: each gets one first, the others go where there is room.

    Args:
        names: indices of what may be asked for; at most ``questions * targets`` are drawn.
        random: decides.
        questions: at most so many.
        targets: of one question at most.
    """
    drawn = random.sample(list(names), min(len(names), questions * targets))
    hands = [[one] for one in drawn[:questions]]
    for one in drawn[questions:]:
        random.choice([hand for hand in hands if len(hand) < targets]).append(one)
    return hands


def named_turn(names: Sequence[str], group: str, random: Random) -> tuple[str, str]:
    """Ask for names, one or more, and answer with a group for each, in their order."""
    question = random.choice(SHORT).format(names=joined(names))
    if len(names) == 1:
        return question, random.choice(ONE).format(groups=group)
    if random.random() < 0.5:
        each = random.choice(EACH)
        return question, joined([each.format(name=n, group=group) for n in names]) + "."
    groups = joined([group] * len(names))
    return question, random.choice(TOGETHER).format(names=joined(names), groups=groups)


def asked_for_masks(sentence: str, random: Random) -> str:
    """Return a question that also says that masks are wanted."""
    return random.choice(LONG).format(sentence=sentence)


def template_texts() -> list[str]:
    """Return all templates without their places, for a tokenizer to read."""
    fills = {"names": "", "name": "", "groups": "", "group": "", "sentence": ""}
    return [one.format(**fills) for one in (*SHORT, *LONG, *ONE, *EACH, *TOGETHER)]
