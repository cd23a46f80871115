"""World -> samples: questions whose answers are proved, in nine tasks.

``make_sample`` gives the sample of a key, ``make_scene`` several questions about one world.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from random import Random

from deixis.errors import DataError
from deixis.scenes.asking.answering import write_answer
from deixis.scenes.asking.clips import CLIP
from deixis.scenes.asking.pointing import PIXELQA, REGION
from deixis.scenes.asking.proposing import Kind, settle
from deixis.scenes.asking.referring import ABSENT, COMPOSE, MANY, REFER
from deixis.scenes.asking.sets import MULTI, PLAIN
from deixis.scenes.asking.wording import Words
from deixis.scenes.drawing.render import Rendering, render
from deixis.scenes.knowing.asked import Asked, Truth
from deixis.scenes.knowing.facts import Facts
from deixis.scenes.knowing.truth import truth_of
from deixis.scenes.world import World, WorldKey, draw_world
from deixis.structures.answers import GroundedAnswer
from deixis.structures.images import Frame, ImageSet
from deixis.structures.samples import Question, Sample

KINDS: dict[str, dict[str, Kind]] = {
    "refer": REFER,
    "many": MANY,
    "multi": MULTI,
    "absent": ABSENT,
    "region": REGION,
    "clip": CLIP,
    "pixelqa": PIXELQA,
    "plain": PLAIN,
    "compose": COMPOSE,
}
TASKS: tuple[str, ...] = tuple(KINDS)
STRIDE = 1 << 40  # index distance between a world that gives no question and the one after it
DRAWS = 64  # worlds tried; one in a thousand gives no question


@dataclass(frozen=True, slots=True)
class Scene:
    """A world, what it looks like, and questions about it.

    Attributes:
        asked: what each sample asks, in the form from which its truth can be worked out again.
    """

    world: World
    renderings: tuple[Rendering, ...]
    samples: tuple[Sample, ...]
    asked: tuple[Asked, ...]


def make_sample(split: str, task: str, seed: int, index: int) -> Sample:
    """Make the sample of a key."""
    key = WorldKey(split=split, task=task, seed=seed, index=index)
    return make_scene(key).samples[0]


def make_scene(
    key: WorldKey,
    *,
    questions: int = 1,
    draw: int = 0,
    kinds: Mapping[str, float] | None = None,
) -> Scene:
    """Make up to ``questions`` different questions about the world of a key, at least one.

    Another ``draw`` asks other questions about the same world; ``kinds`` says which kinds of
    question are asked how many times as often as usual.

    Raises:
        DataError: an unknown task or kind, or ``compose`` asked of the training split.
    """
    offers = _weighed(key.task, kinds or {})
    for attempt in range(DRAWS):
        drawn = replace(key, index=(key.index + attempt * STRIDE) % 2**63)
        world = draw_world(drawn)
        renderings = tuple(render(view) for view in world.views)
        facts = Facts(world, renderings)
        salt = f"/{draw}" if draw else ""
        rng = Random(f"{key.split}/{key.task}/{key.seed}/{key.index}/{attempt}{salt}")
        proved = _ask(facts, offers, rng, questions)
        if proved:
            images = image_set(world, renderings)
            samples = tuple(
                _sample(facts, images, key, number, asked, truth)
                for number, (asked, truth) in enumerate(proved)
            )
            return Scene(world, renderings, samples, tuple(asked for asked, _ in proved))
    raise DataError(f"scene {key}: expected a question within {DRAWS} worlds, got none.")


def answer_again(
    world: World, renderings: tuple[Rendering, ...], asked: Asked
) -> GroundedAnswer | None:
    """Work out the answer of a question anew; None where it cannot be proved."""
    facts = Facts(world, renderings)
    truth = truth_of(facts, asked)
    return None if truth is None else write_answer(facts, asked, truth)


def image_set(world: World, renderings: tuple[Rendering, ...]) -> ImageSet:
    """Return the pictures of a world as a person gets them."""
    frames = tuple(Frame.from_array(rendering.pixels) for rendering in renderings)
    return ImageSet(frames, world.lengths, world.times)


def _weighed(task: str, often: Mapping[str, float]) -> dict[str, Kind]:
    """Return the kinds of a task, some of them asked more or less often."""
    kinds = KINDS.get(task, {})
    for name, times in often.items():
        if name not in kinds or not 0 < times < float("inf"):
            raise DataError(
                f'kinds of {task}: expected numbers above 0 for {", ".join(kinds)}, '
                f'got "{name}": {times:g}.'
            )
    return {
        name: replace(kind, weight=kind.weight * often.get(name, 1.0))
        for name, kind in kinds.items()
    }


def _ask(
    facts: Facts, offers: dict[str, Kind], rng: Random, questions: int
) -> list[tuple[Asked, Truth]]:
    """Return different questions; a kind that this world does not allow gives way to another."""
    proved: list[tuple[Asked, Truth]] = []
    for _ in range(3 * questions):
        for name in _kinds_in_turn(facts, offers, rng):
            found = settle(facts, offers[name], rng)
            if found is not None and all(found[0] != asked for asked, _ in proved):
                proved.append(found)
                break
        if len(proved) == questions:
            break
    return proved


def _kinds_in_turn(facts: Facts, kinds: dict[str, Kind], rng: Random) -> list[str]:
    """Draw the first kind by weight; its relatives come next, parts last.

    So half of ``absent`` stays absent, and no other kind of ``refer`` gives way to a part.
    """
    weights = [kind.weight if kind.ready(facts) else 0.0 for kind in kinds.values()]
    first = rng.choices(list(kinds), weights=weights)[0]
    others = rng.sample(list(kinds), len(kinds))
    family = first.partition(":")[0]
    return sorted(
        others,
        key=lambda name: (name != first, name.partition(":")[0] != family, name == "part"),
    )


def _name(key: WorldKey) -> str:
    return f"{key.split}-{key.task}-{key.seed}-{key.index}"


def _sample(
    facts: Facts,
    images: ImageSet,
    key: WorldKey,
    number: int,
    asked: Asked,
    truth: Truth,
) -> Sample:
    name = f"{_name(key)}-{number}" if number else _name(key)
    return Sample(
        images=images,
        question=Question(
            text=Words(facts, Random(name)).question(asked),
            prompts=tuple(pointed.prompt for pointed in asked.pointed),
        ),
        answer=write_answer(facts, asked, truth),
        id=name,
        source=f"scenes:{key.task}/{key.split}",
        type=asked.kind,
    )
