"""What a question touches on its way to the answer."""

import pytest
from squares import facts_of, picture, thing

from deixis.scenes.catalogue import PART_NAMES
from deixis.scenes.knowing.asked import Asked, Pointed
from deixis.scenes.knowing.meaning import Described, Which
from deixis.scenes.knowing.mentioning import BESIDE, FITS, MEANT, Mention, mentions
from deixis.structures.prompts import Point

MUG, CUP, KITE = thing(1, "red mug"), thing(2, "blue mug"), thing(3, "red kite")
FACTS = facts_of(
    picture((MUG, 20, 30, 20), (CUP, 50, 30, 20), (KITE, 80, 30, 30)), picture((MUG, 50, 30, 20))
)
A_MUG = Described(category="mug")


def asked(rule: str, *which: Which, frames=(0,), **more) -> Asked:
    return Asked(rule=rule, kind="any", which=which, frames=frames, **more)


def test_an_ordinal_touches_everything_that_could_be_counted():
    second = asked("one", Which(described=A_MUG, ordinal=(2, "left")))
    assert mentions(FACTS, second) == [Mention(0, 1, FITS), Mention(0, 2, FITS)]


def test_only_the_images_that_are_asked_about_are_touched():
    everywhere = asked("count", Which(described=A_MUG), frames=(0, 1))
    assert {(m.frame, m.thing) for m in mentions(FACTS, everywhere)} == {(0, 1), (0, 2), (1, 1)}


def test_a_relation_touches_what_others_stand_beside():
    left = Which(described=A_MUG, relation=("left", Described(category="kite")))
    assert Mention(0, 3, BESIDE) in mentions(FACTS, asked("one", left))


def test_what_is_pointed_at_is_touched_where_it_is_pointed_at():
    pointed = Pointed(prompt=Point(image=1, x=50, y=30), thing=1)
    assert mentions(FACTS, asked("told category", pointed=(pointed,))) == [Mention(1, 1, BESIDE)]


@pytest.mark.parametrize("silent", [True, False])
def test_a_question_for_a_word_only_tells_what_is_meant_others_outline_it(silent):
    largest = Which(described=Described(), extreme="largest")
    found = mentions(FACTS, asked("category", largest, silent=silent))
    assert [m.thing for m in found if m.role >= MEANT] == ([3] if silent else [])


def test_a_part_that_is_meant_has_a_role_of_its_own():
    part = MUG.parts[0]
    red = Which(described=Described(category="mug", colour="red"), part=part)
    found = mentions(FACTS, asked("colour", red, silent=True))
    assert Mention(0, 1, MEANT + 1 + PART_NAMES.index(part)) in found


def test_yes_or_no_is_about_all_that_there_is_and_no_about_nothing():
    mug = asked("exists", Which(described=A_MUG), silent=True)
    assert [m.thing for m in mentions(FACTS, mug) if m.role == MEANT] == [1, 2]
    missing = asked("exists", Which(described=Described(category="fish")), silent=True)
    assert mentions(FACTS, missing) == []


def fits(rule: str, detail: str) -> set[int]:
    """What fits a question about the red mug [1] and the kite [2], of image 1."""
    pointed = (
        Pointed(prompt=Point(image=0, x=20, y=30, object_id=1), thing=1),
        Pointed(prompt=Point(image=0, x=80, y=30, object_id=2), thing=3),
    )
    found = mentions(FACTS, asked(rule, pointed=pointed, detail=detail))
    return {m.thing for m in found if m.role == FITS}


def test_what_is_asked_of_one_thing_fits_all_of_which_it_is_true():
    assert fits("told side", "left") == {1, 2}  # of the kite
    assert fits("told side", "right") == set()
    assert fits("told larger", "") == set()
    assert fits("told alike", "colour") == {1, 3}
    assert fits("told number", "category") == {1, 2}
    assert fits("told where", "") == set()
