"""Writes scenes as every data set in its published layout, and says what reading must give."""

from pathlib import Path

from scene_clips import write_expressions, write_moving, write_regions, write_words
from scene_pictures import write_captions, write_classes, write_questions, write_referring
from scene_shows import Truth

WRITERS = (
    *(write_referring, write_questions, write_captions, write_classes),
    *(write_expressions, write_moving, write_regions, write_words),
)


def write_scenes(root: Path) -> dict[str, Truth]:
    """Write every data set; return by name (behind a "/" its split) what its samples show."""
    return {name: truth for write in WRITERS for name, truth in write(root).items()}
