"""What tests of the reasoner share."""

import pytest


@pytest.fixture
def encoded(tiny):
    """The numbers of frames that the backbone has been given, call by call."""
    calls: list[int] = []
    hook = tiny[0].vision.backbone.register_forward_hook(
        lambda module, given, result: calls.append(len(given[0]))
    )
    yield calls
    hook.remove()
