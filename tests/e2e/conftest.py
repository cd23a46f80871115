"""A small untrained model that the commands can open, a picture and a clip."""

from pathlib import Path

import pytest
from PIL import Image

from deixis.scenes.questions import make_sample


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory) -> Path:
    """The folder of an untrained `deixis_tiny`."""
    import torch

    from deixis.models.configs.deixis_config import deixis_tiny
    from deixis.models.deixis import DeixisModel
    from deixis.processing.deixis import DeixisProcessor

    folder = tmp_path_factory.mktemp("tiny")
    samples = [make_sample("train", task, 0, i) for task in ("refer", "multi") for i in range(20)]
    texts = [text for s in samples for text in (s.question.text, s.answer.text)]
    torch.manual_seed(0)
    config = deixis_tiny()
    processor = DeixisProcessor.from_texts(config, texts)
    DeixisModel(config).save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def picture(tmp_path_factory) -> Path:
    """A picture of a scene, 128 px."""
    path = tmp_path_factory.mktemp("picture") / "scene.png"
    Image.fromarray(make_sample("test", "refer", 3, 0).images[0].pixels).save(path)
    return path


@pytest.fixture(scope="session")
def clip(tmp_path_factory) -> Path:
    """A GIF of a clip of a scene."""
    path = tmp_path_factory.mktemp("clip") / "clip.gif"
    frames = [Image.fromarray(f.pixels) for f in make_sample("test", "clip", 3, 0).images]
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=100)
    return path
