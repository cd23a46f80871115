"""What our runs learn from: scenes, as many of them worn as a stage says."""

from deixis.data.mixture import Draw
from deixis.training.recipes import scene_of


def test_as_many_sets_are_worn_as_the_stage_says_and_always_the_same():
    def pixels(index: int, worn: float) -> bytes:
        draw = Draw(split="train", task="refer", seed=4, index=index, questions=1, worn=worn)
        return scene_of(draw).renderings[0].pixels.tobytes()

    drawn = [pixels(index, 0.0) for index in range(60)]
    changed = [pixels(index, 0.5) for index in range(60)]
    assert changed == [pixels(index, 0.5) for index in range(60)]
    assert 15 <= sum(a != b for a, b in zip(drawn, changed, strict=True)) <= 40
    assert sum(pixels(i, 1.0) != drawn[i] for i in range(60)) >= 40  # some wear too little to see
