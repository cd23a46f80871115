"""ObjectMemory: ids and names over the turns of a conversation."""

import numpy as np
import pytest

from deixis.errors import DataError
from deixis.reasoning.memory import ObjectMemory
from deixis.structures.answers import GroundedAnswer, Target
from deixis.structures.images import Frame, ImageSet
from deixis.structures.masks import Mask
from deixis.structures.prompts import Box, Point, Region


def mask(x0, y0, x1, y1):
    pixels = np.zeros((10, 12), bool)
    pixels[y0:y1, x0:x1] = True
    return Mask(pixels)


def frame(value):
    return Frame.from_array(np.full((10, 12, 3), value, np.uint8))


LEFT, RIGHT, TOP = mask(0, 2, 4, 8), mask(7, 2, 11, 8), mask(3, 0, 9, 2)
PICTURES = ImageSet.pictures([frame(10), frame(20), frame(30)])
CLIP = ImageSet.clip([frame(1), frame(2), frame(3)], [0, 1, 2])


def answer(*targets):
    """An answer that names its targets one after another."""
    text, spans = "", []
    for target in targets:
        spans.append((len(text), len(text) + len(target.phrase)))
        text += target.phrase + " "
    return GroundedAnswer(text=text, targets=targets, spans=tuple(spans))


def target(phrase, object_id=None, **masks):
    places = {int(name[1:]): value for name, value in masks.items()}
    return Target(phrase=phrase, masks=places, object_id=object_id)


@pytest.fixture
def memory():
    """[1], the left mug of images 1 and 3, and [2], [cup], the right one of image 2."""
    memory = ObjectMemory()
    memory.remember(answer(target("left mug", i0=LEFT, i2=TOP), target("cup", i1=RIGHT)), PICTURES)
    memory.rename(2, "cup")
    return memory


# -- ids -----------------------------------------------------------------------------------------


def test_targets_get_ids_from_one_on_in_their_order():
    memory = ObjectMemory()
    first = memory.remember(answer(target("a", i0=LEFT), target("b", i0=RIGHT)), PICTURES)
    second = memory.remember(answer(target("c", i1=TOP)), PICTURES)
    assert [t.object_id for t in (*first.targets, *second.targets)] == [1, 2, 3]
    assert [(one.id, one.phrase) for one in memory] == [(1, "a"), (2, "b"), (3, "c")]


def test_an_id_is_not_given_twice(memory):
    memory.forget(2)
    again = memory.remember(answer(target("c", i1=TOP)), PICTURES)
    assert again.targets[0].object_id == 3


def test_a_target_that_has_an_id_keeps_it(memory):
    again = memory.remember(answer(target("a", 7, i0=LEFT), target("b", i0=TOP)), PICTURES)
    assert [t.object_id for t in again.targets] == [7, 8]


def test_nothing_is_remembered_of_an_answer_without_targets():
    memory = ObjectMemory()
    plain = GroundedAnswer(text="Two.", conclusion="two")
    assert memory.remember(plain, PICTURES) == plain
    assert len(memory) == 0


# -- prompts -------------------------------------------------------------------------------------


def test_prompts_with_one_name_are_one_object():
    prompts = (
        Point(image=0, x=1, y=3, name="mug"),
        Point(image=1, x=8, y=3),
        Point(image=0, x=2, y=7, name=" Mug "),
        Box(image=1, x0=0, y0=0, x1=4, y1=4, object_id=5),
    )
    registered = ObjectMemory().register(prompts, PICTURES)
    assert [p.object_id for p in registered] == [6, 7, 6, 5]
    assert [(p.image, p.name) for p in registered] == [(p.image, p.name) for p in prompts]


def test_regions_with_one_name_are_joined():
    prompts = (
        Region(image=0, mask=LEFT, name="pair"),
        Point(image=0, x=1, y=3, name="pair"),
        Region(image=0, mask=RIGHT, name="pair"),
    )
    region, point = ObjectMemory().register(prompts, PICTURES)
    assert region == Region(image=0, mask=LEFT.joined(RIGHT), name="pair", object_id=1)
    assert point.object_id == 1


