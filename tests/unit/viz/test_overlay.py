"""Overlays: the right pixels change colour, the legend links words to them, sizes are sane."""

import numpy as np
import pytest
from PIL import Image

from deixis.structures.answers import GroundedAnswer, Target
from deixis.structures.images import Frame, ImageSet
from deixis.structures.masks import Mask
from deixis.structures.prompts import Box, Point, Region
from deixis.structures.samples import Question, Sample
from deixis.viz.overlay import card, colours_of, contact_sheet, overlay, overlay_frames
from deixis.viz.painting import FILL, PALETTE

GREY = np.full((40, 60, 3), 128, np.uint8)


def square(x: int, y: int, side: int = 10) -> Mask:
    pixels = np.zeros(GREY.shape[:2], dtype=bool)
    pixels[y : y + side, x : x + side] = True
    return Mask(pixels)


def answer(*masks: dict[int, Mask], ids: tuple[int | None, ...] = ()) -> GroundedAnswer:
    text = " ".join(f"thing{i}" for i in range(len(masks)))
    spans = tuple((7 * i, 7 * i + 6) for i in range(len(masks)))
    names = ids or (None,) * len(masks)
    targets = tuple(
        Target(phrase=text[a:b], masks=m, object_id=k)
        for (a, b), m, k in zip(spans, masks, names, strict=True)
    )
    return GroundedAnswer(text=text or "Nothing.", targets=targets, spans=spans)


def pictures(count: int = 1) -> ImageSet:
    return ImageSet.pictures([Frame.from_array(GREY) for _ in range(count)])


def clip(count: int) -> ImageSet:
    return ImageSet.clip([Frame.from_array(GREY)] * count, [k / 8 for k in range(count)])


def test_the_pixels_of_a_target_take_its_colour_and_all_others_do_not():
    found = answer({0: square(30, 10)})
    (shown,) = overlay(pictures(), found)
    assert isinstance(shown, Image.Image)
    scale = 384 / 60
    inside = np.array(shown.getpixel((12 + int(37 * scale), 12 + int(16 * scale))))
    outside = np.array(shown.getpixel((12 + int(10 * scale), 12 + int(30 * scale))))
    expected = FILL * np.array(colours_of(found)[0]) + (1 - FILL) * 128
    assert np.abs(inside - expected).max() <= 2
    assert np.ptp(outside) == 0  # still grey


def test_two_targets_of_one_answer_never_share_a_colour():
    many = answer(*[{0: square(i, i)} for i in range(5)], ids=(1, 13, 2, None, None))
    assert len(set(colours_of(many))) == 5


def test_an_object_keeps_its_colour_in_another_answer():
    first = answer({0: square(1, 1)}, {0: square(9, 9)}, ids=(1, 2))
    later = answer({0: square(9, 9)}, ids=(2,))
    assert colours_of(later)[0] == colours_of(first)[1] == PALETTE[1]


def test_the_legend_shows_the_colour_of_every_phrase():
    two = answer({0: square(5, 5)}, {0: square(30, 20)})
    (shown,) = overlay(pictures(), two)
    below = np.asarray(shown)[12 + 256 + 4 :].reshape(-1, 3)
    for colour in colours_of(two):
        assert (below == colour).all(1).sum() > 100


def test_a_clip_gives_one_picture_per_frame_and_pictures_keep_their_order():
    images = ImageSet.join([pictures(), clip(3)])
    first, second = overlay(images, answer({0: square(1, 1), 2: square(20, 20)}))
    assert isinstance(first, Image.Image)
    assert isinstance(second, list)
    assert len(second) == 3
    assert second[1].tobytes() != second[0].tobytes()
    assert second[0].tobytes() == second[2].tobytes()


@pytest.mark.parametrize(("size", "long"), [((1, 1), 384), ((2, 3000), 1600), ((700, 20), 700)])
def test_small_pictures_are_enlarged_and_large_ones_reduced(size, long):
    images = ImageSet.pictures([Frame.from_array(np.zeros((*size, 3), np.uint8))])
    covered = GroundedAnswer(
        text="it",
        targets=(Target(phrase="it", masks={0: Mask(np.ones(size, dtype=bool))}),),
        spans=((0, 2),),
    )
    (shown,) = overlay(images, covered)
    assert long <= max(shown.size) <= long + 200


def test_every_kind_of_prompt_is_drawn_where_it_points():
    plain = next(overlay_frames(pictures(), 0, answer()))
    for prompt in (
        Point(image=0, x=30, y=20),
        Box(image=0, x0=20, y0=10, x1=40, y1=30),
        Region(image=0, mask=square(25, 15)),
    ):
        drawn = next(overlay_frames(pictures(), 0, answer(), [prompt]))
        changed = np.argwhere((np.asarray(drawn) != np.asarray(plain)).any(2))
        assert len(changed)
        assert np.abs(changed.mean(0) - (12 + 20 * 6.4, 12 + 30 * 6.4)).max() < 8


def test_absent_targets_and_cautions_get_their_own_lines():
    bare = GroundedAnswer(text="There is no kite.")
    full = GroundedAnswer(
        text="There is no kite.",
        absent=(Target(phrase="kite", masks={}),),
        caution="the pictures are unfamiliar",
    )
    (short,), (tall,) = overlay(pictures(), bare), overlay(pictures(), full)
    assert tall.height > short.height + 30


def test_a_very_long_answer_does_not_make_a_very_tall_picture():
    (shown,) = overlay(pictures(), GroundedAnswer(text="word " * 4000 + "x" * 4000))
    assert shown.height < 700


def test_a_card_shows_all_images_and_the_frame_that_was_asked_about():
    images = ImageSet.join([pictures(2), clip(20)])
    question = Question(text="Which?", prompts=(Point(image=9, x=3, y=3),))
    found = answer({0: square(5, 5), 9: square(5, 5)})
    shown = card(Sample(images=images, question=question), found)
    assert shown.width == 640 + 24
    assert shown.height > 300


def test_a_contact_sheet_has_as_many_columns_as_asked():
    sample = Sample(images=pictures(), question=Question(text="Where?"))
    found = answer({0: square(5, 5)})
    one = contact_sheet([sample] * 5, [found] * 5, columns=1, width=200)
    three = contact_sheet([sample] * 5, [found] * 5, columns=3, width=200)
    assert three.width > 2.9 * (one.width - 20)
    assert one.height > 2.3 * three.height
