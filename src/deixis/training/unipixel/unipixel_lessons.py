"""Samples with true answers as UniPixel learns them, in four ways of asking.

- "draw": a question in words; a <seg> stands behind the phrase of each target.
- "find": points and boxes as <ref>; the answer asks for the masks, as the first of two passes does.
- "tell": masks as <mem>; the answer is in words, as that of the second pass.
- "name": points and boxes as <ref>; the answer is in words.

Where a sample points at nothing, its true targets are pointed at as published: with a pixel of the
mask, or its box with noise, on a frame that shows it. What is found is drawn onward or backward
from where it was pointed at, as it is drawn in use (arXiv:2509.18094; specification section 10).
"""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random

import numpy as np

from deixis.processing.frames.unipixel_frames import sample_in_buckets, with_kept
from deixis.processing.unipixel import UniPixelProcessor, check_images, pointing
from deixis.processing.words.unipixel_text import Turn, localize, prefilled, refer
from deixis.structures.answers import GroundedAnswer, Target
from deixis.structures.masks import Mask
from deixis.structures.prompts import Box, Point
from deixis.structures.samples import Sample
from deixis.training.unipixel.unipixel_recipe import Lessons
from deixis.training.unipixel.unipixel_rows import Exchange, Lesson, Plan, answered, written

HANDLE = re.compile(r"\[(\d+)\]")
NAMING = ("What is {it}?", "Describe {it}.", "Name {it}.")
FINDING = ("What is {it}?", "Where is {it}?", "Outline {it}.", "Show {it}.")


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """A sample whose objects have numbers.

    Attributes:
        sparse: points and boxes.
        given: ids of the masks that the question brings.
        masks: id -> frame -> mask, of all that is pointed at and known.
        targets: id -> what the answer points at.
        spoken: what the answer begins with, up to where it is no longer about an object, and that.
    """

    question: str
    answer: str
    sparse: tuple[Point | Box, ...]
    given: tuple[int, ...]
    masks: Mapping[int, Mapping[int, Mask]]
    targets: Mapping[int, Target]
    spoken: tuple[tuple[str, int], ...]

    @property
    def ids(self) -> list[int]:
        """What is pointed at."""
        return list(dict.fromkeys([*map(number_of, self.sparse), *self.given]))


def asked(sample: Sample, after: int = 0) -> Asked:
    """Return a sample whose objects are numbered after ``after``, in its texts as well."""

    def moved(text: str) -> str:
        return HANDLE.sub(lambda found: f"[{int(found[1]) + after}]", text)

    sparse, regions = pointing(sample)
    answer = sample.answer
    targets = {
        target.object_id + after: target
        for target in (answer.targets if answer else ())
        if target.object_id is not None and target.masks
    }
    given = {number + after: shown for number, shown in regions.items()}
    pieces = _pieces(answer, {*map(number_of, sparse), *regions}) if answer else []
    return Asked(
        question=moved(sample.question.text),
        answer=moved(answer.text) if answer else "",
        sparse=tuple(replace(p, object_id=number_of(p) + after) for p in sparse),
        given=tuple(given),
        masks={**{number: target.masks for number, target in targets.items()}, **given},
        targets=targets,
        spoken=tuple((moved(said), number + after) for said, number in pieces),
    )


def _pieces(answer: GroundedAnswer, numbers: Collection[int]) -> list[tuple[str, int]]:
    """Return what an answer begins with, up to the end of each piece that is about one of some
    objects, and that: its phrases, and what it concludes."""
    pieces, end = [], 0
    for (_, stop), target in zip(answer.spans, answer.targets, strict=True):
        if target.object_id is not None:
            pieces.append((answer.text[:stop], target.object_id))
        end = stop
    about = {*map(int, HANDLE.findall(answer.text[end:]))} or {*numbers}
    return [*pieces, (answer.text, about.pop())] if len(about) == 1 else pieces


