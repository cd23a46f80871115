"""What descriptions pick, and when they refuse, on hand-made pictures of coloured squares."""

from dataclasses import replace

import pytest
from squares import facts_of, picture, thing

from deixis.scenes.knowing.asked import Asked
from deixis.scenes.knowing.facts import Facts
from deixis.scenes.knowing.meaning import (
    Described,
    Which,
    find,
    larger,
    lies,
    needs_every_word,
    shares,
)
from deixis.scenes.knowing.truth import truth_of

MUG, CUP, KITE = thing(1, "red mug"), thing(2, "striped blue mug"), thing(3, "red kite")


@pytest.fixture
def row() -> Facts:
    """From left to right: the blue mug, the red kite, the red mug, which is lowest and largest."""
    return facts_of(picture((MUG, 80, 40, 24), (CUP, 15, 20, 12), (KITE, 45, 25, 16)))


def picked(facts: Facts, **which) -> set[int] | None:
    found = find(facts, Which(**which), tuple(facts.frames))
    return None if found is None else {number for number, _ in found}


def like(**words) -> Described:
    return Described(**words)


@pytest.mark.parametrize(
    ("which", "expected"),
    [
        ({"described": like(category="mug")}, {1, 2}),
        ({"described": like(colour="red")}, {1, 3}),
        ({"described": like(colour="red", category="mug")}, {1}),
        ({"described": like(pattern="striped")}, {2}),
        ({"described": like(use="fly on a string")}, {3}),
        ({"described": like(colour="green")}, set()),
        ({"described": like(category="mug"), "extreme": "leftmost"}, {2}),
        ({"extreme": "lowest"}, {1}),
        ({"extreme": "smallest"}, {2}),
        ({"described": like(colour="red"), "extreme": "largest"}, {1}),
        ({"described": like(category="kite"), "extreme": "largest"}, None),  # of one only
        ({"ordinal": (2, "left")}, {3}),
        ({"ordinal": (3, "right")}, {2}),
        ({"ordinal": (2, "above")}, None),  # 20 and 25 are too near each other
        ({"described": like(category="mug"), "relation": ("left", like(colour="red"))}, None),
        ({"described": like(category="mug"), "relation": ("left", like(category="kite"))}, {2}),
        ({"described": like(category="mug"), "relation": ("above", like(category="kite"))}, None),
        ({"described": like(colour="red"), "relation": ("right", like(colour="blue"))}, {1, 3}),
    ],
)
def test_a_description_picks_what_it_says_or_refuses(row, which, expected):
    assert picked(row, **which) == expected


def test_sides_need_a_margin_and_mostly_that_direction(row):
    assert lies(row, 3, "left", 1, 0) is True
    assert lies(row, 3, "right", 1, 0) is False
    assert lies(row, 3, "above", 2, 0) is None  # five pixels
    assert lies(row, 1, "below", 2, 0) is None  # 20 down, but 65 across


def test_larger_needs_a_quarter_more(row):
    assert larger(row, (1, 0), (2, 0)) is True
    assert larger(row, (2, 0), (1, 0)) is False
    near = facts_of(picture((MUG, 20, 30, 20), (CUP, 60, 30, 22)))
    assert larger(near, (2, 0), (1, 0)) is None


def test_what_hardly_shows_proves_nothing():
    facts = facts_of(picture((MUG, 20, 20, 20), (CUP, 60, 30, 4)))  # 16 pixels
    assert picked(facts, described=like(category="mug")) is None
    assert picked(facts, described=like(colour="red")) == {1}


def test_a_word_that_could_go_is_noticed(row):
    both = Which(described=like(colour="red", category="mug"))
    assert needs_every_word(row, both, (0,))
    spare = Which(described=like(colour="blue", category="mug"))
    assert not needs_every_word(row, spare, (0,))
    assert not needs_every_word(row, Which(described=like(category="kite")), (0,))


def test_sharing_looks_at_other_things_only(row):
    assert shares(row, 2, (0,))
    alone = facts_of(picture((CUP, 20, 20, 20), (KITE, 60, 30, 20)))
    assert not shares(alone, 2, (0,))


@pytest.fixture
def pair() -> Facts:
    """Two images: the red mug is in both, the blue mug in the first, the kite in the second."""
    return facts_of(
        picture((MUG, 20, 30, 20), (CUP, 70, 30, 20)),
        picture((KITE, 20, 30, 20), (MUG, 70, 30, 20)),
    )


def ask(facts: Facts, rule: str, described: Described, **more):
    asked = Asked(
        rule=rule,
        kind="",
        which=(Which(described=described),),
        frames=more.pop("frames", tuple(facts.frames)),
        **more,
    )
    return truth_of(facts, asked)


def test_a_shared_thing_is_one_target_with_masks_in_both_images(pair):
    truth = ask(pair, "one", like(colour="red", category="mug"))
    assert [(hit.thing, hit.frames) for hit in truth.hits] == [(1, (0, 1))]


def test_a_shared_thing_is_not_counted(pair):
    assert ask(pair, "count", like(category="mug")) is None
    assert ask(pair, "all", like(category="mug")) is None
    assert ask(pair, "count", like(category="kite")).conclusion == "1"
    assert ask(pair, "count", like(category="lamp")).conclusion == "0"


def test_the_image_is_named_where_only_one_has_it(pair):
    assert ask(pair, "which image", like(category="kite")).conclusion == "image 2"
    assert ask(pair, "which image", like(category="mug")) is None


def test_the_same_thing_is_found_in_the_other_images_only(pair):
    truth = ask(pair, "again", like(colour="red", category="mug"), frames=(0,), detail="which")
    assert [(hit.thing, hit.frames) for hit in truth.hits] == [(1, (1,))]
    assert truth.conclusion == "image 2"
    assert ask(pair, "again", like(category="kite"), frames=(1,)) is None


def test_nothing_is_absent_that_shows_anywhere_in_the_covered_images(pair):
    assert ask(pair, "nothing", like(category="kite")) is None
    truth = ask(pair, "nothing", like(category="kite"), frames=(0,))
    assert not truth.hits
    assert truth.absent[0].described.category == "kite"


def test_every_part_is_a_target_of_its_own(row):
    truth = ask(row, "parts", like(category="kite"))
    assert [(hit.thing, hit.part) for hit in truth.hits] == [(3, "body"), (3, "tail")]
    assert row.masks(3, (0,), "body")[0].area == 8 * 16


def test_a_part_takes_its_own_colour_before_the_colour_of_the_thing():
    dressed = replace(MUG, accent=("handle", "green"))
    facts = facts_of(picture((dressed, 30, 30, 24)))
    assert facts.colour(1, "handle") == "green"
    assert facts.colour(1, "body") == "red"


def test_images_in_another_order_are_asked_about_in_that_order():
    asked = Asked(rule="one", kind="", frames=(0, 2))
    assert asked.permuted([2, 0, 1]).frames == (0, 1)


def test_mirroring_swaps_left_and_right_only():
    which = Which(relation=("left", like()), extreme="highest", motion="moves right")
    mirrored = which.mirrored()
    assert (mirrored.relation[0], mirrored.extreme, mirrored.motion) == (
        "right",
        "highest",
        "moves left",
    )
    assert mirrored.mirrored() == which
