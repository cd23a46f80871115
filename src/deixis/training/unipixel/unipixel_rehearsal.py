"""Sentences about pictures made of words: what can be learned before there is anything to see.

Stage 0 teaches picture and <mem> tokens to resemble the words of what they show. What follows from
that, to find what words describe, to ask for it where it is, to copy what points, to name what is
shown, is the same whatever the words come from. So it is learned from words that are put into their
places: hundreds of examples a step, without an encoder.

Shapes: B rows, N tokens, R picture and <mem> tokens, D language width, T moments,
P cells of one.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from random import Random
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from deixis.models.unipixel import Seen
from deixis.processing.batches.unipixel_batch import RefPrompts
from deixis.processing.unipixel import canvas_corners
from deixis.processing.words.unipixel_text import (
    SEG,
    Turn,
    conversation,
    learned,
    localize,
    prefilled,
    refer,
    region_prefix,
)
from deixis.structures.prompts import Box, Point
from deixis.training.directions import KINDS, NOTHING, WORDS, Said, fits, short_words
from deixis.training.unipixel.unipixel_lessons import FINDING, NAMING
from deixis.training.unipixel.unipixel_rows import Exchange, Lesson, Wanted, spoken_of
from deixis.training.unipixel.unipixel_speaking import Beginning, Speaking

WAYS = {"find": 0.35, "draw": 0.4, "tell": 0.25}
SIDE, LARGEST = 8, 3  # cells along a page, and along a thing
MOMENTS, FARTHEST = 2, 3  # pairs of frames that a page shows; cells that things move in between
THINGS = (2, 6)  # on a page
POINTED, SHOWN, DRAWN = 6, 3, 3  # at most: points and boxes, things with <mem>, questions
PAIRS = 4  # pairs of frames of a clip whose things have a <mem>, at most
NOISE = 4.5  # how loud tokens say something else, where each word is 1, as in what is seen
COLOUR = "Which colour does {it} have?"
ASKING = ("Find the {it}.", "Where is the {it}?", "Outline the {it}.", "Show me the {it}.")


@dataclass(frozen=True, kw_only=True, slots=True)
class Page:
    """Things as words in the cells of two moments, between which they move.

    Attributes:
        things: the words of each, all different.
        cells: (T * P,) which of them every cell shows, -1 for none.
    """

    things: list[Said]
    cells: Tensor

    @classmethod
    def drawn(cls, random: Random) -> "Page":
        """Put some things somewhere; later ones hide those before."""
        things: list[Said] = []
        cells = torch.full((MOMENTS, SIDE, SIDE), -1)
        for _ in range(random.randint(*THINGS)):
            words = [1 + random.randrange(len(WORDS[kind])) for kind in KINDS]
            own: Said = (words[0], words[1], words[2])
            if own in things:
                continue
            (top, height), (left, width) = (_side(random) for _ in range(2))
            for moment in cells:
                moment[top : top + height, left : left + width] = len(things)
                top = _moved(top, height, random)
                left = _moved(left, width, random)
            things.append(own)
        return cls(things=things, cells=cells.flatten())

    @property
    def seen(self) -> list[int]:
        """The things that show at first."""
        return sorted({*self.cells[: SIDE**2].tolist()} - {-1})

    def first(self, thing: int) -> Tensor:
        """Return (T * P,) where a thing shows at first."""
        later = torch.arange(len(self.cells)) >= SIDE**2
        return ((self.cells == thing) & ~later).float()


@dataclass(frozen=True, kw_only=True, slots=True)
class Rehearsal(Beginning):
    """Lessons without clips.

    Attributes:
        words: (R, 3) of each picture and <mem> token, 0 where it shows none.
        noise: (R, D) what else they say.
    """

    words: Tensor
    noise: Tensor


class Rehearsing(Speaking):
    """Teaches reading and writing as ``Speaking`` does, about pages of words."""

    pages = 16  # for each scene, of which only the size of its frames is taken

    def collate(self, scenes: Sequence[Any]) -> Rehearsal:
        """Write sentences about pages; they point at places on the frames of each scene."""
        random = Random("/".join(scene.samples[0].id for scene in scenes))
        sizes = [scene.samples[0].images[0].size for scene in scenes]
        made = [self.sentence(size, random) for size in sizes for _ in range(self.pages)]
        lessons, words = zip(*made, strict=True)
        whole = self.noted(lessons)
        dice = torch.Generator().manual_seed(random.getrandbits(32))
        width = int(self.processor.config.text_config.hidden_size)
        shown = [one for own in words for one in own]
        known = {one.name: getattr(whole, one.name) for one in fields(whole)}
        unseen = replace(whole.lessons, grids=torch.zeros(0, 3, dtype=torch.long), regions=())
        return Rehearsal(
            **known | {"lessons": unseen},
            words=torch.tensor(shown),
            noise=torch.randn(len(shown), width, generator=dice) / width**0.5,
        )

    def see(self, model: Any, batch: Beginning) -> Seen:
        """Return what is read, with words in the places of what is seen."""
        assert isinstance(batch, Rehearsal)
        seen, config = super().see(model, batch), self.processor.config
        tokens = batch.lessons.tokens
        slots = (tokens == config.video_token_id) | (tokens == config.mem_token_id)
        table = self.named(model.language.embed_tokens.weight.detach())
        own = NOISE * batch.noise
        for rows, ids in zip(table.values(), batch.words.T, strict=True):
            own = own + F.pad(rows, (0, 0, 1, 0))[ids]
        shown = F.normalize(own, dim=1).to(seen.prefix)
        return replace(seen, prefix=seen.prefix.masked_scatter(slots[..., None], shown))

    def sentence(self, size: tuple[int, int], random: Random) -> tuple[Lesson, list[Said]]:
        """Return questions about a page on frames (height, width), and the words of its picture and
        <mem> tokens in their order."""
        page = Page.drawn(random)
        way = random.choices(list(WAYS), list(WAYS.values()))[0]
        turns, asked, owners = [_find(size, random)], list[tuple[Wanted, int]](), list[int]()
        if way == "draw":
            turns, asked = _draw(page, random)
        elif way == "tell":
            turns, owners = _tell(page, random)
        whose = [one + 1 for one in owners]
        told = [one.turn for one in turns]
        text = conversation(told, len(page.cells))
        ids, labels = learned(text, self.processor.vocabulary.encode)
        prompts = [prompt for turn in turns for prompt in turn.prompts]
        wanted = [one for one, _ in asked]
        wanted += [Wanted(phrase="", question="", prompt=prompt) for prompt in prompts]
        cover = [page.first(thing) for _, thing in asked]
        cover += [torch.zeros_like(page.cells).float() for _ in prompts]
        shown = torch.stack(cover) if cover else torch.zeros(0, len(page.cells))
        side = int(self.processor.config.sam_config.image_size)
        merged = int(self.processor.config.vision_config.spatial_merge_size)
        corners = [canvas_corners(one, size, side) for one in prompts]
        lesson = Lesson(
            ids=ids,
            labels=labels,
            patches=torch.zeros(0),
            grid=(MOMENTS, SIDE * merged, SIDE * merged),
            clip=torch.zeros(0),
            size=size,
            prompts=RefPrompts(
                coords=torch.tensor(corners).reshape(-1, 2, 2),
                is_box=torch.tensor([isinstance(one, Box) for one in prompts], dtype=torch.bool),
                time=torch.tensor([random.random() for _ in prompts]),
            ),
            touched=None,
            masks=shown[:, : SIDE**2].unflatten(1, (SIDE, SIDE))[None] > 0,
            asked=tuple(wanted),
            refs=tuple([-1] * len(asked) + [*range(len(prompts))]),
            spoken=tuple(spoken_of(turns, ids, labels, whose, self.processor)),
            cover=shown,
        )
        shows = [page.things[one] if one >= 0 else NOTHING for one in page.cells.tolist()]
        mems = [page.things[one] for one in owners]
        return lesson, [*shows, *mems]


# -- what is said ----------------------------------------------------------------------------------


def _find(size: tuple[int, int], random: Random) -> Exchange:
    """Ask for whatever some points and boxes show."""
    numbers = range(1, 1 + random.randint(1, POINTED))
    names = " and ".join(f"[{number}]" for number in numbers)
    asked = localize(random.choice(FINDING).format(it=names))
    question, _ = refer(asked, dict.fromkeys(numbers, 1))
    return Exchange(
        turn=Turn(question=question, answer=prefilled(numbers)),
        prompts=tuple(_anywhere(size, random) for _ in numbers),
    )


def _draw(page: Page, random: Random) -> tuple[list[Exchange], list[tuple[Wanted, int]]]:
    """Ask for things in words, one after another; also return which they are."""
    turns, asked = [], []
    for thing in random.sample(page.seen, min(len(page.seen), random.randint(1, DRAWN))):
        own = page.things[thing]
        others = [page.things[one] for one in page.seen if one != thing]
        less = random.choice([(own[0], 0, 0), (0, own[1], 0), own])
        alone = not any(fits(less, other) for other in others)
        question = random.choice(ASKING).format(
            it=phrase(less if alone else short_words(own, others, random))
        )
        said = phrase((own[0], own[1], 0))
        asked.append((Wanted(phrase=said, question=question, prompt=None), thing))
        turns.append(Exchange(turn=Turn(question=question, answer=f"The {said} {SEG}.")))
    return turns, asked


def _tell(page: Page, random: Random) -> tuple[list[Exchange], list[int]]:
    """Ask what some things are, or their colour; also return which each <mem> shows.

    Clips are of any length, so that their length says nothing of what is asked.
    """
    things = random.sample(page.seen, min(len(page.seen), random.randint(1, SHOWN)))
    pairs = random.randint(1, PAIRS)
    numbers = {thing + 1: _some(pairs, random) for thing in things}
    owners = [number - 1 for number, there in numbers.items() for one in there if one]
    said, spoken = "", []
    for place, one in enumerate(random.sample(things, len(things))):
        joined = " and " if place == len(things) - 1 else ", "
        name = phrase((page.things[one][0], page.things[one][1], 0))
        said += f"{joined}the {name}" if place else f"The {name}"
        spoken.append((said, one + 1))
    meant = random.choice(things)
    category, colour, _ = page.things[meant]
    about = f"[{meant + 1}]" if len(things) > 1 else "It"
    asked, concluded = random.choice([
        (random.choice(NAMING), f" {about} is a {WORDS['category'][category - 1]}."),
        (COLOUR, f" {about} is {WORDS['colour'][colour - 1]}."),
        (random.choice(FINDING[2:]), ""),
    ])  # fmt: skip
    said += "." + concluded
    question = region_prefix(numbers, 2 * pairs) + asked.format(it=f"[{meant + 1}]")
    if concluded:
        spoken.append((said, meant + 1))
    return [Exchange(turn=Turn(question=question, answer=said), spoken=tuple(spoken))], owners


def _some(pairs: int, random: Random) -> list[bool]:
    """Return in which pairs of frames a thing has a <mem>, in one at least."""
    there = [random.random() < 0.5 for _ in range(pairs)]
    there[random.randrange(pairs)] = True
    return there


def phrase(said: Said) -> str:
    """Return words as they are written: "striped red mug"; "red thing" without a category.

    Example:
        >>> from deixis.training.directions import said_of
        >>> phrase(said_of("red mug"))
        'red mug'
    """
    category, colour, pattern = (
        names[one - 1] if one else "" for one, names in zip(said, WORDS.values(), strict=True)
    )
    return " ".join(word for word in (pattern, colour, category or "thing") if word)


# -- where things are ------------------------------------------------------------------------------


def _side(random: Random) -> tuple[int, int]:
    """Return where a thing begins, and how many cells it takes."""
    length = random.randint(1, LARGEST)
    return random.randint(0, SIDE - length), length


def _moved(begin: int, length: int, random: Random) -> int:
    """Return where a thing begins a moment later."""
    return min(max(begin + random.randint(-FARTHEST, FARTHEST), 0), SIDE - length)


def _anywhere(size: tuple[int, int], random: Random) -> Point | Box:
    """Return a point or a box by chance."""
    (y0, y1), (x0, x1) = (sorted(random.uniform(0, side) for _ in range(2)) for side in size)
    if random.random() < 0.5:
        return Point(image=0, x=x0, y=y0)
    return Box(image=0, x0=x0, y0=y0, x1=x1, y1=y1)