class Teacher:
    """Writes lessons.

    Args:
        processor: words and sizes of the model.
        lessons: how it is taught.
    """

    def __init__(self, processor: UniPixelProcessor, lessons: Lessons) -> None:
        self.processor, self.lessons = processor, lessons
        most = processor.config.read_frames
        self.frames, self.sampled = min(lessons.frames, most), min(lessons.sampled, most)

    def lesson(self, samples: Sequence[Sample], random: Random) -> Lesson | None:
        """Return what is learned of questions about one clip, asked in one of the ways; None where
        no way can ask them.

        Raises:
            DataError: several images.
        """
        check_images(samples[0].images)
        shares = dict(self.lessons.ways)
        while shares:
            way = random.choices(list(shares), list(shares.values()))[0]
            plan = WAYS[way](self, samples, random)
            if plan is not None and plan.turns:
                return written(plan, self.processor, self.lessons.positions)
            del shares[way]
        return None

    # -- ways --------------------------------------------------------------------------------------

    def draw(self, samples: Sequence[Sample], random: Random) -> Plan | None:
        """Ask in words for masks."""
        plan = self._plan(samples, random)
        for sample in samples:
            if sample.question.prompts or sample.answer is None:
                continue
            said, targets = answered(sample.answer, self.processor.typed)
            question = self.processor.typed(sample.question.text)
            turn = Turn(question=question, answer=said)
            self._add(plan, Exchange(turn=turn, targets=tuple(targets)))
        targets = [target for turn in plan.turns for target in turn.targets]
        firsts = [min(set(t.masks) & set(plan.read), default=0) for t in targets]
        if firsts and random.random() < self.lessons.onward:
            plan.drawn = [one for one in plan.read if one >= min(firsts)]
        plan.drawn = self._few(plan.drawn or plan.read, random)
        return plan

    def find(self, samples: Sequence[Sample], random: Random) -> Plan | None:
        """Ask for the masks of what is pointed at, all on one frame, and follow it from there."""
        sample = random.choice(samples)
        plan, known = self._plan([sample], random), asked(sample)
        sparse, targets, text = known.sparse, known.targets, known.question
        if not sparse:
            sparse, targets = self._pointed(sample, plan, random)
            names = " and ".join(f"[{number}]" for number in targets)
            text = random.choice(FINDING).format(it=names)
        sparse = tuple(
            p for p in sparse if p.image == sparse[0].image and number_of(p) in targets
        )
        numbers = list(dict.fromkeys(map(number_of, sparse)))[: self.lessons.objects]
        if not numbers:
            return None
        one = self._refer(localize(text), "", [p for p in sparse if number_of(p) in numbers])
        order = list(dict.fromkeys(map(number_of, one.prompts)))
        found = tuple(targets[number] for number in order)
        turn = replace(one.turn, answer=prefilled(order))
        self._add(plan, replace(one, turn=turn, targets=found))
        start = plan.read.index(sparse[0].image)
        ways = [plan.read[start:], plan.read[start::-1]]
        plan.drawn = random.choice([way for way in ways if len(way) > 1] or ways)
        plan.drawn = self._few(plan.drawn, random)
        return plan

    def tell(self, samples: Sequence[Sample], random: Random) -> Plan | None:
        """Ask in words about masks."""
        plan = self._plan(samples, random)
        for sample in samples:
            one = asked(sample, max(plan.regions, default=0))
            known = bool(one.ids) and all(number in one.masks for number in one.ids)
            if known and one.answer and self._add(plan, self._turn(one)):
                plan.regions |= {n: self._kept(one.masks[n], plan.read, random) for n in one.ids}
        return plan

    def name(self, samples: Sequence[Sample], random: Random) -> Plan | None:
        """Ask in words about points and boxes."""
        plan = self._plan(samples, random)
        for sample in samples:
            used = max([0, *(number_of(p) for turn in plan.turns for p in turn.prompts)])
            one = asked(sample, used)
            prompts = [*one.sparse, *self._points(one, plan, random)]
            if one.ids and one.answer and len(prompts) == len(one.sparse) + len(one.given):
                self._add(plan, self._refer(one.question, one.answer, prompts, one.spoken))
            elif not one.ids:
                sparse, targets = self._pointed(sample, plan, random, after=used)
                for prompt, (number, target) in zip(sparse, targets.items(), strict=True):
                    text = random.choice(NAMING).format(it=f"[{number}]")
                    said = f"The {target.phrase}."
                    self._add(plan, self._refer(text, said, [prompt], [(said, number)]))
        return plan

    # -- parts of ways -----------------------------------------------------------------------------

    def _plan(self, samples: Sequence[Sample], random: Random) -> Plan:
        images = samples[0].images
        keep = {p.image for sample in samples for p in pointing(sample)[0]}
        read = sample_in_buckets(len(images), max(self.frames, self.sampled), random)
        start = random.randint(0, max(0, len(read) - self.frames))
        read = read[start : start + self.frames]
        return Plan(images=images, read=with_kept(read, sorted(keep)[: len(read)]))

    def _few(self, frames: list[int], random: Random) -> list[int]:
        """Return the frames that are drawn: the first, and others by chance, in their order."""
        most = self.lessons.drawn or len(frames)
        if len(frames) <= most:
            return frames
        others = sorted(random.sample(range(1, len(frames)), most - 1))
        return [frames[0], *(frames[place] for place in others)]

    def _add(self, plan: Plan, new: Exchange) -> bool:
        """Add a turn if there is room for it and its prompts are on frames that are read."""
        limits = self.lessons
        objects = len(new.targets) + sum(len(one.targets) for one in plan.turns)
        fits = (
            len(plan.turns) < limits.turns
            and objects <= limits.objects
            and len((new.turn.answer or "").split()) <= limits.words
            and all(prompt.image in plan.read for prompt in new.prompts)
        )
        if fits:
            plan.turns.append(new)
        return fits

    def _turn(self, one: Asked) -> Exchange:
        typed = self.processor.typed
        turn = Turn(question=typed(one.question), answer=typed(one.answer))
        return Exchange(turn=turn, spoken=self._typed(one.spoken))

    def _typed(self, pieces: Sequence[tuple[str, int]]) -> tuple[tuple[str, int], ...]:
        return tuple((self.processor.typed(said), number) for said, number in pieces)

    def _refer(
        self,
        question: str,
        answer: str,
        prompts: Sequence[Point | Box],
        spoken: Sequence[tuple[str, int]] = (),
    ) -> Exchange:
        """Return a turn whose question has <ref> slots."""
        numbers = [number_of(prompt) for prompt in prompts]
        counts = {one: numbers.count(one) for one in numbers}
        text, order = refer(self.processor.typed(question), counts)
        placed = tuple(p for one in order for p in prompts if number_of(p) == one)
        turn = Turn(question=text, answer=self.processor.typed(answer))
        return Exchange(turn=turn, prompts=placed, spoken=self._typed(spoken))

    def _pointed(
        self, sample: Sample, plan: Plan, random: Random, after: int = 0
    ) -> tuple[tuple[Point | Box, ...], dict[int, Target]]:
        """Point at the true targets that one frame shows; id -> target."""
        targets = sample.answer.targets if sample.answer else ()
        places = [(t, f) for t in targets for f in plan.read if f in t.masks and t.masks[f].area]
        if not places:
            return (), {}
        frame = random.choice(places)[1]
        shown = [target for target, one in places if one == frame]
        numbered = {after + number: target for number, target in enumerate(shown, start=1)}
        prompts = tuple(
            point_at(target.masks[frame], frame, number, self.lessons, random)
            for number, target in numbered.items()
        )
        return prompts, numbered

    def _points(self, one: Asked, plan: Plan, random: Random) -> list[Point | Box]:
        """Point at the masks that a question brings, on frames that are read."""
        places = [
            (number, [f for f in plan.read if f in one.masks[number] and one.masks[number][f].area])
            for number in one.given
        ]
        chosen = [(number, random.choice(frames)) for number, frames in places if frames]
        return [
            point_at(one.masks[number][frame], frame, number, self.lessons, random)
            for number, frame in chosen
        ]

    def _kept(
        self, shown: Mapping[int, Mask], read: Sequence[int], random: Random
    ) -> dict[int, Mask]:
        """Return a region's masks, of a part of the clips on one frame only."""
        here = [frame for frame in read if frame in shown]
        if len(here) > 1 and random.random() < self.lessons.one_frame:
            here = [random.choice(here)]
        return {frame: shown[frame] for frame in here}


