"""Published mixtures are read from their data sets, each as often as it is long and repeated."""

import json
import logging
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from deixis.config import load_run
from deixis.data.mixture import Draw
from deixis.errors import DataError
from deixis.models.configs.unipixel_config import unipixel_tiny
from deixis.processing.unipixel import UniPixelProcessor
from deixis.scenes.questions import make_sample
from deixis.training.unipixel.unipixel_data import OPENED, published_workshop
from deixis.training.unipixel.unipixel_recipe import STAGES, published_stage

RUN = Path(__file__).parents[3] / "runs" / "unipixel_paper.yaml"
READERLESS = {
    *("videorefer_short_caption", "videorefer_detailed_caption", "videorefer_qa"),
    *("videorefer_qa_mem", "inst_it_image_short_caption"),
}
SIZE = (30, 40)


@pytest.fixture
def root(tmp_path):
    """ADE20K with one picture of labels."""
    labels = np.zeros(SIZE, np.uint8)
    labels[2:8, 2:8], labels[10:20, 10:20] = 2, 3
    for name, values in (("annotations", labels), ("images", np.full((*SIZE, 3), 90, np.uint8))):
        path = tmp_path / "ade20k" / name / "training"
        path.mkdir(parents=True)
        Image.fromarray(values).save(path / ("a.png" if name == "annotations" else "a.jpg"))
    (tmp_path / "ade20k/ade20k_classes.json").write_text(json.dumps(["wall", "sky", "tree"]))
    return tmp_path


@pytest.fixture(scope="module")
def own():
    return [make_sample("train", "clip", 3, index) for index in range(2)]


def draw(task, index):
    return Draw(split="train", task=task, seed=1, index=index, questions=3)


def test_the_run_file_is_the_published_recipe():
    assert load_run(RUN).stages == tuple(published_stage(name) for name in STAGES)


def test_every_published_data_set_has_a_reader_or_is_known_to_have_none():
    names = {name for stage in STAGES.values() for name in stage.mixture}
    assert names == OPENED.keys() | READERLESS
    assert not OPENED.keys() & READERLESS


def test_sets_are_drawn_as_often_as_they_are_long_and_repeated(root, own):
    mixture = {"whole": {"ade20k": 4, "mine": 3, "videorefer_qa": 5}}
    shop = published_workshop(root, mixtures=mixture, more={"mine": own})
    found = Counter(
        len(shop.scene(draw("whole", index)).samples[0].images) > 1 for index in range(300)
    )
    assert 0.5 < found[True] / 300 < 0.7  # 2 samples three times, of 10


def test_what_is_read_is_taught(root, own):
    shop = published_workshop(root, mixtures={"drawing": {"ade20k": 1, "m": 1}}, more={"m": own})
    config = unipixel_tiny()
    processor = UniPixelProcessor.from_texts(config, [own[0].question.text])
    objective = shop.objectives["drawing"](processor)
    batch = objective.collate([shop.scene(draw("drawing", index)) for index in range(6)])
    assert len(batch.tokens) == 6
    assert sum(masks.shape[1] for masks in batch.truth.masks) > 0


def test_sets_without_a_reader_are_left_out_and_said_or_refused(root, own, caplog):
    mixture = {"whole": {"m": 1, "videorefer_qa": 5}}
    shop = published_workshop(root, mixtures=mixture, more={"m": own})
    with caplog.at_level(logging.WARNING, logger="deixis.training"):
        shop.scene(draw("whole", 0))
        shop.scene(draw("whole", 1))
    assert caplog.messages == ["whole: no reader for videorefer_qa; left out."]
    with pytest.raises(DataError, match="pointing: expected a data set that can be read"):
        published_workshop(root).scene(draw("pointing", 0))
