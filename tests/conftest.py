"""One small model for all rooms, every weight random; whoever changes it makes their own."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest

SEED = 4
TASKS = ("refer", "many", "multi", "absent", "region", "clip", "pixelqa", "plain")


@pytest.fixture(scope="session")
def scene_samples() -> list[Any]:
    """One question of every task, with its true answer."""
    from deixis.scenes.questions import make_sample

    return [make_sample("val", task, 5, index) for index in range(3) for task in TASKS]


@pytest.fixture(scope="session")
def make_tiny(scene_samples: Sequence[Any]) -> Callable[..., tuple[Any, Any]]:
    """Return a maker of (model, processor) with changes to the config, the same weights each time.

    Random weights say little: their layers are made stronger, so that words differ; votes stay
    near, so that some gather to objects; and the first token of a group is louder, so that some
    rows point and others do not.
    """
    import torch

    from deixis.models.deixis import DeixisModel, deixis_tiny
    from deixis.processing.deixis import DeixisProcessor

    texts = [text for s in scene_samples for text in (s.question.text.lower(), s.answer.text)]

    def make(**changes: Any) -> tuple[Any, Any]:
        config = deixis_tiny()
        config.most_answer = 12
        for name, value in changes.items():
            setattr(config, name, value)
        processor = DeixisProcessor.from_texts(config, texts)
        with torch.random.fork_rng(), torch.no_grad():
            torch.manual_seed(SEED)
            model = DeixisModel(config)
            torch.manual_seed(SEED)
            for name, weight in model.named_parameters():
                if ".layers." in name and weight.dim() == 2:
                    weight.normal_(std=2 * weight.shape[1] ** -0.5)
                else:
                    weight.add_(0.1 * torch.randn_like(weight))
            torch.manual_seed(SEED)  # what is seen must not hang on how many weights others have
            for name, buffer in model.vision.named_buffers():
                if buffer.dim():
                    buffer.uniform_(0.5, 1.5) if "var" in name else buffer.normal_(std=0.2)
            for weight in (model.vision.heads.out.weight, model.vision.heads.out.bias):
                weight[-(2 + config.identity_width) : -config.identity_width] *= 0.05
            model.speech.embeddings.weight[config.group_token] *= 10
            model.speech.whole.bias.fill_(0.3)
        return model.eval(), processor

    return make


@pytest.fixture(scope="session")
def tiny(make_tiny: Callable[..., tuple[Any, Any]]) -> tuple[Any, Any]:
    """Return the shared (model, processor)."""
    return make_tiny()


@pytest.fixture
def reasoner(tiny: tuple[Any, Any]) -> Any:
    """Return a reasoner of one's own around the shared model."""
    from deixis.reasoning.reasoner import Reasoner

    return Reasoner(*tiny, name="tiny")