def test_a_known_name_is_the_known_object(memory):
    (prompt,) = memory.register([Point(image=0, x=1, y=3, name="Cup")], PICTURES)
    assert prompt.object_id == 2


def test_one_name_on_two_images_is_refused():
    prompts = [Point(image=0, x=1, y=3, name="mug"), Point(image=2, x=1, y=3, name="mug")]
    with pytest.raises(DataError, match=r"\[mug\]: expected all on one image, got 1 and 3\. Give"):
        ObjectMemory().register(prompts, PICTURES)


def test_what_moves_may_be_pointed_at_on_several_frames_of_its_clip():
    images = ImageSet.join([PICTURES, ImageSet.clip(list(PICTURES), [0.0, 1.0, 2.0])])
    start = len(PICTURES)
    prompts = [
        Region(image=start, mask=LEFT, name="mug"),
        Region(image=start + 2, mask=RIGHT, name="mug"),
        Region(image=start, mask=RIGHT, name="mug"),
    ]
    first, second = ObjectMemory().register(prompts, images, moving=True)
    assert (first.image, first.mask) == (start, LEFT.joined(RIGHT))
    assert (second.image, second.mask, second.object_id) == (start + 2, RIGHT, first.object_id)
    with pytest.raises(DataError, match=r"expected all on one image, got 4@1 and 4@3"):
        ObjectMemory().register(prompts, images)
    apart = [Point(image=0, x=1, y=3, name="mug"), Point(image=start, x=1, y=3, name="mug")]
    with pytest.raises(DataError, match=r"expected all on one image, got 1 and 4@1"):
        ObjectMemory().register(apart, images, moving=True)


@pytest.mark.parametrize("name", ["", "  ", "3", "a]b", "[a", "x" * 65, "a\nb"])
def test_a_name_that_cannot_be_one_is_refused(name, memory):
    with pytest.raises(DataError, match=r"name: expected up to 64 characters without brackets"):
        memory.register([Point(image=0, x=1, y=3, name=name)], PICTURES)
    with pytest.raises(DataError, match=r"name: expected"):
        memory.rename(1, name)


@pytest.mark.parametrize(
    "prompt",
    [
        Point(image=0, x=8.5, y=3, name="mug"),
        Box(image=0, x0=6, y0=2, x1=11, y1=8, name="mug"),
        Region(image=0, mask=RIGHT, name="mug"),
    ],
)
def test_a_target_that_covers_a_prompt_is_what_was_pointed_at(prompt):
    memory = ObjectMemory()
    prompts = memory.register([prompt], PICTURES)
    told = answer(target("left", i0=LEFT), target("right", i0=RIGHT))
    assert [t.object_id for t in memory.remember(told, PICTURES, prompts).targets] == [2, 1]
    assert (memory.find("mug").id, memory.find("mug").phrase) == (1, "right")


def test_a_target_elsewhere_is_something_else():
    memory = ObjectMemory()
    prompts = memory.register([Point(image=0, x=5, y=9, name="mug")], PICTURES)
    told = memory.remember(answer(target("left", i0=LEFT)), PICTURES, prompts)
    assert told.targets[0].object_id == 2
    with pytest.raises(DataError, match=r"\[mug\]: expected an object"):
        memory.find("mug")


def test_a_drawn_region_is_remembered_without_a_target():
    memory = ObjectMemory()
    prompts = memory.register([Region(image=0, mask=LEFT, name="mug")], PICTURES)
    memory.remember(GroundedAnswer(text="It is red.", conclusion="red"), PICTURES, prompts)
    assert memory.mentioned_in("Where is [mug]?", PICTURES) == (
        Region(image=0, mask=LEFT, object_id=1, name="mug"),
    )


# -- later turns ---------------------------------------------------------------------------------


def test_a_handle_brings_the_masks_back(memory):
    assert memory.mentioned_in("Compare [1] and [ CUP ], [1] above all.", PICTURES) == (
        Region(image=0, mask=LEFT, object_id=1),
        Region(image=2, mask=TOP, object_id=1),
        Region(image=1, mask=RIGHT, object_id=2, name="cup"),
    )
    assert memory.mentioned_in("No handle, only 1 and cup.", PICTURES) == ()


