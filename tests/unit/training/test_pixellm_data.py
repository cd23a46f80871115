"""The published mixture is read from its data sets: names dealt, own words kept, images shared."""

import json
from pathlib import Path
from random import Random

import numpy as np
import pytest
from PIL import Image

from deixis.config import load_run
from deixis.data.mixture import Draw
from deixis.training.pixellm.pixellm_data import OPENED, PublishedObjective, published_workshop
from deixis.training.pixellm.pixellm_recipe import PIXELLM, published_stage

SIZE = (30, 40)
RUN = Path(__file__).parents[3] / "runs" / "pixellm_paper.yaml"


def picture(path: Path, values: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path)


@pytest.fixture
def root(tmp_path):
    """MUSE with two questions about one image, and a picture of labels of each semantic set."""
    box = {"segmentation": [[2, 2, 9, 2, 9, 9, 2, 9]], "category_name": "cup", "bbox": [0, 0, 1, 1]}
    entry = {
        "file_name": "a.jpg", "height": SIZE[0], "width": SIZE[1], "ann_list": [],
        "questions": ["one?", "two?"], "answers": [[box], [box, box]], "text_answers": [None, None],
    }  # fmt: skip
    (tmp_path / "muse").mkdir()
    (tmp_path / "muse/muse_train.json").write_text(json.dumps([entry]))
    labels = np.zeros(SIZE, np.uint8)
    labels[2:8, 2:8], labels[10:20, 10:20] = 2, 3
    grey = np.full((*SIZE, 3), 90, np.uint8)
    picture(tmp_path / "coco/train2014/a.jpg", grey)
    (tmp_path / "ade20k").mkdir()
    (tmp_path / "ade20k/ade20k_classes.json").write_text(json.dumps(["wall", "sky", "tree"]))
    picture(tmp_path / "ade20k/annotations/training/a.png", labels)
    picture(tmp_path / "ade20k/images/training/a.jpg", grey)
    return tmp_path


def draw(task: str, index: int) -> Draw:
    return Draw(split="train", task=task, seed=1, index=index, questions=3)


def test_the_run_file_is_the_published_stage():
    (stage,) = load_run(RUN).stages
    assert stage == published_stage()
    assert {name for names in PIXELLM.sets.values() for name in names} == OPENED.keys()


def test_questions_about_one_image_share_it_and_keep_their_words(root, make_pixellm):
    shop, processor = published_workshop(root), make_pixellm()[1]
    found = [shop.scene(draw("multi_reason_seg", index)) for index in range(8)]
    both = next(one for one in found if len(one.samples) == 2)
    assert both.samples[0].images is both.samples[1].images
    batch = PublishedObjective(processor).collate([both])
    assert len(batch.pixels) == 1
    assert batch.slots.row.tolist() == [0, 1, 1]
    asked = [processor.text(row.tolist(), groups=False) for row in batch.tokens.clamp(min=0)]
    assert all(word in text for word, text in zip(("one?", "two?"), asked, strict=True))
    assert all("segmentation mask." in text for text in asked)


def test_classes_are_dealt_to_questions_by_name(root, make_pixellm):
    processor = make_pixellm()[1]
    data = published_workshop(root).scene
    only_ade = PIXELLM.sets["sem_seg"].index("ade20k")
    index = next(i for i in range(99) if _set_of(i) == only_ade)
    batch = PublishedObjective(processor).collate([data(draw("sem_seg", index))])
    areas = sorted(int(mask.sum()) for mask in batch.truth.masks)
    assert areas == [36, 100]
    assert batch.slots.row.tolist() == [0, 1]  # each question gets one name first


def _set_of(index: int) -> int:
    """Which data set of its kind a draw takes."""
    names = PIXELLM.sets["sem_seg"]
    return names.index(Random(f"sem_seg/1/{index}/0").choice(names))
