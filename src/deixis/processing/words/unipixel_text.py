"""UniPixel's words: the chat template, what of it is learned, and the texts around its slots.

Specification sections 4.3 and 6. The template is Qwen2.5's; clips stand before the first question.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from deixis.errors import DataError

TURN, END = "<|im_start|>", "<|im_end|>"
CLIP_BEGIN, CLIP_PAD, CLIP_END = "<|vision_start|>", "<|video_pad|>", "<|vision_end|>"
REF, SEG, MEM = "<|ref|>", "<|seg|>", "<|mem|>"
SYSTEM = "You are a helpful assistant."
IGNORED = -100
LOCALIZE = "{question}. Please localize the relevant objects with IDs."
SEGMENT = "Please segment {what} in this {kind}."
_ANSWERS = re.compile(rf"({re.escape(TURN)}assistant\n)(.*?{re.escape(END)})", re.DOTALL)


@dataclass(frozen=True, kw_only=True, slots=True)
class Turn:
    """A question and its answer; None where it is to be written."""

    question: str
    answer: str | None = None


def conversation(turns: Sequence[Turn], clip_cells: int = 0) -> str:
    """Return a conversation as the language decoder reads it, up to where it is to go on.

    Args:
        turns: only the last may lack its answer.
        clip_cells: merged cells of the clip that the first question is about, 0 without one.
    """
    clip = f"{CLIP_BEGIN}{CLIP_PAD * clip_cells}{CLIP_END}" if clip_cells else ""
    text = f"{TURN}system\n{SYSTEM}{END}\n"
    for index, turn in enumerate(turns):
        shown = clip if index == 0 else ""
        text += f"{TURN}user\n{shown}{turn.question}{END}\n{TURN}assistant\n"
        if turn.answer is None:
            assert index == len(turns) - 1, "only the last turn may lack its answer"
        else:
            text += turn.answer + END + ("\n" if index < len(turns) - 1 else "")
    return text


def learned(text: str, encode: Callable[[str], list[int]]) -> tuple[list[int], list[int]]:
    """Return a conversation's token ids and labels: answers and their ends count, else -100."""
    ids: list[int] = []
    labels: list[int] = []
    done = 0
    for match in _ANSWERS.finditer(text):
        before, answer = encode(text[done : match.start(2)]), encode(match[2])
        ids += before + answer
        labels += [IGNORED] * len(before) + answer
        done = match.end()
    rest = encode(text[done:]) if done < len(text) else []
    return ids + rest, labels + [IGNORED] * len(rest)


# -- prompts -----------------------------------------------------------------------------------


def odd_starts(shown: Sequence[bool]) -> list[int]:
    """Return, from 1, the first frame of each pair of frames in which an object shows."""
    return [2 * pair + 1 for pair, there in enumerate(shown) if there]


def region_prefix(shown: Mapping[int, Sequence[bool]], frames: int) -> str:
    """Return the text that brings <mem> slots: one line per object, one slot per pair of frames.

    Args:
        shown: object id -> for each pair of frames whether it shows there.
        frames: of the clip; 1 is a picture.

    Raises:
        DataError: an object that shows nowhere.
    """
    lines = []
    for object_id, pairs in shown.items():
        starts = odd_starts(pairs)
        if not starts:
            raise DataError(
                f"object [{object_id}]: expected a mask somewhere in the clip, got empty ones. "
                f"Leave it out, or point at it."
            )
        places = MEM if frames == 1 else " ".join(f"<{s}>-<{s + 1}> {MEM}" for s in starts)
        lines.append(f"[{object_id}]: {places}")
    if frames == 1:
        head = "Here is an image with the following highlighted regions:"
    else:
        head = (
            f"Here is a video with {frames} frames denoted as <1> to <{frames}>. "
            f"The highlighted regions are as follows:"
        )
    return "\n".join([head, *lines]) + "\n"


def refer(question: str, prompts: Mapping[int, int]) -> tuple[str, list[int]]:
    """Return a question whose first mention of each "[id]" is followed by its <ref> slots.

    Objects that the question does not mention come before it.

    Args:
        question: what is asked.
        prompts: object id -> how many points and boxes show it.

    Returns:
        The text, and the ids in the order in which their slots stand.
    """
    places = {one: question.find(f"[{one}]") for one in prompts}
    order = sorted(prompts, key=lambda one: places[one])  # what is not mentioned has place -1
    before = []
    for one in order:
        shown = " ".join([f"[{one}]", *[REF] * prompts[one]])
        if places[one] < 0:
            before.append(shown)
        else:
            question = question.replace(f"[{one}]", shown, 1)
    return " ".join([*before, question]), order


def prefilled(object_ids: Sequence[int]) -> str:
    """Return the answer that asks for the masks of objects: "[1] <seg> [2] <seg>"."""
    return " ".join(f"[{i}] {SEG}" for i in object_ids)


def localize(question: str) -> str:
    """Return the question under which prompts become masks."""
    return LOCALIZE.format(question=question.rstrip(" .?!"))


def segment(query: str, kind: str = "image") -> str:
    """Return the question for the masks of what a query names; kind is "image" or "video"."""
    name = query.strip().rstrip(".").strip()
    name = name[:1].lower() + name[1:]
    name = re.sub(r"^(?:the|an|a)\s+", "", name)
    return SEGMENT.format(what=f"the {name}", kind=kind)
