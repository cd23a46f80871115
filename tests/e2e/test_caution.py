"""The shipped model knows what it does not know: photographs and pages, but not its own scenes."""

import io
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from deixis.scenes.questions import TASKS, make_sample
from deixis.structures.images import Frame, ImageSet
from deixis.structures.opening import open_images
from deixis.structures.samples import Question, Sample

ROOT = Path(__file__).parents[2]
PHOTOS = Path(os.environ.get("DEIXIS_PHOTOS", ROOT.parent / "shared" / "photos"))
SPLITS = ("train", "val", "test")
IMAGES = 45  # of each task and split


@pytest.fixture(scope="module")
def model():
    """The shipped model and its processor."""
    from deixis.models.released import open_model

    return open_model("deixis-tiny")


def strange(model, pictures: list[np.ndarray]) -> list[bool]:
    """Say of each picture whether it would set a caution."""
    from deixis.reasoning.familiarity import strange_frames

    found: list[bool] = []
    for pixels in pictures:
        images = ImageSet.pictures([Frame.from_array(np.array(pixels))])
        batch = model.processor.encode([Sample(images=images, question=Question(text="what?"))])
        found += strange_frames(batch, model.model).tolist()
    return found


def copies(picture: Image.Image) -> dict[str, Image.Image]:
    """Return crops of a photograph, and smaller and larger copies of it and of its middle."""
    width, height = picture.size
    side = min(width, height)
    left, top = (width - side) // 2, (height - side) // 2
    square = picture.crop((left, top, left + side, top + side))
    found = {"whole": picture, "square": square}
    for x in (0, width // 2):
        for y in (0, height // 2):
            found[f"quarter {x},{y}"] = picture.crop((x, y, x + width // 2, y + height // 2))
    for name, one in (("whole", picture), ("square", square)):
        for long in (400, 128, 64):
            shape = (max(1, long * one.width // one.height), long)
            found[f"{name} {long}"] = one.resize(shape)
            found[f"{name} {long} enlarged"] = found[f"{name} {long}"].resize((800, 800))
    return found


@pytest.mark.parametrize(
    "name", ["camera_lens", "car_speed", "dog_with_horn", "stand_higher", "wash_hands"]
)
def test_every_crop_and_copy_of_a_photograph_is_strange(model, name):
    path = PHOTOS / f"{name}.jpg"
    if not path.is_file():
        pytest.skip(f"{path} is not here")
    (frame,) = open_images([path])
    shown = copies(Image.fromarray(frame.reduced(1200)))
    found = strange(model, [np.asarray(one) for one in shown.values()])
    assert [key for key, flag in zip(shown, found, strict=True) if not flag] == []


def test_pages_noise_and_flat_colours_are_strange(model):
    random = np.random.default_rng(0)
    marks = np.where(random.random((200, 300, 1)) < 0.2, 20, 250).repeat(3, 2)
    marks[::12] = marks[1::12] = 250
    ramp = np.linspace(0, 255, 200).astype(int)[:, None, None].repeat(200, 1).repeat(3, 2)
    pictures = [
        *(np.full((90, 128, 3), tone) for tone in (0, 40, 128, 255)),
        np.full((128, 128, 3), (200, 30, 40)),
        random.integers(0, 256, (128, 128, 3)),
        random.integers(0, 256, (300, 300, 1)).repeat(3, 2),
        marks,
        ramp,
    ]
    assert all(strange(model, [one.astype(np.uint8) for one in pictures]))


def scenes(task: str, split: str, count: int) -> list[np.ndarray]:
    """Return the first frames of so many scenes."""
    pictures: list[np.ndarray] = []
    index = 0
    while len(pictures) < count:
        images = make_sample(split, task, 31, index).images
        pictures += [images[span.start].pixels for span in images.spans]
        index += 1
    return pictures[:count]


@pytest.mark.parametrize("split", SPLITS)
def test_of_our_scenes_at_most_one_in_a_hundred_is_strange(model, split):
    tasks = [task for task in TASKS if (task, split) != ("compose", "train")]
    found = {task: strange(model, scenes(task, split, IMAGES)) for task in tasks}
    assert sum(map(sum, found.values())) <= 0.01 * IMAGES * len(tasks), found


def compressed(picture: Image.Image) -> Image.Image:
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=30)
    return Image.open(file).convert("RGB")


def grained(picture: Image.Image) -> Image.Image:
    grain = np.random.default_rng(0).normal(0, 10, (picture.height, picture.width, 3))
    return Image.fromarray((np.asarray(picture) + grain).round().clip(0, 255).astype(np.uint8))


WORN = {
    "compressed": compressed,
    "blurred": lambda picture: picture.filter(ImageFilter.GaussianBlur(1)),
    "noisy": grained,
    "half": lambda picture: picture.resize((picture.width // 2, picture.height // 2)),
    "double": lambda picture: picture.resize((picture.width * 2, picture.height * 2)),
    "darker": lambda picture: picture.point(lambda tone: tone * 0.6),
    "brighter": lambda picture: picture.point(lambda tone: min(255, tone * 1.4)),
}


@pytest.mark.parametrize("name", WORN)
def test_of_scenes_that_are_worn_at_most_one_in_twenty_is_strange(model, name):
    pictures = [p for task in TASKS for p in scenes(task, "test", 15)]
    worn = [np.asarray(WORN[name](Image.fromarray(p))) for p in pictures]
    assert sum(strange(model, worn)) <= 0.05 * len(pictures)
