"""Names are dealt to questions fairly, and an answer holds one group for each, in their order."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deixis.processing.lessons.pixellm_templates import SHORT, deal, joined, named_turn

GROUP = "[SEG0] [SEG1]"


@given(
    names=st.integers(0, 14), questions=st.integers(1, 4), targets=st.integers(1, 4),
    seed=st.integers(0, 99),
)  # fmt: skip
def test_every_question_gets_a_name_before_any_gets_two(names, questions, targets, seed):
    hands = deal(range(names), Random(seed), questions=questions, targets=targets)
    dealt = [one for hand in hands for one in hand]
    assert len(dealt) == len(set(dealt)) == min(names, questions * targets)
    assert len(hands) == min(names, questions)
    assert all(1 <= len(hand) <= targets for hand in hands)


@pytest.mark.parametrize("names", [["a cup"], ["a cup", "a kite"], ["a cup", "a kite", "a tree"]])
def test_an_answer_holds_a_group_for_each_name_in_their_order(names):
    for seed in range(40):
        question, answer = named_turn(names, GROUP, Random(seed))
        assert question in [short.format(names=joined(names)) for short in SHORT]
        assert answer.count(GROUP) == len(names)
        assert answer.endswith(f"{GROUP}.")
        said = [answer.index(name) for name in names if name in answer]
        assert said == sorted(said)


def test_both_styles_of_answers_come_about_equally_often():
    turns = [named_turn(["a cup", "a kite"], GROUP, Random(seed))[1] for seed in range(400)]
    together = sum(f"{GROUP} and {GROUP}." in turn for turn in turns)
    assert 160 < together < 240
