"""What each category looks like: polygons for its parts, and the map that they paint.

Shapes are drawn in any unit, x to the right and y down, in the order of painting; they are
centred and scaled so that the longer side of a shape measures 1.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from math import cos, pi, sin

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from deixis.scenes.catalogue import BY_NAME
from deixis.scenes.things import Placed

Polygon = list[tuple[float, float]]

OUTLINE = 64  # added to the code of a pixel on the outline of a polygon
CODES = 64  # a code is 8 * (1 + place in the view) + layer; below 8 is background
MOST_THINGS = 7


@dataclass(frozen=True, slots=True)
class Layer:
    """Polygons of one part that share a shade: a factor of the part's own colour."""

    part: str
    shade: float
    polygons: tuple[Polygon, ...]


def _box(x0: float, y0: float, x1: float, y1: float) -> Polygon:
    return [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]


def _oval(x: float, y: float, rx: float, ry: float | None = None) -> Polygon:
    ry = rx if ry is None else ry
    turns = [2 * pi * i / 20 for i in range(20)]
    return [(x + rx * cos(turn), y + ry * sin(turn)) for turn in turns]


def _band(x: float, y: float, radius: float, width: float, start: float, stop: float) -> Polygon:
    """Return a bent strip around (x, y); angles in degrees, clockwise from the right."""
    steps = max(6, int((stop - start) / 20))
    turns = [(start + (stop - start) * i / steps) * pi / 180 for i in range(steps + 1)]
    outer = [(x + radius * cos(turn), y + radius * sin(turn)) for turn in turns]
    inner = radius - width
    return outer + [(x + inner * cos(turn), y + inner * sin(turn)) for turn in reversed(turns)]


def _petals(x: float, y: float) -> tuple[Polygon, ...]:
    turns = [2 * pi * i / 6 for i in range(6)]
    return tuple(_oval(x + 0.19 * cos(turn), y + 0.19 * sin(turn), 0.13) for turn in turns)


