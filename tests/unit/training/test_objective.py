"""What is minimised: labels against the world, losses against loops, and nothing learns nothing."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from deixis.models.parts.deixis_teaching import Taught
from deixis.nn.dense import DenseMaps
from deixis.processing.batch import Output, Truth
from deixis.processing.deixis import STRIDE
from deixis.scenes.catalogue import PART_NAMES
from deixis.scenes.questions import Scene, make_scene
from deixis.scenes.world import WorldKey
from deixis.training.objective import (
    FRAMES_PER_CLIP,
    AnswerObjective,
    DenseBatch,
    DenseObjective,
    _word_loss,
)


def scene(task: str, index: int = 0, **options) -> Scene:
    return make_scene(WorldKey(split="train", task=task, seed=3, index=index), **options)


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    return [scene("refer"), scene("multi"), scene("clip")]


@pytest.fixture(scope="module")
def dense(tiny, scenes) -> tuple[DenseObjective, DenseBatch]:
    objective = DenseObjective(tiny[1])
    return objective, objective.collate(scenes)


# -- dense ------------------------------------------------------------------------------------


def test_pictures_are_all_looked_at_and_of_a_clip_a_few_frames(dense, scenes):
    pictures = len(scenes[0].renderings) + len(scenes[1].renderings)
    pixels = dense[1].pixels
    assert pixels.shape == (pictures + FRAMES_PER_CLIP, 3, 128, 128)
    first = scenes[0].renderings[0].pixels
    assert (pixels[0].permute(1, 2, 0).numpy() == first).all()
    clip = scenes[2].renderings
    assert (pixels[-1].permute(1, 2, 0).numpy() == clip[-1].pixels).all()


def test_every_pixel_is_labelled_with_the_words_of_its_thing(dense, scenes, tiny):
    words, batch = tiny[1].config.words, dense[1]
    view, rendering = scenes[0].world.views[0], scenes[0].renderings[0]
    placed = {p.thing.id: p for p in view.placed}
    random = np.random.default_rng(0)
    seen = set()
    for y, x in random.integers(0, 128, (300, 2)):
        number = int(rendering.things[y, x])
        seen.add(number)
        labels = {kind: int(ids[0, y, x]) for kind, ids in batch.words.items()}
        if number == 0:
            assert set(labels.values()) == {0}
            assert batch.looks[0, y, x] == 0
            continue
        one = placed[number]
        assert words["category"][labels["category"] - 1] == one.thing.category
        assert words["pattern"][labels["pattern"] - 1] == one.thing.pattern
        assert words["size"][labels["size"] - 1] == ("large" if one.large else "small")
        assert labels["colour"] == rendering.colours[y, x]
        part = int(rendering.parts[y, x])
        assert labels["part"] == part
        assert part == 0 or PART_NAMES[part - 1] in one.thing.parts
        centre = batch.centre[0, :, y, x].tolist()
        assert centre == pytest.approx([one.x / view.width, one.y / view.height], abs=1e-5)
    assert len(seen) > 2


def test_things_share_a_number_of_looks_exactly_if_they_look_alike(dense, scenes):
    world, batch = scenes[1].world, dense[1]
    numbers: dict[tuple, set[int]] = {}
    for frame, (view, rendering) in enumerate(zip(world.views, scenes[1].renderings, strict=True)):
        for placed in view.placed:
            thing = placed.thing
            shown = batch.looks[1 + frame][torch.from_numpy(rendering.things == thing.id)]
            looks = (thing.category, thing.colour, thing.pattern, thing.accent)
            numbers.setdefault(looks, set()).update(shown.tolist())
    shown = [found for found in numbers.values() if found]
    assert all(len(found) == 1 for found in shown)
    assert len({next(iter(found)) for found in shown}) == len(shown)


def perfect(batch: DenseBatch, words: dict[str, list[str]]) -> DenseMaps:
    """What heads would say that know the truth."""
    logits = {}
    for kind, ids in batch.words.items():
        hot = F.one_hot(ids.long(), 1 + len(words[kind])).permute(0, 3, 1, 2).float()
        logits[kind] = (F.avg_pool2d(hot, STRIDE) + 1e-5).log()
    height, width = logits["part"].shape[-2:]
    y, x = torch.meshgrid(
        (torch.arange(height) + 0.5) / height, (torch.arange(width) + 0.5) / width, indexing="ij"
    )
    looks = batch.looks[:, ::STRIDE, ::STRIDE]
    kinds = looks.unique(return_inverse=True)[1]
    identity = F.one_hot(kinds).permute(0, 3, 1, 2).float()
    offset = batch.centre[:, :, ::STRIDE, ::STRIDE] - torch.stack([x, y])
    return DenseMaps(logits=logits, offset=offset, identity=identity)


def test_the_truth_is_the_least_that_dense_words_can_cost(dense, tiny):
    objective, batch = dense
    words = tiny[1].config.words
    best = perfect(batch, words)

    def cost(maps: DenseMaps) -> dict[str, float]:
        model = SimpleNamespace(vision=SimpleNamespace(dense=lambda pixels: ([], maps)))
        return {name: float(part) for name, part in objective(model, batch).items()}

    least = cost(best)
    assert set(least) == {*words, "offset", "identity"}
    assert least["offset"] == pytest.approx(0, abs=1e-4)
    noise = torch.Generator().manual_seed(0)
    for kind in words:
        noisy = best.logits[kind] + torch.randn(best.logits[kind].shape, generator=noise)
        other = cost(replace(best, logits={**best.logits, kind: noisy}))
        assert other[kind] > 1.05 * least[kind]
        assert all(other[name] == least[name] for name in least if name != kind)
    assert cost(replace(best, offset=best.offset + 0.01))["offset"] > 0.01
    mixed = torch.randn(best.identity.shape, generator=noise)
    assert cost(replace(best, identity=mixed))["identity"] > least["identity"] + 0.01


def test_dense_batches_move_whole(dense):
    moved = dense[1].to("meta")
    tensors = (moved.pixels, moved.centre, moved.looks, *moved.words.values())
    assert {t.device.type for t in tensors} == {"meta"}


# -- answers ----------------------------------------------------------------------------------


def canned(tiny, **changes) -> tuple[dict[str, torch.Tensor], Output, Truth]:
    """Give the objective an output and a truth that are written down here."""
    random = torch.Generator().manual_seed(0)
    tokens = torch.tensor([[5, 6, 2, 0], [7, 2, 0, 0]])
    truth = Truth(
        tokens=tokens,
        row=torch.tensor([0, 1]),
        order=torch.tensor([0, 0]),
        target=torch.tensor([0, 1, 1]),
        frame=torch.tensor([0, 1, 2]),
        masks=(torch.rand(3, 4, 6, generator=random) > 0.5).float(),
        pointing=torch.tensor([True, True]),
    )
    existence = torch.randn(2, 3, 4, generator=random)
    taught = Taught(
        existence=existence,
        meant=(torch.rand(2, 3, 4, generator=random) > 0.5).float(),
        counted=torch.rand(2, 3, 4, generator=random) > 0.3,
        true_mask=torch.tensor([1, 0]),
        presence=torch.zeros(2, 2),
        shows=torch.zeros(2, 2),
        there=torch.ones(2, 2, dtype=torch.bool),
    )
    output = Output(
        mask_logits=torch.randn(2, 4, 6, generator=random),
        target=torch.tensor([1, 0]),
        frame=torch.tensor([1, 0]),
        presence=torch.ones(2, 2),
        score=torch.tensor([0.3, 0.8]),
        text_logits=torch.randn(2, 4, 9, generator=random),
        extra=taught,
    )
    output = replace(output, **changes)
    batch = SimpleNamespace(truth=truth, pixels=torch.zeros(3, 3, 8, 12))
    model = Canned(output)
    return AnswerObjective(tiny[1])(model, batch), output, truth


class Canned:
    """Stands where a model stands, and always says the same."""

    config = SimpleNamespace(object_tokens=True)

    def __init__(self, output: Output) -> None:
        self.output = output

    def __call__(self, batch) -> Output:
        return self.output


def test_every_question_weighs_the_same_however_long_its_answer(tiny):
    parts, output, truth = canned(tiny)
    rows = []
    for row in range(2):
        held = truth.tokens[row] != 0
        scores = output.text_logits[row].log_softmax(1)
        rows.append(-scores[held, truth.tokens[row][held]].mean())
    torch.testing.assert_close(parts["words"], sum(rows) / 2)


def test_existence_is_summed_over_each_question_where_it_counts(tiny):
    parts, output, _ = canned(tiny)
    taught = output.extra
    loss = F.binary_cross_entropy_with_logits(taught.existence, taught.meant, reduction="none")
    each = [loss[row][taught.counted[row]].sum() for row in range(2)]
    expected = AnswerObjective.weights["existence"] * sum(each) / 2
    torch.testing.assert_close(parts["existence"], expected)


def test_the_score_learns_the_iou_that_the_masks_reach(tiny):
    parts, output, truth = canned(tiny)
    errors = []
    for row, (target, mask) in enumerate(((1, 1), (0, 0))):
        drawn, true = output.mask_logits[row] > 0, truth.masks[mask] > 0.5
        iou = (drawn & true).sum() / (drawn | true).sum()
        errors.append((output.score[target] - iou) ** 2)
    torch.testing.assert_close(parts["score"], 0.2 * sum(errors) / 2)


def test_masks_cost_least_where_they_are_true(tiny):
    parts, _, truth = canned(tiny)
    right = torch.where(truth.masks[[1, 0]] > 0.5, 20.0, -20.0)
    best = canned(tiny, mask_logits=right)[0]
    assert best["bce"] < 1e-3 < parts["bce"]
    assert best["dice"] < 1e-3 < parts["dice"]


@pytest.mark.parametrize(
    ("target", "frame", "doubled"), [((1, 0), (1, 1), 0), ((1, 1), (1, 2), 0), ((1, 1), (1, 1), 1)]
)
def test_pixels_that_two_masks_of_one_question_and_frame_claim_weigh_double(
    tiny, target, frame, doubled
):
    _, output, truth = canned(tiny)
    rows = {"target": torch.tensor(target), "frame": torch.tensor(frame)}
    parts = canned(tiny, **rows)[0]
    claimed = (output.mask_logits > 0).all(0)  # by both
    weights = 1.0 + doubled * claimed.float()
    loss = F.binary_cross_entropy_with_logits(
        output.mask_logits, truth.masks[[1, 0]], reduction="none"
    )
    torch.testing.assert_close(parts["bce"], 2 * (loss * weights).mean())


def test_a_batch_in_which_nothing_is_drawn_still_teaches_words(tiny):
    nobody = torch.zeros(0, dtype=torch.long)
    _, output, _ = canned(tiny)
    empty = replace(output.extra, true_mask=nobody)
    parts = canned(
        tiny, mask_logits=torch.zeros(0, 4, 6), target=nobody, frame=nobody, extra=empty
    )[0]
    assert set(parts) == {"words", "existence"}


@pytest.fixture(scope="module")
def lesson() -> list[Scene]:
    """Scenes that use every station: parts, points, boxes, masks, sets, clips, what is absent."""
    tasks = ("refer", "refer", "multi", "absent", "absent", "many", "clip")
    mixed = [scene(task, index, questions=2) for index, task in enumerate(tasks)]
    return [*mixed, *(scene("region", index, questions=3) for index in range(3))]


@pytest.mark.parametrize("object_tokens", [True, False])
def test_every_weight_learns(make_tiny, lesson, object_tokens):
    model, processor = make_tiny(object_tokens=object_tokens, most_answer=120)
    objective = AnswerObjective(processor)
    batch = objective.collate(lesson)
    kinds = set(batch.prompts.kind.tolist())
    parts = objective(model.train(), batch)
    own = {"existence", "noticed", "fitting", "deeds"} if object_tokens else {"presence"}
    assert kinds == {0, 1, 2}
    assert set(parts) == {"words", "bce", "dice", "score"} | own
    assert all(part.isfinite() for part in parts.values())
    sum(parts.values()).backward()
    idle = {n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()}
    about = ("whole", "part", "owner", "content", "nothing", "ordinal", "noticing")
    things = (*(f"speech.{name}" for name in about), "pyramid.prior_gain")
    other = ("speech.shown",) if object_tokens else things
    assert {name for name in idle if not name.startswith(other)} == set()


def test_words_of_a_conclusion_weigh_as_much_more_as_they_are_told(tiny):
    words = tiny[1].vocabulary
    tokens = torch.tensor([[20, words.conclude, 21, 22, words.conclude_end, words.eos, words.pad]])
    logits = torch.randn(1, 7, 1500, generator=torch.Generator().manual_seed(0))
    each = torch.nn.functional.cross_entropy(logits[0], tokens[0], reduction="none")[:-1]
    weight = torch.tensor([1.0, 1.0, 5.0, 5.0, 1.0, 1.0])
    expected = (each * weight).sum() / weight.sum()
    torch.testing.assert_close(_word_loss(logits, tokens, words, 5.0), expected)
    torch.testing.assert_close(_word_loss(logits, tokens, words, 1.0), each.mean())
