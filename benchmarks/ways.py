"""What else decides how well deixis-tiny answers: measured on the same weights, nothing trained.

    python benchmarks/ways.py [--count 300] [--seed N]

- how many images a set has (`multi`, by 2, 3 and 4 images);
- one pass or two (`pixelqa`): a question about points and boxes as it is, against first outlining
  what they mean and then asking about the masks;
- what a second turn speaks of (`plain`, which side): "is [1] left of [2]?", with what the first
  turn found injected, against the same question with both described in words again.

Writes docs/tiny/ways.json; `benchmarks/figures.py --fill` puts it into docs/tiny.md.
"""

import argparse
import json
import secrets
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from random import Random

from deixis import load
from deixis.evaluation.running.evaluator import Answerer, evaluate
from deixis.scenes.asking.wording import Words, listed
from deixis.scenes.knowing.facts import Facts
from deixis.scenes.knowing.meaning import Which
from deixis.scenes.questions import Scene, make_scene
from deixis.scenes.world import WorldKey
from deixis.structures.answers import GroundedAnswer
from deixis.structures.prompts import Region
from deixis.structures.samples import Question, Sample

RESULT = Path(__file__).parents[1] / "docs" / "tiny" / "ways.json"
TOGETHER = 16
SCARCE = 8  # times as many scenes, as few ask on which side something stands


def answers(reasoner: Answerer, samples: Sequence[Sample]) -> list[GroundedAnswer]:
    """Return an answer to each."""
    some = [samples[i : i + TOGETHER] for i in range(0, len(samples), TOGETHER)]
    return [answer for part in some for answer in reasoner.answer_batch(part)]


def right(said: GroundedAnswer, sample: Sample) -> bool:
    """Say whether the conclusion is the true one."""
    assert sample.answer is not None
    return said.conclusion == sample.answer.conclusion


def scenes(task: str, count: int, seed: int, kinds: dict[str, float] | None = None) -> list[Scene]:
    """Return scenes of the test split."""
    keys = [WorldKey(split="test", task=task, seed=seed, index=i) for i in range(count)]
    return [make_scene(key, kinds=kinds) for key in keys]


def by_images(reasoner: Answerer, count: int, seed: int) -> dict[str, dict[str, float]]:
    """Return the figures of ``multi`` by the number of images."""
    from deixis.evaluation.running.benchmarks import MULTI, Benchmark

    samples = [scene.samples[0] for scene in scenes("multi", count, seed)]
    found = {}
    for images in (2, 3, 4):
        those = [sample for sample in samples if len(sample.images.lengths) == images]
        report = evaluate(reasoner, Benchmark(name=f"{images} images", samples=those, task=MULTI))
        metrics = report["metrics"]
        names = ("miou", "image_accuracy", "answer_accuracy")
        found[str(images)] = {"samples": len(those), **{n: round(metrics[n], 4) for n in names}}
    return found


def regions(said: GroundedAnswer, numbers: Sequence[int | None]) -> tuple[Region, ...] | None:
    """Return the masks of an answer as prompts, the first frame of each; None if any is missing."""
    if len(said.targets) != len(numbers):
        return None
    firsts = [min(target.masks) for target in said.targets]
    return tuple(
        Region(image=frame, mask=target.masks[frame], object_id=number)
        for target, frame, number in zip(said.targets, firsts, numbers, strict=True)
    )


def passes(reasoner: Answerer, count: int, seed: int) -> dict[str, float]:
    """Return how often questions about points and boxes in clips are answered right in one pass,
    and in two; only such whose first pass found everything."""
    samples = [scene.samples[0] for scene in scenes("pixelqa", count, seed)]
    asked = [
        replace(s, question=replace(s.question, text=f"outline {_handles(s)}")) for s in samples
    ]
    found = [
        regions(said, [p.object_id for p in sample.question.prompts])
        for said, sample in zip(answers(reasoner, asked), samples, strict=True)
    ]
    kept = [(s, masks) for s, masks in zip(samples, found, strict=True) if masks is not None]
    once = [sample for sample, _ in kept]
    twice = [replace(s, question=replace(s.question, prompts=masks)) for s, masks in kept]
    return {
        "samples": len(kept),
        "one pass": share(reasoner, once),
        "two passes": share(reasoner, twice),
    }


def _handles(sample: Sample) -> str:
    return listed([f"[{prompt.object_id}]" for prompt in sample.question.prompts])


def turns(reasoner: Answerer, count: int, seed: int) -> dict[str, float]:
    """Return how often a second turn says rightly on which side something stands: with what the
    first turn found injected, and in words alone; only where the first turn found both."""
    drawn = scenes("plain", count, seed, {"yesno": 40.0})
    sides = [s for s in drawn if s.asked[0].rule == "side" and len(s.world.lengths) == 1]
    first, samples = [], []
    for scene in sides:
        words = Words(Facts(scene.world, scene.renderings), Random(0))
        which: tuple[Which, ...] = scene.asked[0].which
        sample, names = scene.samples[0], [words.the(one) for one in which]
        first += [
            replace(sample, question=Question(text=f"outline {name}")) for name in names
        ]
        samples.append(sample)
    said = answers(reasoner, first)
    pairs = [
        [*(regions(said[i], [1]) or ()), *(regions(said[i + 1], [2]) or ())]
        for i in range(0, len(said), 2)
    ]
    kept = [(s, scene, p) for s, scene, p in zip(samples, sides, pairs, strict=True) if len(p) == 2]
    injected = [
        replace(
            sample,
            question=Question(
                text=f"is [1] {_side(scene)} [2]?", prompts=tuple(regions_of_both)
            ),
        )
        for sample, scene, regions_of_both in kept
    ]
    return {
        "samples": len(kept),
        "<mem>": share(reasoner, injected),
        "words alone": share(reasoner, [sample for sample, _, _ in kept]),
    }


def _side(scene: Scene) -> str:
    return {"left": "left of", "right": "right of"}.get(scene.asked[0].detail) or (
        scene.asked[0].detail
    )


def share(reasoner: Answerer, samples: Sequence[Sample]) -> float:
    """Return the share of conclusions that are right."""
    said = answers(reasoner, samples)
    hits = [right(one, sample) for one, sample in zip(said, samples, strict=True)]
    return round(sum(hits) / max(len(hits), 1), 4)


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(2**63))
    arguments = parser.parse_args()
    reasoner = load("deixis-tiny")
    found = {
        "images": by_images(reasoner, arguments.count, arguments.seed),
        "passes": passes(reasoner, arguments.count, arguments.seed),
        "turns": turns(reasoner, SCARCE * arguments.count, arguments.seed),
        "seed": arguments.seed,
        "fingerprint": reasoner.fingerprint,
    }
    RESULT.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