SHAPES: dict[str, tuple[Layer, ...]] = {
    "mug": (
        Layer("leg", 0.66, (_box(-0.36, 0.36, -0.22, 0.62), _box(0.0, 0.36, 0.14, 0.62))),
        Layer("tail", 0.74, ([(-0.4, 0.08), (-0.4, 0.26), (-0.76, 0.4), (-0.78, 0.14)],)),
        Layer("handle", 0.8, (_band(0.18, 0.02, 0.29, 0.12, -90, 90),)),
        Layer("body", 1.0, ([(-0.44, -0.4), (0.22, -0.4), (0.18, 0.42), (-0.4, 0.42)],)),
        Layer("body", 0.72, (_oval(-0.11, -0.38, 0.33, 0.07),)),
        Layer("window", 0.74, (_box(-0.3, -0.2, -0.06, 0.04),)),
        Layer("door", 0.64, (_box(-0.1, 0.04, 0.12, 0.42),)),
        Layer("wheel", 0.6, (_oval(-0.3, 0.46, 0.14), _oval(0.1, 0.46, 0.14))),
    ),
    "teapot": (
        Layer("leg", 0.66, (_box(-0.24, 0.22, -0.1, 0.48), _box(0.1, 0.22, 0.24, 0.48))),
        Layer("handle", 0.8, (_band(-0.24, 0.06, 0.26, 0.1, 90, 270),)),
        Layer(
            "spout",
            0.86,
            ([(0.18, 0.24), (0.2, 0.0), (0.36, -0.08), (0.4, -0.28), (0.58, -0.28), (0.46, 0.1)],),
        ),
        Layer("body", 1.0, (_oval(0, -0.26, 0.09), _oval(0, 0.06, 0.32, 0.28))),
        Layer("body", 0.74, (_oval(0, -0.17, 0.19, 0.06),)),
        Layer("window", 0.7, (_box(-0.12, 0.0, 0.12, 0.2),)),
        Layer("wheel", 0.6, (_oval(-0.17, 0.34, 0.12), _oval(0.17, 0.34, 0.12))),
    ),
    "car": (
        Layer("tail", 0.72, ([(-0.26, -0.08), (-0.46, -0.4), (-0.7, -0.36), (-0.46, 0.08)],)),
        Layer(
            "body",
            1.0,
            (
                [
                    *((-0.5, 0.2), (-0.5, -0.02), (-0.34, -0.06), (-0.22, -0.36)),
                    *((0.16, -0.36), (0.32, -0.05), (0.48, 0.0), (0.5, 0.2)),
                ],
            ),
        ),
        Layer(
            "window",
            0.7,
            (
                [(-0.26, -0.05), (-0.17, -0.29), (-0.04, -0.29), (-0.04, -0.05)],
                [(0.02, -0.05), (0.02, -0.29), (0.13, -0.29), (0.24, -0.05)],
            ),
        ),
        Layer("wheel", 0.6, (_oval(-0.27, 0.2, 0.15), _oval(0.27, 0.2, 0.15))),
    ),
    "boat": (
        Layer(
            "sail",
            0.86,
            (
                [(0.0, -0.5), (0.0, 0.1), (0.38, 0.1)],
                [(-0.06, -0.36), (-0.06, 0.1), (-0.36, 0.1)],
            ),
        ),
        Layer("leg", 0.68, (_box(-0.28, 0.4, -0.15, 0.68), _box(0.12, 0.4, 0.25, 0.68))),
        Layer("tail", 0.76, ([(-0.42, 0.16), (-0.36, 0.34), (-0.74, 0.36), (-0.8, 0.1)],)),
        Layer("body", 1.0, ([(-0.5, 0.14), (0.5, 0.14), (0.3, 0.44), (-0.34, 0.44)],)),
        Layer("wheel", 0.6, (_oval(-0.22, 0.47, 0.13), _oval(0.2, 0.47, 0.13))),
        Layer("window", 0.72, (_box(-0.28, 0.2, -0.1, 0.36), _box(0.06, 0.2, 0.24, 0.36))),
    ),
    "house": (
        Layer("leg", 0.7, (_box(-0.34, 0.44, -0.2, 0.72), _box(0.2, 0.44, 0.34, 0.72))),
        Layer("tail", 0.72, ([(0.34, 0.1), (0.34, 0.3), (0.72, 0.3), (0.68, 0.02)],)),
        Layer("wall", 1.0, (_box(-0.38, -0.08, 0.38, 0.48),)),
        Layer("window", 0.78, (_box(0.08, 0.06, 0.3, 0.3),)),
        Layer("door", 0.62, (_box(-0.26, 0.08, -0.04, 0.48),)),
        Layer("wheel", 0.6, (_oval(-0.26, 0.52, 0.14), _oval(0.26, 0.52, 0.14))),
        Layer("roof", 0.82, ([(-0.5, -0.06), (0.0, -0.5), (0.5, -0.06)],)),
    ),
    "tree": (
        Layer("tail", 0.8, ([(0.06, 0.22), (0.06, 0.4), (0.4, 0.52), (0.46, 0.28)],)),
        Layer("trunk", 0.66, (_box(-0.1, 0.1, 0.1, 0.5),)),
        Layer("wheel", 0.6, (_oval(-0.17, 0.48, 0.13), _oval(0.17, 0.48, 0.13))),
        Layer(
            "top",
            1.0,
            (_oval(-0.2, 0.0, 0.21, 0.2), _oval(0.2, 0.0, 0.21, 0.2), _oval(0, -0.2, 0.3)),
        ),
        Layer("window", 0.72, (_box(-0.12, -0.38, 0.12, -0.14),)),
        Layer("door", 0.6, (_box(0.1, -0.12, 0.28, 0.18),)),
    ),
    "lamp": (
        Layer("tail", 0.74, ([(0.02, 0.1), (0.02, 0.26), (0.36, 0.3), (0.4, 0.06)],)),
        Layer("stem", 0.66, (_box(-0.06, -0.1, 0.06, 0.4),)),
        Layer("base", 0.82, (_oval(0, 0.42, 0.26, 0.1),)),
        Layer("wheel", 0.6, (_oval(-0.2, 0.52, 0.12), _oval(0.2, 0.52, 0.12))),
        Layer("shade", 1.0, ([(-0.2, -0.5), (0.2, -0.5), (0.37, -0.06), (-0.37, -0.06)],)),
        Layer("window", 0.72, (_box(-0.17, -0.42, 0.03, -0.24),)),
        Layer("door", 0.62, (_box(0.05, -0.3, 0.22, -0.06),)),
    ),
    "chair": (
        Layer("leg", 0.66, (_box(-0.34, 0.1, -0.21, 0.5), _box(0.24, 0.1, 0.37, 0.5))),
        Layer("tail", 0.74, ([(0.34, 0.0), (0.34, 0.16), (0.66, -0.06), (0.6, -0.28)],)),
        Layer("back", 0.82, ([(-0.42, -0.5), (-0.26, -0.5), (-0.2, 0.06), (-0.36, 0.06)],)),
        Layer("seat", 1.0, (_box(-0.38, 0.0, 0.4, 0.17),)),
        Layer("wheel", 0.6, (_oval(-0.275, 0.52, 0.12), _oval(0.305, 0.52, 0.12))),
    ),
    "table": (
        Layer("leg", 0.74, (_box(-0.42, -0.1, -0.29, 0.36), _box(0.29, -0.1, 0.42, 0.36))),
        Layer("tail", 0.78, ([(0.42, -0.26), (0.42, -0.1), (0.76, 0.06), (0.8, -0.18)],)),
        Layer("wheel", 0.6, (_oval(-0.355, 0.36, 0.11), _oval(0.355, 0.36, 0.11))),
        Layer("top", 1.0, ([(-0.38, -0.32), (0.38, -0.32), (0.5, -0.08), (-0.5, -0.08)],)),
    ),
    "fish": (
        Layer("fin", 0.72, ([(-0.12, -0.12), (0.02, -0.42), (0.26, -0.12)],)),
        Layer("tail", 0.82, ([(-0.2, 0), (-0.5, -0.26), (-0.42, 0), (-0.5, 0.26)],)),
        Layer("leg", 0.68, (_box(-0.06, 0.16, 0.06, 0.46), _box(0.16, 0.16, 0.28, 0.46))),
        Layer("body", 1.0, (_oval(0.1, 0.02, 0.36, 0.22),)),
        Layer("body", 0.4, (_oval(0.3, -0.04, 0.045),)),
        Layer("window", 0.72, (_box(-0.06, -0.08, 0.14, 0.1),)),
        Layer("wheel", 0.6, (_oval(-0.04, 0.24, 0.11), _oval(0.24, 0.24, 0.11))),
    ),
    "bird": (
        Layer("leg", 0.66, (_box(-0.14, 0.22, -0.02, 0.52), _box(0.08, 0.22, 0.2, 0.52))),
        Layer("tail", 0.72, ([(-0.16, -0.02), (-0.52, -0.02), (-0.5, 0.22), (-0.14, 0.2)],)),
        Layer("beak", 0.7, ([(0.28, -0.3), (0.6, -0.12), (0.28, 0.0)],)),
        Layer("body", 1.0, (_oval(0, 0.1, 0.3, 0.2), _oval(0.21, -0.14, 0.16))),
        Layer("body", 0.4, (_oval(0.25, -0.18, 0.04),)),
        Layer("wing", 0.82, ([(-0.16, 0.12), (-0.4, -0.42), (-0.16, -0.4), (0.12, 0.08)],)),
        Layer("window", 0.74, (_box(0.0, 0.08, 0.18, 0.24),)),
        Layer("wheel", 0.6, (_oval(-0.12, 0.3, 0.11), _oval(0.14, 0.3, 0.11))),
    ),
    "hammer": (
        Layer("tail", 0.7, ([(0.04, 0.26), (0.04, 0.44), (0.38, 0.5), (0.42, 0.24)],)),
        Layer("handle", 0.76, (_box(-0.08, -0.3, 0.08, 0.5),)),
        Layer(
            "head",
            1.0,
            ([(-0.32, -0.5), (0.16, -0.5), (0.4, -0.28), (0.16, -0.22), (-0.32, -0.22)],),
        ),
        Layer("window", 0.7, (_box(-0.26, -0.45, -0.06, -0.27),)),
    ),
    "key": (
        Layer(
            "blade",
            0.78,
            (
                [
                    *((-0.1, -0.07), (0.5, -0.07), (0.5, 0.2), (0.4, 0.2), (0.4, 0.07)),
                    *((0.32, 0.07), (0.32, 0.18), (0.22, 0.18), (0.22, 0.07), (-0.1, 0.07)),
                ],
            ),
        ),
        Layer("tail", 0.7, ([(-0.4, 0.1), (-0.28, 0.16), (-0.34, 0.56), (-0.56, 0.52)],)),
        Layer("head", 1.0, (_band(-0.28, 0, 0.24, 0.13, 0, 360),)),
        Layer("wheel", 0.6, (_oval(0.06, 0.16, 0.12), _oval(0.38, 0.24, 0.12))),
    ),
    "umbrella": (
        Layer(
            "handle",
            0.7,
            (_box(-0.05, -0.06, 0.05, 0.36), _band(0.11, 0.35, 0.16, 0.1, 0, 180)),
        ),
        Layer("tail", 0.76, ([(-0.4, -0.1), (-0.24, -0.04), (-0.38, 0.36), (-0.6, 0.28)],)),
        Layer("top", 1.0, ([*_band(0, 0, 0.5, 0.5, 180, 360)],)),
        Layer("window", 0.72, (_box(-0.34, -0.24, -0.16, -0.07), _box(0.16, -0.24, 0.34, -0.07))),
        Layer("door", 0.62, (_box(-0.1, -0.32, 0.1, 0.0),)),
    ),
    "flower": (
        Layer("stem", 0.7, (_box(-0.055, -0.1, 0.055, 0.5),)),
        Layer("tail", 0.76, ([(-0.02, 0.3), (-0.02, 0.46), (-0.36, 0.56), (-0.4, 0.3)],)),
        Layer("leaf", 0.84, ([(0.03, 0.4), (0.12, 0.16), (0.4, 0.06), (0.32, 0.32)],)),
        Layer("petal", 1.0, _petals(0, -0.2)),
        Layer("petal", 0.66, (_oval(0, -0.2, 0.1),)),
    ),
    "kite": (
        Layer(
            "tail",
            0.7,
            (
                [(-0.04, 0.14), (0.06, 0.14), (0.04, 0.5), (-0.06, 0.5)],
                [(-0.2, 0.22), (-0.2, 0.38), (0.18, 0.22), (0.18, 0.38)],
            ),
        ),
        Layer("leg", 0.66, (_box(-0.25, -0.1, -0.13, 0.18), _box(0.13, -0.1, 0.25, 0.18))),
        Layer("body", 1.0, ([(0, -0.5), (0.32, -0.16), (0, 0.2), (-0.32, -0.16)],)),
        Layer("body", 0.8, ([(0, -0.5), (0.32, -0.16), (0, -0.16)],)),
        Layer("window", 0.7, (_box(-0.18, -0.24, 0.0, -0.06),)),
    ),
    "wagon": (
        Layer(
            "handle",
            0.76,
            (
                [(-0.26, 0.1), (-0.56, -0.3), (-0.48, -0.36), (-0.2, 0.02)],
                [(-0.64, -0.28), (-0.42, -0.42), (-0.38, -0.34), (-0.6, -0.2)],
            ),
        ),
        Layer("tail", 0.74, ([(0.36, -0.16), (0.36, 0.04), (0.72, -0.1), (0.68, -0.34)],)),
        Layer("body", 1.0, ([(-0.34, -0.22), (0.44, -0.22), (0.38, 0.16), (-0.28, 0.16)],)),
        Layer("window", 0.76, (_box(-0.26, -0.17, -0.1, 0.0), _box(0.2, -0.17, 0.36, 0.0))),
        Layer("door", 0.64, (_box(-0.05, -0.12, 0.13, 0.16),)),
        Layer("wheel", 0.6, (_oval(-0.14, 0.2, 0.14), _oval(0.24, 0.2, 0.14))),
    ),
    "guitar": (
        Layer("leg", 0.66, (_box(-0.2, 0.4, -0.08, 0.7), _box(0.08, 0.4, 0.2, 0.7))),
        Layer("tail", 0.78, ([(0.18, 0.26), (0.18, 0.42), (0.52, 0.5), (0.56, 0.24)],)),
        Layer("neck", 0.7, (_box(-0.08, -0.36, 0.08, 0.06),)),
        Layer("head", 0.84, ([(-0.14, -0.54), (0.14, -0.54), (0.1, -0.32), (-0.1, -0.32)],)),
        Layer("body", 1.0, (_oval(0, 0.06, 0.18, 0.15), _oval(0, 0.28, 0.25, 0.21))),
        Layer("body", 0.5, (_oval(0, 0.2, 0.075),)),
        Layer("wheel", 0.6, (_oval(-0.15, 0.46, 0.12), _oval(0.15, 0.46, 0.12))),
    ),
}