WAYS: Mapping[str, Callable[[Teacher, Sequence[Sample], Random], Plan | None]] = {
    "draw": Teacher.draw,
    "find": Teacher.find,
    "tell": Teacher.tell,
    "name": Teacher.name,
}


def point_at(
    mask: Mask, frame: int, number: int, lessons: Lessons, random: Random
) -> Point | Box:
    """Return a pixel of a mask by chance, or its box with noise at each edge, as published."""
    height, width = mask.size
    if random.random() >= lessons.boxes:
        rows, columns = np.nonzero(mask.pixels)
        place = random.randrange(len(rows))
        x, y = float(columns[place]) + 0.5, float(rows[place]) + 0.5
        return Point(image=frame, x=x, y=y, object_id=number)
    assert mask.box is not None, "an empty mask cannot be pointed at"
    x0, y0, x1, y1 = mask.box
    share, most = lessons.box_noise
    across, down = min(share * (x1 - x0), most), min(share * (y1 - y0), most)
    left, right = (random.uniform(-across, across) for _ in range(2))
    top, bottom = (random.uniform(-down, down) for _ in range(2))
    return Box(
        image=frame,
        x0=max(0.0, x0 + left),
        y0=max(0.0, y0 + top),
        x1=min(float(width), x1 + right),
        y1=min(float(height), y1 + bottom),
        object_id=number,
    )


def number_of(prompt: Point | Box) -> int:
    """Return the id of a prompt that ``pointing`` has numbered."""
    assert prompt.object_id is not None, "prompts are numbered before they are asked about"
    return prompt.object_id
