"""Scenes of 128 px with all masks: at least 400 images/s on one core."""

from results import record, seconds

from deixis.scenes.drawing.render import render
from deixis.scenes.world import WorldKey, draw_world

WORLDS = 400


def main() -> None:
    """Draw worlds and render all their views."""
    images = 0

    def draw() -> None:
        nonlocal images
        for index in range(WORLDS):
            world = draw_world(WorldKey(split="train", task="refer", seed=1, index=index))
            for view in world.views:
                render(view)
                images += 1

    draw()
    images = 0
    (taken,) = seconds(draw, 1)
    record(__file__, "images per second and core", images / taken, ">= 400", images=images)


if __name__ == "__main__":
    main()
