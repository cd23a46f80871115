"""Pictures in files, for the tests of opening."""

import io

import numpy as np
from PIL import Image

GREYS = [Image.new("RGB", (6, 4), (v, v, v)) for v in (10, 90, 170)]


def encoded(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def noise(kind, **options):
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (60, 80, 3), np.uint8)
    return encoded(Image.fromarray(pixels), kind, **options)
