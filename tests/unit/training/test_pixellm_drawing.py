"""Stage 0 of PixelLM's pixel decoder: made states know a target, and its mask is drawn."""

import pytest
import torch

from deixis.models.configs.deixis_config import scene_words
from deixis.scenes.questions import make_scene
from deixis.scenes.world import WorldKey
from deixis.training.pixellm.pixellm_drawing import DrawingObjective
from deixis.training.pixellm.pixellm_knowing import BINS, Knowledge, Known

WIDTH = 160


@pytest.fixture(scope="module")
def scenes():
    keys = [WorldKey(split="train", task="many", seed=8, index=i) for i in range(3)]
    return [make_scene(key, questions=1) for key in keys]


def known(count: int) -> Known:
    dice = torch.Generator().manual_seed(4)
    sizes = [1 + len(names) for names in scene_words().values()]
    words = [torch.randint(size, (count,), generator=dice) for size in sizes]
    return Known(words=torch.stack(words, 1), boxes=torch.rand(count, 4, generator=dice))


def test_a_made_state_knows_what_it_was_made_of():
    torch.manual_seed(0)
    knowledge, wanted = Knowledge(WIDTH), known(40)
    states = knowledge.imagine(wanted, tokens=3).mean(1)
    assert states.shape == (40, WIDTH)
    others = Known(words=wanted.words.roll(1, 0), boxes=wanted.boxes.roll(1, 0))
    assert knowledge.loss(states, wanted) < 0.4 * knowledge.loss(states, others)


def test_a_box_lies_between_its_two_next_bins():
    knowledge = Knowledge(WIDTH)
    boxes = torch.tensor([[0.0, 1.0, 0.5, 1.7]])  # what leaves the canvas counts as its end
    one = Known(words=torch.zeros(1, len(scene_words()), dtype=torch.long), boxes=boxes)
    numbers = knowledge._shares(one)[0, -4 * BINS :].unflatten(0, (4, BINS))
    assert numbers.sum(1).tolist() == [1.0] * 4
    assert numbers[0, 0] == 1
    assert numbers[1, -1] == numbers[3, -1] == 1
    assert numbers[2, BINS // 2 - 1] == numbers[2, BINS // 2] == 0.5


def test_things_and_parts_are_drawn_where_they_lie(make_pixellm, scenes):
    processor = make_pixellm()[1]
    batch = DrawingObjective(processor).collate(scenes)
    config = processor.config
    assert batch.masks.shape[1:] == (config.grid * 2**config.levels,) * 2
    whole = 0
    for mask, image, box in zip(batch.masks, batch.image, batch.known.boxes, strict=True):
        things = torch.from_numpy(scenes[int(image)].renderings[0].things.copy())
        own = [i for i in range(1, int(things.max()) + 1) if (things == i).sum() > 0]
        shares = [(things == i).float().mean() for i in own]
        whole += any(abs(float(mask.float().mean() - share)) < 0.004 for share in shares)
        rows, columns = torch.nonzero(mask, as_tuple=True)
        middle = torch.stack([columns.float().mean(), rows.float().mean()]) / mask.shape[1]
        assert (middle - box[:2]).abs().max() < 0.5 * box[2:].max() + 0.05
    assert whole >= len(scenes)


def test_the_pixel_decoder_learns_to_draw_and_the_language_is_left_alone(make_pixellm, scenes):
    model, processor = make_pixellm()
    objective = DrawingObjective(processor)
    batch = objective.collate(scenes[:1])
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    seen, looked = [], []
    for _ in range(15):
        parts = objective(model.train(), batch)
        seen.append(parts["bce"].item() + parts["dice"].item())
        looked.append(parts["sought"].item())
        optimizer.zero_grad()
        sum(parts.values()).backward()
        optimizer.step()
    assert parts.keys() == objective.weights.keys()
    assert seen[-1] < 0.8 * seen[0]
    assert looked[-1] < 0.95 * looked[0]
    assert all(weight.grad is None for weight in model.language.parameters())