def test_an_image_is_known_by_its_content(memory):
    later = ImageSet.join([CLIP, ImageSet.pictures([frame(30), frame(20)])])
    assert memory.mentioned_in("[1] [cup]", later) == (
        Region(image=3, mask=TOP, object_id=1),
        Region(image=4, mask=RIGHT, object_id=2, name="cup"),
    )


def test_of_a_clip_the_frame_that_shows_most_comes_back():
    memory = ObjectMemory()
    memory.remember(answer(target("it", i0=TOP, i1=LEFT, i2=mask(0, 0, 1, 1))), CLIP)
    assert memory.mentioned_in("[1]", CLIP) == (Region(image=1, mask=LEFT, object_id=1),)


def test_the_newest_mask_of_a_frame_counts(memory):
    memory.remember(answer(target("mug", 1, i0=RIGHT)), PICTURES)
    images = [(r.image, r.mask) for r in memory.mentioned_in("[1]", PICTURES)]
    assert images == [(0, RIGHT), (2, TOP)]
    assert memory.find(1).phrase == "mug"


def test_handles_of_this_turns_prompts_need_no_memory(memory):
    prompts = memory.register([Point(image=0, x=1, y=3, name="jug")], PICTURES)
    assert memory.mentioned_in("Is [jug] or [3] larger?", PICTURES, prompts) == ()


def test_an_unknown_handle_is_refused_with_those_that_are_known(memory):
    with pytest.raises(DataError, match=r"\[pot\]: expected .* \(\[1\]; \[2\], \[cup\]\), got an"):
        memory.mentioned_in("Where is [pot]?", PICTURES)
    with pytest.raises(DataError, match=r"\[4\]: expected .* \(nothing yet\)"):
        ObjectMemory().mentioned_in("Where is [4]?", PICTURES)


def test_an_object_of_other_images_is_refused(memory):
    with pytest.raises(DataError, match=r"\[2\], \[cup\]: expected an image in which it was seen"):
        memory.mentioned_in("Where is [2]?", CLIP)


# -- keeping house -------------------------------------------------------------------------------


def test_objects_are_renamed_and_forgotten(memory):
    memory.rename("cup", "Tasse")
    assert memory.find("tasse").id == 2
    memory.forget("Tasse")
    assert [one.id for one in memory] == [1]
    memory.forget()
    assert len(memory) == 0


def test_a_name_that_is_taken_is_refused(memory):
    with pytest.raises(DataError, match=r'one that is free, got "CUP", which is \[2\]'):
        memory.rename(1, "CUP")
    memory.rename(2, "Cup")


def test_what_is_saved_is_loaded(memory, tmp_path):
    memory.forget(1)
    memory.save(tmp_path / "memory.json")
    again = ObjectMemory.load(tmp_path / "memory.json")
    assert list(again) == list(memory)
    told = again.remember(answer(target("new", i0=LEFT)), PICTURES)
    assert told.targets[0].object_id == 3


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", r"memory\.json: expected a line of JSON"),
        ('{"version": 2, "given": 0, "objects": []}', r"memory\.json: version: expected 1, got 2"),
        ('{"version": 1, "given": 0}', r"objects: expected a value, got none"),
        (
            '{"version": 1, "given": 1, "objects": ['
            + ", ".join(['{"id": 1, "name": null, "phrase": "a", "seen": []}'] * 2)
            + "]}",
            r"objects: expected every id once, got 1 twice",
        ),
    ],
)
def test_a_file_that_is_no_memory_is_refused(tmp_path, content, message):
    (tmp_path / "memory.json").write_text(content)
    with pytest.raises(DataError, match=message):
        ObjectMemory.load(tmp_path / "memory.json")


def test_a_missing_file_and_a_place_that_cannot_be_written_are_refused(memory, tmp_path):
    with pytest.raises(DataError, match=r"none\.json: expected a saved memory, got: No such file"):
        ObjectMemory.load(tmp_path / "none.json")
    with pytest.raises(DataError, match=r"expected a place that can be written to"):
        memory.save(tmp_path / "none" / "memory.json")
