"""Pictures and videos that the tests of the nouns open."""

from pathlib import Path

import numpy as np
import pytest


@pytest.fixture
def write_video(tmp_path):
    """Write a video whose frame i is of one grey, i * step."""

    def write(name, *, frames=30, step=8, codec="libx264", size=(48, 64), options=None) -> Path:
        import av

        path = tmp_path / name
        with av.open(str(path), "w") as container:
            stream = container.add_stream(codec, rate=10)
            stream.height, stream.width = size
            stream.pix_fmt, stream.options = "yuv420p", options or {"g": "12"}
            for i in range(frames):
                grey = np.full((*size, 3), i * step, dtype=np.uint8)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(grey, format="rgb24")))
            container.mux(stream.encode())
        return path

    return write


@pytest.fixture
def corner_picture():
    """RGB (20, 32, 3): red in the left upper corner, else grey; no turn leaves it as it is."""
    pixels = np.full((20, 32, 3), 120, dtype=np.uint8)
    pixels[:8, :12] = (200, 20, 20)
    return pixels