@dataclass(frozen=True, slots=True)
class Shape:
    """A category ready to paint: all vertices (N, 2), and where each polygon of which layer is."""

    layers: tuple[Layer, ...]
    vertices: NDArray[np.float64]
    pieces: tuple[tuple[int, int, int], ...]  # layer, first vertex, last vertex + 1
    reach: float  # from the centre to the farthest vertex
    area: float  # of the silhouette, where the longer side is 1


@cache
def shape_of(category: str, parts: tuple[str, ...]) -> Shape:
    """Return the shape of a category with these parts, centred, its longer side 1."""
    layers = tuple(layer for layer in SHAPES[category] if layer.part in parts)
    frame = np.array(
        [
            vertex
            for layer in SHAPES[category]
            if layer.part in BY_NAME[category].parts
            for polygon in layer.polygons
            for vertex in polygon
        ]
    )
    low, high = frame.min(0), frame.max(0)
    pieces: list[tuple[int, int, int]] = []
    vertices: Polygon = []
    for place, layer in enumerate(layers):
        for polygon in layer.polygons:
            pieces.append((place, len(vertices), len(vertices) + len(polygon)))
            vertices.extend(polygon)
    points = (np.array(vertices) - (low + high) / 2) / (high - low).max()
    canvas = Image.new("L", (400, 400))
    for _, start, stop in pieces:
        ImageDraw.Draw(canvas).polygon((points[start:stop] * 200 + 200).ravel().tolist(), fill=1)
    area = float(np.asarray(canvas).sum()) / 200**2
    reach = float(np.hypot(*points.T).max())
    return Shape(layers, points, tuple(pieces), reach, area)


def paint(placed: Sequence[Placed], height: int, width: int) -> NDArray[np.uint8]:
    """Return the code of what each pixel shows, later things over earlier ones (H, W)."""
    assert len(placed) <= MOST_THINGS
    canvas = Image.new("L", (width, height))
    draw = ImageDraw.Draw(canvas)
    for place, item in enumerate(placed):
        shape = shape_of(item.thing.category, item.thing.parts)
        turn = np.array([[cos(item.tilt), sin(item.tilt)], [-sin(item.tilt), cos(item.tilt)]])
        if item.mirrored:
            turn = np.array([[-1.0], [1.0]]) * turn
        points = shape.vertices @ (turn * item.size) + (item.x, item.y)
        flat = np.floor(points).ravel().tolist()  # the pixels that hold the corners
        for layer, start, stop in shape.pieces:
            code = 8 * (place + 1) + layer
            draw.polygon(flat[2 * start : 2 * stop], fill=code, outline=code + OUTLINE)
    return np.array(canvas)
